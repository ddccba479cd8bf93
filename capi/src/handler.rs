//! What the trampolines of `fuse3lock.h` call.

use std::ffi::{c_int, c_uint};
use std::mem;
use std::sync::atomic::Ordering;

use fuse3::Operation;
use fuse3::lock::LockError;

use crate::Object;
use crate::border::{self, Error};

unsafe extern "C" {
    /// pthread_setcancelstate(3), which the libc crate does not have for glibc.
    fn pthread_setcancelstate(state: c_int, oldstate: *mut c_int) -> c_int;
}

const PTHREAD_CANCEL_DISABLE: c_int = 1;

/// Of the calling thread, and what it was.
fn set_cancel_state(state: c_int) -> c_int {
    let mut before = 0;
    // SAFETY: `before` lives; the call changes this thread only, and refuses what is no state.
    unsafe { pthread_setcancelstate(state, &raw mut before) };
    before
}

/// In the token of [`fuse3lock_enter`]: it took the lock, which the thread did not hold before.
const TAKEN: c_int = 1 << 8;

/// Takes the lock for a handler: a token for [`fuse3lock_leave`], or -EINVAL, -ENOTRECOVERABLE.
///
/// A thread that holds the lock already (it has called `fuse_session_destroy()` with it, say) goes on with it.
///
/// # Safety
///
/// `object` is NULL, or came from `fuse3lock_new()` and has not been freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_enter(object: *const Object, operation: c_uint) -> c_int {
    let enter = |object: &Object| {
        let operation = usize::try_from(operation).ok();
        let operation = operation.and_then(|at| Operation::ALL.get(at));
        let operation = *operation.ok_or(Error(libc::EINVAL))?;
        // libfuse cancels its workers over io_uring while they are in handlers, and one must not go with the lock, or while it
        // waits for it.
        let before = set_cancel_state(PTHREAD_CANCEL_DISABLE);
        match object.lock.lock_for(operation) {
            Ok(guard) => {
                mem::forget(guard);
                Ok(TAKEN | before)
            }
            Err(LockError::AlreadyHeld) => Ok(before),
            Err(error) => {
                set_cancel_state(before);
                Err(error.into())
            }
        }
    };
    // SAFETY: the caller promises it.
    unsafe { border::with(object, enter) }
}

/// Gives the lock up if [`fuse3lock_enter`] took it and the handler has not given it up itself.
///
/// # Safety
///
/// As for [`fuse3lock_enter`], which returned `token` on this thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_leave(object: *const Object, token: c_int) {
    let leave = |object: &Object| {
        if token & TAKEN != 0 {
            // EPERM: the handler answered without the lock, and left it so.
            drop(object.guard());
        }
        set_cancel_state(token & !TAKEN);
        Ok(0)
    };
    if token >= 0 {
        // SAFETY: the caller promises it.
        unsafe { border::with(object, leave) };
    }
}

/// `init` has returned: notifications may be sent.
///
/// # Safety
///
/// As for [`fuse3lock_enter`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_begun(object: *const Object, proto_minor: c_uint) {
    let begun = |object: &Object| {
        object.proto_minor.store(proto_minor, Ordering::SeqCst);
        object.session.begun(proto_minor);
        Ok(0)
    };
    // SAFETY: the caller promises it.
    unsafe { border::with(object, begun) };
}
