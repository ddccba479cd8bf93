//! poll(2): the events that an open file is ready for, and the handle that tells of them.
//!
//! [`Filesystem::poll`](crate::Filesystem::poll) answers with [`PollEvents`], and keeps the [`PollHandle`] that it is given for when
//! there are more.

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::conn::conn::Conn;
use crate::notify::{error::NotifyError, sender::sent};
use crate::sys;

pub use crate::types::poll::PollEvents;

/// `struct fuse_pollhandle`: the wish to be told when an open file becomes ready.
///
/// It may be kept, sent to other threads, and used once, by [`notify`](Self::notify); dropped, it is destroyed
/// (`fuse_pollhandle_destroy()`) and nobody is told. It outlives its session, and is then of no effect: it keeps nothing
/// of it alive.
///
/// # Invariants
///
/// `handle` came from libfuse for a request of `conn`, and is destroyed with this value.
pub struct PollHandle {
    handle: NonNull<sys::fuse_pollhandle>,
    conn: Arc<Conn>,
}

// SAFETY: libfuse's handle is a number and a pointer to its session, that any thread may use (`fuse_lowlevel_notify_poll()`
// writes one message) and free.
unsafe impl Send for PollHandle {}
// SAFETY: nothing can be done through a shared reference.
unsafe impl Sync for PollHandle {}

impl PollHandle {
    /// # Safety
    ///
    /// The invariants.
    pub(crate) unsafe fn new(handle: NonNull<sys::fuse_pollhandle>, conn: Arc<Conn>) -> Self {
        Self { handle, conn }
    }

    /// `fuse_lowlevel_notify_poll()`: wakes the clients that wait for the open file, which then ask again what it is ready for.
    ///
    /// The kernel calls no handler before it returns, so that it may be called from anywhere, with the global lock held
    /// too. The callers that wake up send `poll` once more; those who want to be told again bring a new handle.
    ///
    /// # Errors
    ///
    /// [`NotifyError::Ended`] when the session has ended; what writing to the kernel failed with, ENODEV when the file
    /// system was unmounted. Nobody waits then.
    pub fn notify(self) -> Result<(), NotifyError> {
        let _pass = self.conn.pass().ok_or(NotifyError::Ended)?;
        // SAFETY: the handle lives (invariant), and so does its session, whose descriptor is open (`Pass`).
        let result = unsafe { sys::fuse_lowlevel_notify_poll(self.handle.as_ptr()) };
        sent(result).map_err(NotifyError::Errno)
    }
}

impl Drop for PollHandle {
    fn drop(&mut self) {
        // SAFETY: the handle lives (invariant), and this value is gone after it. libfuse frees memory, nothing else.
        unsafe { sys::fuse_pollhandle_destroy(self.handle.as_ptr()) };
    }
}

impl fmt::Debug for PollHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PollHandle")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_goes_from_thread_to_thread() {
        fn both<T: Send + Sync + 'static>() {}
        both::<PollHandle>();
    }
}
