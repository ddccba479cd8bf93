//! A request: what libfuse tells of it, and the duty to answer it.

use std::ffi::{CStr, OsStr, c_int};
use std::os::unix::ffi::OsStrExt;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::{io, mem, slice};

use crate::base::panic::discard;
use crate::conn::interrupt::{Interrupts, interrupted};
use crate::conn::interruption::Standing;
use crate::conn::watch::Watch;
use crate::observe::record::Record;
use crate::sys;
use crate::types::caller::{Caller, SecurityContext};
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
/// `Attached::interrupts` is what libfuse was given to call back with, if it was. It is unregistered before the answer, which waits for a
/// call that is under way: libfuse would otherwise use it after it is gone. Over io_uring, where no interrupts come, it is not
/// registered.
#[derive(Debug)]
pub struct Request {
    req: NonNull<sys::fuse_req>,
    /// What few requests have, so that each answer looks for all of it in one place.
    attached: Option<Box<Attached>>,
}

/// What an answer has to see to besides.
#[derive(Debug, Default)]
struct Attached {
    interrupts: Option<Arc<Interrupts>>,
    /// Of a request that is observed.
    record: Option<Record>,
}

// SAFETY: libfuse allows that a request is answered from any thread: it locks its session for that, and over io_uring the ring
// (`fuse_uring_commit_sqe()`), unless the thread is the ring's own. What is asked of a request meanwhile is its own memory.
unsafe impl Send for Request {}

/// What the reply functions return.
pub(crate) type Sent = Result<(), NotTaken>;

/// The kernel did not take an answer: the client was interrupted, and nobody takes the answer any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotTaken;

impl NotTaken {
    #[inline]
    pub(crate) fn sent(result: c_int) -> Sent {
        if result == 0 { Ok(()) } else { Err(Self) }
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
            attached: None,
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

    /// `fuse_req_ctx()`.
    #[inline]
    pub(crate) fn caller(&self) -> Caller {
        // SAFETY: the request is unanswered and exists (invariants).
        let ctx = unsafe { sys::fuse_req_ctx(self.as_ptr()) };
        // SAFETY: `fuse_req_ctx()` returned a member of the request, which lives until it is answered.
        let ctx = unsafe { &*ctx };
        // The kernel's FUSE_INVALID_UIDGID.
        let id = |id| (id != u32::MAX).then_some(id);
        Caller {
            uid: id(ctx.uid),
            gid: id(ctx.gid),
            pid: ctx.pid,
            umask: ctx.umask,
        }
    }

    /// `fuse_req_getgroups()`.
    pub(crate) fn groups(&self) -> io::Result<Vec<u32>> {
        let mut groups = vec![0; 32];
        loop {
            let room = i32::try_from(groups.len()).unwrap_or(i32::MAX);
            // SAFETY: the request is unanswered and exists (invariants), and `groups` has `room` elements.
            let count =
                unsafe { sys::fuse_req_getgroups(self.as_ptr(), room, groups.as_mut_ptr()) };
            let Ok(count) = usize::try_from(count) else {
                return Err(io::Error::from_raw_os_error(-count));
            };
            let enough = count <= groups.len();
            groups.resize(count, 0);
            if enough {
                return Ok(groups);
            }
        }
    }

    /// `fuse_req_secctx_next()`, of all there are.
    pub(crate) fn security_contexts(&self) -> io::Result<Vec<SecurityContext>> {
        // SAFETY: the request is unanswered (invariant).
        let count = unsafe { sys::fuse3_req_secctx_count(self.as_ptr()) };
        if count < 0 {
            let why = "security contexts need libfuse 3.19, when the program is built, too";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        // SAFETY: as above.
        unsafe { sys::fuse3_req_secctx_reset(self.as_ptr()) };
        let next = |_| self.next_security_context();
        (0..count).map(next).collect()
    }

    fn next_security_context(&self) -> io::Result<SecurityContext> {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the request is unanswered (invariant), and the other arguments live.
        let result = unsafe {
            sys::fuse3_req_secctx_next(self.as_ptr(), &raw mut name, &raw mut value, &raw mut size)
        };
        let size = usize::try_from(size).unwrap_or(0);
        if result != 0 || name.is_null() || (value.is_null() && size > 0) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        // SAFETY: libfuse has looked for the NUL, and the name lives as long as the request.
        let name = unsafe { CStr::from_ptr(name) };
        let value = if size == 0 {
            &[]
        } else {
            // SAFETY: it has as many bytes, which live as long as the request.
            unsafe { slice::from_raw_parts(value.cast::<u8>(), size) }
        };
        Ok(SecurityContext {
            name: OsStr::from_bytes(name.to_bytes()).to_owned(),
            value: value.to_vec(),
        })
    }

    /// `fuse_req_get_payload()`: where the answer of a request over io_uring goes, which is its own until it is answered.
    ///
    /// `None` for one that came over the descriptor. The bytes are what an earlier request has left, or this one's arguments.
    pub(crate) fn payload(&self) -> Option<NonNull<[u8]>> {
        let req = self.as_ptr();
        let (mut payload, mut size) = (ptr::null_mut(), 0);
        // SAFETY: the request is unanswered (invariant); null is allowed where the registration is not wanted.
        let result = unsafe {
            sys::fuse_req_get_payload(req, &raw mut payload, &raw mut size, ptr::null_mut())
        };
        let payload = NonNull::new(payload.cast::<u8>()).filter(|_| result == 0)?;
        Some(NonNull::slice_from_raw_parts(payload, size))
    }

    /// What is known of the signals of the caller: `fuse_req_interrupted()`, and which count.
    pub(crate) fn standing(&self, watch: &Watch) -> Standing {
        let is_silent = self.is_uring();
        // SAFETY: the request is unanswered and exists (invariants).
        let has_come = || unsafe { sys::fuse_req_interrupted(self.as_ptr()) != 0 };
        let interrupts = self.attached.as_ref().and_then(|it| it.interrupts.as_ref());
        let by = interrupts.map(|interrupts| interrupts.by());
        Standing {
            by: by.unwrap_or(watch.by),
            has_come: !is_silent && has_come(),
            is_silent,
            caller: self.caller().pid,
        }
    }

    /// `fuse_req_interrupt_func()`, the first time.
    pub(crate) fn interrupts(&mut self, watch: &Arc<Watch>) -> &Arc<Interrupts> {
        let (req, standing) = (self.as_ptr(), self.standing(watch));
        let attached = self.attached.get_or_insert_default();
        attached.interrupts.get_or_insert_with(|| {
            let interrupts = Interrupts::new(watch, standing);
            if standing.is_silent {
                interrupts.weigh(|_| ());
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
        let interrupts = self.attached.as_mut()?.interrupts.take()?;
        if !self.is_uring() {
            // SAFETY: the request is unanswered and exists (invariants). The callback holds the lock that this waits for, but
            // never gets here: it calls nothing of the application's.
            unsafe { sys::fuse_req_interrupt_func(self.as_ptr(), None, ptr::null_mut()) };
        }
        Some(interrupts)
    }

    /// From now on an answer is told to observers.
    pub(crate) fn observe(&mut self, record: Record) {
        self.attached.get_or_insert_default().record = Some(record);
    }

    /// Of a request that is observed.
    pub(crate) fn record(&mut self) -> Option<&mut Record> {
        self.attached.as_mut()?.record.as_mut()
    }

    /// What comes of it is told by whoever has the result.
    pub(crate) fn take_record(&mut self) -> Option<Record> {
        self.attached.as_mut()?.record.take()
    }

    /// Before an answer: nothing is called back any more, and observers know that the handler has returned.
    fn detach(&mut self) -> Option<Record> {
        if let Some(interrupts) = self.forget_interrupts() {
            discard(interrupts.take());
        }
        let mut record = self.attached.take()?.record?;
        if let Some(handled) = record.stop() {
            handled.tell(false);
        }
        Some(record)
    }

    /// Has `send` answer, which is given the request unanswered and spent, and calls one of `fuse_reply_*`. `errno` is what that
    /// says.
    #[inline(always)]
    pub(crate) fn answer(
        self,
        errno: Option<Errno>,
        send: impl FnOnce(sys::fuse_req_t) -> c_int,
    ) -> Sent {
        if self.attached.is_some() {
            return self.answer_attached(errno, send);
        }
        NotTaken::sent(send(self.spend()))
    }

    #[cold]
    fn answer_attached(
        mut self,
        errno: Option<Errno>,
        send: impl FnOnce(sys::fuse_req_t) -> c_int,
    ) -> Sent {
        let record = self.detach();
        let sent = NotTaken::sent(send(self.spend()));
        if let Some(record) = record {
            record.ended(errno, sent.is_ok());
        }
        sent
    }

    /// Nothing is attached to it.
    #[inline(always)]
    fn spend(self) -> sys::fuse_req_t {
        let req = self.as_ptr();
        // Nothing is left in it that wants to be dropped.
        mem::forget(self);
        req
    }

    /// The request is gone already, or is somebody else's. Observers hear of it as answered with `errno`.
    pub(crate) fn abandon(mut self, errno: Option<Errno>) {
        let attached = self.attached.take().map(|attached| *attached);
        mem::forget(self);
        let Attached { interrupts, record } = attached.unwrap_or_default();
        discard(interrupts.map(|interrupts| interrupts.take()));
        if let Some(record) = record {
            record.ended(errno, true);
        }
    }

    /// `fuse_reply_err()`.
    #[inline]
    pub(crate) fn err(self, errno: Errno) -> Sent {
        // SAFETY: `answer` spends the request, which was unanswered (invariant).
        self.answer(Some(errno), |req| unsafe {
            sys::fuse_reply_err(req, errno.raw())
        })
    }

    /// `fuse_reply_none()`: of `forget`, which has no answer; frees any other request without one. Observers hear of `errno`.
    pub(crate) fn none(self, errno: Option<Errno>) {
        // It returns nothing, and nobody takes it.
        let _ = self.answer(errno, |req| {
            // SAFETY: `answer` spends the request, which was unanswered (invariant).
            unsafe { sys::fuse_reply_none(req) };
            0
        });
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            crate::base::log::warn!("a request was dropped without an answer; its caller gets EIO");
        }
        let record = self.detach();
        // SAFETY: the request was unanswered (invariant), and this value is gone after it.
        let result = unsafe { sys::fuse_reply_err(self.as_ptr(), Errno::EIO.raw()) };
        if let Some(record) = record {
            record.ended(Some(Errno::EIO), result == 0);
        }
    }
}
