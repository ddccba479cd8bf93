//! An ordinary mutex that tells when it is held where it must not be.
//!
//! A mutex that a thread holds while it releases the global lock is what
//! llfuse's documentation forbids as "prior locks": another thread may hold the
//! global lock and wait for the mutex, while this one waits for the global lock.
//! For a mutex that is not a [`SubLock`](crate::SubLock) no type can see it.
//! This one notes, in debug builds, where a thread has taken it, and
//! [`released`](crate::Locked::released), [`yield_`](crate::Locked::yield_) and
//! [`wait`](crate::Locked::wait) panic and name both places. It makes no
//! difference whether the mutex or the global lock was taken first. In release
//! builds it is a plain mutex.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::Location;

/// A mutex that must not be held while the global lock is released.
///
/// There is no poisoning. It is `parking_lot`'s, which takes a byte.
#[derive(Default)]
pub struct Mutex<T: ?Sized> {
    inner: parking_lot::Mutex<T>,
}

impl<T> Mutex<T> {
    /// A mutex around `data`, which nobody holds.
    pub const fn new(data: T) -> Mutex<T> {
        Mutex {
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
    /// In debug builds, if the calling thread holds it already; it would wait
    /// for itself.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let inner = self.inner.try_lock().unwrap_or_else(|| {
            registry::check_not_held(self.address());
            self.inner.lock()
        });
        self.guard(inner)
    }

    /// Takes the mutex if it is free.
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.inner.try_lock().map(|inner| self.guard(inner))
    }

    /// The data, without taking the mutex: the borrow proves that nobody has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }

    #[track_caller]
    fn guard<'m>(&'m self, inner: parking_lot::MutexGuard<'m, T>) -> MutexGuard<'m, T> {
        registry::enter(self.address());
        MutexGuard {
            mutex: self,
            inner,
            not_send: PhantomData,
        }
    }

    fn address(&self) -> usize {
        (&raw const self.inner).addr()
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
    mutex: &'m Mutex<T>,
    inner: parking_lot::MutexGuard<'m, T>,
    /// The thread's list of mutexes is that of the thread that took it.
    not_send: PhantomData<*mut ()>,
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

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        registry::leave(self.mutex.address());
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
    if let Some(taken) = registry::last().filter(|_| !std::thread::panicking()) {
        held(releaser, taken);
    }
}

#[cold]
#[track_caller]
fn held(releaser: &str, taken: &Location<'_>) -> ! {
    let released = Location::caller();
    panic!(
        "`{releaser}` at {released} releases the global lock while this thread holds the mutex \
         that it took at {taken}: drop the mutex's guard first, or make it a `SubLock`"
    )
}

/// The mutexes that a thread holds, and where it took them.
#[cfg(debug_assertions)]
mod registry {
    use std::cell::RefCell;
    use std::panic::Location;

    type Taken = (usize, &'static Location<'static>);

    thread_local! {
        static TAKEN: RefCell<Vec<Taken>> = const { RefCell::new(Vec::new()) };
    }

    /// Nothing is known any more while the thread ends: `None`.
    fn with<R>(f: impl FnOnce(&mut Vec<Taken>) -> R) -> Option<R> {
        TAKEN.try_with(|taken| f(&mut taken.borrow_mut())).ok()
    }

    #[track_caller]
    pub(super) fn enter(address: usize) {
        let caller = Location::caller();
        with(|taken| taken.push((address, caller)));
    }

    pub(super) fn leave(address: usize) {
        with(|taken| {
            if let Some(last) = taken.iter().rposition(|(held, _)| *held == address) {
                taken.remove(last);
            }
        });
    }

    pub(super) fn last() -> Option<&'static Location<'static>> {
        with(|taken| taken.last().map(|(_, site)| *site)).flatten()
    }

    #[track_caller]
    pub(super) fn check_not_held(address: usize) {
        let site = with(|taken| {
            let held = taken.iter().find(|(held, _)| *held == address);
            held.map(|(_, site)| *site)
        });
        if let Some(site) = site.flatten() {
            panic!("this thread took this mutex already, at {site}: it would wait for itself");
        }
    }
}

/// In release builds nothing is noted.
#[cfg(not(debug_assertions))]
mod registry {
    use std::panic::Location;

    #[inline]
    pub(super) fn enter(_: usize) {}

    #[inline]
    pub(super) fn leave(_: usize) {}

    #[inline]
    pub(super) fn last() -> Option<&'static Location<'static>> {
        None
    }

    #[inline]
    pub(super) fn check_not_held(_: usize) {}
}
