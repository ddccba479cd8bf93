//! The global lock and the state that it owns.

use std::cell::UnsafeCell;
use std::fmt;
use std::time::Duration;

use crate::lock::order::{Kind, Node};
use crate::lock::{error::LockError, guard::Locked, held, raw::RawLock, site::Site};
use crate::lock::{stats::LockStats, unlocked::Unlocked};
use crate::types::operation::Operation;

/// `llfuse.lock`: the lock under which handlers run, with the state `S` that it guards.
///
/// The state is reachable only through the guard, [`Locked`]. A `static` lock
/// works as well as one in an [`Arc`](std::sync::Arc). Unlike in llfuse there
/// is one per state, not one per process; sessions with a lock each do not wait
/// for each other.
///
/// ```
/// use fuse3::GlobalLock;
///
/// static LOCK: GlobalLock<Vec<u32>> = GlobalLock::new(Vec::new());
///
/// LOCK.lock()?.push(1);
/// assert_eq!(LOCK.lock()?.len(), 1);
/// # Ok::<(), fuse3::lock::LockError>(())
/// ```
///
/// # Order and fairness
///
/// Threads queue first come, first served. [`Locked::yield_`] hands the lock to
/// the first of them. A plain release leaves the lock free and wakes the first;
/// running threads may take it before that one runs. Once the first has been
/// passed 16 times and has waited for a millisecond, a release hands it the lock.
/// A hand-over leaves the lock idle until the thread runs, so that one for each of
/// many short sections would cost far more than it gives.
///
/// # A panic
///
/// A thread that panics releases the lock, and the state stays as it is: there
/// is no poisoning, as in llfuse.
pub struct GlobalLock<S> {
    pub(super) raw: RawLock,
    pub(super) order: Node,
    /// Called before each release, in debug builds.
    invariant: Option<fn(&S)>,
    /// Only the thread that holds `raw` may touch it, through one guard.
    pub(super) state: UnsafeCell<S>,
}

// SAFETY: the lock hands the state from thread to thread, one at a time, which
// is what `S: Send` allows. It never lets two threads share it, so `S: Sync` is
// not needed. The other fields are `Sync` by themselves, which a test asserts.
unsafe impl<S: Send> Sync for GlobalLock<S> {}

impl<S> GlobalLock<S> {
    /// A lock that owns `state` and that nobody holds.
    pub const fn new(state: S) -> Self {
        GlobalLock {
            raw: RawLock::new(),
            order: Node::new(Kind::Global),
            invariant: None,
            state: UnsafeCell::new(state),
        }
    }

    /// The same lock; in debug builds `check` is called with the state whenever the lock is about to be released: at the
    /// end of each section and before [`released`](Locked::released), [`yield_`](Locked::yield_) and
    /// [`wait`](Locked::wait).
    ///
    /// It panics if the state is not fit for others to see. What llfuse's documentation asks of code that releases the lock, to be
    /// "prepared to be called again", is checked at the moment at which it matters. Not during a panic.
    ///
    /// ```
    /// # use fuse3::GlobalLock;
    /// struct Space {
    ///     used: u64,
    ///     files: Vec<u64>,
    /// }
    ///
    /// static LOCK: GlobalLock<Space> = GlobalLock::new(Space { used: 0, files: vec![] })
    ///     .debug_invariant(|space| assert_eq!(space.used, space.files.iter().sum()));
    ///
    /// let mut space = LOCK.lock()?;
    /// space.files.push(3);
    /// space.used += 3;
    /// space.yield_(1); // would panic between the two lines above
    /// # Ok::<(), fuse3::lock::LockError>(())
    /// ```
    pub const fn debug_invariant(mut self, check: fn(&S)) -> Self {
        self.invariant = Some(check);
        self
    }

    /// `with llfuse.lock:`: takes the lock, and waits for it as long as it takes.
    ///
    /// The lock is released when the guard is dropped.
    ///
    /// # Errors
    ///
    /// [`LockError::AlreadyHeld`] if the calling thread holds it. llfuse raises
    /// "Global lock cannot be acquired more than once" then.
    ///
    /// # Panics
    ///
    /// In debug builds, if the thread holds another session's lock, or a lock that
    /// has been waited for with this one held: see [`sync`](super::sync). So do
    /// [`acquire`](Self::acquire) with a time-out and [`Locked::released`].
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> Result<Locked<'_, S>, LockError> {
        self.acquire(None)
    }

    /// `llfuse.lock.acquire(timeout)`: takes the lock, and waits for it at most so long.
    ///
    /// Fractions of a second count, and the clock is the monotonic one, so that
    /// setting the time of day does no harm. `None` waits for ever, as does a
    /// time-out too long for the clock. Zero does not wait.
    ///
    /// A thread that is handed the lock just when its time is up has it.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`] if another thread still held the lock then, and
    /// [`LockError::Busy`] where it did not wait; llfuse returns `False`.
    /// [`LockError::AlreadyHeld`] if the calling thread holds it, without waiting.
    #[inline]
    #[track_caller]
    pub fn acquire(&self, timeout: Option<Duration>) -> Result<Locked<'_, S>, LockError> {
        self.enter(None, timeout, Site::caller())
    }

    /// Takes the lock if it is free, and does not wait.
    ///
    /// # Errors
    ///
    /// [`LockError::Busy`] if another thread holds it,
    /// [`LockError::AlreadyHeld`] if the calling thread does.
    #[inline]
    #[track_caller]
    pub fn try_lock(&self) -> Result<Locked<'_, S>, LockError> {
        self.acquire(Some(Duration::ZERO))
    }

    /// Takes the lock for a request. Its sections are counted under `operation`.
    ///
    /// The library does so around each handler. It is for code that calls handlers
    /// itself: a binding to another language, a test.
    ///
    /// # Errors
    ///
    /// [`LockError::AlreadyHeld`] if the calling thread holds it.
    #[inline]
    pub fn lock_for(&self, operation: Operation) -> Result<Locked<'_, S>, LockError> {
        self.enter(Some(operation), None, Site::Handler(operation))
    }

    /// A guard for the calling thread, which holds the lock but has no guard: it was given to [`mem::forget`](std::mem::forget).
    ///
    /// For bindings to languages in which taking and releasing are two calls, and nothing can be kept in between.
    ///
    /// # Safety
    ///
    /// The calling thread holds the lock ([`is_held`](Self::is_held)), and no other guard of it is used while this one
    /// exists, nor after it was dropped, which releases the lock.
    #[inline]
    pub unsafe fn guard_unchecked(&self) -> Locked<'_, S> {
        debug_assert!(self.is_held());
        Locked::new(self)
    }

    #[inline]
    #[track_caller]
    fn enter(
        &self,
        operation: Option<Operation>,
        timeout: Option<Duration>,
        site: Site,
    ) -> Result<Locked<'_, S>, LockError> {
        if timeout != Some(Duration::ZERO) {
            self.order.wait(0, site);
        }
        self.take(operation, timeout, site)?;
        Ok(Locked::new(self))
    }

    /// Whether the calling thread holds the lock.
    #[inline]
    pub fn is_held(&self) -> bool {
        self.raw.is_held()
    }

    /// Runs `f` with the proof that the calling thread does not hold the lock.
    ///
    /// Functions that could deadlock under the lock ask for that proof. A
    /// handler gets it from [`Locked::released`], any other thread from here.
    ///
    /// # Errors
    ///
    /// [`LockError::AlreadyHeld`] if it does hold it; `f` is not run then.
    pub fn unlocked<R>(&self, f: impl FnOnce(&mut Unlocked<'_, S>) -> R) -> Result<R, LockError> {
        if self.is_held() {
            return Err(LockError::AlreadyHeld);
        }
        Ok(f(&mut Unlocked::new(self)))
    }

    /// Who holds the lock and since when, who waits, and how long the operations waited and held.
    ///
    /// It does not wait for the lock, so it answers when "the mount hangs".
    pub fn stats(&self) -> LockStats {
        LockStats::of(&self.raw)
    }

    /// The state, without taking the lock: the borrow proves that nobody has it.
    pub fn get_mut(&mut self) -> &mut S {
        self.state.get_mut()
    }

    /// The state, out of the lock.
    pub fn into_inner(self) -> S {
        self.state.into_inner()
    }

    /// What [`debug_invariant`](Self::debug_invariant) was given.
    #[inline]
    pub(super) fn invariant(&self) -> Option<fn(&S)> {
        self.invariant.filter(|_| cfg!(debug_assertions))
    }

    /// Takes the lock, for a guard that the caller has.
    #[inline]
    pub(super) fn take(
        &self,
        operation: Option<Operation>,
        timeout: Option<Duration>,
        site: Site,
    ) -> Result<(), LockError> {
        self.raw.acquire(operation, timeout, site.place())?;
        held::enter();
        self.order.enter(0, site);
        Ok(())
    }

    /// Releases the lock. Only for the thread that holds it.
    #[inline]
    pub(super) fn release(&self) {
        self.order.leave(0);
        held::leave();
        self.raw.release();
    }
}

impl<S: Default> Default for GlobalLock<S> {
    fn default() -> Self {
        GlobalLock::new(S::default())
    }
}

impl<S> From<S> for GlobalLock<S> {
    fn from(state: S) -> Self {
        GlobalLock::new(state)
    }
}

impl<S> fmt::Debug for GlobalLock<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GlobalLock")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beside_the_state_may_be_shared() {
        fn is_sync<T: Sync>() {}
        is_sync::<(RawLock, Node, Option<fn(&UnsafeCell<u8>)>)>();
    }
}
