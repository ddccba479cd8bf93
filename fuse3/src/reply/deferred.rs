use std::any::Any;
use std::ffi::c_int;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::base::panic::discard;
use crate::conn::interrupt::Callback;
use crate::conn::request::{Request, Sent};
use crate::reply::answer::{Asked, Payload, Undo};
use crate::reply::{
    answer::{Answer, Unanswered},
    raw::RawReply,
};
use crate::types::errno::Errno;

/// A session that an answer outlives a handler for.
pub(crate) trait Outlived: Send + Sync {
    /// Runs `send` with the session's descriptor open, or returns false when the session has ended.
    fn while_open(&self, send: &mut dyn FnMut()) -> bool;

    /// Runs a function of the file system. A panic of it is counted, and by policy ends the session.
    fn run(&self, callback: Box<dyn FnOnce() + Send>);

    /// Code of the file system, called so in the log, panicked with `payload`: it is counted, and by policy ends the session.
    fn panicked(&self, what: &'static str, payload: Box<dyn Any + Send>);

    /// The session's descriptor, to be used while it is open.
    fn descriptor(&self) -> c_int;

    /// Takes back what an answer gave out that was not taken.
    fn undo(self: Arc<Self>, undo: Undo);

    /// From now on the session does not end, until [`returned`](Self::returned) is called as often; false when it is too late.
    fn lend(&self) -> bool;

    /// C code has answered, or does not any more.
    fn returned(&self);

    /// Counts an answer of C code that was not taken.
    fn not_taken(&self);
}

/// The duty to answer a request, taken away from its handler by [`Context::defer`](crate::Context::defer).
///
/// It may be sent from any thread, at any time. Over io_uring, a thread of the library's sends it, which this one waits for.
/// Dropped, it answers EIO. After the session has ended nothing is sent, since
/// nobody waits any more. It keeps the memory of libfuse's session alive, and until the end the file system and its lock,
/// so that a file system may keep its replies in its own state. Those that are left at the end can be dropped in
/// [`destroy`](crate::Filesystem::destroy), or go with the state; [`clone_fd`](crate::Builder::clone_fd) says why the former
/// is better.
pub struct Reply<T> {
    request: Option<Request>,
    asked: Asked,
    session: Arc<dyn Outlived>,
    answer: PhantomData<fn(T)>,
}

impl<T: Payload> Reply<T> {
    pub(crate) fn new(request: Request, asked: Asked, session: Arc<dyn Outlived>) -> Self {
        Self {
            request: Some(request),
            asked,
            session,
            answer: PhantomData,
        }
    }

    /// Sends the answer, an error, or nothing when `answer` has been deferred once more.
    ///
    /// When the caller was interrupted and the kernel does not take the answer, what it gave out is
    /// taken back as for any handler: `forget`, `release` or `releasedir` is called under the lock,
    /// on this thread, or on another one while this one holds the lock.
    pub fn send(mut self, answer: Answer<T>) {
        let asked = self.asked;
        match answer {
            Ok(payload) => {
                let sent = self.answer_with(|request| payload.send(request, asked));
                // Where the session has ended, nobody is told to forget any more.
                if let Some(Err(_)) = sent {
                    Arc::clone(&self.session).undo(payload.undo(asked));
                }
            }
            Err(Unanswered::Errno(errno)) => {
                // An error that is not taken leaves nothing to undo.
                self.answer_with(|request| request.err(errno));
            }
            // That other reply is of another request; this one still wants its answer, which is EIO by `drop`.
            Err(Unanswered::Deferred(_)) => {}
        }
    }

    /// Hands the duty to answer over to C code, which calls one of `fuse_reply_*()` with the request.
    ///
    /// `None` when it is too late, since the session unmounts as soon as the last [`RawReply`] is gone, or has ended. Who waits
    /// yet gets EIO.
    pub fn into_raw(mut self) -> Option<RawReply<T>> {
        let request = self.request.take()?;
        match RawReply::lend(request, self.asked, Arc::clone(&self.session)) {
            Ok(raw) => Some(raw),
            Err(request) => {
                self.request = Some(request);
                // Whether the caller takes the EIO or is gone makes no difference.
                let _ = self.answer_with(|request| request.err(Errno::EIO));
                None
            }
        }
    }
}

impl<T> Reply<T> {
    /// `fuse_req_interrupted()`: the caller was sent a signal and waits only for this answer, as
    /// [`Context::interrupted`](crate::Context::interrupted). EINTR is what it expects.
    ///
    /// The end of the session is no interrupt.
    pub fn interrupted(&self) -> bool {
        self.request.as_ref().is_some_and(Request::is_interrupted)
    }

    /// `fuse_req_interrupt_func()`: runs `f` when the caller is interrupted, or now if it has been, as
    /// [`Context::on_interrupt`](crate::Context::on_interrupt).
    ///
    /// `f` runs on a thread of its own, at most once, and not after the answer; if it has begun before, it may go on
    /// beside and after it. It may take locks, and it may answer: whoever takes the reply out of where it is kept sends
    /// it. What `f` has captured is dropped before the answer is sent, when it did not run.
    ///
    /// A lock that is waited for, with F_SETLKW for instance; a `Weak`, lest the reply and its own callback keep each
    /// other alive:
    ///
    /// ```
    /// # use fuse3::{Errno, Reply};
    /// # use std::collections::HashMap;
    /// # use std::sync::{Arc, Mutex};
    /// type Waiting = Mutex<HashMap<u64, Reply<()>>>;
    ///
    /// fn queue(waiting: &Arc<Waiting>, number: u64, mut reply: Reply<()>) {
    ///     // `f` may run at once: it waits until the reply is in its place.
    ///     let mut replies = waiting.lock().unwrap();
    ///     let weak = Arc::downgrade(waiting);
    ///     reply.on_interrupt(move || {
    ///         let Some(waiting) = weak.upgrade() else { return };
    ///         let reply = waiting.lock().unwrap().remove(&number);
    ///         if let Some(reply) = reply {
    ///             reply.send(Err(Errno::EINTR.into())); // it was not granted meanwhile
    ///         }
    ///     });
    ///     replies.insert(number, reply);
    /// }
    /// ```
    pub fn on_interrupt(&mut self, f: impl FnOnce() + Send + 'static) {
        if let Some(request) = &mut self.request {
            let callback = Callback::new(f, Arc::clone(&self.session));
            discard(request.interrupts().set(callback));
        }
    }

    /// The same, of a future that is to be told: at once, when the interrupt has come before.
    #[cfg(feature = "tokio")]
    pub(crate) fn on_interrupt_cancel(&mut self, cancel: &Arc<crate::tasks::cancel::Cancel>) {
        let its = Arc::clone(cancel);
        self.on_interrupt(move || its.cancel(Errno::EINTR));
        if let Some(request) = &mut self.request {
            if request.interrupts().is_told() {
                cancel.cancel(Errno::EINTR);
            }
        }
    }

    /// `None` when the session has ended.
    fn answer_with(&mut self, send: impl FnOnce(Request) -> Sent + Send) -> Option<Sent> {
        let (mut request, mut send, mut sent) = (self.request.take(), Some(send), None);
        let open = self.session.while_open(&mut || {
            if let (Some(request), Some(send)) = (request.take(), send.take()) {
                sent = request.while_there(send);
            }
        });
        if let (false, Some(request)) = (open, request) {
            request.outlived();
        }
        sent
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if self.request.is_some() {
            crate::base::log::warn!(
                "a deferred reply was dropped without an answer; its caller gets EIO"
            );
            // Whether the caller takes the EIO or is gone makes no difference.
            let _ = self.answer_with(|request| request.err(Errno::EIO));
        }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

/// The proof that an answer of type `T` has been taken away, which the handler returns in place of one.
///
/// Only [`Context::defer`](crate::Context::defer) makes one.
pub struct Deferred<T>(PhantomData<fn() -> T>);

impl<T> Deferred<T> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> fmt::Debug for Deferred<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deferred")
    }
}
