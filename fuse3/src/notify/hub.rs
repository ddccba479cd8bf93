//! What a session has for its notifications.

use std::ffi::c_int;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::base::panic::discard;
use crate::conn::conn::Conn;
use crate::notify::queue::Queue;
use crate::notify::retrieve::{Answer, Retrievals, Retrieved, Taker};
use crate::notify::sender::Sender;
use crate::notify::{error::NotifyError, notification::Notification};
use crate::types::ino::Ino;

/// What a queued notification that failed is told to.
pub(crate) type OnError = Box<dyn Fn(&Notification, NotifyError) + Send + Sync>;

/// The way to the kernel, the queue before it, and who waits for what comes back.
pub(crate) struct Hub {
    conn: Arc<Conn>,
    sender: Sender,
    pub(super) queue: Queue,
    retrievals: Retrievals,
    on_error: OnError,
}

/// Logs, except what is as good as done, and what is normal while a file system is unmounted.
fn log(notification: &Notification, error: NotifyError) {
    let errno = error.errno().raw();
    let normal: [c_int; 4] = [libc::ENOENT, libc::EBADF, libc::ENODEV, libc::ENOTCONN];
    if !normal.contains(&errno) {
        crate::base::log::warn!("{notification} failed: {error}");
    }
}

impl Hub {
    pub(crate) fn new(conn: Arc<Conn>, on_error: Option<OnError>) -> Arc<Self> {
        Arc::new(Self {
            conn,
            sender: Sender::default(),
            queue: Queue::default(),
            retrievals: Retrievals::default(),
            on_error: on_error.unwrap_or_else(|| Box::new(log)),
        })
    }

    pub(super) fn conn(&self) -> &Conn {
        &self.conn
    }

    /// `Session::run` was called: the process forks no more.
    pub(crate) fn running(self: &Arc<Self>) {
        self.queue.running(self);
    }

    /// `init` has returned.
    pub(crate) fn ready(self: &Arc<Self>) {
        self.queue.ready(self);
    }

    /// After it nothing uses the descriptor any more, the thread has ended, and who waited for the kernel has been told. It
    /// does nothing the second time.
    pub(crate) fn close(&self) {
        self.queue.close();
        self.conn.close_to_notifications();
        self.queue.join();
        for taker in self.retrievals.close() {
            tell(taker, Err(NotifyError::Ended));
        }
    }

    /// Sends a notification, and waits until the kernel has done it. `ticket` is of `Retrieve`.
    pub(super) fn send(
        &self,
        notification: &Notification,
        ticket: usize,
    ) -> Result<(), NotifyError> {
        self.sender.send(&self.conn, notification, ticket)
    }

    /// [`Notification::Store`] of borrowed data.
    pub(super) fn store(&self, ino: Ino, offset: u64, data: &[u8]) -> Result<(), NotifyError> {
        self.sender.store(&self.conn, ino, offset, data)
    }

    pub(super) fn push(self: &Arc<Self>, notification: Notification) {
        // After the end there is nobody to tell.
        self.queue.push(self, Arc::new(notification), 0);
    }

    /// A queued notification that cannot even be queued.
    pub(super) fn failed(&self, notification: &Notification, error: NotifyError) {
        let told = AssertUnwindSafe(|| (self.on_error)(notification, error));
        if let Err(payload) = catch_unwind(told) {
            discard(payload);
            crate::base::log::error!("what was to be told of a failed notification panicked");
        }
    }

    pub(super) fn retrieve(self: &Arc<Self>, ino: Ino, offset: u64, size: u32, taker: Taker) {
        let notification = Notification::Retrieve { ino, offset, size };
        match self.retrievals.register(taker) {
            Ok(ticket) => {
                if !self.queue.push(self, Arc::new(notification), ticket) {
                    self.answer(ticket, Err(NotifyError::Ended));
                }
            }
            Err(taker) => tell(taker, Err(NotifyError::Ended)),
        }
    }

    /// The same, sent by this thread.
    pub(super) fn retrieve_now(&self, notification: &Notification, taker: Taker) {
        match self.retrievals.register(taker) {
            Ok(ticket) => {
                if let Err(error) = self.send(notification, ticket) {
                    self.answer(ticket, Err(error));
                }
            }
            Err(taker) => tell(taker, Err(NotifyError::Ended)),
        }
    }

    /// The kernel has answered.
    pub(crate) fn retrieved(
        &self,
        ticket: usize,
        ino: Ino,
        offset: u64,
        data: Result<Vec<u8>, NotifyError>,
    ) {
        self.answer(ticket, data.map(|data| Retrieved { ino, offset, data }));
    }

    fn answer(&self, ticket: usize, answer: Answer) {
        if let Some(taker) = self.retrievals.take(ticket) {
            tell(taker, answer);
        }
    }

    /// What the thread does.
    pub(super) fn work(&self) {
        while let Some(job) = self.queue.next() {
            let result = self.send(&job.notification, job.ticket);
            match (result, &*job.notification) {
                (Ok(()), _) => {}
                (Err(error), Notification::Retrieve { .. }) => {
                    self.answer(job.ticket, Err(error));
                }
                // What is not sent at the end has nobody to be sent to.
                (Err(NotifyError::Ended), _) => {}
                (Err(error), notification) => self.failed(notification, error),
            }
            self.queue.sent();
        }
    }
}

fn tell(taker: Taker, answer: Answer) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| taker(answer))) {
        discard(payload);
        crate::base::log::error!("what was to be told of a retrieval panicked");
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("conn", &self.conn)
            .field("queue", &self.queue)
            .field("retrievals", &self.retrievals)
            .finish_non_exhaustive()
    }
}
