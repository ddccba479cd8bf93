//! A request, and the duty to answer it.

use std::ffi::c_int;
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::base::panic::discard;
use crate::conn::interrupt::{Interrupts, interrupted};
use crate::sys;
use crate::types::errno::Errno;

/// A request that has not been answered: the only owner of its `fuse_req_t`.
///
/// # Invariants
///
/// The pointer is of a request that libfuse gave to a handler and that has not been answered. Each answer takes the value, since
/// libfuse frees the request in each `fuse_reply_*`, also when that returns an error. Dropped unanswered, it answers EIO, so that
/// no client waits in vain.
///
/// The request exists: its session has not been destroyed, and where it came over io_uring, the thread of its ring has not ended.
/// In its handler libfuse sees to that, and afterwards [`Pending`](crate::conn::pending::Pending), or whoever took it from there.
///
/// `interrupts` is what libfuse was given to call back with, if it was. It is unregistered before the answer, which waits for a
/// call that is under way: libfuse would otherwise use it after it is gone. Over io_uring, where no interrupts come, it is not
/// registered.
#[derive(Debug)]
pub struct Request {
    req: NonNull<sys::fuse_req>,
    interrupts: Option<Arc<Interrupts>>,
}

// SAFETY: libfuse allows that a request is answered from any thread: it locks its session for that, and over io_uring the ring
// (`fuse_uring_commit_sqe()`), unless the thread is the ring's own. What is asked of a request meanwhile is its own memory.
unsafe impl Send for Request {}

/// What the reply functions return.
pub(crate) type Sent = Result<(), NotTaken>;

/// The kernel did not take an answer: the negative errno of the write, -ENOENT when the client was interrupted and nobody takes
/// the answer any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotTaken(pub(crate) c_int);

impl NotTaken {
    #[inline]
    pub(crate) fn sent(result: c_int) -> Sent {
        if result == 0 {
            Ok(())
        } else {
            Err(Self(result))
        }
    }
}

impl Request {
    /// # Safety
    ///
    /// `req` came from libfuse as argument of a handler, and nobody else answers it.
    #[inline(always)]
    pub(crate) unsafe fn take(req: sys::fuse_req_t) -> Self {
        // SAFETY: libfuse passes a request to each handler, which it has allocated, or over io_uring has in its ring: it is not
        // null.
        let req = unsafe { NonNull::new_unchecked(req) };
        Self {
            req,
            interrupts: None,
        }
    }

    /// `fuse_req_is_uring()`.
    #[inline(always)]
    pub(crate) fn is_uring(&self) -> bool {
        // SAFETY: the request is unanswered and exists (invariants).
        sys::HAS_IO_URING && unsafe { sys::fuse_req_is_uring(self.as_ptr()) }
    }

    /// The request itself, for what does not answer it.
    #[inline]
    pub(crate) fn as_ptr(&self) -> sys::fuse_req_t {
        self.req.as_ptr()
    }

    /// `fuse_req_interrupted()`.
    pub(crate) fn is_interrupted(&self) -> bool {
        // SAFETY: the request is unanswered and exists (invariants).
        !self.is_uring() && unsafe { sys::fuse_req_interrupted(self.as_ptr()) != 0 }
    }

    /// `fuse_req_interrupt_func()`, the first time.
    pub(crate) fn interrupts(&mut self) -> &Arc<Interrupts> {
        let (req, is_uring) = (self.as_ptr(), self.is_uring());
        self.interrupts.get_or_insert_with(|| {
            let interrupts = Arc::<Interrupts>::default();
            if is_uring {
                return interrupts;
            }
            let data = Arc::as_ptr(&interrupts).cast_mut().cast();
            // SAFETY: the request is unanswered, and `data` lives until it is unregistered (invariants). When the
            // interrupt has come already, this calls back.
            unsafe { sys::fuse_req_interrupt_func(req, Some(interrupted), data) };
            interrupts
        })
    }

    /// From now on libfuse does not call back. What was to be called is in the result.
    #[cold]
    #[must_use = "what was to be called is the application's, and so is its destructor"]
    pub(crate) fn forget_interrupts(&mut self) -> Option<Arc<Interrupts>> {
        let interrupts = self.interrupts.take()?;
        if !self.is_uring() {
            // SAFETY: the request is unanswered and exists (invariants). The callback holds the lock that this waits for, but
            // never gets here: it calls nothing of the application's.
            unsafe { sys::fuse_req_interrupt_func(self.as_ptr(), None, ptr::null_mut()) };
        }
        Some(interrupts)
    }

    /// The same; nothing is started any more.
    #[inline(always)]
    fn unregister(&mut self) {
        if self.interrupts.is_some() {
            if let Some(interrupts) = self.forget_interrupts() {
                discard(interrupts.take());
            }
        }
    }

    /// Gives up the duty to answer, to whoever calls one of `fuse_reply_*` next.
    #[inline(always)]
    pub(crate) fn spend(mut self) -> sys::fuse_req_t {
        self.unregister();
        let req = self.as_ptr();
        // Nothing is left in it that wants to be dropped.
        mem::forget(self);
        req
    }

    /// The request is gone already, or is somebody else's.
    pub(crate) fn abandon(mut self) {
        let interrupts = self.interrupts.take();
        mem::forget(self);
        if let Some(interrupts) = interrupts {
            discard(interrupts.take());
        }
    }

    /// `fuse_reply_err()`.
    #[inline]
    pub(crate) fn err(self, errno: Errno) -> Sent {
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent.
        NotTaken::sent(unsafe { sys::fuse_reply_err(req, errno.raw()) })
    }

    /// `fuse_reply_none()`: of `forget`, which has no answer; frees any other request without one.
    pub(crate) fn none(self) {
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent.
        unsafe { sys::fuse_reply_none(req) };
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            crate::base::log::warn!("a request was dropped without an answer; its caller gets EIO");
        }
        self.unregister();
        // SAFETY: the request was unanswered (invariant), and this value is gone after it.
        unsafe { sys::fuse_reply_err(self.as_ptr(), Errno::EIO.raw()) };
    }
}
