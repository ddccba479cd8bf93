//! The lock on a mount: what overlaps, and what waits.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use fuse3::{GlobalLock, Locked, Operation};

use crate::fixture::{DEADLINE, Gate, Mount, require_mount, timed};
use crate::probe::{Books, Probe, SIZE, held, released};

/// Reads one byte of each of `count` files at once. Reads, since the kernel sends lookups in one directory one by one.
fn read_at_once(dir: &Path, count: usize) {
    let files: Vec<File> = (0..count)
        .map(|number| File::open(dir.join(format!("f{number}"))).unwrap())
        .collect();
    let ready = Barrier::new(count);
    thread::scope(|scope| {
        for mut file in files {
            let ready = &ready;
            scope.spawn(move || {
                ready.wait();
                assert_eq!(file.read(&mut [0]).unwrap(), 1);
            });
        }
    });
}

/// How many handlers of `count` reads are in `sleep` together, if `expected` are to be: as long as they are not, they stay there.
fn together(
    workers: u32,
    count: usize,
    expected: usize,
    sleep: fn(&mut Locked<'_, Books>, Duration),
) {
    let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&most);
    let probe = Probe::new().on(move |cx, operation, _| {
        if operation == Operation::Read {
            counted.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let start = Instant::now();
            while counted.load(Ordering::SeqCst) < expected && start.elapsed() < DEADLINE / 2 {
                sleep(cx, Duration::from_millis(1));
            }
            // For one more that comes.
            sleep(cx, Duration::from_millis(100));
            now.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    });
    let mount = Mount::new(probe.builder().workers(workers));
    read_at_once(mount.path(), count);
    assert_eq!(most.load(Ordering::SeqCst), expected);
    let end = mount.end();
    assert_eq!(end.lock.stats().waiters, []);
}

#[test]
fn handlers_that_released_the_lock_run_together() {
    require_mount!(not over io_uring: "each processor has one worker");
    together(30, 6, 6, released);
}

#[test]
fn handlers_that_hold_the_lock_run_one_by_one() {
    require_mount!();
    together(30, 6, 1, held);
}

#[test]
fn as_many_run_as_there_are_workers() {
    require_mount!(not over io_uring: "each processor has one worker");
    together(4, 8, 4, released);
}

#[test]
fn one_worker_runs_one() {
    require_mount!(not over io_uring: "each processor has one worker");
    together(1, 5, 1, released);
}

#[test]
fn a_background_thread_that_holds_the_lock_delays_requests() {
    require_mount!();
    let lock = Arc::new(GlobalLock::new(Books::default()));
    let mount = Mount::new(Probe::new().builder_with(Arc::clone(&lock)));
    let file = File::open(mount.join("file")).unwrap();
    let has_it = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            let guard = lock.lock().unwrap();
            has_it.wait();
            thread::sleep(Duration::from_millis(400));
            drop(guard);
        });
        has_it.wait();
        let (took, result) = timed(|| file.metadata());
        result.unwrap();
        assert!(took >= Duration::from_millis(390), "{took:?}");
    });
    file.metadata().unwrap();
    drop(file);
    mount.end();
}

#[test]
fn the_lock_is_free_when_the_client_has_its_answer() {
    require_mount!();
    let lock = Arc::new(GlobalLock::new(Books::default()));
    let mount = Mount::new(Probe::new().builder_with(Arc::clone(&lock)));
    let file = File::open(mount.join("file")).unwrap();
    for number in 0..2000 {
        file.metadata().unwrap();
        // A library that replies under the lock is found out here as a rule: the worker is still in its write(2).
        assert!(lock.try_lock().is_ok(), "not after the stat {number}");
    }
    drop(file);
    mount.end();
}

/// Memory that takes as long to read as a read of `file`, the first time.
fn mapped(file: &File) -> &'static [u8] {
    // SAFETY: the descriptor is open, and the kernel chooses the address.
    let memory = unsafe {
        libc::mmap(
            ptr::null_mut(),
            SIZE,
            libc::PROT_READ,
            libc::MAP_PRIVATE,
            file.as_raw_fd(),
            0,
        )
    };
    assert_ne!(memory, libc::MAP_FAILED);
    // SAFETY: the mapping is `SIZE` bytes long, never written to, and never unmapped.
    unsafe { std::slice::from_raw_parts(memory.cast(), SIZE) }
}

#[test]
fn while_a_reply_is_being_written_another_handler_runs() {
    require_mount!(not over io_uring: "each processor has one worker");
    let gate = Arc::new(Gate::default());
    let waiting = Arc::clone(&gate);
    let slow = Probe::new().on(move |cx, operation, _| {
        if operation == Operation::Read {
            cx.released(|_| waiting.pass());
        }
        Ok(())
    });
    let slow = Mount::new(slow.builder());
    let slow_file = File::open(slow.join("memory")).unwrap();

    // The replies of this one are copied out of that file, page by page, by the kernel, in write(2).
    let lock = Arc::new(GlobalLock::new(Books::default()));
    let probe = Probe::new().data(mapped(&slow_file));
    let mount = Mount::new(probe.builder_with(Arc::clone(&lock)));
    let mut file = File::open(mount.join("file")).unwrap();
    let other = File::open(mount.join("other")).unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(move || file.read(&mut [1; 10]).unwrap());
        gate.came(1);
        other.metadata().unwrap();
        assert!(lock.try_lock().is_ok());
        assert!(!reader.is_finished());
        gate.open();
        assert_eq!(reader.join().unwrap(), 10);
    });
    drop(other);
    mount.end();
    drop(slow_file);
    slow.end();
}
