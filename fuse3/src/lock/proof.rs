use crate::lock::order::{self, Kind};
use crate::lock::{locking::NoLock, unlocked::Unlocked};

/// The proof that a thread does not hold the global lock.
///
/// What waits for other threads, and would deadlock under the lock, takes it: blocking notifications, keyed locks, the
/// queue of workers. It is [`Unlocked`]; where there is no lock, [`NoLock`], or the context of a handler itself.
pub trait NotHolding: sealed::Sealed {
    /// The thread has taken the lock beside its proof.
    #[doc(hidden)]
    fn is_broken(&self) -> bool;
}

pub(crate) mod sealed {
    pub trait Sealed {}
    impl<S> Sealed for crate::lock::unlocked::Unlocked<'_, S> {}
    impl Sealed for crate::lock::locking::NoLock {}
}

impl<S> NotHolding for Unlocked<'_, S> {
    fn is_broken(&self) -> bool {
        self.is_locked()
    }
}

impl NotHolding for NoLock {
    fn is_broken(&self) -> bool {
        false
    }
}

/// Panics if the thread holds the lock in spite of its proof. `waiter` is the method that is about to wait.
#[inline]
#[track_caller]
pub(crate) fn check(proof: &impl NotHolding, waiter: &str) {
    assert!(
        !proof.is_broken(),
        "`{waiter}` waits for other threads, and this one holds the global lock, which it took beside its proof that it \
         does not"
    );
    // The proof may be of another lock, or of none. In release builds nobody knows.
    if let Some(taken) = order::held(Kind::Global) {
        panic!(
            "`{waiter}` waits for other threads, and this one holds the global lock that it took at {taken}"
        );
    }
}
