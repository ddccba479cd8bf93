use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;

use parking_lot::Mutex;
use tracing::field::Empty;
use tracing::span::EnteredSpan;
use tracing::{Span, info_span};

use crate::observe::observer::{Observed, Observer, Outcome};

/// Makes a span of the [`tracing`] crate for each request. With the feature `tracing`.
///
/// The spans are called `request`, have the target `fuse3` and the level INFO. They are entered while the handler runs, so that
/// what it logs by `tracing` belongs to them, and are closed when the request is answered. Their fields:
///
/// | field | what it is |
/// |---|---|
/// | `operation` | the name of the slot, as `copy_file_range` |
/// | `number` | [`Observed::number`] |
/// | `ino` | the inode, or for names that of the directory |
/// | `uid`, `pid` | who asks |
/// | `errno` | the error, if it was answered with one |
/// | `taken` | `false` when the kernel did not take the answer; missing otherwise |
/// | `took_ns`, `waited_ns`, `held_ns` | the times of the [`Outcome`], in nanoseconds |
///
/// A session needs one of its own, since numbers of requests are those of a session.
///
/// ```
/// # use fuse3::{Builder, Filesystem};
/// # use fuse3::observe::TracingObserver;
/// # fn traced<F: Filesystem>(builder: Builder<F>) -> Builder<F> {
/// builder.observe(TracingObserver::new())
/// # }
/// ```
#[derive(Default)]
pub struct TracingObserver {
    /// The spans of requests whose answers were taken away.
    deferred: Mutex<HashMap<u64, Span>>,
}

/// The span of the request that a thread serves.
enum Here {
    /// While its handler runs.
    Entered(EnteredSpan),
    /// Until it is answered.
    Left(Span),
}

thread_local! {
    static HERE: Cell<Option<(u64, Here)>> = const { Cell::new(None) };
}

/// Nothing where the thread ends.
fn take_here() -> Option<(u64, Here)> {
    // A thread that ends has no request of its own any more.
    HERE.try_with(Cell::take).ok().flatten()
}

impl TracingObserver {
    /// For one session.
    pub fn new() -> Self {
        Self::default()
    }

    /// The span of a request that is answered.
    fn take(&self, number: u64) -> Option<Span> {
        match take_here() {
            Some((here, Here::Left(span))) if here == number => Some(span),
            other => {
                if other.is_some() {
                    HERE.set(other);
                }
                self.deferred.lock().remove(&number)
            }
        }
    }
}

impl Observer for TracingObserver {
    fn begun(&self, request: &Observed) {
        let span = info_span!(
            target: "fuse3",
            "request",
            operation = request.operation.name(),
            number = request.number,
            ino = request.ino.0,
            uid = request.caller.uid,
            pid = request.caller.pid,
            errno = Empty,
            taken = Empty,
            took_ns = Empty,
            waited_ns = Empty,
            held_ns = Empty,
        );
        if !span.is_disabled() {
            HERE.set(Some((request.number, Here::Entered(span.entered()))));
        }
    }

    fn handled(&self, request: &Observed, deferred: bool) {
        if let Some((_, Here::Entered(entered))) = take_here() {
            let span = entered.exit();
            if deferred {
                self.deferred.lock().insert(request.number, span);
            } else {
                HERE.set(Some((request.number, Here::Left(span))));
            }
        }
    }

    fn ended(&self, request: &Observed, outcome: &Outcome) {
        let Some(span) = self.take(request.number) else {
            return;
        };
        let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(errno) = outcome.errno {
            span.record("errno", tracing::field::debug(errno));
        }
        if !outcome.taken {
            span.record("taken", false);
        }
        span.record("took_ns", nanos(outcome.took));
        span.record("waited_ns", nanos(outcome.waited));
        span.record("held_ns", nanos(outcome.held));
    }
}

impl fmt::Debug for TracingObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracingObserver").finish_non_exhaustive()
    }
}
