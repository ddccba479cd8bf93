//! What waits to be sent, and the thread that sends it.

use std::collections::{HashSet, VecDeque};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::base::os::spawn;
use crate::notify::{error::NotifyError, hub::Hub, notification::Notification};

/// What [`Hub`] sends on a thread of its own.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Notifications, and the tickets of those that are `Retrieve`.
    jobs: VecDeque<(Arc<Notification>, usize)>,
    /// Those of `jobs` that another one like them is merged into.
    unsent: HashSet<Arc<Notification>>,
    /// How many were ever put into `jobs`, and how many of them were sent.
    added: u64,
    sent: u64,
    /// `init` has returned, and so the loop runs: the process forks no more, and there is somebody to send to.
    ready: bool,
    closed: bool,
    thread: Option<JoinHandle<()>>,
}

impl Hub {
    pub(super) fn push(self: &Arc<Self>, notification: Notification) {
        // After the end there is nobody to tell.
        let _ = self.push_for(notification, 0);
    }

    /// The same, with the ticket of `Retrieve`. Fails when the session has ended.
    pub(super) fn push_for(
        self: &Arc<Self>,
        notification: Notification,
        ticket: usize,
    ) -> Result<(), NotifyError> {
        let notification = Arc::new(notification);
        let mut state = self.queue.state.lock();
        if state.closed {
            return Err(NotifyError::Ended);
        }
        if notification.is_idempotent() {
            if !state.unsent.insert(Arc::clone(&notification)) {
                return Ok(());
            }
        } else {
            // What is stored has to be invalidated by what comes after it, not by what comes before.
            state.unsent.clear();
        }
        state.jobs.push_back((notification, ticket));
        state.added += 1;
        self.start_if_due(&mut state);
        drop(state);
        self.queue.changed.notify_all();
        Ok(())
    }

    /// How many wait to be sent.
    pub(crate) fn queued(&self) -> usize {
        self.queue.state.lock().jobs.len()
    }

    /// `init` has returned.
    pub(crate) fn ready(self: &Arc<Self>) {
        let mut state = self.queue.state.lock();
        state.ready = true;
        self.start_if_due(&mut state);
    }

    fn start_if_due(self: &Arc<Self>, state: &mut State) {
        let due = state.ready && !state.closed && !state.jobs.is_empty();
        if !due || state.thread.is_some() {
            return;
        }
        let hub = Arc::clone(self);
        match spawn("fuse3-notify", move || hub.work()) {
            Ok(thread) => state.thread = Some(thread),
            // The next one that is queued tries again.
            Err(error) => crate::base::log::error!("no thread for notifications: {error}"),
        }
    }

    /// What the thread does.
    fn work(&self) {
        block_signals();
        while let Some((notification, ticket)) = self.queue.next() {
            match (self.send(&notification, ticket), &*notification) {
                (Ok(()), _) => {}
                (Err(error), Notification::Retrieve { .. }) => self.answer(ticket, Err(error)),
                // What is not sent at the end has nobody to be sent to.
                (Err(NotifyError::Ended), _) => {}
                (Err(error), notification) => self.failed(notification, error),
            }
            self.queue.sent();
        }
    }
}

impl Queue {
    /// The next one to send; `None` when the session ends.
    fn next(&self) -> Option<(Arc<Notification>, usize)> {
        let mut state = self.state.lock();
        self.changed
            .wait_while(&mut state, |it| it.jobs.is_empty() && !it.closed);
        // Of one that is closed they are gone.
        let job = state.jobs.pop_front()?;
        state.unsent.remove(&job.0);
        Some(job)
    }

    /// The one that [`next`](Self::next) returned has been sent.
    fn sent(&self) {
        self.state.lock().sent += 1;
        self.changed.notify_all();
    }

    /// Waits until all that was queued before has been sent.
    pub(super) fn flush(&self, timeout: Duration) -> Result<(), NotifyError> {
        let mut state = self.state.lock();
        let sender = state.thread.as_ref().map(|it| it.thread().id());
        if sender == Some(thread::current().id()) {
            return Err(NotifyError::Deadlock);
        }
        let last = state.added;
        let waits = |state: &mut State| state.sent < last && !state.closed;
        self.changed.wait_while_for(&mut state, waits, timeout);
        match state.sent >= last {
            true => Ok(()),
            false if state.closed => Err(NotifyError::Ended),
            false => Err(NotifyError::TimedOut),
        }
    }

    /// Nothing more is sent, but for what is in flight.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.jobs.clear();
        state.unsent.clear();
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for the thread.
    pub(super) fn join(&self) {
        let thread = self.state.lock().thread.take();
        if let Some(thread) = thread {
            // It catches what its callbacks panic with.
            let _ = thread.join();
        }
    }
}

/// A signal that this thread took would wait for the kernel as long as it does.
fn block_signals() {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the call fills in `all`.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: `all` was filled in; the call changes this thread only.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), ptr::null_mut()) };
}
