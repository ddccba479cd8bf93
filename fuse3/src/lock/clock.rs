//! The monotonic clock, precise and coarse.

use std::time::{Duration, Instant};

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub(super) fn precise() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds of `CLOCK_MONOTONIC` at the last timer tick, one to ten
/// milliseconds ago. Much cheaper, and right on average.
#[inline]
pub(super) fn coarse() -> u64 {
    read(libc::CLOCK_MONOTONIC_COARSE)
}

#[inline]
fn read(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid timespec for the kernel to write to. The call
    // cannot fail: both clocks exist since Linux 2.6.32.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    // Seconds and nanoseconds since boot are not negative.
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds * 1_000_000_000 + nanoseconds
}

/// Until when a thread waits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deadline {
    At(Instant),
    Never,
}

impl Deadline {
    /// A time-out that ends after the clock's last instant never ends.
    pub(super) fn after(timeout: Option<Duration>) -> Deadline {
        match timeout.and_then(|timeout| Instant::now().checked_add(timeout)) {
            Some(instant) => Deadline::At(instant),
            None => Deadline::Never,
        }
    }
}
