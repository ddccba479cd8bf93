//! How long a request has waited for the lock and held it, for whoever observes requests.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long a handler has waited for the global lock, and held it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) waited: Duration,
    pub(crate) held: Duration,
}

/// What the thread does with the lock of the request that it serves.
#[derive(Clone, Copy, Default)]
enum Phase {
    /// Its request is not observed, or it serves none.
    #[default]
    Off,
    WaitsSince(Instant),
    HoldsSince(Instant),
    /// It has released the lock for a while, or for good.
    Without,
}

struct Meter {
    phase: Cell<Phase>,
    times: Cell<Times>,
}

thread_local! {
    static METER: Meter = const {
        Meter {
            phase: Cell::new(Phase::Off),
            times: Cell::new(Times { waited: Duration::ZERO, held: Duration::ZERO }),
        }
    };
}

impl Meter {
    fn add(&self, phase: Phase, add: impl FnOnce(&mut Times)) {
        let mut times = self.times.get();
        add(&mut times);
        self.times.set(times);
        self.phase.set(phase);
    }
}

/// The thread is about to take the lock for a request that is observed.
pub(crate) fn begin() {
    METER.with(|meter| {
        meter.times.take();
        meter.phase.set(Phase::WaitsSince(Instant::now()));
    });
}

/// It has got the lock. Does nothing where the meter is off, as all of these.
#[inline]
pub(crate) fn taken() {
    METER.with(|meter| {
        if let Phase::WaitsSince(since) = meter.phase.get() {
            let now = Instant::now();
            let waited = now.saturating_duration_since(since);
            meter.add(Phase::HoldsSince(now), |times| times.waited += waited);
        }
    });
}

/// It releases the lock.
#[inline]
pub(crate) fn given() {
    METER.with(|meter| {
        if let Phase::HoldsSince(since) = meter.phase.get() {
            let held = since.elapsed();
            meter.add(Phase::Without, |times| times.held += held);
        }
    });
}

/// It is about to take the lock that it has released.
#[inline]
pub(super) fn waits() {
    METER.with(|meter| {
        if let Phase::Without = meter.phase.get() {
            meter.phase.set(Phase::WaitsSince(Instant::now()));
        }
    });
}

/// The handler has returned: turns the meter off.
pub(crate) fn end() -> Times {
    given();
    METER.with(|meter| {
        meter.phase.take();
        meter.times.take()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    use crate::lock::{condvar::Condvar, global::GlobalLock};
    use crate::types::operation::Operation;

    const LONG: Duration = Duration::from_millis(20);

    #[test]
    fn what_is_not_observed_is_not_measured() {
        for step in [taken, given, waits] {
            step();
        }
        assert_eq!(end(), Times::default());
    }

    /// Takes the lock, says so, and keeps it for as long after another thread has queued.
    fn keep(lock: &GlobalLock<()>, taken: &mpsc::Sender<()>) {
        let _guard = lock.lock().unwrap();
        taken.send(()).unwrap();
        while lock.stats().waiters.is_empty() {
            thread::yield_now();
        }
        thread::sleep(LONG);
    }

    #[test]
    fn a_wait_and_what_is_done_without_the_lock_are_not_time_held() {
        let lock = GlobalLock::new(());
        let (sender, taken_by_other) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| keep(&lock, &sender));
            taken_by_other.recv().unwrap();
            begin();
            let mut guard = lock.lock_for(Operation::Read).unwrap();
            taken();
            let begun = Instant::now();
            thread::sleep(LONG);
            guard.released(|_| thread::sleep(LONG));
            guard.wait(&Condvar::new(), Some(LONG));
            guard.yield_(1);
            given();
            let all = begun.elapsed();
            drop(guard);
            let times = end();
            assert!(times.waited >= LONG, "{times:?}");
            assert!(times.held >= LONG, "{times:?}");
            assert!(times.held <= all - 2 * LONG, "{times:?} of {all:?}");
        });
        assert_eq!(end(), Times::default());
    }

    #[test]
    fn the_wait_for_a_lock_that_was_released_counts() {
        let lock = GlobalLock::new(());
        let (sender, taken_by_other) = mpsc::channel();
        let (release, released) = mpsc::channel();
        thread::scope(|scope| {
            let lock = &lock;
            scope.spawn(move || {
                released.recv().unwrap();
                keep(lock, &sender);
            });
            begin();
            let mut guard = lock.lock_for(Operation::Read).unwrap();
            taken();
            guard.released(|_| {
                release.send(()).unwrap();
                taken_by_other.recv().unwrap();
            });
            drop(guard);
        });
        assert!(end().waited >= LONG);
    }
}
