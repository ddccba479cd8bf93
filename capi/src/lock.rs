//! Taking the lock, giving it up, handing it on.

use std::ffi::{c_int, c_uint};
use std::mem;
use std::time::Duration;

use crate::Object;
use crate::border;

/// Takes the lock: 0, -ETIMEDOUT, -EDEADLK, -EINVAL.
///
/// # Safety
///
/// `object` is NULL, or came from `fuse3lock_new()` and has not been freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_acquire(object: *const Object, nanoseconds: i64) -> c_int {
    let acquire = |object: &Object| {
        // Less than nothing is no time-out at all.
        let timeout = u64::try_from(nanoseconds).ok().map(Duration::from_nanos);
        mem::forget(object.lock.acquire(timeout)?);
        Ok(0)
    };
    // SAFETY: the caller promises it.
    unsafe { border::with(object, acquire) }
}

/// Gives the lock up: 0, -EPERM, -EINVAL.
///
/// # Safety
///
/// As for [`fuse3lock_acquire`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_release(object: *const Object) -> c_int {
    let release = |object: &Object| {
        drop(object.guard()?);
        Ok(0)
    };
    // SAFETY: the caller promises it.
    unsafe { border::with(object, release) }
}

/// Hands the lock to waiting threads: how often, -EPERM, -EINVAL.
///
/// # Safety
///
/// As for [`fuse3lock_acquire`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_yield(object: *const Object, count: c_uint) -> c_int {
    let hand_over = |object: &Object| {
        let mut guard = mem::ManuallyDrop::new(object.guard()?);
        // More would not fit in the answer.
        let count = c_int::try_from(count).unwrap_or(c_int::MAX);
        let handed = guard.yield_(usize::try_from(count).unwrap_or(0));
        Ok(c_int::try_from(handed).unwrap_or(c_int::MAX))
    };
    // SAFETY: the caller promises it.
    unsafe { border::with(object, hand_over) }
}

/// Whether the calling thread holds the lock: 1, 0, -EINVAL.
///
/// # Safety
///
/// As for [`fuse3lock_acquire`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_held(object: *const Object) -> c_int {
    // SAFETY: the caller promises it.
    unsafe { border::with(object, |object| Ok(object.lock.is_held().into())) }
}
