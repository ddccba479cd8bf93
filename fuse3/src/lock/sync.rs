//! An ordinary mutex that tells when it is held where it must not be.
//!
//! A mutex that a thread holds while it releases the global lock is what
//! llfuse's documentation forbids as "prior locks": another thread may hold the
//! global lock and wait for the mutex, while this one waits for the global lock.
//! For a mutex that is not a [`SubLock`](crate::lock::SubLock) no type can see it.
//! This one notes, in debug builds, where a thread has taken it, and
//! [`released`](crate::Locked::released), [`yield_`](crate::Locked::yield_) and
//! [`wait`](crate::Locked::wait) panic and name both places. It makes no
//! difference whether the mutex or the global lock was taken first. Debug builds
//! also know in which order locks were taken, this mutex, the global lock and
//! [`KeyedLocks`](crate::kit::KeyedLocks): the first thread that takes two of them
//! the other way round panics, and names all places. In release builds it is a
//! plain mutex.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;

use crate::lock::order::{self, Kind, Node, Taken};
use crate::lock::site::Site;

/// A mutex that must not be held while the global lock is released.
///
/// There is no poisoning. It is `parking_lot`'s, which takes a byte, and three words
/// more in debug builds.
pub struct Mutex<T: ?Sized> {
    order: Node,
    inner: parking_lot::Mutex<T>,
}

impl<T> Mutex<T> {
    /// A mutex around `data`, which nobody holds.
    pub const fn new(data: T) -> Mutex<T> {
        Mutex {
            order: Node::new(Kind::Mutex),
            inner: parking_lot::Mutex::new(data),
        }
    }

    /// The data, out of the mutex.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the mutex, and waits for it as long as it takes.
    ///
    /// # Panics
    ///
    /// In debug builds, if the calling thread holds it already, since it would wait
    /// for itself; and if it holds a lock that has been waited for with this one held.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let site = Site::caller();
        self.order.wait(0, site);
        self.guard(self.inner.lock(), site)
    }

    /// Takes the mutex if it is free.
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let inner = self.inner.try_lock()?;
        Some(self.guard(inner, Site::caller()))
    }

    /// The data, without taking the mutex: the borrow proves that nobody has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }

    fn guard<'m>(&'m self, inner: parking_lot::MutexGuard<'m, T>, site: Site) -> MutexGuard<'m, T> {
        MutexGuard {
            inner,
            _taken: self.order.take(0, site),
        }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// The guard of a [`Mutex`]. Dropping it releases the mutex.
#[must_use = "the mutex is released when the guard is dropped"]
pub struct MutexGuard<'m, T: ?Sized> {
    inner: parking_lot::MutexGuard<'m, T>,
    /// What a thread holds is noted for that thread: it is not `Send`.
    _taken: Taken,
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Panics, in debug builds, if the thread holds a [`Mutex`]. `releaser` is the
/// method that is about to release the global lock.
#[inline]
#[track_caller]
pub(super) fn check_none_held(releaser: &str) {
    // A second panic would end the process and say less.
    if let Some(taken) = order::held(Kind::Mutex).filter(|_| !std::thread::panicking()) {
        held(releaser, taken);
    }
}

#[cold]
#[track_caller]
fn held(releaser: &str, taken: Site) -> ! {
    let released = Location::caller();
    panic!(
        "`{releaser}` at {released} releases the global lock while this thread holds the mutex \
         that it took at {taken}: drop the mutex's guard first, or make it a `SubLock`"
    )
}
