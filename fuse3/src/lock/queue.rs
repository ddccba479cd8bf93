//! The threads that wait, first come first served.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, MutexGuard};

use crate::lock::clock::{self, Deadline};
use crate::lock::{site::Place, thread::ThreadId};
use crate::types::operation::Operation;

/// How often the first in the queue is passed by threads that came later before a
/// release looks whether it has waited for [`WAITS_AT_LEAST`], and hands it the lock.
///
/// A release with a waiting thread leaves the lock free and wakes the first, so
/// that running threads get on with it until that one runs. Each hand-over leaves
/// the lock idle until a thread has been scheduled, so there is none before the
/// first has been passed this often *and* has waited for that long. The clock is
/// read at every so many-th pass, so that a thread that has waited for that long is
/// passed this often at most from then on.
///
/// The bound is exact: a thread can pass the first only after a release left the
/// lock free for it. It is for each place in the queue. Were it for the whole way,
/// a long queue would have nothing but hand-overs.
pub(super) const PASSED_AT_MOST: u32 = 16;

/// How long, in nanoseconds, a thread waits before it is handed the lock.
///
/// A thread takes some tens of microseconds to wake up. In that time others can
/// have thousands of short sections, and nobody is the worse for it.
pub(super) const WAITS_AT_LEAST: u64 = 1_000_000;

/// What a thread sleeps on. Each has one, and sleeps for one reason at a time.
///
/// # Invariants
///
/// While this waiter is in a queue, `granted` is read and written only under that
/// queue's mutex. A wake-up may come late, when the waiter is in no queue or in
/// another one; it does no harm, because only `granted` counts.
#[derive(Debug, Default)]
pub(super) struct Waiter {
    granted: AtomicBool,
    wake_up: Condvar,
}

thread_local! {
    static WAITER: Arc<Waiter> = Arc::default();
}

impl Waiter {
    /// The calling thread's, ready to be queued.
    pub(super) fn current() -> Arc<Waiter> {
        // A destructor of another thread local may take the lock after this
        // one is gone.
        let waiter = WAITER.try_with(Arc::clone).unwrap_or_default();
        waiter.granted.store(false, Ordering::Relaxed);
        waiter
    }

    /// Whether what the thread waits for has been given to it.
    pub(super) fn is_granted(&self) -> bool {
        self.granted.load(Ordering::Relaxed)
    }

    /// Gives the thread what it waits for. It is to be woken after that.
    pub(super) fn grant(&self) {
        self.granted.store(true, Ordering::Relaxed);
    }

    pub(super) fn wake(&self) {
        self.wake_up.notify_one();
    }

    /// Sleeps until woken, for whatever reason. Tells whether the time is up.
    pub(super) fn sleep<T>(&self, queue: &mut MutexGuard<'_, T>, deadline: Deadline) -> bool {
        deadline.wait(&self.wake_up, queue)
    }
}

/// Who wants the lock, or has it: what others are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) thread: ThreadId,
    /// The request that it serves.
    pub(super) operation: Option<Operation>,
    /// Where it takes or took it.
    pub(super) place: Place,
}

/// A thread's place in the queue.
pub(super) struct Entry {
    pub(super) waiter: Arc<Waiter>,
    pub(super) claim: Claim,
    /// The clock when it queued.
    pub(super) since: u64,
    /// How often it was passed, as the first, when a release last looked at the queue.
    pub(super) passed: u32,
}

impl Entry {
    /// The first in the queue was passed so many times, as the lock has counted on.
    pub(super) fn set_passed(&mut self, times: u32) {
        // One that no release has seen yet became the first later: they passed the one before.
        if self.passed > 0 {
            self.passed = times;
        }
    }

    /// The first in the queue is passed once more: for the first time again if it has not waited for long enough.
    pub(super) fn pass(&mut self) -> u32 {
        self.passed = self.passed % PASSED_AT_MOST + 1;
        self.passed
    }

    /// The first in the queue is not to be passed once more.
    pub(super) fn is_overdue(&self) -> bool {
        self.passed >= PASSED_AT_MOST && clock::now().saturating_sub(self.since) >= WAITS_AT_LEAST
    }
}

/// The queue of a lock, and what is counted under the queue's mutex.
pub(super) struct Queue {
    pub(super) entries: VecDeque<Entry>,
    pub(super) hand_overs: u64,
    pub(super) time_outs: u64,
}

impl Queue {
    pub(super) const fn new() -> Queue {
        Queue {
            entries: VecDeque::new(),
            hand_overs: 0,
            time_outs: 0,
        }
    }

    pub(super) fn is_first(&self, waiter: &Arc<Waiter>) -> bool {
        let first = self.entries.front();
        first.is_some_and(|first| Arc::ptr_eq(&first.waiter, waiter))
    }

    pub(super) fn remove(&mut self, waiter: &Arc<Waiter>) {
        self.entries
            .retain(|entry| !Arc::ptr_eq(&entry.waiter, waiter));
    }
}
