//! What a session has for its notifications.

use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;

use crate::base::panic::discard;
use crate::conn::conn::Conn;
use crate::notify::retrieve::{Answer, Taker};
use crate::notify::{error::NotifyError, notification::Notification, queue::Queue};
use crate::types::errno::Errno;

/// What a queued notification that failed is told to.
pub(crate) type OnError = Box<dyn Fn(&Notification, NotifyError) + Send + Sync>;

/// The way to the kernel, the queue before it, and who waits for what comes back.
pub(crate) struct Hub {
    pub(super) conn: Arc<Conn>,
    pub(super) queue: Queue,
    /// The kernel is known to take notifications.
    pub(super) settled: AtomicBool,
    retrievals: Mutex<Retrievals>,
    on_error: OnError,
}

/// Who waits for an answer, by the number that goes to the kernel and back as libfuse's cookie.
#[derive(Default)]
struct Retrievals {
    last: usize,
    takers: HashMap<usize, Taker>,
}

/// Logs, except what is as good as done, and what is normal while a file system is unmounted.
fn log(notification: &Notification, error: NotifyError) {
    let normal = [Errno::ENOENT, Errno::EBADF, Errno::ENODEV, Errno::ENOTCONN];
    if !normal.contains(&error.errno()) {
        crate::base::log::warn!("{notification} failed: {error}");
    }
}

impl Hub {
    pub(crate) fn new(conn: Arc<Conn>, on_error: Option<OnError>) -> Arc<Self> {
        Arc::new(Self {
            conn,
            queue: Queue::default(),
            settled: AtomicBool::new(false),
            retrievals: Mutex::default(),
            on_error: on_error.unwrap_or_else(|| Box::new(log)),
        })
    }

    /// After it nothing uses the descriptor any more, the thread has ended, and who waited for the kernel has been told. It
    /// does nothing the second time.
    pub(crate) fn close(&self) {
        self.queue.close();
        self.conn.close_to_notifications();
        self.queue.join();
        // Nobody comes after these: what is sent from now on fails, and that is the answer.
        let unanswered = mem::take(&mut self.retrievals.lock().takers);
        for taker in unanswered.into_values() {
            tell(taker, Err(NotifyError::Ended));
        }
    }

    pub(super) fn failed(&self, notification: &Notification, error: NotifyError) {
        told_of("a failed notification", || {
            (self.on_error)(notification, error)
        });
    }

    /// Has `taker` told of the answer to what `send` asks the kernel under the number that it is given.
    pub(super) fn retrieve(
        &self,
        taker: Taker,
        send: impl FnOnce(usize) -> Result<(), NotifyError>,
    ) {
        let mut retrievals = self.retrievals.lock();
        retrievals.last += 1;
        let ticket = retrievals.last;
        retrievals.takers.insert(ticket, taker);
        drop(retrievals);
        if let Err(error) = send(ticket) {
            self.answer(ticket, Err(error));
        }
    }

    /// The kernel has answered, or will not.
    pub(crate) fn answer(&self, ticket: usize, answer: Answer) {
        let taker = self.retrievals.lock().takers.remove(&ticket);
        if let Some(taker) = taker {
            tell(taker, answer);
        }
    }
}

fn tell(taker: Taker, answer: Answer) {
    told_of("a retrieval", || taker(answer));
}

/// Calls what the application wants to be told by.
fn told_of(what: &str, call: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(call)) {
        discard(payload);
        crate::base::log::error!("what was to be told of {what} panicked");
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("conn", &self.conn)
            .finish_non_exhaustive()
    }
}
