use std::ffi::{CStr, OsStr, c_int};
use std::io;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

use crate::base::panic::discard;
use crate::conn::interrupt::{Interrupts, interrupted};
use crate::conn::ring::Ring;
use crate::dispatch::context::SecurityContext;
use crate::sys;
use crate::types::{errno::Errno, ioctl::CallerMemory, opened::Opened};

/// A request that has not been answered: the only owner of its `fuse_req_t`.
///
/// # Invariants
///
/// The pointer is of a request that libfuse gave to a handler and that has not been answered. Each answer takes the
/// value, since libfuse frees the request in each `fuse_reply_*`, when that returns an error too. Dropped unanswered, it
/// answers EIO, so that no client waits for ever.
///
/// An answer returns 0, or the negative errno of the write to the kernel; -ENOENT when the client was interrupted and
/// nobody takes the answer any more.
///
/// `interrupts` is what libfuse was given to call back with, if it was. It is unregistered before the answer, which waits
/// for a call that is under way: libfuse would otherwise use it after it is gone. Over io_uring, where no interrupts come, it
/// is not registered.
///
/// `ring` is that of a request that came over io_uring. Outside of its handler, the request is there while the ring is
/// ([`while_there`](Self::while_there)).
#[derive(Debug)]
pub struct Request {
    req: NonNull<sys::fuse_req>,
    interrupts: Option<Arc<Interrupts>>,
    ring: Option<Arc<Ring>>,
}

// SAFETY: libfuse allows that a request is answered from any thread; it locks its session for that.
unsafe impl Send for Request {}

/// What the reply functions return.
pub(crate) type Sent = Result<(), NotTaken>;

/// The kernel did not take an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotTaken(pub(crate) c_int);

#[inline]
fn sent(result: c_int) -> Sent {
    if result == 0 {
        Ok(())
    } else {
        Err(NotTaken(result))
    }
}

impl Request {
    /// # Safety
    ///
    /// `req` came from libfuse as argument of a handler, and nobody else answers it.
    #[inline]
    pub(crate) unsafe fn take(req: sys::fuse_req_t) -> Self {
        // SAFETY: libfuse passes the request that it has just allocated, never null.
        let req = unsafe { NonNull::new_unchecked(req) };
        // SAFETY: the caller promises that it is a request without an answer.
        let is_uring = unsafe { sys::fuse_req_is_uring(req.as_ptr()) };
        Self {
            req,
            interrupts: None,
            ring: is_uring.then(Ring::here),
        }
    }

    /// `fuse_req_is_uring()`.
    pub(crate) fn is_uring(&self) -> bool {
        self.ring.is_some()
    }

    /// Outside of the handler: answers it with `send`; `None` when the request is gone, and nobody waits for an answer.
    pub(crate) fn while_there(self, send: impl FnOnce(Self) -> Sent + Send) -> Option<Sent> {
        let Some(ring) = self.ring.clone() else {
            return Some(send(self));
        };
        let mut request = Some(self);
        let sent = ring.while_there(|| request.take().map(send)).flatten();
        if let Some(request) = request {
            request.abandon();
        }
        sent
    }

    /// The session has ended, and its descriptor is closed: frees the request without an answer.
    pub(crate) fn outlived(self) {
        if self.is_uring() {
            self.abandon();
        } else {
            self.none();
        }
    }

    /// The request is gone already.
    pub(crate) fn abandon(mut self) {
        let gone = (self.ring.take(), self.interrupts.take());
        mem::forget(self);
        if let (_, Some(interrupts)) = gone {
            discard(interrupts.take());
        }
    }

    /// The request itself, for what does not answer it.
    #[inline]
    pub(crate) fn as_ptr(&self) -> sys::fuse_req_t {
        self.req.as_ptr()
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

    /// `fuse_req_interrupted()`.
    pub(crate) fn is_interrupted(&self) -> bool {
        // SAFETY: the request is unanswered (invariant), and there: its ring might be gone.
        !self.is_uring() && unsafe { sys::fuse_req_interrupted(self.as_ptr()) != 0 }
    }

    /// `fuse_req_interrupt_func()`, the first time.
    pub(crate) fn interrupts(&mut self) -> &Interrupts {
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

    /// Gives up the duty to answer.
    #[inline]
    fn spend(self) -> sys::fuse_req_t {
        self.into_raw().0.as_ptr()
    }

    /// The same, with what tells whether the request is there: for [`from_raw`](Self::from_raw).
    #[inline]
    pub(crate) fn into_raw(mut self) -> (NonNull<sys::fuse_req>, Option<Arc<Ring>>) {
        self.unregister();
        let raw = (self.req, self.ring.take());
        // Nothing is left in it that wants to be dropped.
        mem::forget(self);
        raw
    }

    /// # Safety
    ///
    /// [`into_raw`](Self::into_raw) returned both, the request has not been answered, and nobody else answers it.
    pub(crate) unsafe fn from_raw(req: NonNull<sys::fuse_req>, ring: Option<Arc<Ring>>) -> Self {
        Self {
            req,
            interrupts: None,
            ring,
        }
    }

    /// That of a request that came over io_uring.
    pub(crate) fn ring(&self) -> Option<&Arc<Ring>> {
        self.ring.as_ref()
    }

    /// From now on libfuse does not call back, and nothing is started any more.
    #[inline]
    fn unregister(&mut self) {
        if let Some(interrupts) = self.interrupts.take() {
            unregister((!self.is_uring()).then_some(self.as_ptr()), &interrupts);
        }
    }

    #[inline]
    pub(crate) fn err(self, errno: Errno) -> Sent {
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent.
        sent(unsafe { sys::fuse_reply_err(req, errno.raw()) })
    }

    /// `fuse_reply_err(req, 0)`: done, with nothing to say.
    #[inline]
    pub(crate) fn ok(self) -> Sent {
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent.
        sent(unsafe { sys::fuse_reply_err(req, 0) })
    }

    /// Of `forget`, which has no answer; frees any other request without one.
    pub(crate) fn none(self) {
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent.
        unsafe { sys::fuse_reply_none(req) };
    }

    #[inline]
    pub(crate) fn entry(self, entry: &sys::fuse_entry_param) -> Sent {
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent; `entry` lives.
        sent(unsafe { sys::fuse_reply_entry(req, entry) })
    }

    pub(crate) fn create(self, entry: &sys::fuse_entry_param, opened: Opened) -> Sent {
        let fi = opened.to_file_info();
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent; `entry` and `fi` live.
        sent(unsafe { sys::fuse_reply_create(req, entry, &raw const fi) })
    }

    #[inline]
    pub(crate) fn attr(self, attr: &libc::stat, timeout: f64) -> Sent {
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent; `attr` lives.
        sent(unsafe { sys::fuse_reply_attr(req, attr, timeout) })
    }

    pub(crate) fn readlink(self, target: &CStr) -> Sent {
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent; `target` lives.
        sent(unsafe { sys::fuse_reply_readlink(req, target.as_ptr()) })
    }

    #[inline]
    pub(crate) fn open(self, opened: Opened) -> Sent {
        let fi = opened.to_file_info();
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent; `fi` lives.
        sent(unsafe { sys::fuse_reply_open(req, &raw const fi) })
    }

    #[inline]
    pub(crate) fn write(self, count: usize) -> Sent {
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent.
        sent(unsafe { sys::fuse_reply_write(req, count) })
    }

    #[inline]
    pub(crate) fn buf(self, data: &[u8]) -> Sent {
        let start = if data.is_empty() {
            ptr::null()
        } else {
            data.as_ptr().cast()
        };
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent; `start` points to `data.len()` bytes.
        sent(unsafe { sys::fuse_reply_buf(req, start, data.len()) })
    }

    /// The slices, one after the other; at most 1000 of them.
    pub(crate) fn slices(self, slices: &[&[u8]]) -> Sent {
        let iov: Vec<_> = slices
            .iter()
            .map(|slice| libc::iovec {
                iov_base: slice.as_ptr().cast_mut().cast(),
                iov_len: slice.len(),
            })
            .collect();
        let count = c_int::try_from(iov.len()).unwrap_or(c_int::MAX);
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent; `iov` has `count` elements, which libfuse reads from.
        sent(unsafe { sys::fuse_reply_iov(req, iov.as_ptr(), count) })
    }

    /// The buffers that the first element of `bufs` has, in memory and in files; the other elements are room for them.
    ///
    /// When they cannot be read, libfuse answers that error. They are spliced where it was asked for.
    pub(crate) fn data(self, bufs: &mut [sys::fuse_bufvec]) -> Sent {
        // Without effect unless it was asked for in `init`.
        let flags = sys::fuse_buf_copy_flags_FUSE_BUF_SPLICE_MOVE;
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent; `bufs` is valid for what its `count` says, and what it
        // points to lives.
        sent(unsafe { sys::fuse_reply_data(req, bufs.as_mut_ptr(), flags) })
    }

    /// `fuse_req_get_payload()`: where the answer of a request over io_uring goes, which is its own until it is answered.
    ///
    /// `None` for one that came over the descriptor. The bytes are what an earlier request has left.
    pub(crate) fn payload(&self) -> Option<NonNull<[u8]>> {
        let mut payload = ptr::null_mut();
        let mut size = 0;
        // SAFETY: the request is unanswered (invariant); null is allowed where the registration is not wanted.
        let result = unsafe {
            sys::fuse_req_get_payload(
                self.as_ptr(),
                &raw mut payload,
                &raw mut size,
                ptr::null_mut(),
            )
        };
        let payload = NonNull::new(payload.cast::<u8>()).filter(|_| result == 0)?;
        Some(NonNull::slice_from_raw_parts(payload, size))
    }

    pub(crate) fn statfs(self, stat: &libc::statvfs) -> Sent {
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent; `stat` lives.
        sent(unsafe { sys::fuse_reply_statfs(req, stat) })
    }

    pub(crate) fn lock(self, lock: &libc::flock) -> Sent {
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent; `lock` lives.
        sent(unsafe { sys::fuse_reply_lock(req, lock) })
    }

    pub(crate) fn bmap(self, block: u64) -> Sent {
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent.
        sent(unsafe { sys::fuse_reply_bmap(req, block) })
    }

    pub(crate) fn ioctl(self, result: c_int, data: &[u8]) -> Sent {
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent; `data` lives, and is not read when it is empty.
        sent(unsafe { sys::fuse_reply_ioctl(req, result, data.as_ptr().cast(), data.len()) })
    }

    /// At most 256 parts.
    pub(crate) fn ioctl_retry(self, input: &[CallerMemory], output: &[CallerMemory]) -> Sent {
        let iov = |parts: &[CallerMemory]| -> Vec<_> {
            let to_iovec = |part: &CallerMemory| libc::iovec {
                // As wide as the pointers of whoever may call: the kernel has one like this program's.
                iov_base: ptr::without_provenance_mut(
                    usize::try_from(part.address).unwrap_or(usize::MAX),
                ),
                iov_len: part.length,
            };
            parts.iter().map(to_iovec).collect()
        };
        let (input, output) = (iov(input), iov(output));
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent; both vectors have as many elements, which libfuse
        // reads. What these point to is not touched.
        sent(unsafe {
            sys::fuse_reply_ioctl_retry(
                req,
                input.as_ptr(),
                input.len(),
                output.as_ptr(),
                output.len(),
            )
        })
    }

    pub(crate) fn poll(self, events: u32) -> Sent {
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent.
        sent(unsafe { sys::fuse_reply_poll(req, events) })
    }

    pub(crate) fn lseek(self, offset: i64) -> Sent {
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent.
        sent(unsafe { sys::fuse_reply_lseek(req, offset) })
    }

    pub(crate) fn statx(self, statx: &mut libc::statx, timeout: f64) -> Sent {
        let statx: *mut libc::statx = statx;
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent; `statx` lives, and is what the shim expects.
        sent(unsafe { sys::fuse3_reply_statx(req, 0, statx.cast(), timeout) })
    }

    /// How long an extended attribute or the list of them is.
    pub(crate) fn xattr(self, length: usize) -> Sent {
        let req = self.spend();
        // SAFETY: the request was unanswered (invariant) and is spent.
        sent(unsafe { sys::fuse_reply_xattr(req, length) })
    }
}

/// `None` is for a request that they were not registered for.
#[cold]
fn unregister(req: Option<sys::fuse_req_t>, interrupts: &Interrupts) {
    if let Some(req) = req {
        // SAFETY: the request of `req` is unanswered; this is never called from the callback, which holds the same lock,
        // and runs nothing that might answer.
        unsafe { sys::fuse_req_interrupt_func(req, None, ptr::null_mut()) };
    }
    discard(interrupts.take());
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
