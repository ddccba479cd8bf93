//! The futures of a session that are in flight.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

use crate::base::{log, os::spawn, panic::discard};
use crate::lock::{self, clock::Deadline};
use crate::tasks::cancel::Cancel;
use crate::types::errno::Errno;

/// The futures of a session that are in flight, and the runtime that it has for them.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    settings: Settings,
    state: Mutex<State>,
    /// For handlers that wait at the limit: a future has ended.
    pub(crate) room: lock::condvar::Condvar,
    /// For the end of the session: the last future has ended.
    idle: Condvar,
}

/// What the [`Builder`](crate::Builder) was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// The user's runtime.
    pub(crate) runtime: Option<Handle>,
    pub(crate) most: Option<usize>,
    pub(crate) patience: Option<Duration>,
}

#[derive(Debug, Default)]
struct State {
    /// The session's own runtime, once it was needed.
    runtime: Option<Runtime>,
    in_flight: HashMap<u64, Arc<Cancel>>,
    /// The number of the last future.
    last: u64,
    /// The session has ended.
    closed: bool,
}

/// A future's place among those in flight. Dropped, it leaves.
pub(crate) struct Place {
    tasks: Arc<Tasks>,
    number: u64,
    pub(crate) cancel: Arc<Cancel>,
}

/// What a future that is about to be spawned finds.
pub(crate) enum Room {
    Free(Place),
    /// As many futures as there may be are in flight.
    Full,
    /// The session has ended.
    Closed,
}

/// What a future is answered with that the session ended without: what the kernel itself says when a connection ends.
const ENDED: Errno = Errno::ECONNABORTED;

/// How long futures may take to end once they have been told to, before the session ends without them.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Tasks {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// How long the end waits for what is in flight; `None` for as long as it takes.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.settings.patience
    }

    /// # Panics
    ///
    /// When the user's runtime would be waiting for this thread to run its futures.
    pub(crate) fn check(&self) {
        if let (true, Ok(current)) = (self.is_single(), Handle::try_current()) {
            // Panics where the thread runs futures, as everything of tokio that blocks.
            current.block_on(async {});
        }
    }

    /// Whether futures are in flight that end only if this thread, which is in some runtime, does not wait for them. It may
    /// be too careful: whether a thread only has a runtime at hand, or runs it, tokio tells no one.
    pub(crate) fn need_this_thread(&self) -> bool {
        let may_run_them = self.is_single() && Handle::try_current().is_ok();
        may_run_them && !self.state.lock().in_flight.is_empty()
    }

    /// One thread of the user's runs the futures: where it blocks, they stand still. Of several workers tokio does not say
    /// which threads they are, so that a program is not refused by how many processors there are.
    fn is_single(&self) -> bool {
        let runtime = self.settings.runtime.as_ref();
        runtime.is_some_and(|it| it.runtime_flavor() == RuntimeFlavor::CurrentThread)
    }

    /// What runs futures. The session's own runtime is made here the first time.
    pub(crate) fn runtime(&self) -> io::Result<Handle> {
        if let Some(handle) = &self.settings.runtime {
            return Ok(handle.clone());
        }
        let mut state = self.state.lock();
        let runtime = match state.runtime.take() {
            Some(runtime) => runtime,
            None => Builder::new_multi_thread()
                .enable_all()
                .thread_name("fuse3-tasks")
                .build()?,
        };
        Ok(state.runtime.insert(runtime).handle().clone())
    }

    /// Gives a future its place. There is no limit once the session `is_over`.
    pub(crate) fn enter(self: &Arc<Self>, is_over: impl FnOnce() -> bool) -> Room {
        let mut state = self.state.lock();
        if state.closed {
            return Room::Closed;
        }
        let most = self.settings.most.unwrap_or(usize::MAX);
        if state.in_flight.len() >= most && !is_over() {
            return Room::Full;
        }
        state.last += 1;
        let (number, cancel) = (state.last, Arc::<Cancel>::default());
        state.in_flight.insert(number, Arc::clone(&cancel));
        drop(state);
        Room::Free(Place {
            tasks: Arc::clone(self),
            number,
            cancel,
        })
    }

    /// The end: waits for what is in flight, or ends it when the patience is over; then ends the session's own runtime.
    /// Those that `are_left` to another process are not waited for.
    pub(crate) fn finish(&self, are_left: bool) {
        let patience = if are_left {
            Some(Duration::ZERO)
        } else {
            self.settings.patience
        };
        if !self.wait_until(Deadline::after(patience)) {
            let cancels: Vec<_> = self.state.lock().in_flight.values().cloned().collect();
            log::warn!(
                "the session ends without waiting any longer for {} futures",
                cancels.len()
            );
            // With the lock released, which a future that is dropped takes to leave its place.
            cancels.iter().for_each(|cancel| cancel.cancel(ENDED));
            if !self.wait_until(Deadline::after(Some(LAST_WORDS))) {
                log::error!("futures that do not return from `poll` are left behind");
            }
        }
        let mut state = self.state.lock();
        state.closed = true;
        let runtime = state.runtime.take();
        drop(state);
        if let Some(runtime) = runtime {
            shut_down(runtime, patience.map(|_| LAST_WORDS));
        }
    }

    /// Tells whether nothing is in flight any more.
    fn wait_until(&self, deadline: Deadline) -> bool {
        let mut state = self.state.lock();
        let mut is_late = false;
        while !state.in_flight.is_empty() && !is_late {
            is_late = deadline.wait(&self.idle, &mut state);
        }
        state.in_flight.is_empty()
    }
}

/// Waits for what the futures have left behind: closures of `spawn_blocking`, which cannot be stopped.
///
/// On a thread of its own, since a thread that runs futures must not wait for a runtime, and `Session::run` may have been
/// called on one.
fn shut_down(runtime: Runtime, patience: Option<Duration>) {
    let ending = spawn("fuse3-tasks-end", move || match patience {
        Some(patience) => runtime.shutdown_timeout(patience),
        None => drop(runtime),
    });
    match ending.map(thread::JoinHandle::join) {
        Ok(Ok(())) => {}
        // A destructor of what the futures left behind panicked.
        Ok(Err(payload)) => {
            discard(payload);
            log::error!("the runtime panicked when it was shut down");
        }
        Err(error) => log::error!("the runtime was not waited for: {error}"),
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.tasks.state.lock();
        let cancel = state.in_flight.remove(&self.number);
        if state.in_flight.is_empty() {
            self.tasks.idle.notify_all();
        }
        drop(state);
        // Its waker is the runtime's code.
        drop(cancel);
        if self.tasks.settings.most.is_some() {
            self.tasks.room.notify_one();
        }
    }
}
