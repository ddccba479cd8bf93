//! The guard of the global lock.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::lock::condvar::{Condvar, Woken};
use crate::lock::{clock::Deadline, global::GlobalLock, meter, site::Site};
use crate::lock::{sleeper::Waking, sync, unlocked::Unlocked};
use crate::types::operation::Operation;

/// The proof that the thread holds the [`GlobalLock`], and the only way to its state.
///
/// Dropping it releases the lock. It stays with its thread. A function that
/// takes `&mut Locked<'_, S>` may release the lock while it runs; one that takes
/// `&mut S` cannot, and the guard coerces to that. What llfuse asks its users to
/// write in a comment is a parameter's type here:
///
/// ```
/// use fuse3::{GlobalLock, Locked};
///
/// fn evict(cache: &mut Locked<'_, Vec<u32>>) {
///     let Some(block) = cache.pop() else { return };
///     cache.released(|_| upload(block)); // others run meanwhile
/// }
/// fn insert(cache: &mut Vec<u32>) {
///     cache.push(1); // nobody else ran in between
/// }
/// # fn upload(_: u32) {}
///
/// let lock = GlobalLock::new(Vec::new());
/// let mut cache = lock.lock()?;
/// insert(&mut cache);
/// evict(&mut cache);
/// # Ok::<(), fuse3::lock::LockError>(())
/// ```
///
/// A guard that is forgotten keeps the lock for its thread until the program ends;
/// [`GlobalLock::stats`] shows whose it is.
///
/// # The state's own methods
///
/// The guard's methods have llfuse's names, and come before the state's. A state
/// with a method of such a name is reached by its type, to which the guard coerces:
///
/// ```
/// use fuse3::GlobalLock;
///
/// struct Station {
///     waiting: u32,
/// }
///
/// impl Station {
///     fn wait(&mut self) {
///         self.waiting += 1;
///     }
/// }
///
/// let lock = GlobalLock::new(Station { waiting: 0 });
/// let mut station = lock.lock()?;
/// Station::wait(&mut station); // and not `Locked::wait`
/// assert_eq!(station.waiting, 1);
/// # Ok::<(), fuse3::lock::LockError>(())
/// ```
///
/// # Invariants
///
/// `lock` is `Some` exactly while this guard holds that lock, which is always,
/// except inside [`released`](Locked::released) and [`wait`](Locked::wait) and
/// after a `released` that could not take it again.
#[must_use = "the lock is released when the guard is dropped"]
pub struct Locked<'a, S> {
    lock: Option<&'a GlobalLock<S>>,
    /// Neither `Send`, for the lock belongs to the thread, nor `Sync`, for the
    /// guard says that *this* thread holds it.
    not_send: PhantomData<*mut S>,
}

impl<'a, S> Locked<'a, S> {
    /// The lock has just been taken for it.
    #[inline]
    pub(super) fn new(lock: &'a GlobalLock<S>) -> Self {
        Locked {
            lock: Some(lock),
            not_send: PhantomData,
        }
    }

    /// The request for which the lock was taken; `None` outside of handlers. The section is counted under it.
    pub fn operation(&self) -> Option<Operation> {
        self.global().raw.operation()
    }

    /// `with llfuse.lock_released:`: runs `f` without the lock, then takes the lock again.
    ///
    /// For what takes long and needs no state: reading a disk, asking a server.
    /// No reference into the state survives it, so look up again afterwards.
    /// The lock is taken again even if `f` panics, and the panic goes on. It
    /// cannot be nested: inside there is no guard to release. Taking the lock
    /// inside is allowed, through the proof.
    ///
    /// # Panics
    ///
    /// If `f` left a guard of this lock behind, forgotten or moved out, so that
    /// the lock cannot be taken again. This guard is of no use then, and every
    /// use of it panics; else there would be two mutable references to the state.
    ///
    /// In debug builds, before the lock is released, if the thread holds a
    /// [`sync::Mutex`].
    #[track_caller]
    pub fn released<R>(&mut self, f: impl FnOnce(&mut Unlocked<'_, S>) -> R) -> R {
        sync::check_none_held("released");
        self.without(|lock| f(&mut Unlocked::new(lock)))
    }

    /// `llfuse.lock.yield_(count)`: hands the lock to threads that wait for it, then takes it again.
    ///
    /// The lock goes to the thread that waits longest, and this one queues behind
    /// the last, up to `count` times or until nobody waits. Returns how often.
    /// If nobody waits it returns at once, and the lock was never free.
    ///
    /// # Panics
    ///
    /// In debug builds, before the lock is handed over, if the thread holds a
    /// [`sync::Mutex`].
    #[track_caller]
    pub fn yield_(&mut self, count: usize) -> usize {
        sync::check_none_held("yield_");
        self.check_invariant();
        let lock = self.global();
        let site = Site::caller();
        lock.order.wait(0, site);
        meter::given();
        meter::waits();
        let times = lock.raw.yield_(count, site.place());
        meter::taken();
        times
    }

    /// Waits, with the lock released, until `condvar` is notified or the time is up.
    ///
    /// A notification after the lock was released is not missed. What was waited
    /// for may have changed again until this thread has the lock, so check it in
    /// a loop. `None`, and a time-out too long for the clock, wait for ever.
    ///
    /// # Panics
    ///
    /// In debug builds, before the lock is released, if the thread holds a
    /// [`sync::Mutex`].
    #[track_caller]
    pub fn wait(&mut self, condvar: &Condvar, timeout: Option<Duration>) -> Woken {
        sync::check_none_held("wait");
        self.global();
        let ticket = condvar.enter(Deadline::after(timeout));
        match self.without(|_| ticket.wait()) {
            Waking::TimedOut => Woken::TimedOut,
            // Nobody was told of this sleeper who would interrupt it.
            Waking::Notified | Waking::Interrupted => Woken::Notified,
        }
    }

    /// Runs `sleep`, which waits, with the lock released.
    #[track_caller]
    pub(crate) fn asleep<R>(&mut self, sleep: impl FnOnce() -> R) -> R {
        sync::check_none_held("wait");
        self.without(|_| sleep())
    }

    /// Runs `f` with the lock released.
    #[track_caller]
    fn without<R>(&mut self, f: impl FnOnce(&'a GlobalLock<S>) -> R) -> R {
        self.check_invariant();
        let lock = self.global();
        let site = Site::caller();
        let retake = Retake {
            operation: lock.raw.operation(),
            lock,
            site,
            guard: self,
        };
        retake.guard.lock = None;
        meter::given();
        lock.release();
        let result = f(lock);
        lock.order.wait(0, site);
        drop(retake);
        self.global();
        result
    }

    /// The state is fit for others to see, as far as the application has said how to tell.
    #[inline]
    fn check_invariant(&self) {
        if let Some(check) = self.global().invariant() {
            check(self);
        }
    }

    /// The lock that this guard holds. Panics if it could not take it again.
    #[inline]
    #[track_caller]
    pub(super) fn global(&self) -> &'a GlobalLock<S> {
        match self.lock {
            Some(lock) => lock,
            None => lost(),
        }
    }
}

#[cold]
#[track_caller]
fn lost() -> ! {
    panic!(
        "the global lock could not be taken again after `released`: \
         a guard taken inside was forgotten or moved out"
    )
}

/// Takes the lock again for the guard that released it, also during a panic.
struct Retake<'g, 'a, S> {
    guard: &'g mut Locked<'a, S>,
    lock: &'a GlobalLock<S>,
    site: Site,
    operation: Option<Operation>,
}

impl<S> Drop for Retake<'_, '_, S> {
    fn drop(&mut self) {
        // If it fails, another guard of this thread is somewhere: two would be two
        // mutable references to the state.
        meter::waits();
        let taken = self.lock.take(self.operation, None, self.site);
        meter::taken();
        self.guard.lock = taken.is_ok().then_some(self.lock);
    }
}

impl<S> Deref for Locked<'_, S> {
    type Target = S;

    #[inline]
    fn deref(&self) -> &S {
        let state = self.global().state.get();
        // SAFETY: this guard holds the lock by its invariant, so no other thread
        // and no other guard reaches the state; `&self` keeps `deref_mut` out.
        unsafe { &*state }
    }
}

impl<S> DerefMut for Locked<'_, S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut S {
        let state = self.global().state.get();
        // SAFETY: this guard holds the lock by its invariant, so no other thread
        // and no other guard reaches the state; `&mut self` makes it the only one.
        unsafe { &mut *state }
    }
}

impl<S> Drop for Locked<'_, S> {
    #[inline]
    fn drop(&mut self) {
        if let Some(lock) = self.lock {
            let _release = Release(lock);
            if lock.invariant().is_some() && !std::thread::panicking() {
                self.check_invariant();
            }
        }
    }
}

/// Releases the lock, also when its invariant panics.
struct Release<'a, S>(&'a GlobalLock<S>);

impl<S> Drop for Release<'_, S> {
    #[inline]
    fn drop(&mut self) {
        self.0.release();
    }
}

impl<S: fmt::Debug> fmt::Debug for Locked<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Locked").field(&**self).finish()
    }
}
