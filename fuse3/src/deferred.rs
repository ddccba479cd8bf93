use std::ffi::c_int;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::answer::{Asked, Payload, Undo};
use crate::request::{Request, Sent};
use crate::{Answer, Errno, Unanswered};

/// A session that an answer outlives a handler for.
pub(crate) trait Outlived: Send + Sync {
    /// Runs `send` with the session's descriptor open, or returns false when the session has ended.
    fn while_open(&self, send: &mut dyn FnMut()) -> bool;

    /// The session's descriptor, to be used while it is open.
    fn descriptor(&self) -> c_int;

    /// Takes back what an answer gave out that was not taken.
    fn undo(self: Arc<Self>, undo: Undo);
}

/// The duty to answer a request, taken away from its handler by [`Context::defer`](crate::Context::defer).
///
/// It may be sent from any thread, at any time. Dropped, it answers EIO. It keeps the memory of the session alive; after
/// the session has ended nothing is sent, since nobody waits any more.
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
}

impl<T> Reply<T> {
    /// `None` when the session has ended.
    fn answer_with(&mut self, send: impl FnOnce(Request) -> Sent) -> Option<Sent> {
        let (mut request, mut send, mut sent) = (self.request.take(), Some(send), None);
        let open = self.session.while_open(&mut || {
            if let (Some(request), Some(send)) = (request.take(), send.take()) {
                sent = Some(send(request));
            }
        });
        if let (false, Some(request)) = (open, request) {
            // Frees the request without touching the descriptor, which is closed.
            request.none();
        }
        sent
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if self.request.is_some() {
            crate::log::warn!(
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
