//! `struct fuse3lock`, which C knows by its address alone.

use std::ffi::{c_char, c_int};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use fuse3::session::ForeignSession;
use fuse3::{GlobalLock, Locked};

use crate::border::{self, Error};

/// `struct fuse3lock`: a global lock, and the session whose handlers run with it held.
#[derive(Debug, Default)]
pub struct Object {
    pub(crate) lock: Arc<GlobalLock<()>>,
    pub(crate) session: ForeignSession,
    pub(crate) running: AtomicBool,
    /// Minor version of the kernel's protocol; 0 until `init` has returned.
    pub(crate) proto_minor: AtomicU32,
}

impl Object {
    /// The guard of the lock, which the calling thread holds since a call that has returned; EPERM if it does not.
    ///
    /// Dropped, it releases the lock; forgotten, it leaves it held.
    #[inline]
    pub(crate) fn guard(&self) -> Result<Locked<'_, ()>, Error> {
        if !self.lock.is_held() {
            return Err(Error(libc::EPERM));
        }
        // SAFETY: the thread holds the lock, and every function of this library forgets or drops its guard before it returns.
        Ok(unsafe { self.lock.guard_unchecked() })
    }
}

/// Makes a lock that nobody holds; NULL where that panics. (Without memory Rust ends the process.)
#[unsafe(no_mangle)]
pub extern "C" fn fuse3lock_new() -> *mut Object {
    std::panic::catch_unwind(|| Box::into_raw(Box::default())).unwrap_or(ptr::null_mut())
}

/// Frees a lock.
///
/// # Safety
///
/// `object` is NULL, or came from [`fuse3lock_new`] and has not been freed; no other thread uses it, now or later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_free(object: *mut Object) -> c_int {
    if object.is_null() {
        return 0;
    }
    let busy = |object: &Object| {
        let held = object.lock.stats().holder.is_some();
        Ok((held || object.running.load(Ordering::SeqCst)).into())
    };
    // SAFETY: the caller promises it.
    match unsafe { border::with(object, busy) } {
        0 => {}
        1 => return -libc::EBUSY,
        error => return error,
    }
    // SAFETY: it came from `Box::into_raw` in `fuse3lock_new`, and the caller uses it no more.
    let object = unsafe { Box::from_raw(object) };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(object))) {
        Ok(()) => 0,
        Err(_) => -libc::ENOTRECOVERABLE,
    }
}

/// The library's version, such as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn fuse3lock_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
