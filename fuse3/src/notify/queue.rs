//! What waits to be sent, and the thread that sends it.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::notify::{error::NotifyError, hub::Hub, notification::Notification};

/// What [`Hub`] sends on a thread of its own.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

/// A notification in the queue. The ticket is of `Retrieve`.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) notification: Arc<Notification>,
    pub(super) ticket: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Those of `jobs` that another one like them is merged into.
    unsent: HashSet<Arc<Notification>>,
    /// How many were ever put into `jobs`, and how many of them were sent.
    added: u64,
    sent: u64,
    /// `Session::run` was called: there may be threads.
    running: bool,
    /// `init` has returned: there is somebody to send to.
    ready: bool,
    closed: bool,
    thread: Option<JoinHandle<()>>,
    sender: Option<ThreadId>,
}

impl Queue {
    /// False when the session has ended.
    pub(super) fn push(
        &self,
        hub: &Arc<Hub>,
        notification: Arc<Notification>,
        ticket: usize,
    ) -> bool {
        let mut state = self.state.lock();
        if state.closed {
            return false;
        }
        if notification.is_idempotent() {
            if !state.unsent.insert(Arc::clone(&notification)) {
                return true;
            }
        } else {
            // What is stored has to be invalidated by what comes after it, not by what comes before.
            state.unsent.clear();
        }
        state.jobs.push_back(Job {
            notification,
            ticket,
        });
        state.added += 1;
        self.start_if_due(&mut state, hub);
        drop(state);
        self.changed.notify_all();
        true
    }

    pub(super) fn running(&self, hub: &Arc<Hub>) {
        let mut state = self.state.lock();
        state.running = true;
        self.start_if_due(&mut state, hub);
    }

    pub(super) fn ready(&self, hub: &Arc<Hub>) {
        let mut state = self.state.lock();
        state.ready = true;
        self.start_if_due(&mut state, hub);
    }

    fn start_if_due(&self, state: &mut State, hub: &Arc<Hub>) {
        let due = state.running && state.ready && !state.closed && !state.jobs.is_empty();
        if !due || state.thread.is_some() {
            return;
        }
        let hub = Arc::clone(hub);
        let spawned = thread::Builder::new()
            .name("fuse3-notify".to_owned())
            .spawn(move || {
                block_signals();
                hub.work();
            });
        match spawned {
            Ok(thread) => {
                state.sender = Some(thread.thread().id());
                state.thread = Some(thread);
            }
            // The next one that is queued tries again.
            Err(error) => crate::base::log::error!("no thread for notifications: {error}"),
        }
    }

    /// The next one to send; `None` when the session ends.
    pub(super) fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                state.unsent.remove(&job.notification);
                return Some(job);
            }
            self.changed.wait(&mut state);
        }
    }

    /// The one that [`next`](Self::next) returned has been sent.
    pub(super) fn sent(&self) {
        self.state.lock().sent += 1;
        self.changed.notify_all();
    }

    /// Waits until all that was queued before has been sent.
    pub(super) fn flush(&self, timeout: Duration) -> Result<(), NotifyError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.state.lock();
        if state.sender == Some(thread::current().id()) {
            return Err(NotifyError::Deadlock);
        }
        let last = state.added;
        while state.sent < last {
            if state.closed {
                return Err(NotifyError::Ended);
            }
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) => {
                    if self.changed.wait_until(&mut state, deadline).timed_out()
                        && state.sent < last
                        && !state.closed
                    {
                        return Err(NotifyError::TimedOut);
                    }
                }
            }
        }
        Ok(())
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

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("waiting", &self.jobs.len())
            .field("added", &self.added)
            .field("sent", &self.sent)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}
