//! Waiting for an event under the global lock.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::lock::clock::Deadline;
use crate::lock::sleeper::{Sleeper, Waking};

/// An event that threads wait for with the global lock released: [`Locked::wait`](crate::Locked::wait).
///
/// It may be notified with the lock held or not, and may serve several locks. A
/// notification goes to threads that wait at that moment and to none that come
/// later.
///
/// ```
/// use fuse3::GlobalLock;
/// use fuse3::lock::Condvar;
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
///         Ok::<(), fuse3::lock::LockError>(())
///     });
///     let mut blocks = lock.lock()?;
///     while *blocks > 0 {
///         blocks.wait(&UPLOADED, None);
///     }
///     Ok::<(), fuse3::lock::LockError>(())
/// })?;
/// # Ok::<(), fuse3::lock::LockError>(())
/// ```
#[derive(Debug, Default)]
pub struct Condvar {
    waiting: Mutex<VecDeque<Arc<Sleeper>>>,
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
        // One that was woken by something else is about to leave.
        while let Some(sleeper) = waiting.pop_front() {
            if sleeper.wake(Waking::Notified) {
                return true;
            }
        }
        false
    }

    /// Wakes all threads that wait. Tells how many.
    pub fn notify_all(&self) -> usize {
        let woken = std::mem::take(&mut *self.waiting.lock());
        let woken = woken.iter().filter(|it| it.wake(Waking::Notified));
        woken.count()
    }

    /// Queues the calling thread. A notification from now on is for it.
    pub(crate) fn enter(&self, deadline: Deadline) -> Ticket<'_> {
        let sleeper = Sleeper::current();
        self.waiting.lock().push_back(Arc::clone(&sleeper));
        Ticket {
            condvar: self,
            sleeper,
            deadline,
            waited: false,
        }
    }
}

/// A thread's place among those that wait. Dropped, it leaves.
pub(crate) struct Ticket<'c> {
    condvar: &'c Condvar,
    sleeper: Arc<Sleeper>,
    deadline: Deadline,
    waited: bool,
}

impl Ticket<'_> {
    pub(crate) fn wait(mut self) -> Waking {
        self.waited = true;
        self.sleeper.sleep(self.deadline)
    }

    /// What an interrupt wakes.
    pub(crate) fn sleeper(&self) -> Arc<Sleeper> {
        Arc::clone(&self.sleeper)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        match self.sleeper.leave() {
            Waking::Notified if self.waited => {}
            // The notification came for a thread that did not wait for it after all: it is the next one's.
            Waking::Notified => {
                self.condvar.notify_one();
            }
            Waking::TimedOut | Waking::Interrupted => {
                let mut waiting = self.condvar.waiting.lock();
                waiting.retain(|sleeper| !Arc::ptr_eq(sleeper, &self.sleeper));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Two places in the queue. They are of one thread, which has two sleepers then.
    fn two(condvar: &Condvar) -> (Ticket<'_>, Ticket<'_>) {
        (
            condvar.enter(Deadline::Never),
            condvar.enter(Deadline::Never),
        )
    }

    #[test]
    fn the_one_that_has_waited_longest_is_notified() {
        let condvar = Condvar::new();
        let (first, second) = two(&condvar);
        assert!(condvar.notify_one());
        assert!(first.sleeper.is_awake() && !second.sleeper.is_awake());
        assert!(condvar.notify_one());
        assert!(second.sleeper.is_awake());
    }

    #[test]
    fn a_notification_of_one_that_does_not_wait_after_all_is_the_next_one_s() {
        let condvar = Condvar::new();
        let (first, second) = two(&condvar);
        assert!(condvar.notify_one());
        drop(first);
        assert!(second.sleeper.is_awake());
    }

    #[test]
    fn a_notification_that_was_waited_for_is_used_up() {
        let condvar = Condvar::new();
        let (first, second) = two(&condvar);
        assert!(condvar.notify_one());
        assert_eq!(first.wait(), Waking::Notified);
        assert!(!second.sleeper.is_awake());
    }

    #[test]
    fn one_that_was_interrupted_costs_no_notification() {
        let condvar = Condvar::new();
        let (first, second) = two(&condvar);
        assert!(first.sleeper().wake(Waking::Interrupted));
        assert!(condvar.notify_one());
        assert_eq!(first.wait(), Waking::Interrupted);
        assert!(second.sleeper.is_awake());
    }

    #[test]
    fn one_that_has_left_is_out_of_the_queue() {
        let condvar = Condvar::new();
        let late = condvar.enter(Deadline::after(Some(Duration::ZERO)));
        assert_eq!(late.wait(), Waking::TimedOut);
        assert!(condvar.waiting.lock().is_empty());
        drop(condvar.enter(Deadline::Never));
        assert!(condvar.waiting.lock().is_empty());
    }
}
