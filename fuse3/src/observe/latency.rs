use std::fmt;
use std::time::Duration;

use crate::types::operation::Operation;

/// How long the requests of an operation took: [`SessionStats::latencies`](crate::session::SessionStats::latencies).
///
/// The times are those of [`Outcome::took`](super::Outcome::took): from the moment when a worker had read the request until its
/// answer was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Latency {
    /// The operation.
    pub operation: Operation,
    /// How many requests have ended.
    pub count: u64,
    /// How many of them were answered with an error.
    pub errors: u64,
    /// Half of them took no longer than this.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
    /// 999 of 1000 took no longer.
    pub p999: Duration,
    /// The longest of them.
    pub max: Duration,
}

impl Latency {
    /// Of an operation of which no request has ended, for an [`Observer`](super::Observer) that fills it in.
    pub const fn new(operation: Operation) -> Self {
        Self {
            operation,
            count: 0,
            errors: 0,
            p50: Duration::ZERO,
            p99: Duration::ZERO,
            p999: Duration::ZERO,
            max: Duration::ZERO,
        }
    }

    /// The heading of a table of them.
    pub(crate) fn heading(f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<16} {:>10} {:>8} {:>10} {:>10} {:>10} {:>10}",
            "operation", "count", "errors", "p50", "p99", "p99.9", "longest"
        )
    }
}

/// A line of a table, of fixed width.
impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            operation,
            count,
            errors,
            ..
        } = self;
        write!(f, "{operation:<16} {count:>10} {errors:>8}")?;
        for time in [self.p50, self.p99, self.p999, self.max] {
            // A `Duration` ignores the width that it is printed with.
            write!(f, " {:>10}", format!("{time:.2?}"))?;
        }
        Ok(())
    }
}
