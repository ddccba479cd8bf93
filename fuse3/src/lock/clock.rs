//! The clock that the lock's times are taken by, and until when a thread waits.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, MutexGuard};

/// The monotonic clock in nanoseconds, for an atomic to hold. Never zero, which stands for no time.
pub(super) fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    // 2^64 nanoseconds are 584 years.
    u64::try_from(elapsed.as_nanos())
        .unwrap_or(u64::MAX)
        .saturating_add(1)
}

/// Until when a thread waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    /// It does not wait.
    Now,
    At(Instant),
    Never,
}

impl Deadline {
    /// A time-out that ends after the clock's last instant never ends.
    pub(crate) fn after(timeout: Option<Duration>) -> Deadline {
        if timeout == Some(Duration::ZERO) {
            return Deadline::Now;
        }
        let instant = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        instant.map_or(Deadline::Never, Deadline::At)
    }

    /// Waits until `condvar` is notified; it may also return without a reason. Tells whether the time is up.
    pub(crate) fn wait<T>(self, condvar: &Condvar, guard: &mut MutexGuard<'_, T>) -> bool {
        match self {
            Deadline::Now => true,
            Deadline::At(instant) => condvar.wait_until(guard, instant).timed_out(),
            Deadline::Never => {
                condvar.wait(guard);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn it_counts_nanoseconds_from_one() {
        let begun = Instant::now();
        let before = now();
        assert!(before > 0);
        let inner = Instant::now();
        thread::sleep(Duration::from_millis(3));
        let at_least = inner.elapsed();
        let measured = Duration::from_nanos(now() - before);
        let at_most = begun.elapsed();
        assert!(measured >= at_least && measured <= at_most);
    }
}
