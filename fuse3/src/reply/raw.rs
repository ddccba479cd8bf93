use std::ffi::c_int;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::conn::{conn::Conn, pending::Ticket};
use crate::reply::{answer::Asked, deferred::Reply};
use crate::sys;

/// A request that C code is to answer: its `fuse_req_t`, and what keeps the session open until it has.
///
/// [`Reply::into_raw`] makes one. From then on the duty to answer is C's. The library does not answer any more, not EIO
/// either, and what the reply's [`on_interrupt`](Reply::on_interrupt) had registered is not called any more; C code may register
/// its own.
///
/// # What C code does with the request
///
/// - One call of a `fuse_reply_*()` that fits the operation, which frees the request, whatever it returns; or
///   `fuse_reply_none()`, which frees it and leaves the client waiting until the file system is unmounted. None of them twice,
///   and nothing with the request after it.
/// - From any thread; but over io_uring ([`Context::is_uring`](crate::Context::is_uring)) in the handler, or from a thread that
///   lasts as long as the session: the kernel takes back what a thread has submitted, when that ends.
/// - Over io_uring, the answer may overwrite what the handler of the request borrows: not before that has used its arguments for
///   the last time.
/// - While this value lives. It need not live long after: drop it, or call [`answered`](Self::answered), once C code has
///   answered.
/// - What an answer gives out (a lookup count, a handle) that the kernel does not take, which is a result below 0, is C's to take
///   back; the library calls neither `forget` nor `release` for it.
///
/// A handler that has C code answer before it returns does so with the lock held, unless it does so in
/// [`released`](crate::Locked::released).
///
/// # The end of the session
///
/// The session's descriptor stays open, and [`Session::run`](crate::Session::run) does not return, while there is one: as
/// with handlers that have not returned. So C code that keeps requests has to be told of the end. Who brings it about may be a
/// signal, a panic or `umount -f`, which tell nobody: a thread of the program looks at [`Handle::is_ending`](crate::Handle::is_ending)
/// from time to time, and has C code answer what it keeps, and at once whatever comes later.
///
/// Forgotten (`mem::forget`), it keeps the session from ending. Dropped while C code has not answered and never will, the client
/// waits until the file system is unmounted; [`take_back`](Self::take_back) is for that.
#[must_use = "the session does not know that C code answers when it is dropped"]
pub struct RawReply<T> {
    req: NonNull<sys::fuse_req>,
    /// `None` once it was taken back.
    ticket: Option<Ticket>,
    asked: Asked,
    conn: Arc<Conn>,
    answer: PhantomData<fn(T)>,
}

// SAFETY: libfuse allows that a request is answered from any thread (`Request`); nothing here uses the pointer. It is not `Sync`: who has
// the pointer from `as_ptr` answers, which two threads must not.
unsafe impl<T> Send for RawReply<T> {}

impl<T> RawReply<T> {
    /// `conn` has lent `req`, which has `ticket`.
    pub(super) fn new(
        req: NonNull<sys::fuse_req>,
        ticket: Ticket,
        asked: Asked,
        conn: Arc<Conn>,
    ) -> Self {
        Self {
            req,
            ticket: Some(ticket),
            asked,
            conn,
            answer: PhantomData,
        }
    }

    /// The request, for C code, to be answered once and while this value lives.
    pub fn as_ptr(&self) -> sys::fuse_req_t {
        self.req.as_ptr()
    }

    /// C code has answered, and this is what its `fuse_reply_*()` returned.
    ///
    /// A result below 0 says that the kernel did not take the answer, mostly since the client was interrupted (ENOENT):
    /// it counts in [`SessionStats::not_taken`](crate::session::SessionStats::not_taken).
    pub fn answered(self, result: c_int) {
        if result < 0 {
            self.conn.counters().not_taken();
        }
    }

    /// C code does not want it: the duty to answer is back.
    ///
    /// # Safety
    ///
    /// C code has not answered the request, has nothing registered by `fuse_req_interrupt_func()` for it, and does not use it
    /// any more.
    pub unsafe fn take_back(mut self) -> Reply<T> {
        let ticket = self.ticket.take();
        if let Some(ticket) = ticket {
            self.conn.returned(ticket, false);
        }
        Reply::new(ticket, self.asked, Arc::clone(&self.conn))
    }
}

impl<T> Drop for RawReply<T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.conn.returned(ticket, true);
        }
    }
}

impl<T> fmt::Debug for RawReply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawReply")
            .field("req", &self.req)
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}
