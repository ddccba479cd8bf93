//! The backend goes away and comes back, and the file system is killed: nothing is lost that was written and fsynced.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::mount::within;
use crate::{Backend, check, direct, errno, long, say};

const WRITERS: u64 = 3;
/// Bytes in a record. Blocks are no multiple of it.
const RECORD: u64 = 1000;
const PATIENCE: Duration = Duration::from_secs(30);

/// A file to which records are appended.
#[derive(Default)]
struct Log {
    /// How many records were there when the last fsync(2) succeeded that began afterwards.
    synced: AtomicU64,
    /// How many fsyncs succeeded, and failed.
    syncs: AtomicU64,
    failures: AtomicU64,
}

#[test]
fn what_is_fsynced_is_there() {
    let backend = Backend::new();
    let Some(mounted) = backend.mount("") else {
        return;
    };
    fs::write(mounted.path().join("cold"), vec![9; 200_000]).unwrap();
    check(mounted);
    let logs: Vec<Log> = (0..WRITERS).map(|_| Log::default()).collect();
    let until = Instant::now() + long();
    let mut kills = 0;
    while kills == 0 || Instant::now() < until {
        kills += 1;
        one_life(&backend, &logs, kills);
    }
    let mounted = backend.mount("").unwrap();
    verify(mounted.path(), &logs);
    check(mounted);
    let sum = |count: fn(&Log) -> &AtomicU64| -> u64 {
        logs.iter()
            .map(|log| count(log).load(Ordering::Relaxed))
            .sum()
    };
    say(&format!(
        "{kills} outages and kills -9: {} fsyncs, {} EIO meanwhile; all {} records are there that were fsynced",
        sum(|log| &log.syncs),
        sum(|log| &log.failures),
        sum(|log| &log.synced)
    ));
}

/// Mounts, verifies, writes; the backend is away for a while; in the end the file system is killed.
fn one_life(backend: &Backend, logs: &[Log], number: u64) {
    let mounted = backend.mount("commit=50,delay=1,max_threads=16").unwrap();
    let root = mounted.path();
    verify(root, logs);
    let is_over = AtomicBool::new(false);
    thread::scope(|threads| {
        for (number, log) in logs.iter().enumerate() {
            let is_over = &is_over;
            threads.spawn(move || write(&root.join(format!("log{number}")), log, is_over));
        }
        let more = |count: fn(&Log) -> &AtomicU64| {
            let counts = || {
                logs.iter()
                    .map(|log| count(log).load(Ordering::Relaxed))
                    .collect::<Vec<_>>()
            };
            let before = counts();
            let all = || {
                counts()
                    .iter()
                    .zip(&before)
                    .all(|(now, before)| now > before)
            };
            assert!(within(PATIENCE, all), "{before:?} {:?}", counts());
        };
        more(|log| &log.syncs);
        backend.kill();
        more(|log| &log.failures);
        let cold = direct(&root.join("cold"));
        let mut bytes = vec![0; 200_000];
        assert_eq!(errno(cold.read_at(&mut bytes, 0)), libc::EIO);
        backend.restart();
        more(|log| &log.syncs);
        cold.read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 9));
        thread::sleep(Duration::from_millis(number * 37 % 100));
        is_over.store(true, Ordering::Relaxed);
        let process = i32::try_from(mounted.id())
            .ok()
            .and_then(Pid::from_raw)
            .unwrap();
        kill_process(process, Signal::KILL).unwrap();
    });
}

fn record(log: &Path, number: u64) -> Vec<u8> {
    let text = format!(
        "{number} of {} ",
        log.file_name().unwrap().to_str().unwrap()
    );
    text.bytes()
        .cycle()
        .take(usize::try_from(RECORD).unwrap())
        .collect()
}

/// Appends records, one, two or many at a time, until it fails because all is over.
fn write(path: &Path, log: &Log, is_over: &AtomicBool) {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .unwrap();
    let mut next = log.synced.load(Ordering::Relaxed);
    let fine = |result: std::io::Result<()>| match result {
        Ok(()) => Some(true),
        Err(error)
            if error.raw_os_error() == Some(libc::EIO) && !is_over.load(Ordering::Relaxed) =>
        {
            Some(false)
        }
        Err(error) => {
            assert!(is_over.load(Ordering::Relaxed), "{error}");
            None
        }
    };
    loop {
        // A write may fail as well, when it needs a block that is not cached.
        let mut written = next;
        for _ in 0..next % 7 + 1 {
            match fine(file.write_all_at(&record(path, written), written * RECORD)) {
                Some(true) => written += 1,
                Some(false) => break,
                None => return,
            }
        }
        next = written;
        match fine(file.sync_all()) {
            Some(true) => {
                log.synced.store(next, Ordering::Relaxed);
                log.syncs.fetch_add(1, Ordering::Relaxed);
            }
            Some(false) => {
                log.failures.fetch_add(1, Ordering::Relaxed);
            }
            None => return,
        }
    }
}

/// The records that were fsynced are there.
fn verify(root: &Path, logs: &[Log]) {
    for (number, log) in logs.iter().enumerate() {
        let path = root.join(format!("log{number}"));
        let synced = log.synced.load(Ordering::Relaxed);
        if synced == 0 {
            continue;
        }
        let file = File::open(&path).unwrap();
        let mut found = vec![0; usize::try_from(RECORD).unwrap()];
        for number in 0..synced {
            file.read_exact_at(&mut found, number * RECORD).unwrap();
            assert!(
                found == record(&path, number),
                "record {number} of {synced} of {}",
                path.display()
            );
        }
    }
}
