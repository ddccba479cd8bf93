//! What a session has for its notifications.

use std::ffi::c_int;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::base::panic::discard;
use crate::conn::control::Control;
use crate::notify::link::{Asks, Link};
use crate::notify::queue::Queue;
use crate::notify::retrieve::{Answer, Retrievals, Retrieved, Taker};
use crate::notify::{error::NotifyError, notification::Notification};
use crate::sys;
use crate::types::ino::Ino;

/// What a queued notification that failed is told to.
pub(crate) type OnError = Box<dyn Fn(&Notification, NotifyError) + Send + Sync>;

/// The link to the kernel, the queue before it, and who waits for what comes back.
pub(crate) struct Hub {
    pub(super) link: Link,
    pub(super) queue: Queue,
    retrievals: Retrievals,
    on_error: OnError,
}

/// Logs, but for what is as good as done, and for what is normal while a file system is unmounted.
fn log(notification: &Notification, error: NotifyError) {
    let errno = error.errno().raw();
    let normal: [c_int; 4] = [libc::ENOENT, libc::EBADF, libc::ENODEV, libc::ENOTCONN];
    if !normal.contains(&errno) {
        crate::base::log::warn!("{notification} failed: {error}");
    }
}

impl Hub {
    pub(crate) fn new(control: Arc<Control>, on_error: Option<OnError>) -> Arc<Self> {
        Arc::new(Self {
            link: Link::new(control),
            queue: Queue::default(),
            retrievals: Retrievals::default(),
            on_error: on_error.unwrap_or_else(|| Box::new(log)),
        })
    }

    /// Tells sessions apart.
    pub(crate) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// # Safety
    ///
    /// `session` is not destroyed, nor its descriptor closed, until [`close`](Self::close) has returned.
    pub(crate) unsafe fn open(&self, session: NonNull<sys::fuse_session>, asks: Asks) {
        // SAFETY: the caller promises it.
        unsafe { self.link.open(session, asks) };
    }

    /// `Session::run` was called: the process forks no more.
    pub(crate) fn running(self: &Arc<Self>) {
        self.queue.running(self);
    }

    /// Runs `f` while the session is there and its descriptor open; `None` when it is ending.
    pub(crate) fn with_raw<R>(&self, f: impl FnOnce(NonNull<sys::fuse_session>) -> R) -> Option<R> {
        self.link.with_raw(f)
    }

    /// Has the kernel send once more what it has sent and got no answer for.
    pub(crate) fn resend(&self) {
        self.link.resend();
    }

    /// `init` has returned.
    pub(crate) fn ready(self: &Arc<Self>, minor: u32) {
        self.link.ready(minor);
        self.queue.ready(self);
    }

    /// After it nothing uses the descriptor any more, the thread has ended, and who waited for the kernel has been told. It
    /// does nothing the second time.
    pub(crate) fn close(&self) {
        self.queue.close();
        self.link.close();
        self.queue.join();
        for taker in self.retrievals.close() {
            tell(taker, Err(NotifyError::Ended));
        }
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

    /// The same, sent at once.
    pub(super) fn retrieve_now(&self, notification: &Notification, taker: Taker) {
        match self.retrievals.register(taker) {
            Ok(ticket) => {
                if let Err(error) = self.link.send(notification, ticket) {
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
            let result = self.link.send(&job.notification, job.ticket);
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
            .field("link", &self.link)
            .field("queue", &self.queue)
            .field("retrievals", &self.retrievals)
            .finish_non_exhaustive()
    }
}
