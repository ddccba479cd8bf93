//! The clocks that the lock's times are taken by, and until when a thread waits.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::_rdtsc;
use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use crate::types::operation::Operation;

/// The clock's time, in a unit of its own that [`Scale`] knows.
///
/// It is read twice for each request, with half of what the processor needs for
/// it not in its cache. `clock_gettime()` has code and data of its own, and waits
/// for everything that was begun before it, so that it costs a request several
/// hundredths of its time. So the processor's counter is read instead, on
/// machines where the kernel keeps time by nothing else.
#[inline]
pub(super) fn ticks() -> u64 {
    match COUNTER.load(Ordering::Relaxed) {
        USED => counter(),
        UNUSED => nanoseconds(libc::CLOCK_MONOTONIC),
        _ => choose(),
    }
}

/// The time by the clock that a section of this operation is measured by.
///
/// A request comes with a system call or two, beside which [`ticks`] are cheap.
/// Application threads take the lock for a few nanoseconds at times: theirs is the
/// clock of the last timer tick, which is right on average.
#[inline]
pub(super) fn of_section(operation: Option<Operation>) -> u64 {
    match operation {
        Some(_) => ticks(),
        None => nanoseconds(libc::CLOCK_MONOTONIC_COARSE),
    }
}

/// Whether the processor's counter is used. Unknown before the first time.
static COUNTER: AtomicU8 = AtomicU8::new(0);
const USED: u8 = 1;
const UNUSED: u8 = 2;

/// A moment by both clocks, before any that the counter was used for.
static START: OnceLock<Moment> = OnceLock::new();

#[cold]
fn choose() -> u64 {
    let used = counter_is_the_clock();
    if used {
        START.get_or_init(Moment::now);
    }
    COUNTER.store(if used { USED } else { UNUSED }, Ordering::Release);
    ticks()
}

/// The kernel has found the counter steady and the same on all processors, or
/// it would not keep time by it.
fn counter_is_the_clock() -> bool {
    const CLOCK: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    cfg!(target_arch = "x86_64") && fs::read(CLOCK).is_ok_and(|clock| clock.trim_ascii() == b"tsc")
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn counter() -> u64 {
    // SAFETY: every x86_64 processor has the instruction, and Linux allows it to processes unless they ask otherwise
    // (prctl(2), PR_SET_TSC), which takes `clock_gettime()` from them as well.
    unsafe { _rdtsc() }
}

/// There is none that is known to be the kernel's clock.
#[cfg(not(target_arch = "x86_64"))]
fn counter() -> u64 {
    nanoseconds(libc::CLOCK_MONOTONIC)
}

#[inline]
fn nanoseconds(clock: libc::clockid_t) -> u64 {
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

#[derive(Clone, Copy, Debug)]
struct Moment {
    counter: u64,
    nanoseconds: u64,
}

impl Moment {
    fn now() -> Moment {
        Moment {
            counter: counter(),
            nanoseconds: nanoseconds(libc::CLOCK_MONOTONIC),
        }
    }
}

/// How long a tick takes, as measured from the first one until now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    ticks: u64,
    nanoseconds: u64,
}

impl Scale {
    pub(super) fn now() -> Scale {
        let moments = START.get().map(|start| (start, Moment::now()));
        match moments {
            Some((start, now)) if now.counter > start.counter => Scale {
                ticks: now.counter - start.counter,
                nanoseconds: now.nanoseconds.saturating_sub(start.nanoseconds),
            },
            _ => Scale {
                ticks: 1,
                nanoseconds: 1,
            },
        }
    }

    /// A difference of [`of_section`] as time.
    pub(super) fn section(self, operation: Option<Operation>, difference: u64) -> Duration {
        match operation {
            Some(_) => self.duration(difference),
            None => Duration::from_nanos(difference),
        }
    }

    /// The time that so many ticks took.
    pub(super) fn duration(self, ticks: u64) -> Duration {
        let product = u128::from(ticks) * u128::from(self.nanoseconds);
        let nanoseconds = product / u128::from(self.ticks);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

/// Until when a thread waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    At(Instant),
    Never,
}

impl Deadline {
    /// A time-out that ends after the clock's last instant never ends.
    pub(crate) fn after(timeout: Option<Duration>) -> Deadline {
        match timeout.and_then(|timeout| Instant::now().checked_add(timeout)) {
            Some(instant) => Deadline::At(instant),
            None => Deadline::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn ticks_are_time() {
        let begun = Instant::now();
        let before = ticks();
        let inner = Instant::now();
        thread::sleep(Duration::from_millis(30));
        let at_least = inner.elapsed();
        let after = ticks();
        let at_most = begun.elapsed();
        let measured = Scale::now().duration(after - before);
        // Two readings of two clocks cannot be made at once.
        let slack = Duration::from_millis(1);
        assert!(
            measured + slack > at_least && measured < at_most + slack,
            "{measured:?} is not between {at_least:?} and {at_most:?}"
        );
    }

    #[test]
    fn without_the_counter_a_tick_is_a_nanosecond() {
        let scale = Scale {
            ticks: 1,
            nanoseconds: 1,
        };
        assert_eq!(scale.duration(u64::MAX), Duration::from_nanos(u64::MAX));
        let third = Scale {
            ticks: 3,
            nanoseconds: 1,
        };
        assert_eq!(third.duration(3_000), Duration::from_micros(1));
    }
}
