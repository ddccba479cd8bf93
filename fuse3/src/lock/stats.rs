//! What a lock tells about itself.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use crate::lock::clock;
use crate::lock::raw::RawLock;
use crate::lock::thread::Tid;
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
    /// How long it has held the lock so far. Without a request it is known to a
    /// timer tick only, a few milliseconds.
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LockUse {
    /// The operation; `None` for the sections of application threads.
    pub operation: Option<Operation>,
    /// How many sections have ended.
    pub count: u64,
    /// The sum of the times that its threads waited for the lock and got it.
    pub waited: Duration,
    /// The longest of them.
    pub waited_max: Duration,
    /// The sum of the sections' times. Those of application threads are
    /// measured in timer ticks: most count as nothing, a few as a tick, and the
    /// sum is right on average.
    pub held: Duration,
    /// The longest of them.
    pub held_max: Duration,
}

impl LockStats {
    pub(super) fn of(raw: &RawLock) -> LockStats {
        let queue = raw.queue();
        let scale = clock::Scale::now();
        let now = clock::ticks();
        let waiters = queue
            .entries
            .iter()
            .map(|entry| LockWaiter {
                thread: entry.claim.thread.tid(),
                operation: entry.claim.operation,
                waited: scale.duration(now.saturating_sub(entry.since)),
                site: entry.claim.site.location(),
            })
            .collect();
        let (hand_overs, time_outs) = (queue.hand_overs, queue.time_outs);
        drop(queue);
        let holder = raw.holder().map(|holder| LockHolder {
            thread: holder.thread.tid(),
            operation: holder.operation,
            held: scale.section(
                holder.operation,
                clock::of_section(holder.operation).saturating_sub(holder.since),
            ),
            site: holder.site,
        });
        let operations = raw
            .sections()
            .map(|(operation, counters)| (operation, counters.read()))
            .filter(|(_, figures)| figures.count > 0)
            .map(|(operation, figures)| LockUse {
                operation,
                count: figures.count,
                waited: scale.duration(figures.waited),
                waited_max: scale.duration(figures.waited_max),
                held: scale.section(operation, figures.held),
                held_max: scale.section(operation, figures.held_max),
            })
            .collect();
        LockStats {
            holder,
            waiters,
            acquisitions: raw.acquisitions(),
            hand_overs,
            time_outs,
            operations,
        }
    }
}

impl fmt::Display for LockStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Some(holder) => write!(
                f,
                "global lock: held by thread {} ({}) for {:.2?}{}",
                holder.thread,
                request(holder.operation),
                holder.held,
                At(", taken", holder.site)
            )?,
            None => write!(f, "global lock: free")?,
        }
        writeln!(f, "; {} waiting", self.waiters.len())?;
        for waiter in &self.waiters {
            writeln!(
                f,
                "  thread {} ({}) waits {:.2?}{}",
                waiter.thread,
                request(waiter.operation),
                waiter.waited,
                At("", waiter.site)
            )?;
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

/// Where something was done, as far as is known.
struct At(&'static str, Option<&'static Location<'static>>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(site) => write!(f, "{} at {site}", self.0),
            None => Ok(()),
        }
    }
}

fn request(operation: Option<Operation>) -> &'static str {
    operation.map_or("no request", Operation::name)
}
