//! The one way out for an answer.

use crate::conn::{conn::Conn, request::Request, undo::Undo};
use crate::reply::answer::{Answer, Asked, Unanswered};
use crate::reply::payload::Payload;

/// Sends an answer, and takes back what it gave out when the kernel does not take it.
///
/// Whoever calls this runs no handler of the request any more, and has nothing that the request lent to one. What an answer is
/// made of is the application's: a panic of it is the caller's to catch. The answer is dropped in the same place.
#[inline(always)]
pub(crate) fn send<T: Payload>(conn: &Conn, request: Request, asked: &Asked, answer: &Answer<T>) {
    match answer {
        Ok(payload) => {
            if payload.send(request, asked).is_err() {
                take_back(conn, payload.undo(asked));
            }
        }
        // An error that is not taken leaves nothing to undo.
        Err(Unanswered::Errno(errno)) => {
            let _ = request.err(*errno);
        }
        // It is of another request; this one still wants its answer, which is EIO.
        Err(Unanswered::Deferred(_)) => drop(request),
    }
}

/// The same, of an answer that was taken away from its handler. It is dropped here, and what panics is caught here.
pub(crate) fn deliver<T: Payload>(conn: &Conn, request: Request, asked: &Asked, answer: Answer<T>) {
    conn.guarded(&"an answer", move || send(conn, request, asked, &answer));
}

/// Nobody waits for an answer: takes back what it gave out, as if the kernel had not taken it.
#[cold]
pub(crate) fn revoke<T: Payload>(conn: &Conn, asked: &Asked, answer: &Answer<T>) {
    if let Ok(payload) = answer {
        take_back(conn, payload.undo(asked));
    }
}

/// The kernel did not take an answer that has given out this.
#[cold]
fn take_back(conn: &Conn, undo: Undo) {
    conn.counters().not_taken();
    if let (Some(host), false) = (conn.host(), undo.is_nothing()) {
        host.undo(undo);
    }
}
