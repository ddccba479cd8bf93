//! The global lock does what llfuse's does, without llfuse's defects.
//!
//! Tests named `d1` to `d6` each show a defect of llfuse's lock, if it is put in.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use fuse3::lock::{Condvar, LockError, SubLock, Unlocked, Woken, sync};
use fuse3::{GlobalLock, Locked, Operation};

use deadline::{message, until, within_a_minute};

#[path = "../common/deadline.rs"]
mod deadline;

mod acquire;
mod below;
mod foreign;
mod hand_over;
mod proof;
mod released;
mod stats;
mod wait;

/// So many rounds, or as many as there are in some seconds: how long one takes is up to the machine. Miri, which looks for
/// data races, is slow.
fn rounds(count: u64) -> impl Iterator<Item = u64> {
    let count = if cfg!(miri) { count / 1000 } else { count };
    let start = Instant::now();
    (0..count).take_while(move |_| start.elapsed() < Duration::from_secs(5))
}

/// Waits until so many threads wait for the lock.
fn until_waiting<S>(lock: &GlobalLock<S>, count: usize) {
    until(|| lock.stats().waiters.len() == count);
}

/// The Linux thread id, read from the kernel.
fn tid() -> u32 {
    let link = std::fs::read_link("/proc/thread-self").expect("/proc is not mounted");
    let name = link.file_name().expect("PID/task/TID").to_string_lossy();
    name.parse().expect("PID/task/TID")
}
