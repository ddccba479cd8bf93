//! Since when the lock has been held, where that is known.

use std::sync::atomic::{AtomicU64, Ordering};

/// The clock when the holder's section began, for the sections that are timed.
///
/// Reading the clock takes three times as long as taking a free lock. So it is
/// read for one request in 16, after the first ones of each operation, and for one
/// of 64 sections of application threads. A thread that queues reads it as well, and
/// notes the time for a holder that has not: a section that others wait for is
/// timed from then on at the latest.
///
/// # Invariants
///
/// Only the holder writes, or for the next holder the thread that hands the lock
/// over, or with the queue's mutex a thread that queues while the lock is held. It
/// does not run while the lock is free.
pub(super) struct Stopwatch {
    /// 0 while it does not run. The lowest bit is [`COUNTED`].
    since: AtomicU64,
    /// How many sections of application threads come before the next that is timed.
    next: AtomicU64,
}

/// The section was chosen to be timed before it was known how long it would be, so that its time is counted.
const COUNTED: u64 = 1;

/// So many requests of each operation are timed, before only some are: who looks early sees all.
const FIRST: u64 = 16;

impl Stopwatch {
    pub(super) const fn new() -> Stopwatch {
        Stopwatch {
            since: AtomicU64::new(0),
            next: AtomicU64::new(0),
        }
    }

    /// Whether a section is one of those whose time is counted. `count` sections of its kind came before.
    #[inline]
    pub(super) fn is_due(&self, is_request: bool, count: u64) -> bool {
        if is_request {
            // The first of each operation, then one in 16, in no rhythm that a program might have.
            count < FIRST || count.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60 == 0
        } else {
            count >= self.next.load(Ordering::Relaxed)
        }
    }

    /// A section whose time is counted begins.
    pub(super) fn start(&self, now: u64, is_request: bool, count: u64) {
        self.since.store(now | COUNTED, Ordering::Relaxed);
        if !is_request {
            // 64 on average. The clock's last digits are random enough for no rhythm of a program to meet.
            let pause = 1 + now % 127;
            self.next
                .store(count.wrapping_add(pause), Ordering::Relaxed);
        }
    }

    /// The section is not counted, but others wait for it.
    pub(super) fn start_uncounted(&self, now: u64) {
        let _running =
            self.since
                .compare_exchange(0, now & !COUNTED, Ordering::Relaxed, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn is_running(&self) -> bool {
        self.since.load(Ordering::Relaxed) != 0
    }

    /// When the section began; `None` where that is not known.
    pub(super) fn since(&self) -> Option<u64> {
        let since = self.since.load(Ordering::Relaxed);
        (since != 0).then_some(since)
    }

    /// The section has ended. What it took, if it was timed, and whether that counts.
    pub(super) fn stop(&self, now: u64) -> Option<(u64, bool)> {
        let since = self.since()?;
        self.clear();
        let time = now.saturating_sub(since & !COUNTED);
        Some((time, since & COUNTED != 0))
    }

    pub(super) fn clear(&self) {
        self.since.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_section_of_64_is_counted_on_average() {
        let stopwatch = Stopwatch::new();
        let (mut due, mut now) = (0, 1);
        for count in 0..64_000 {
            now += 1_007;
            if stopwatch.is_due(false, count) {
                due += 1;
                stopwatch.start(now, false, count);
            }
        }
        assert!((900..1_100).contains(&due), "{due}");
        stopwatch.start(127, false, 64_000);
        assert!(!stopwatch.is_due(false, 64_000));
    }

    #[test]
    fn requests_are_counted_by_themselves() {
        let stopwatch = Stopwatch::new();
        stopwatch.start(100, false, 0);
        assert_eq!(stopwatch.stop(110), Some((10, true)));
        assert!(!stopwatch.is_due(false, 1));
        for count in 0..FIRST {
            assert!(stopwatch.is_due(true, count));
            stopwatch.start(200, true, count);
            assert_eq!(stopwatch.stop(220), Some((20, true)));
        }
        assert!(!stopwatch.is_due(false, 1));
        assert!(!stopwatch.is_due(true, FIRST));
        let due = (0..16_000).filter(|count| stopwatch.is_due(true, FIRST + count));
        let due: Vec<_> = due.collect();
        assert!((900..1_100).contains(&due.len()));
        let has_no_rhythm = due.windows(2).any(|two| two[1] - two[0] != 16);
        assert!(
            has_no_rhythm,
            "a program that has the same would be misjudged"
        );
    }

    #[test]
    fn a_section_that_others_wait_for_is_timed_from_then_on_and_not_counted() {
        let stopwatch = Stopwatch::new();
        assert_eq!((stopwatch.is_running(), stopwatch.stop(5)), (false, None));
        stopwatch.start_uncounted(100);
        // The next one that queues is no news.
        stopwatch.start_uncounted(300);
        assert_eq!(stopwatch.since(), Some(100));
        assert_eq!(stopwatch.stop(400), Some((300, false)));
        assert!(!stopwatch.is_running());
        // Nor is any to a section that is counted.
        stopwatch.start(500, true, 0);
        stopwatch.start_uncounted(600);
        assert_eq!(stopwatch.stop(700), Some((200, true)));
    }
}
