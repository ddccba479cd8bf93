//! What a thread sleeps on while it waits for an event.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::lock::clock::Deadline;

/// A thread that waits for an event and can be woken by several things; the first of them counts.
///
/// Each has a mutex of its own, so that who wakes it need not know where it is queued.
#[derive(Debug, Default)]
pub(crate) struct Sleeper {
    /// What has woken it.
    waking: Mutex<Option<Waking>>,
    wake_up: Condvar,
}

/// What ended a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waking {
    Notified,
    TimedOut,
    Interrupted,
}

thread_local! {
    static SLEEPER: Arc<Sleeper> = Arc::default();
}

impl Sleeper {
    /// One for the calling thread, which nobody else knows yet.
    pub(crate) fn current() -> Arc<Self> {
        let unused = |sleeper: &Arc<Self>| {
            // Somebody who was told of it may still be about to wake it.
            let is_unused = Arc::strong_count(sleeper) == 1;
            is_unused.then(|| Arc::clone(sleeper))
        };
        // A destructor of another thread local may wait after this one is gone.
        let sleeper = SLEEPER.try_with(unused).ok().flatten();
        let sleeper = sleeper.unwrap_or_default();
        *sleeper.waking.lock() = None;
        sleeper
    }

    /// Ends the wait, unless it has ended. Tells whether.
    pub(crate) fn wake(&self, by: Waking) -> bool {
        let mut waking = self.waking.lock();
        if waking.is_some() {
            return false;
        }
        *waking = Some(by);
        drop(waking);
        self.wake_up.notify_one();
        true
    }

    /// Waits until something wakes it or the time is up.
    pub(crate) fn sleep(&self, deadline: Deadline) -> Waking {
        let mut waking = self.waking.lock();
        loop {
            if let Some(by) = *waking {
                return by;
            }
            // A notification that came after the time was up is not wasted.
            if deadline.wait(&self.wake_up, &mut waking) {
                return *waking.get_or_insert(Waking::TimedOut);
            }
        }
    }

    /// It waits no more. Returns what ended the wait: the time, if nothing did before.
    pub(super) fn leave(&self) -> Waking {
        *self.waking.lock().get_or_insert(Waking::TimedOut)
    }
}

/// For a thread that waits for what wakes tasks.
impl std::task::Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        Sleeper::wake(&self, Waking::Notified);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Sleeper {
        /// Something has ended the wait.
        pub(in crate::lock) fn is_awake(&self) -> bool {
            self.waking.lock().is_some()
        }
    }

    #[test]
    fn one_that_somebody_may_still_wake_is_not_used_again() {
        let first = Sleeper::current();
        let second = Sleeper::current();
        assert!(!Arc::ptr_eq(&first, &second));
        drop(second);
        // A wake-up for the first wait does not end the next.
        let next = Sleeper::current();
        assert!(first.wake(Waking::Notified));
        assert!(!next.is_awake());
        drop((first, next));
        // One that nobody else knows is used again, and not as it was left.
        let known = Arc::as_ptr(&SLEEPER.with(Arc::clone));
        SLEEPER.with(|sleeper| sleeper.wake(Waking::Notified));
        let unused = Sleeper::current();
        assert_eq!(Arc::as_ptr(&unused), known);
        assert!(!unused.is_awake());
    }
}
