//! What is counted for each operation while the lock is held.

use std::sync::atomic::{AtomicU64, Ordering};

/// The figures of one operation: what waits took in ticks, what sections took by their [clock](super::clock).
///
/// # Invariants
///
/// Only the thread that holds the lock writes, so a load and a store make an
/// addition that loses nothing. Others read at any time.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Counters {
    count: AtomicU64,
    waited: AtomicU64,
    waited_max: AtomicU64,
    held: AtomicU64,
    held_max: AtomicU64,
}

/// A copy of [`Counters`].
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) count: u64,
    pub(super) waited: u64,
    pub(super) waited_max: u64,
    pub(super) held: u64,
    pub(super) held_max: u64,
}

impl Counters {
    pub(super) const fn new() -> Counters {
        Counters {
            count: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            waited_max: AtomicU64::new(0),
            held: AtomicU64::new(0),
            held_max: AtomicU64::new(0),
        }
    }

    pub(super) fn add_waited(&self, time: u64) {
        add(&self.waited, time);
        raise(&self.waited_max, time);
    }

    #[inline]
    pub(super) fn add_section(&self, held: u64) {
        add(&self.count, 1);
        // A section of no time, by a coarse clock, is usual.
        if held > 0 {
            add(&self.held, held);
            raise(&self.held_max, held);
        }
    }

    pub(super) fn read(&self) -> Figures {
        Figures {
            count: self.count.load(Ordering::Relaxed),
            waited: self.waited.load(Ordering::Relaxed),
            waited_max: self.waited_max.load(Ordering::Relaxed),
            held: self.held.load(Ordering::Relaxed),
            held_max: self.held_max.load(Ordering::Relaxed),
        }
    }
}

/// Adds, for the one thread that writes.
#[inline]
pub(super) fn add(counter: &AtomicU64, amount: u64) -> u64 {
    let sum = counter.load(Ordering::Relaxed).wrapping_add(amount);
    counter.store(sum, Ordering::Relaxed);
    sum
}

#[inline]
fn raise(counter: &AtomicU64, value: u64) {
    if value > counter.load(Ordering::Relaxed) {
        counter.store(value, Ordering::Relaxed);
    }
}
