use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::base::{log, panic::discard};
use crate::conn::{conn::Conn, pending::Ticket};
use crate::reply::answer::{Answer, Asked, Unanswered};
use crate::reply::{deliver::deliver, payload::Payload, raw::RawReply};
use crate::types::errno::Errno;

/// The duty to answer a request, taken away from its handler by [`Context::defer`](crate::Context::defer).
///
/// It may be sent from any thread, at any time, with any lock held. Dropped, it answers EIO. After the session has ended nothing is
/// sent, since nobody waits any more; and it keeps nothing of the session alive, so that a file system may keep its replies in its
/// own state.
pub struct Reply<T> {
    ticket: Option<Ticket>,
    asked: Asked,
    conn: Arc<Conn>,
    answer: PhantomData<fn(T)>,
}

impl<T: Payload + 'static> Reply<T> {
    /// Sends the answer, or an error.
    ///
    /// This waits for no handler, and returns nothing: the answer may leave later. Inside of the request's own handler,
    /// and from another thread while that runs, it leaves when the handler has returned, since it may overwrite what the handler
    /// borrows (a name, or the data of a write). Over io_uring ([`Context::is_uring`](crate::Context::is_uring)) a thread of the
    /// library's sends it.
    ///
    /// When the caller was interrupted and the kernel does not take the answer, what it gave out is taken back as for any handler:
    /// `forget`, `release` or `releasedir` is called under the lock, on the thread that sends it, or on another one if that holds
    /// the lock.
    ///
    /// An answer that says [`Deferred`] is that of another request: the caller gets EIO.
    pub fn send(mut self, answer: Answer<T>) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        if let Err(Unanswered::Deferred(_)) = answer {
            log::error!(
                "a reply was sent the deferred answer of another request; its caller gets EIO"
            );
        }
        let (conn, mut asked) = (Arc::clone(&self.conn), self.asked);
        self.conn.answer(ticket, move |request, by_worker| {
            asked.may_splice = by_worker;
            deliver(&conn, request, &asked, answer);
        });
    }
}

impl<T> Reply<T> {
    /// `None` for one that was answered.
    pub(crate) fn new(ticket: Option<Ticket>, asked: Asked, conn: Arc<Conn>) -> Self {
        Self {
            ticket,
            asked,
            conn,
            answer: PhantomData,
        }
    }

    /// Hands the duty to answer over to C code, which calls one of `fuse_reply_*()` with the request.
    ///
    /// `None` when it is too late, since the session unmounts as soon as the last [`RawReply`] is gone, or has ended. The caller
    /// gets EIO if it still waits.
    pub fn into_raw(mut self) -> Option<RawReply<T>> {
        let ticket = self.ticket.take()?;
        let Some(req) = self.conn.lend(ticket) else {
            refuse(&self.conn, ticket);
            return None;
        };
        let conn = Arc::clone(&self.conn);
        Some(RawReply::new(req, ticket, self.asked, conn))
    }

    /// `fuse_req_interrupted()`, as [`Context::interrupted`](crate::Context::interrupted): the caller was sent a signal that
    /// [counts](crate::session::Interruption), and EINTR is what it expects. It is true as well once the session was told to end, or
    /// its connection is gone.
    pub fn interrupted(&self) -> bool {
        self.ticket
            .is_some_and(|ticket| self.conn.is_interrupted(ticket))
    }

    /// `fuse_req_interrupt_func()`: runs `f` when the caller is interrupted by a signal that [counts](crate::session::Interruption), or
    /// immediately if it has been, as [`Context::on_interrupt`](crate::Context::on_interrupt).
    ///
    /// The end of the session is no interrupt.
    ///
    /// `f` runs on a thread of its own, at most once, and is not started once the request is answered; if it was started before, it may
    /// go on beside and after the answer. It may take locks, and it may answer: whoever takes the reply out of where it is kept sends
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
    ///     // `f` may run immediately: it waits until the reply is in its place.
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
        let interrupts = self.ticket.and_then(|ticket| self.conn.interrupts(ticket));
        if let Some(interrupts) = interrupts {
            discard(interrupts.set(self.conn.callback(f)));
        }
    }

    /// The interrupt has come.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_told(&self) -> bool {
        let interrupts = self.ticket.and_then(|ticket| self.conn.interrupts(ticket));
        interrupts.is_some_and(|interrupts| interrupts.is_told())
    }
}

/// Answers EIO.
fn refuse(conn: &Conn, ticket: Ticket) {
    // Whether the caller takes the EIO or is gone makes no difference.
    conn.answer(ticket, |request, _| {
        let _ = request.err(Errno::EIO);
    });
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            log::warn!("a deferred reply was dropped without an answer; its caller gets EIO");
            refuse(&self.conn, ticket);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::{interruption::Interruption, panics::OnPanic};
    use crate::types::ino::Ino;

    #[test]
    fn a_reply_says_what_was_asked() {
        let conn = Conn::new(OnPanic::Continue, Interruption::Never);
        let reply = Reply::<()>::new(None, Asked::of(Ino(5)), conn);
        assert!(format!("{reply:?}").starts_with("Reply { asked: Asked { ino: Ino(5)"));
    }
}
