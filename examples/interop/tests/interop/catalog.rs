//! C answers with the raw request: at once, and later.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use fuse3::testing::proto::{self, File};
use fuse3::{Attr, Entry, Errno, Ino};

use crate::mount::Mounted;
use crate::served::Served;

const PROGRAM: &str = env!("CARGO_BIN_EXE_catalog");
const DEADLINE: Duration = Duration::from_secs(60);

const RHYME: &str = "Thirty days hath September,\nApril, June and November.\n";

fn rhyme() -> Entry {
    let attr = Attr {
        size: RHYME.len() as u64,
        blksize: 0,
        ..Attr::new(Ino(3), libc::S_IFREG | 0o444)
    };
    Entry::new(attr, Duration::from_secs(1))
}

#[test]
fn the_answers_are_those_of_c() {
    let mut served = Served::new(Command::new(PROGRAM));
    served.expect(&proto::lookup(1, b"rhyme"), &proto::entry_out(&rhyme()));
    served.expect_error(&proto::lookup(1, b"reason"), Errno::ENOENT);
    let (attr, timeout) = (rhyme().attr, rhyme().attr_timeout);
    served.expect(&proto::getattr(3, None), &proto::attr_out(&attr, timeout));
    served.expect_error(&proto::getattr(4, None), Errno::ENOENT);
    let read = |ino, at, size| proto::read(ino, File::new(0), at, size);
    served.expect(&read(3, 0, 4096), RHYME.as_bytes());
    served.expect(&read(3, 7, 4), b"days");
    served.expect(&read(3, 4096, 4096), b"");
    // C refuses it, and Rust answers.
    served.expect_error(&read(1, 0, 4096), Errno::from_raw(libc::EISDIR));
    let ended = served.terminate();
    // INIT and the call of `destroy` are among them.
    let expected = "10 requests, 0 answers not taken, 1 lookups not forgotten\n";
    assert_eq!(ended.stdout, expected);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}

/// Each answer that is not taken is counted, whoever sent it, and what it gave out is not counted as given.
#[test]
fn statistics_add_up() {
    let mut served = Served::new(Command::new(PROGRAM));
    served.expect(&proto::lookup(1, b"rhyme"), &proto::entry_out(&rhyme()));
    served.refuse_for_good();
    served.send(&proto::forget(3, 1));
    for _ in 0..3 {
        served.send(&proto::lookup(1, b"rhyme"));
    }
    served.send(&proto::read(3, File::new(0), 0, 4096));
    for _ in 0..4 {
        assert_eq!(served.complains(), "fuse: writing device: Broken pipe\n");
    }
    let ended = served.terminate();
    let expected = "8 requests, 4 answers not taken, 0 lookups not forgotten\n";
    assert_eq!(ended.stdout, expected);
    assert_eq!(ended.stderr, "");
}

#[test]
fn mounted() {
    let program = || PROGRAM.into();
    let mounted = Mounted::start_program("catalog", &[], DEADLINE, |_, _| {}, program);
    let Some(mounted) = mounted else {
        return;
    };
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let root = mounted.path();
                    let path = root.join("rhyme");
                    assert_eq!(fs::read_to_string(&path).unwrap(), RHYME);
                    let metadata = path.metadata().unwrap();
                    assert_eq!((metadata.ino(), metadata.len()), (3, RHYME.len() as u64));
                    let names = fs::read_dir(root).unwrap();
                    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
                    assert_eq!(names, ["proverb", "rhyme"]);
                    assert!(!root.join("reason").exists());
                }
            });
        }
    });
    // No client waits for the kernel's RELEASE of what it has closed, so some may be in handlers now. An unmount would not take
    // their answers; told to end, the program gives them while it is still mounted.
    let ended = mounted.signal("TERM");
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stdout.contains(" 0 answers not taken"), "{ended:?}");
    assert_eq!(ended.stderr, "");
}
