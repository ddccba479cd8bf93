//! Waiting for an event under the global lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::clock::Deadline;
use super::queue::Waiter;

/// An event that threads wait for with the global lock released: [`Locked::wait`](crate::Locked::wait).
///
/// It may be notified with the lock held or not, and may serve several locks. A
/// notification goes to threads that wait at that moment and to none that come
/// later.
///
/// ```
/// use fuse3::{Condvar, GlobalLock};
///
/// static UPLOADED: Condvar = Condvar::new();
/// let lock = GlobalLock::new(3); // blocks to be uploaded
///
/// std::thread::scope(|threads| {
///     threads.spawn(|| {
///         while *lock.lock()? > 0 {
///             *lock.lock()? -= 1;
///             UPLOADED.notify_all();
///         }
///         Ok::<(), fuse3::LockError>(())
///     });
///     let mut blocks = lock.lock()?;
///     while *blocks > 0 {
///         blocks.wait(&UPLOADED, None);
///     }
///     Ok::<(), fuse3::LockError>(())
/// })?;
/// # Ok::<(), fuse3::LockError>(())
/// ```
#[derive(Debug)]
pub struct Condvar {
    waiting: Mutex<VecDeque<Arc<Waiter>>>,
}

/// How a [`Locked::wait`](crate::Locked::wait) ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Woken {
    /// The condition variable was notified.
    Notified,
    /// The time was up.
    TimedOut,
}

impl Condvar {
    /// A condition variable that nobody waits for.
    pub const fn new() -> Condvar {
        Condvar {
            waiting: Mutex::new(VecDeque::new()),
        }
    }

    /// Wakes the thread that has waited longest, if one waits. Tells whether.
    pub fn notify_one(&self) -> bool {
        let mut waiting = self.waiting.lock();
        let Some(waiter) = waiting.pop_front() else {
            return false;
        };
        waiter.grant();
        drop(waiting);
        waiter.wake();
        true
    }

    /// Wakes all threads that wait. Tells how many.
    pub fn notify_all(&self) -> usize {
        let mut waiting = self.waiting.lock();
        let woken = std::mem::take(&mut *waiting);
        for waiter in &woken {
            waiter.grant();
        }
        drop(waiting);
        for waiter in &woken {
            waiter.wake();
        }
        woken.len()
    }

    /// Queues the calling thread. A notification from now on is for it.
    pub(super) fn enter(&self, timeout: Option<Duration>) -> Ticket<'_> {
        let waiter = Waiter::current();
        self.waiting.lock().push_back(Arc::clone(&waiter));
        Ticket {
            condvar: self,
            waiter,
            deadline: Deadline::after(timeout),
        }
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

/// A thread's place among those that wait.
#[derive(Debug)]
pub(super) struct Ticket<'c> {
    condvar: &'c Condvar,
    waiter: Arc<Waiter>,
    deadline: Deadline,
}

impl Ticket<'_> {
    pub(super) fn wait(self) -> Woken {
        let mut waiting = self.condvar.waiting.lock();
        loop {
            if self.waiter.is_granted() {
                return Woken::Notified;
            }
            let is_late = self.waiter.sleep(&mut waiting, self.deadline);
            // A notification that came after the time was up is not wasted.
            if is_late && !self.waiter.is_granted() {
                waiting.retain(|waiter| !Arc::ptr_eq(waiter, &self.waiter));
                return Woken::TimedOut;
            }
        }
    }
}
