//! The one way out for an answer.

use crate::base::panic::discard;
use crate::conn::conn::Conn;
use crate::conn::request::{Request, Sent};
use crate::conn::undo::Undo;
use crate::reply::answer::{Answer, Asked, Unanswered};
use crate::reply::payload::Payload;

/// Sends an answer, takes back what it gave out when the kernel does not take it, and drops it.
///
/// Whoever calls this runs no handler of the request any more, and has nothing that the request lent to one. What an answer is
/// made of is the application's: a panic of it ends here, and so does one of its destructor.
#[inline]
pub(crate) fn deliver<T: Payload>(conn: &Conn, request: Request, asked: Asked, answer: Answer<T>) {
    match answer {
        Ok(payload) => {
            if !std::mem::needs_drop::<T>() {
                // Plain values: nothing of the application's runs.
                if payload.send(request, asked).is_err() {
                    take_back(conn, payload.undo(asked));
                }
                return;
            }
            let send = || -> Sent { payload.send(request, asked) };
            if let Some(Err(_)) = conn.guarded(&"an answer", send) {
                take_back(conn, payload.undo(asked));
            }
            conn.guarded(&"an answer", || drop(payload));
        }
        // An error that is not taken leaves nothing to undo.
        Err(Unanswered::Errno(errno)) => drop(request.err(errno)),
        // It is of another request; this one still wants its answer, which is EIO.
        Err(Unanswered::Deferred(_)) => drop(request),
    }
}

/// Drops an answer that nobody waits for, as [`deliver`] does.
#[cold]
pub(crate) fn revoke<T: Payload>(conn: &Conn, asked: Asked, answer: Answer<T>) {
    if let Ok(payload) = answer {
        take_back(conn, payload.undo(asked));
        discard(payload);
    }
}

/// The kernel did not take an answer that has given out this.
#[cold]
fn take_back(conn: &Conn, undo: Undo) {
    conn.counters().not_taken();
    if let (Some(host), false) = (conn.host(), matches!(undo, Undo::Nothing)) {
        host.undo(undo);
    }
}
