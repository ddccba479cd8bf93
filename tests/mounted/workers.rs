//! libfuse's pool of workers, as it grows.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fuse3::Operation;

use crate::fixture::{Gate, Mount, require_mount};
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
    assert_eq!(workers(), most);
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
    assert_eq!(mount.end().stats.workers, most);
}
