//! Sections without the lock.

use std::ffi::{c_int, c_void};
use std::mem;

use fuse3::Operation;

use crate::Object;
use crate::border::{self, Answer, Error};

/// The token of a section in which no request is served.
const NO_REQUEST: c_int = 0xff;

/// Gives the lock up, and returns what the section is counted under.
fn begin(object: &Object) -> Answer {
    let guard = object.guard()?;
    let operation = guard.operation();
    drop(guard);
    Ok(operation.map_or(NO_REQUEST, |operation| c_int::from(operation as u8)))
}

fn end(object: &Object, token: c_int) -> Answer {
    let operation = match usize::try_from(token).ok().map(|at| Operation::ALL.get(at)) {
        Some(Some(operation)) => Some(*operation),
        Some(None) if token == NO_REQUEST => None,
        _ => return Err(Error(libc::EINVAL)),
    };
    mem::forget(match operation {
        Some(operation) => object.lock.lock_for(operation)?,
        None => object.lock.lock()?,
    });
    Ok(0)
}

/// Begins a section without the lock: a token for [`fuse3lock_released_end`], -EPERM, -EINVAL.
///
/// # Safety
///
/// `object` is NULL, or came from `fuse3lock_new()` and has not been freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_released_begin(object: *const Object) -> c_int {
    // SAFETY: the caller promises it.
    unsafe { border::with(object, begin) }
}

/// Ends it, and waits for the lock: 0, -EDEADLK, -EINVAL.
///
/// # Safety
///
/// As for [`fuse3lock_released_begin`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_released_end(object: *const Object, token: c_int) -> c_int {
    // SAFETY: the caller promises it.
    unsafe { border::with(object, |object| end(object, token)) }
}

/// Calls `f` without the lock: 0, -EPERM, -EDEADLK, -EINVAL.
///
/// # Safety
///
/// As for [`fuse3lock_released_begin`]; and `f` may be called with `data`, and does not unwind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_released(
    object: *const Object,
    f: Option<unsafe extern "C" fn(*mut c_void)>,
    data: *mut c_void,
) -> c_int {
    let released = |object: &Object| {
        let f = f.ok_or(Error(libc::EINVAL))?;
        let token = begin(object)?;
        // SAFETY: the caller promises it.
        unsafe { f(data) };
        end(object, token)
    };
    // SAFETY: the caller promises it.
    unsafe { border::with(object, released) }
}
