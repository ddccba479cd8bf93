//! C has the session, Rust runs it.

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use fuse3::testing::proto::{self, File};
use fuse3::{Attr, Entry, Errno, Ino};

use crate::mount::Mounted;
use crate::served::Served;

const PROGRAM: &str = env!("CARGO_BIN_EXE_visits");
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn the_answers_are_those_of_c() {
    let mut served = Served::new(Command::new(PROGRAM));
    let attr = Attr {
        blksize: 0,
        ..Attr::new(Ino(2), libc::S_IFREG | 0o444)
    };
    let entry = Entry::new(attr, Duration::from_secs(300));
    served.expect(&proto::lookup(1, b"visits"), &proto::entry_out(&entry));
    served.expect_error(&proto::lookup(1, b"others"), Errno::ENOENT);
    let read = |at| proto::read(2, File::new(0), at, 4096);
    served.expect(&read(0), b"1\n");
    served.expect(&read(2), b"");
    served.expect(&read(0), b"2\n");
    let attr_out = proto::attr_out(&attr, Duration::from_secs(300));
    served.expect(&proto::getattr(2, None), &attr_out);
    let not_a_file = Errno::from_raw(libc::EISDIR);
    served.expect_error(&proto::open(1, 0), not_a_file);
    served.expect(&proto::readdir(1, 0, 1, 4096), b"");
    let ended = served.terminate();
    // Each handler has taken it, for each of the eight requests.
    assert_eq!(ended.stdout, "2 visits, the lock taken 8 times\n");
    // C's handlers of signals, and C's exit status. (Some libfuse says on stderr that there is nothing to unmount.)
    assert_eq!(ended.code, Some(1));
}

/// Handlers of eight threads change one number, which only the lock keeps right.
#[test]
fn many_clients_at_once() {
    const CLIENTS: u64 = 16;
    const READS: u64 = 100;
    let program = || PROGRAM.into();
    let mounted = Mounted::start_program("visits", &[], DEADLINE, |_, _| {}, program);
    let Some(mounted) = mounted else {
        return;
    };
    let visits = mounted.path().join("visits");
    let mut seen: Vec<u64> = thread::scope(|scope| {
        let client = || -> Vec<u64> {
            let read = |_| fs::read_to_string(&visits).unwrap();
            let texts = (0..READS).map(read);
            texts.map(|text| text.trim().parse().unwrap()).collect()
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let seen = clients.into_iter().map(|client| client.join().unwrap());
        seen.flatten().collect()
    });
    seen.sort_unstable();
    // Each number once.
    assert!(seen.iter().copied().eq(1..=CLIENTS * READS), "{seen:?}");
    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stdout.starts_with("1600 visits, "), "{ended:?}");
    // What libfuse says for a worker that was just being given the RELEASE of a file, for which no client waits.
    let mut lines = ended.stderr.lines();
    let aborted = "fuse: reading device: Software caused connection abort";
    assert!(lines.all(|line| line == aborted), "{ended:?}");
}

/// No handler takes the lock with it, over io_uring neither, where libfuse cancels its threads: Rust waits for the lock at the
/// end.
#[test]
fn it_ends_while_handlers_hold_the_lock() {
    for _ in 0..10 {
        let program = || PROGRAM.into();
        let mounted = Mounted::start_program("visits", &[], DEADLINE, |_, _| {}, program);
        let Some(mounted) = mounted else {
            return;
        };
        let visits = mounted.path().join("visits");
        let file = fs::File::open(&visits).unwrap();
        let read = || file.read_at(&mut [0; 32], 0);
        let ended = thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| while read().is_ok() {});
            }
            // Until they are in handlers.
            thread::sleep(Duration::from_millis(20));
            mounted.signal("TERM")
        });
        // C's program says that a signal has ended it.
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(
            ended.stdout.contains(" visits, the lock taken "),
            "{ended:?}"
        );
    }
}
