use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::observe::latency::Latency;
use crate::observe::observer::{Observed, Observer, Outcome};
use crate::types::operation::Operation;

/// Counts the requests of each operation, and how long they took, in histograms.
///
/// What it has seen is in [`SessionStats::latencies`](crate::session::SessionStats::latencies), which
/// [`SessionStats`](crate::session::SessionStats) prints, and in [`latencies`](Observer::latencies), for a program that keeps an
/// [`Arc`](std::sync::Arc) of it:
///
/// ```
/// # use fuse3::{Builder, Filesystem, Session};
/// # use fuse3::observe::Histograms;
/// # fn measured<F: Filesystem>(builder: Builder<F>) -> Builder<F> {
/// builder.observe(Histograms::new())
/// # }
/// # fn show<F: Filesystem>(session: Session<F>) -> std::io::Result<()> {
/// let end = session.run()?;
/// println!("{}", end.stats);
/// # Ok(()) }
/// ```
///
/// ```text
/// 20114 requests on 4 workers; 3 answers not taken, 0 panics
/// operation             count   errors        p50        p99      p99.9    longest
/// lookup                 9034       12    12.41µs   801.00µs   919.00µs     2.05ms
/// read                  11079        0    95.00µs     1.20ms     4.01ms    12.50ms
/// init                      1
/// ```
///
/// Times are exact to one part in 64, the longest is exact, and what takes longer than 73 minutes counts as that long. Workers
/// count in up to eight histograms for each operation, so that they seldom wait for each other; each takes 18 KiB of memory.
pub struct Histograms([Shard; SHARDS]);

/// Those of threads that share them.
struct Shard([OnceLock<Box<Histogram>>; Operation::ALL.len()]);

const SHARDS: usize = 8;

/// Each power of two has so many buckets, of equal width.
const PART: usize = 1 << PART_BITS;
const PART_BITS: u32 = 6;

/// Times of 2^42 nanoseconds or more are in the last bucket.
const MOST_BITS: u32 = 42;

/// The first [`PART`] are a nanosecond wide, and so are the next.
const BUCKETS: usize = PART * (MOST_BITS - PART_BITS + 1) as usize;

/// What an operation's requests took, in nanoseconds.
struct Histogram {
    errors: AtomicU64,
    longest: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// That of the calling thread.
fn shard() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    if SHARD.get() == usize::MAX {
        SHARD.set(THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS);
    }
    SHARD.get()
}

/// The bucket of a time: its highest bits, and where they stand.
fn bucket(time: u64) -> usize {
    let bits = (u64::BITS - time.leading_zeros()).clamp(PART_BITS, MOST_BITS + 1);
    let shift = bits.saturating_sub(PART_BITS + 1);
    let part = usize::try_from(time >> shift).unwrap_or(usize::MAX);
    // Of a power of two that is not the first, `part` has its highest bit, which counts for the buckets below.
    part.saturating_add(PART * shift as usize).min(BUCKETS - 1)
}

/// The longest time in a bucket.
fn longest_of(bucket: usize) -> u64 {
    let shift = (bucket / PART).saturating_sub(1);
    let part = bucket - PART * shift;
    ((part as u64 + 1) << shift) - 1
}

impl Histogram {
    fn new() -> Box<Self> {
        Box::new(Self {
            errors: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
        })
    }

    fn record(&self, outcome: &Outcome) {
        let took = u64::try_from(outcome.took.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(took)].fetch_add(1, Ordering::Relaxed);
        self.longest.fetch_max(took, Ordering::Relaxed);
        if outcome.errno.is_some() {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds what is counted here.
    fn add_to(&self, counts: &mut [u64], latency: &mut Latency) {
        for (sum, bucket) in counts.iter_mut().zip(&self.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        latency.errors += self.errors.load(Ordering::Relaxed);
        let longest = Duration::from_nanos(self.longest.load(Ordering::Relaxed));
        latency.max = latency.max.max(longest);
    }
}

/// So many in a thousand of what was counted took no longer than this.
fn quantile(counts: &[u64], total: u64, per_mille: u64) -> Duration {
    let mut left = (u128::from(total) * u128::from(per_mille)).div_ceil(1000);
    for (bucket, count) in counts.iter().enumerate() {
        left = left.saturating_sub((*count).into());
        if left == 0 {
            return Duration::from_nanos(longest_of(bucket));
        }
    }
    Duration::MAX
}

impl Histograms {
    /// Empty ones.
    pub fn new() -> Self {
        Self([const { Shard([const { OnceLock::new() }; Operation::ALL.len()]) }; SHARDS])
    }

    fn record(&self, operation: Operation, outcome: &Outcome) {
        let Shard(shard) = &self.0[shard()];
        let histogram = shard[usize::from(operation as u8)].get_or_init(Histogram::new);
        histogram.record(outcome);
    }

    fn latency(&self, operation: Operation) -> Option<Latency> {
        let index = usize::from(operation as u8);
        let mut latency = Latency::new(operation);
        let mut counts = vec![0; BUCKETS];
        for Shard(shard) in &self.0 {
            if let Some(histogram) = shard[index].get() {
                histogram.add_to(&mut counts, &mut latency);
            }
        }
        latency.count = counts.iter().sum();
        let quantile = |it| quantile(&counts, latency.count, it).min(latency.max);
        (latency.count > 0).then(|| Latency {
            p50: quantile(500),
            p99: quantile(990),
            p999: quantile(999),
            ..latency
        })
    }
}

impl Default for Histograms {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for Histograms {
    fn ended(&self, request: &Observed, outcome: &Outcome) {
        self.record(request.operation, outcome);
    }

    fn latencies(&self) -> Vec<Latency> {
        let operations = Operation::ALL.iter();
        operations
            .filter_map(|operation| self.latency(*operation))
            .collect()
    }
}

impl fmt::Debug for Histograms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.latencies()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::errno::Errno;
    use std::thread;

    fn outcome(took: Duration, errno: Option<Errno>) -> Outcome {
        Outcome {
            errno,
            taken: true,
            took,
            waited: Duration::ZERO,
            held: Duration::ZERO,
        }
    }

    #[track_caller]
    fn assert_near(time: Duration, expected: Duration) {
        let off = time.abs_diff(expected);
        assert!(off * 64 <= expected, "{time:?} is not {expected:?}");
    }

    /// 1000 requests, from a microsecond to a millisecond, on several threads.
    #[test]
    fn quantiles_are_those_of_all_threads() {
        let histograms = Histograms::new();
        thread::scope(|scope| {
            for part in 0..4 {
                let histograms = &histograms;
                scope.spawn(move || {
                    for time in (1..=1000).filter(|time| time % 4 == part) {
                        let errno = (time % 100 == 0).then_some(Errno::ENOENT);
                        let outcome = outcome(Duration::from_micros(time), errno);
                        histograms.record(Operation::Read, &outcome);
                    }
                });
            }
        });
        let all = histograms.latencies();
        let [latency] = &*all else { panic!("{all:?}") };
        assert_eq!(latency.operation, Operation::Read);
        assert_eq!((latency.count, latency.errors), (1000, 10));
        assert_near(latency.p50, Duration::from_micros(500));
        assert_near(latency.p99, Duration::from_micros(990));
        assert_near(latency.p999, Duration::from_micros(999));
        assert_eq!(latency.max, Duration::from_micros(1000));
        assert!(latency.max >= latency.p999);
    }

    #[test]
    fn buckets_follow_each_other_and_are_narrow() {
        assert_eq!((bucket(0), longest_of(0)), (0, 0));
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        for index in 1..BUCKETS {
            let (below, longest) = (longest_of(index - 1), longest_of(index));
            assert_eq!((bucket(below + 1), bucket(longest)), (index, index));
            assert!((longest - below) * PART as u64 <= longest.max(PART as u64));
        }
        assert_eq!(longest_of(BUCKETS - 1), (1 << MOST_BITS) - 1);
    }

    #[test]
    fn the_longest_and_the_shortest_time_fit() {
        let histograms = Histograms::new();
        histograms.record(Operation::Open, &outcome(Duration::MAX, None));
        histograms.record(Operation::Open, &outcome(Duration::ZERO, None));
        let latency = histograms.latencies()[0];
        assert_eq!(latency.count, 2);
        assert_eq!(latency.p50, Duration::ZERO);
        assert_eq!(latency.p99, Duration::from_nanos((1 << MOST_BITS) - 1));
        assert_eq!(latency.max, Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn lines_of_a_table_are_of_one_width() {
        let histograms = Histograms::new();
        histograms.record(Operation::Read, &outcome(Duration::from_micros(7), None));
        histograms.record(Operation::Statfs, &outcome(Duration::from_secs(7), None));
        let lines = histograms.latencies();
        let widths = lines.iter().map(|it| it.to_string().chars().count());
        let widths: Vec<_> = widths.collect();
        assert!(widths.windows(2).all(|two| two[0] == two[1]), "{lines:?}");
    }
}
