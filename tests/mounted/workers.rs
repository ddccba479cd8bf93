//! libfuse's pool of workers, as it grows.

use std::fs::{self, File};
use std::io::Read;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fuse3::Operation;

use crate::child::{self, this_test};
use crate::fixture::{Gate, Mount, TempDir, is_mounted, require_mount};
use crate::probe::Probe;

const WORKERS: u32 = 8;

/// A mount whose reads wait, without the lock, until the gate is open.
fn waiting() -> (Mount<Probe>, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let waiting = Arc::clone(&gate);
    let probe = Probe::new().on(move |cx, operation, _| {
        if operation == Operation::Read {
            cx.released(|_| waiting.pass());
        }
        Ok(())
    });
    (Mount::new(probe.builder().workers(WORKERS)), gate)
}

/// However many handlers wait, a stat is answered as long as one worker is left; and then waits for the first that returns.
#[test]
fn as_long_as_one_is_left_a_stat_is_answered() {
    require_mount!(not over io_uring: "each processor has one worker");
    let (mount, gate) = waiting();
    let workers = || mount.handle().stats().workers;
    let most = usize::try_from(WORKERS).unwrap();
    let files: Vec<File> = (0..WORKERS)
        .map(|number| File::open(mount.join(format!("f{number}"))).unwrap())
        .collect();
    let mut grown = vec![workers()];
    let mut readers = Vec::new();
    for mut file in files {
        readers.push(thread::spawn(move || file.read(&mut [0; 7])));
        gate.came(readers.len());
        if readers.len() < most {
            // The attributes are kept for no time: it asks.
            mount.path().metadata().unwrap();
            grown.push(workers());
            // All that wait, and the one that answered.
            assert!(workers() > readers.len(), "{grown:?}");
        }
    }
    assert!(grown.is_sorted(), "{grown:?}");
    assert!(grown[0] < most, "{grown:?}");
    // Before libfuse 3.12 there is always one more, which has nothing to do.
    let limited = fuse3::sys::LIMITS_THREADS;
    assert!(workers() == most || !limited, "{grown:?}");
    let path = mount.path().to_owned();
    let stat = thread::spawn(move || path.metadata());
    thread::sleep(Duration::from_millis(200));
    assert!(!stat.is_finished());
    gate.open();
    stat.join().unwrap().unwrap();
    for reader in readers {
        assert_eq!(reader.join().unwrap().unwrap(), 7);
    }
    // No more than asked for.
    let workers = mount.end().stats.workers;
    assert!(workers == most || !limited, "{workers}");
}

/// What the process has of addresses, in bytes.
fn address_space() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kilobytes = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kilobytes.parse::<u64>().unwrap() << 10
}

/// There is no room for the stack that libfuse is told to give its workers.
#[test]
fn the_first_worker_that_cannot_be_started_is_an_error_that_says_so() {
    require_mount!();
    let stacks = |command: &mut std::process::Command| {
        command.env("FUSE_THREAD_STACK", "2000000000");
    };
    child::run_with(this_test!(), stacks, || {
        let dir = TempDir::new();
        let session = Probe::new().builder().mount(dir.path()).unwrap();
        let room = address_space() + (1 << 30);
        let limit = libc::rlimit {
            rlim_cur: room,
            rlim_max: room,
        };
        // SAFETY: `limit` lives.
        let limited = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
        assert_eq!(limited, 0);
        let error = session.run().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EAGAIN), "{error}");
        assert!(!is_mounted(dir.path()));
    });
}
