//! What every call from C goes through.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fuse3::lock::LockError;

use crate::Object;

/// 0 or more, or what went wrong.
pub(crate) type Answer = Result<c_int, Error>;

/// An errno, positive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Error(pub(crate) c_int);

impl From<LockError> for Error {
    fn from(error: LockError) -> Self {
        Self(match error {
            LockError::TimedOut | LockError::Busy => libc::ETIMEDOUT,
            // It would wait for itself.
            _ => libc::EDEADLK,
        })
    }
}

/// Runs `f` with what `object` points to: -EINVAL for NULL, -ENOTRECOVERABLE when `f` panics, which is a bug here, or, in a
/// debug build, the misuse of which the panic tells.
///
/// # Safety
///
/// `object` is NULL, or came from `fuse3lock_new()` and has not been freed.
#[inline]
pub(crate) unsafe fn with(object: *const Object, f: impl FnOnce(&Object) -> Answer) -> c_int {
    // SAFETY: the caller promises it.
    let Some(object) = (unsafe { object.as_ref() }) else {
        return -libc::EINVAL;
    };
    match catch_unwind(AssertUnwindSafe(|| f(object))) {
        Ok(Ok(answer)) => answer,
        Ok(Err(Error(errno))) => -errno,
        Err(_) => -libc::ENOTRECOVERABLE,
    }
}
