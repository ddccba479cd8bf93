//! What the lock tells, figure by figure.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::time::Duration;

use fuse3::lock::LockStats;

use crate::Object;
use crate::border::{self, Error};

/// A figure of `enum fuse3lock_stat`; `None` for a number that this version does not know.
fn figure(stats: &LockStats, what: c_uint) -> Option<u64> {
    Some(match what {
        0 => stats.acquisitions,
        1 => stats.hand_overs,
        2 => stats.time_outs,
        3 => u64::try_from(stats.waiters.len()).unwrap_or(u64::MAX),
        4 => stats
            .holder
            .map_or(0, |holder| holder.thread.as_raw().into()),
        5 => stats.holder.map_or(0, |holder| nanoseconds(holder.held)),
        _ => return None,
    })
}

/// A figure of `enum fuse3lock_op_stat`.
fn operation_figure(stats: &LockStats, operation: Option<&str>, what: c_uint) -> Option<u64> {
    let mut all = stats.operations.iter();
    let used = all.find(|used| used.operation.map(|operation| operation.name()) == operation);
    let figure: fn(&fuse3::lock::LockUse) -> u64 = match what {
        0 => |used| used.count,
        1 => |used| nanoseconds(used.waited),
        2 => |used| nanoseconds(used.waited_max),
        3 => |used| nanoseconds(used.held),
        4 => |used| nanoseconds(used.held_max),
        _ => return None,
    };
    Some(used.map_or(0, figure))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// # Safety
///
/// `to` is NULL, or may be written.
unsafe fn store(value: Option<u64>, to: *mut u64) -> border::Answer {
    let value = value.ok_or(Error(libc::EINVAL))?;
    // SAFETY: the caller promises it.
    let to = unsafe { to.as_mut() }.ok_or(Error(libc::EINVAL))?;
    *to = value;
    Ok(0)
}

/// One figure of the lock: 0, -EINVAL.
///
/// # Safety
///
/// `object` is NULL, or came from `fuse3lock_new()` and has not been freed; `value` is NULL, or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_stat(
    object: *const Object,
    what: c_uint,
    value: *mut u64,
) -> c_int {
    let stat = |object: &Object| {
        let figure = figure(&object.lock.stats(), what);
        // SAFETY: the caller promises it.
        unsafe { store(figure, value) }
    };
    // SAFETY: the caller promises it.
    unsafe { border::with(object, stat) }
}

/// One figure of an operation, or, with NULL, of what is no handler: 0, -EINVAL.
///
/// # Safety
///
/// As for [`fuse3lock_stat`]; `operation` is NULL, or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_op_stat(
    object: *const Object,
    operation: *const c_char,
    what: c_uint,
    value: *mut u64,
) -> c_int {
    let stat = |object: &Object| {
        let mut name = None;
        if !operation.is_null() {
            // SAFETY: the caller promises it.
            let text = unsafe { CStr::from_ptr(operation) }.to_str();
            let text = text.map_err(|_| Error(libc::EINVAL))?;
            if !fuse3::Operation::ALL
                .iter()
                .any(|known| known.name() == text)
            {
                return Err(Error(libc::EINVAL));
            }
            name = Some(text);
        }
        let figure = operation_figure(&object.lock.stats(), name, what);
        // SAFETY: the caller promises it.
        unsafe { store(figure, value) }
    };
    // SAFETY: the caller promises it.
    unsafe { border::with(object, stat) }
}

/// All of it as text, as snprintf(3): the length, -EINVAL.
///
/// # Safety
///
/// As for [`fuse3lock_stat`]; `buffer` has `size` bytes, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_report(
    object: *const Object,
    buffer: *mut c_char,
    size: usize,
) -> c_int {
    let report = |object: &Object| {
        let text = object.lock.stats().to_string();
        if !buffer.is_null() && size > 0 {
            let length = text.len().min(size - 1);
            // SAFETY: `buffer` has more bytes than `length` (the caller), and is not the string's.
            unsafe { buffer.copy_from_nonoverlapping(text.as_ptr().cast(), length) };
            // SAFETY: as above.
            let end = unsafe { buffer.add(length) };
            // SAFETY: `buffer` has `length` + 1 bytes.
            unsafe { end.write(0) };
        }
        c_int::try_from(text.len()).map_err(|_| Error(libc::EOVERFLOW))
    };
    // SAFETY: the caller promises it.
    unsafe { border::with(object, report) }
}
