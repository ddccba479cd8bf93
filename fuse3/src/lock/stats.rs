//! What a lock tells about itself.

use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::lock::{clock, counters::Counters, raw::RawLock, thread::Tid};
use crate::types::operation::Operation;

/// Who holds a [`GlobalLock`](crate::GlobalLock), who waits for it, and for what it was used.
///
/// Take it when "the mount hangs", and print it:
///
/// ```text
/// global lock: held by thread 4711 (lookup) for 2.31s, taken at src/cache.rs:88:14; 2 waiting
///   thread 4712 (getattr) waits 2.30s
///   thread 4699 (no request) waits 1.02s at src/commit.rs:41:27
/// 20113 acquisitions, 12 hand-overs, 3 time-outs
/// operation           count     waited    longest       held    longest
/// lookup               9034    12.41ms   801.22µs   320.10ms     2.05ms
/// other               11078     2.33ms     1.02ms    16.00ms     4.00ms
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LockStats {
    /// The thread that has the lock.
    pub holder: Option<LockHolder>,
    /// The threads that wait for it, the next one first.
    pub waiters: Vec<LockWaiter>,
    /// How often the lock was taken. Taking it again after it was released for
    /// a while counts too.
    pub acquisitions: u64,
    /// How often it was handed to a waiting thread without being free in
    /// between: by [`yield_`](crate::Locked::yield_), and by releases once a
    /// thread had been passed often enough.
    pub hand_overs: u64,
    /// How often a thread waited in vain. A failed
    /// [`try_lock`](crate::GlobalLock::try_lock) did not wait.
    pub time_outs: u64,
    /// The operations that used the lock, in their order; application threads last.
    pub operations: Vec<LockUse>,
}

/// The thread that has the lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LockHolder {
    /// The thread.
    pub thread: Tid,
    /// The request that it serves; `None` for an application thread.
    pub operation: Option<Operation>,
    /// How long it has held the lock so far.
    ///
    /// The clock is read for some of the sections only, see [`LockUse`]. For the others
    /// this is how long a thread has waited for this one, and zero if none has.
    pub held: Duration,
    /// Where it took the lock, or took it again: `released`, `yield_`, `wait`. `None` if the library took it for a handler,
    /// which `operation` names.
    pub site: Option<&'static Location<'static>>,
}

/// A thread that waits for the lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LockWaiter {
    /// The thread.
    pub thread: Tid,
    /// The request that it serves; `None` for an application thread.
    pub operation: Option<Operation>,
    /// How long it has waited so far.
    pub waited: Duration,
    /// Where it waits. `None` if the library waits for a handler, which `operation` names.
    pub site: Option<&'static Location<'static>>,
}

/// How an operation used the lock.
///
/// The unit is the section: from getting the lock until giving it up, be it for
/// good or to [`released`](crate::Locked::released), [`yield_`](crate::Locked::yield_)
/// or [`wait`](crate::Locked::wait). The time in those is not time held.
///
/// All sections are counted. The clock takes longer to read than a free lock to
/// take, so that not all of them are timed:
///
/// - Of the sections of requests the first 16 of each operation are timed, and then one in 16.
/// - Of the sections of application threads one in 64 is timed, on average and
///   chosen at random. The first is among them.
/// - A section that another thread queues for is timed from that moment on. It
///   counts for `held_max` only: long sections are more likely to be waited for,
///   and would make the others look long.
/// - A wait is timed when the thread queues. It spins for a moment before, about a
///   microsecond; a thread that gets the lock meanwhile is not counted as one that
///   waited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LockUse {
    /// The operation; `None` for the sections of application threads.
    pub operation: Option<Operation>,
    /// How many sections have ended.
    pub count: u64,
    /// The sum of the times that its threads waited in the queue before they got the lock.
    pub waited: Duration,
    /// The longest of them.
    pub waited_max: Duration,
    /// How many sections were timed, out of [`count`](Self::count).
    pub timed: u64,
    /// The sum of the sections' times, an estimate where not all were timed:
    /// the average of the sections that were timed, times their number.
    pub held: Duration,
    /// The longest section of which the time is known.
    pub held_max: Duration,
}

impl LockStats {
    pub(super) fn of(raw: &RawLock) -> LockStats {
        // Memory is allocated before the queue's mutex is taken, which every thread that queues waits for.
        let mut waiters = Vec::new();
        let (hand_overs, time_outs) = loop {
            let queue = raw.queue();
            let missing = queue.entries.len();
            if missing <= waiters.capacity() {
                let now = clock::now();
                waiters.extend(queue.entries.iter().map(|entry| LockWaiter {
                    thread: entry.claim.thread.tid(),
                    operation: entry.claim.operation,
                    waited: Duration::from_nanos(now.saturating_sub(entry.since)),
                    site: entry.claim.place,
                }));
                break (queue.hand_overs, queue.time_outs);
            }
            drop(queue);
            waiters.reserve(missing);
        };
        let holder = raw.holder().map(|(claim, since)| LockHolder {
            thread: claim.thread.tid(),
            operation: claim.operation,
            held: Duration::from_nanos(since.map_or(0, |it| clock::now().saturating_sub(it))),
            site: claim.place,
        });
        let mut acquisitions = 0;
        let mut operations = Vec::with_capacity(Operation::ALL.len() + 1);
        for (operation, counters) in raw.sections() {
            let mut count = counters.count();
            acquisitions += count;
            // The holder's section has begun and not ended.
            if holder.is_some_and(|holder| holder.operation == operation) {
                count = count.saturating_sub(1);
            }
            if count > 0 {
                operations.push(LockUse::new(operation, count, counters));
            }
        }
        LockStats {
            holder,
            waiters,
            acquisitions,
            hand_overs,
            time_outs,
            operations,
        }
    }
}

impl LockUse {
    /// `count` sections have ended.
    fn new(operation: Option<Operation>, count: u64, counters: &Counters) -> LockUse {
        let time = |counter: &AtomicU64| Duration::from_nanos(counter.load(Ordering::Relaxed));
        LockUse {
            operation,
            count,
            waited: time(&counters.waited),
            waited_max: time(&counters.waited_max),
            timed: counters.timed.load(Ordering::Relaxed),
            held: Duration::from_nanos(counters.held_by(count)),
            held_max: time(&counters.held_max),
        }
    }
}

impl fmt::Display for LockStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Some(holder) => {
                let (thread, request) = (holder.thread, request(holder.operation));
                write!(f, "global lock: held by thread {thread} ({request})")?;
                if !holder.held.is_zero() {
                    write!(f, " for {:.2?}", holder.held)?;
                }
                if let Some(site) = holder.site {
                    write!(f, ", taken at {site}")?;
                }
            }
            None => write!(f, "global lock: free")?,
        }
        writeln!(f, "; {} waiting", self.waiters.len())?;
        for waiter in &self.waiters {
            let request = request(waiter.operation);
            let LockWaiter { thread, waited, .. } = waiter;
            write!(f, "  thread {thread} ({request}) waits {waited:.2?}")?;
            if let Some(site) = waiter.site {
                write!(f, " at {site}")?;
            }
            writeln!(f)?;
        }
        write!(
            f,
            "{} acquisitions, {} hand-overs, {} time-outs",
            self.acquisitions, self.hand_overs, self.time_outs
        )?;
        if self.operations.is_empty() {
            return Ok(());
        }
        write!(
            f,
            "\n{:<16} {:>8} {:>10} {:>10} {:>10} {:>10}",
            "operation", "count", "waited", "longest", "held", "longest"
        )?;
        for used in &self.operations {
            // A `Duration` ignores the width that it is printed with.
            let [waited, waited_max, held, held_max] =
                [used.waited, used.waited_max, used.held, used.held_max]
                    .map(|time| format!("{time:.2?}"));
            write!(
                f,
                "\n{:<16} {:>8} {waited:>10} {waited_max:>10} {held:>10} {held_max:>10}",
                used.operation.map_or("other", Operation::name),
                used.count,
            )?;
        }
        Ok(())
    }
}

fn request(operation: Option<Operation>) -> &'static str {
    operation.map_or("no request", Operation::name)
}
