//! Queued notifications.

use std::ffi::{OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::slice;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fuse3::notify::NotifyError;
use fuse3::{Ino, Notifier};

use crate::Object;
use crate::border::{self, Answer, Error};

/// ENOTCONN once the session has ended.
fn connected(object: &Object) -> Result<(), Error> {
    if object.session.is_used() && !object.running.load(Ordering::SeqCst) {
        return Err(Error(libc::ENOTCONN));
    }
    Ok(())
}

/// Queues one.
fn queue(object: &Object, notify: impl FnOnce(Notifier)) -> Answer {
    connected(object)?;
    notify(object.session.notifier());
    Ok(0)
}

/// Queues one that only a kernel with protocol 7.`needs` has; ENOSYS where `init` has told of an older one.
fn queue_newer(object: &Object, needs: u32, notify: impl FnOnce(Notifier)) -> Answer {
    connected(object)?;
    let has = object.proto_minor.load(Ordering::SeqCst);
    if (1..needs).contains(&has) {
        return Err(Error(libc::ENOSYS));
    }
    queue(object, notify)
}

/// # Safety
///
/// `data` points to `length` bytes, which stay as they are while what is returned is used; or is NULL.
unsafe fn bytes<'b>(data: *const c_void, length: usize) -> Result<&'b [u8], Error> {
    // SAFETY: the caller promises it.
    unsafe { values(data.cast(), length) }
}

/// # Safety
///
/// `data` points to `length` values, which stay as they are while what is returned is used; or is NULL.
unsafe fn values<'v, T>(data: *const T, length: usize) -> Result<&'v [T], Error> {
    match (data.is_null(), length) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Error(libc::EINVAL)),
        // SAFETY: the caller promises it.
        (false, _) => Ok(unsafe { slice::from_raw_parts(data, length) }),
    }
}

/// # Safety
///
/// As for [`bytes`].
unsafe fn name<'b>(name: *const c_char, length: usize) -> Result<&'b OsStr, Error> {
    // SAFETY: the caller promises it.
    let name = unsafe { bytes(name.cast(), length) }?;
    if name.is_empty() || name.contains(&0) || name.contains(&b'/') {
        return Err(Error(libc::EINVAL));
    }
    Ok(OsStr::from_bytes(name))
}

/// `fuse_lowlevel_notify_inval_inode()`, queued: 0, -EINVAL, -ENOTCONN.
///
/// # Safety
///
/// `object` is NULL, or came from `fuse3lock_new()` and has not been freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_notify_inval_inode(
    object: *const Object,
    ino: u64,
    offset: i64,
    length: i64,
) -> c_int {
    let inval = |object: &Object| {
        queue(object, |notifier| {
            match (u64::try_from(offset), u64::try_from(length)) {
                (Err(_), _) => notifier.inval_attr(Ino(ino)),
                (Ok(offset), Ok(length @ 1..)) => {
                    notifier.inval_inode(Ino(ino), offset..offset.saturating_add(length));
                }
                (Ok(offset), _) => notifier.inval_inode(Ino(ino), offset..),
            }
        })
    };
    // SAFETY: the caller promises it.
    unsafe { border::with(object, inval) }
}

/// `fuse_lowlevel_notify_inval_entry()`, queued: 0, -EINVAL, -ENOTCONN.
///
/// # Safety
///
/// As for [`fuse3lock_notify_inval_inode`]; `entry` points to `length` bytes, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_notify_inval_entry(
    object: *const Object,
    parent: u64,
    entry: *const c_char,
    length: usize,
) -> c_int {
    let inval = |object: &Object| {
        // SAFETY: the caller promises it.
        let entry = unsafe { name(entry, length) }?;
        queue(object, |notifier| notifier.inval_entry(Ino(parent), entry))
    };
    // SAFETY: the caller promises it.
    unsafe { border::with(object, inval) }
}

/// `fuse_lowlevel_notify_expire_entry()`, queued: 0, -EINVAL, -ENOTCONN, -ENOSYS.
///
/// # Safety
///
/// As for [`fuse3lock_notify_inval_entry`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_notify_expire_entry(
    object: *const Object,
    parent: u64,
    entry: *const c_char,
    length: usize,
) -> c_int {
    let expire = |object: &Object| {
        // SAFETY: the caller promises it.
        let entry = unsafe { name(entry, length) }?;
        queue_newer(object, 38, |notifier| {
            notifier.expire_entry(Ino(parent), entry);
        })
    };
    // SAFETY: the caller promises it.
    unsafe { border::with(object, expire) }
}

/// `fuse_lowlevel_notify_delete()`, queued: 0, -EINVAL, -ENOTCONN.
///
/// # Safety
///
/// As for [`fuse3lock_notify_inval_entry`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_notify_delete(
    object: *const Object,
    parent: u64,
    child: u64,
    entry: *const c_char,
    length: usize,
) -> c_int {
    let delete = |object: &Object| {
        // SAFETY: the caller promises it.
        let entry = unsafe { name(entry, length) }?;
        queue(object, |notifier| {
            notifier.delete(Ino(parent), Ino(child), entry);
        })
    };
    // SAFETY: the caller promises it.
    unsafe { border::with(object, delete) }
}

/// `fuse_lowlevel_notify_store()`, queued, of a copy: 0, -EINVAL, -ENOTCONN.
///
/// # Safety
///
/// As for [`fuse3lock_notify_inval_inode`]; `data` points to `length` bytes, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_notify_store(
    object: *const Object,
    ino: u64,
    offset: i64,
    data: *const c_void,
    length: usize,
) -> c_int {
    let store = |object: &Object| {
        // SAFETY: the caller promises it.
        let data = unsafe { bytes(data, length) }?;
        let offset = u64::try_from(offset).map_err(|_| Error(libc::EINVAL))?;
        queue(object, |notifier| notifier.store(Ino(ino), offset, data))
    };
    // SAFETY: the caller promises it.
    unsafe { border::with(object, store) }
}

/// `fuse_lowlevel_notify_increment_epoch()`, queued: 0, -EINVAL, -ENOTCONN, -ENOSYS.
///
/// # Safety
///
/// As for [`fuse3lock_notify_inval_inode`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_notify_increment_epoch(object: *const Object) -> c_int {
    let increment =
        |object: &Object| queue_newer(object, 44, |notifier| notifier.increment_epoch());
    // SAFETY: the caller promises it.
    unsafe { border::with(object, increment) }
}

/// `fuse_lowlevel_notify_prune()`, queued: 0, -EINVAL, -ENOTCONN, -ENOSYS.
///
/// # Safety
///
/// As for [`fuse3lock_notify_inval_inode`]; `inos` points to `count` numbers, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_notify_prune(
    object: *const Object,
    inos: *const u64,
    count: usize,
) -> c_int {
    let prune = |object: &Object| {
        // SAFETY: the caller promises it.
        let inos = unsafe { values(inos, count) }?;
        let inos: Vec<Ino> = inos.iter().copied().map(Ino).collect();
        queue_newer(object, 45, |notifier| notifier.prune(inos))
    };
    // SAFETY: the caller promises it.
    unsafe { border::with(object, prune) }
}

/// `FUSE_NOTIFY_RESEND`, queued: 0, -EINVAL, -ENOTCONN, -ENOSYS.
///
/// # Safety
///
/// As for [`fuse3lock_notify_inval_inode`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_notify_resend(object: *const Object) -> c_int {
    let resend = |object: &Object| queue_newer(object, 40, |notifier| notifier.resend());
    // SAFETY: the caller promises it.
    unsafe { border::with(object, resend) }
}

/// Waits until what was queued before has been sent: 0, -ETIMEDOUT, -EDEADLK, -ENOTCONN, -EINVAL.
///
/// # Safety
///
/// As for [`fuse3lock_notify_inval_inode`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_notify_flush(object: *const Object, nanoseconds: i64) -> c_int {
    let flush = |object: &Object| {
        if object.lock.is_held() {
            return Err(Error(libc::EDEADLK));
        }
        connected(object)?;
        let timeout = u64::try_from(nanoseconds).map_or(Duration::MAX, Duration::from_nanos);
        match object.session.notifier().flush(timeout) {
            Ok(()) => Ok(0),
            Err(NotifyError::TimedOut) => Err(Error(libc::ETIMEDOUT)),
            Err(NotifyError::Deadlock) => Err(Error(libc::EDEADLK)),
            Err(_) => Err(Error(libc::ENOTCONN)),
        }
    };
    // SAFETY: the caller promises it.
    unsafe { border::with(object, flush) }
}
