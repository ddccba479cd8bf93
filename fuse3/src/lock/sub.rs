//! Locks below the global one.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use parking_lot::{Mutex, MutexGuard};

use crate::lock::guard::Locked;
use crate::lock::thread::{Owner, ThreadId};

/// A lock *below* the global one: taken through its guard, gone before it is released.
///
/// For data that lives outside the state, in an `Arc` of a file handle for
/// instance, and is used only under the global lock. llfuse's rule for its
/// `lock_released`, "must not hold any prior locks", is a borrow here: as long as
/// a [`SubGuard`] exists, the [`Locked`] that it was taken with can be neither
/// released nor yielded.
///
/// ```compile_fail,E0502
/// # use fuse3::GlobalLock;
/// # use fuse3::lock::SubLock;
/// let lock = GlobalLock::new(());
/// let buffer = SubLock::new(Vec::new());
/// let mut fs = lock.lock().unwrap();
/// let mut bytes = buffer.lock(&fs);
/// fs.released(|_| ()); // the buffer is locked
/// bytes.push(1);
/// ```
///
/// It works with any global lock. Threads under the same one never wait for it;
/// threads under different ones may.
#[derive(Debug, Default)]
pub struct SubLock<T> {
    owner: Owner,
    data: Mutex<T>,
}

impl<T> SubLock<T> {
    /// A lock around `data`, which nobody holds.
    pub const fn new(data: T) -> SubLock<T> {
        SubLock {
            owner: Owner::none(),
            data: Mutex::new(data),
        }
    }

    /// Takes the lock, under the global lock that `held` holds.
    ///
    /// # Panics
    ///
    /// If the calling thread holds it already, since it would wait for itself; and if
    /// `held` could not take its lock again, see [`Locked::released`].
    #[track_caller]
    pub fn lock<'g, S>(&'g self, held: &'g Locked<'_, S>) -> SubGuard<'g, T> {
        // A guard that lost its lock in `released` panics.
        held.global();
        let me = ThreadId::current();
        assert!(
            !self.owner.is(me),
            "this thread holds this SubLock already: it would wait for itself"
        );
        let data = self.data.lock();
        self.owner.set(me);
        SubGuard {
            owner: &self.owner,
            data,
            not_send: PhantomData,
        }
    }

    /// The data, without taking the lock: the borrow proves that nobody has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }

    /// The data, out of the lock.
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

/// The guard of a [`SubLock`]. Dropping it releases the lock.
#[must_use = "the lock is released when the guard is dropped"]
pub struct SubGuard<'g, T> {
    owner: &'g Owner,
    data: MutexGuard<'g, T>,
    /// It borrows from a guard that stays with its thread, and so does it.
    not_send: PhantomData<*mut T>,
}

impl<T> Deref for SubGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T> DerefMut for SubGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.data
    }
}

impl<T> Drop for SubGuard<'_, T> {
    fn drop(&mut self) {
        self.owner.clear();
    }
}

impl<T: fmt::Debug> fmt::Debug for SubGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SubGuard").field(&**self).finish()
    }
}
