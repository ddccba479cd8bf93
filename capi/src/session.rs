//! The session: run, and told to end.

use std::ffi::{c_int, c_uint};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use fuse3::{Reason, sys};

use crate::Object;
use crate::border::{self, Error};
use crate::layout::{self, Layout, SessionFd};

/// `FUSE3LOCK_CLONE_FD`.
const CLONE_FD: c_uint = 1;

fn errno(error: &io::Error) -> Error {
    Error(error.raw_os_error().unwrap_or(libc::EIO))
}

/// Serves requests: 0, the number of a signal, or a negative errno. The last three arguments tell the layout that the program
/// was compiled with, and the libfuse that it calls: `fuse3lock_run()` in the header.
///
/// # Safety
///
/// `object` is NULL, or came from `fuse3lock_new()` and has not been freed; `session` is NULL, or a session that is mounted,
/// and that nobody else uses until this has returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_run_checked(
    object: *const Object,
    session: *mut sys::fuse_session,
    workers: c_uint,
    flags: c_uint,
    size: usize,
    flush: c_uint,
    session_fd: Option<SessionFd>,
) -> c_int {
    let run = |object: &Object| {
        let session = NonNull::new(session).filter(|_| workers > 0 && flags & !CLONE_FD == 0);
        let session = session.ok_or(Error(libc::EINVAL))?;
        let session_fd = session_fd.ok_or(Error(libc::EINVAL))?;
        let layout = Layout::of_program(size, flush);
        if !layout::is_shared(session_fd) || layout != Layout::of_library() {
            return Err(Error(libc::ELIBBAD));
        }
        if object.running.swap(true, Ordering::SeqCst) {
            return Err(Error(libc::EBUSY));
        }
        let running = Running(object);
        let clone_fd = flags & CLONE_FD != 0;
        // SAFETY: the caller promises it.
        let reason = unsafe { object.session.run(session, &object.lock, workers, clone_fd) };
        drop(running);
        match reason.map_err(|error| errno(&error))? {
            Reason::Signal(signal) => Ok(signal),
            _ => Ok(0),
        }
    };
    // SAFETY: the caller promises it.
    unsafe { border::with(object, run) }
}

/// While it lives, the object may not be freed.
struct Running<'o>(&'o Object);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::SeqCst);
    }
}

/// Makes the session end: 0, -EINVAL. Async-signal-safe.
///
/// # Safety
///
/// As for [`fuse3lock_run_checked`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fuse3lock_terminate(object: *const Object) -> c_int {
    // Nothing in it panics, and catching is nothing but a table when nothing does.
    let terminate = |object: &Object| {
        object.session.terminate();
        Ok(0)
    };
    // SAFETY: the caller promises it.
    unsafe { border::with(object, terminate) }
}
