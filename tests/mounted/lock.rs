//! The lock on a mount: what overlaps, and what waits.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use fuse3::{GlobalLock, Locked, Operation};

use crate::fixture::{Gate, Mount, require_mount, timed};
use crate::probe::{Books, Probe, SIZE, held, released};

/// Reads one byte of each of `count` files at once. Reads, since the kernel sends lookups in one directory one by one.
fn read_at_once(dir: &Path, count: usize) -> Duration {
    let files: Vec<File> = (0..count)
        .map(|number| File::open(dir.join(format!("f{number}"))).unwrap())
        .collect();
    let ready = Barrier::new(count + 1);
    let read = |mut file: File| {
        ready.wait();
        assert_eq!(file.read(&mut [0]).unwrap(), 1);
    };
    thread::scope(|scope| {
        let readers: Vec<_> = files
            .into_iter()
            .map(|file| scope.spawn(|| read(file)))
            .collect();
        // From before the first of them goes.
        let (took, ()) = timed(|| {
            ready.wait();
            for reader in readers {
                reader.join().unwrap();
            }
        });
        took
    })
}

/// A mount whose reads take `time` with `sleep`, and the most of them that ever ran at once.
fn slow_reads(
    workers: u32,
    time: Duration,
    sleep: fn(&mut Locked<'_, Books>, Duration),
) -> (Mount<Probe>, Arc<AtomicUsize>) {
    let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&most);
    let probe = Probe::new().on(move |cx, operation, _| {
        if operation == Operation::Read {
            counted.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(cx, time);
            now.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    });
    (Mount::new(probe.builder().workers(workers)), most)
}

#[track_caller]
fn assert_between(took: Duration, least: u64, most: u64) {
    let expected = Duration::from_millis(least)..Duration::from_millis(most);
    assert!(expected.contains(&took), "{took:?} is not in {expected:?}");
}

#[test]
fn handlers_that_released_the_lock_run_together() {
    require_mount!(not over io_uring: "each processor has one worker");
    let (mount, most) = slow_reads(30, Duration::from_millis(500), released);
    assert_between(read_at_once(mount.path(), 6), 500, 1_500);
    assert_eq!(most.load(Ordering::SeqCst), 6);
    mount.end();
}

#[test]
fn handlers_that_hold_the_lock_run_one_by_one() {
    require_mount!();
    let (mount, most) = slow_reads(30, Duration::from_millis(500), held);
    assert_between(read_at_once(mount.path(), 6), 3_000, 4_500);
    assert_eq!(most.load(Ordering::SeqCst), 1);
    let end = mount.end();
    assert_eq!(end.lock.stats().waiters, []);
}

#[test]
fn as_many_run_as_there_are_workers() {
    require_mount!(not over io_uring: "each processor has one worker");
    let (mount, most) = slow_reads(4, Duration::from_millis(500), released);
    assert_between(read_at_once(mount.path(), 8), 1_000, 2_400);
    assert_eq!(most.load(Ordering::SeqCst), 4);
    mount.end();
}

#[test]
fn one_worker_runs_one() {
    require_mount!(not over io_uring: "each processor has one worker");
    let (mount, most) = slow_reads(1, Duration::from_millis(100), released);
    assert_between(read_at_once(mount.path(), 5), 500, 2_000);
    assert_eq!(most.load(Ordering::SeqCst), 1);
    mount.end();
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
        assert_between(took, 390, 2_000);
    });
    let (took, result) = timed(|| file.metadata());
    result.unwrap();
    assert!(took < Duration::from_millis(100), "{took:?}");
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
