//! The proof that a thread does not hold the global lock.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::lock::{error::LockError, global::GlobalLock, guard::Locked};

/// `llfuse.lock_released`, as a value: the thread does not hold the [`GlobalLock`].
///
/// It exists inside [`Locked::released`] and [`GlobalLock::unlocked`], and can
/// neither leave the closure nor the thread. What would deadlock under the lock
/// takes it as `&mut Unlocked<'_, S>`: blocking notifications, waiting for
/// threads that need the lock, locks that are taken before the global one.
/// Taking the lock borrows it, so none of that compiles until the lock is
/// released again.
///
/// A thread can still call [`GlobalLock::lock`] beside its proof; what takes the
/// proof looks at that as well, see [`NotHolding`](super::NotHolding).
pub struct Unlocked<'u, S> {
    lock: &'u GlobalLock<S>,
    /// It speaks of this thread. The lifetime is invariant, so that the proofs of two locks cannot be exchanged.
    not_send: PhantomData<*mut &'u S>,
}

impl<'u, S> Unlocked<'u, S> {
    /// The calling thread does not hold `lock`.
    pub(super) fn new(lock: &'u GlobalLock<S>) -> Self {
        Unlocked {
            lock,
            not_send: PhantomData,
        }
    }
}

impl<S> Unlocked<'_, S> {
    /// `with llfuse.lock:` inside `with llfuse.lock_released:`: takes the lock for a while.
    ///
    /// # Panics
    ///
    /// If the thread has taken the lock beside this proof, with
    /// [`GlobalLock::lock`], and holds it.
    #[track_caller]
    pub fn lock(&mut self) -> Locked<'_, S> {
        match self.lock.lock() {
            Ok(locked) => locked,
            Err(error) => panic!("{error}"),
        }
    }

    /// `llfuse.lock.acquire(timeout)` inside `with llfuse.lock_released:`, as [`GlobalLock::acquire`].
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`] if another thread still held the lock when the
    /// time was up, [`LockError::Busy`] if it was zero. [`LockError::AlreadyHeld`] if the thread has taken the lock
    /// beside this proof and holds it.
    #[track_caller]
    pub fn acquire(&mut self, timeout: Option<Duration>) -> Result<Locked<'_, S>, LockError> {
        self.lock.acquire(timeout)
    }
}

impl<S> fmt::Debug for Unlocked<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unlocked").finish_non_exhaustive()
    }
}
