//! What is counted for each operation while the lock is held.

use std::sync::atomic::{AtomicU64, Ordering};

/// The figures of one operation, times in nanoseconds.
///
/// # Invariants
///
/// Only the thread that holds the lock writes, so a load and a store make an
/// addition that loses nothing. Others read at any time.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Counters {
    count: AtomicU64,
    pub(super) waited: AtomicU64,
    pub(super) waited_max: AtomicU64,
    /// How many of the sections are in `held`.
    pub(super) timed: AtomicU64,
    held: AtomicU64,
    pub(super) held_max: AtomicU64,
}

impl Counters {
    pub(super) const fn new() -> Counters {
        Counters {
            count: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            waited_max: AtomicU64::new(0),
            timed: AtomicU64::new(0),
            held: AtomicU64::new(0),
            held_max: AtomicU64::new(0),
        }
    }

    pub(super) fn add_waited(&self, time: u64) {
        add(&self.waited, time);
        raise(&self.waited_max, time);
    }

    /// How many sections have begun.
    #[inline]
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// A section begins. Returns how many have begun before.
    #[inline]
    pub(super) fn begin_section(&self) -> u64 {
        let before = self.count();
        self.count.store(before.wrapping_add(1), Ordering::Relaxed);
        before
    }

    /// It was timed from its beginning, and not because it was long.
    pub(super) fn add_held(&self, time: u64) {
        add(&self.timed, 1);
        add(&self.held, time);
        self.raise_held(time);
    }

    /// It lasted for this time at least.
    pub(super) fn raise_held(&self, time: u64) {
        raise(&self.held_max, time);
    }

    /// The times of `count` sections together, if those that were not timed were as long on average as those that were.
    pub(super) fn held_by(&self, count: u64) -> u64 {
        let [held, timed] = [&self.held, &self.timed].map(|it| it.load(Ordering::Relaxed));
        let estimate = (u128::from(held) * u128::from(count)).checked_div(timed.into());
        u64::try_from(estimate.unwrap_or(0)).unwrap_or(u64::MAX)
    }
}

/// Adds, for the one thread that writes.
fn add(counter: &AtomicU64, amount: u64) {
    let sum = counter.load(Ordering::Relaxed).wrapping_add(amount);
    counter.store(sum, Ordering::Relaxed);
}

fn raise(counter: &AtomicU64, value: u64) {
    let highest = counter.load(Ordering::Relaxed).max(value);
    counter.store(highest, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_timed_is_estimated_by_what_was() {
        let counters = Counters::new();
        assert_eq!(counters.held_by(0), 0);
        for _ in 0..10 {
            counters.begin_section();
        }
        counters.add_held(3);
        counters.add_held(5);
        counters.raise_held(100);
        assert_eq!(counters.timed.load(Ordering::Relaxed), 2);
        assert_eq!(counters.held_max.load(Ordering::Relaxed), 100);
        assert_eq!(counters.held_by(counters.count()), 40);
    }
}
