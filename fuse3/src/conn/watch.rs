//! Telling requests what nobody else tells them: that their session ends, that their caller dies.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::conn::interrupt::Interrupts;
use crate::conn::interruption::Interruption;

/// How long a request may not know of it. Whoever ends a session may be a signal handler, and whoever ends the connection, or kills
/// a caller, may be the kernel: neither wakes a thread.
const PERIOD: Duration = Duration::from_millis(50);

/// So many times as long as it has looked, the thread rests.
const REST: u32 = 20;

/// The requests that are looked after, and the thread that does; it is started for the first of them.
#[derive(Default)]
pub(crate) struct Watch {
    /// Which signals count, unless a request says otherwise.
    pub(super) by: Interruption,
    is_lost: Option<Box<dyn Fn() -> bool + Send + Sync>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Their handlers wait, and are told of the end.
    waiting: Vec<Arc<Interrupts>>,
    /// Their callers may have got a signal, or may get one that counts.
    doubted: Vec<Arc<Interrupts>>,
    /// One of these has just got one.
    is_urgent: bool,
    thread: Option<JoinHandle<()>>,
    is_over: bool,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// While it lives, its handler is told of the end: [`Watch::wait`].
pub(crate) struct Watching<'w>(&'w Watch, &'w Arc<Interrupts>);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.waiting.retain(|it| !Arc::ptr_eq(it, self.1));
    }
}

impl Watch {
    /// `is_lost` says whether the session was told to end, or its connection is gone.
    pub(super) fn new(
        by: Interruption,
        is_lost: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            by,
            is_lost: Some(Box::new(is_lost)),
            ..Self::default()
        })
    }

    /// While the result lives, the end of the session or of the connection counts as an interrupt of this request.
    pub(crate) fn wait<'w>(self: &'w Arc<Self>, interrupts: &'w Arc<Interrupts>) -> Watching<'w> {
        let mut state = self.state.lock();
        state.waiting.push(Arc::clone(interrupts));
        self.added(state);
        Watching(self, interrupts)
    }

    /// From now on the caller of this request is looked after: whether a signal ends it.
    pub(super) fn doubt(self: &Arc<Self>, interrupts: &Arc<Interrupts>, is_urgent: bool) {
        let mut state = self.state.lock();
        state.doubted.push(Arc::clone(interrupts));
        state.is_urgent |= is_urgent;
        self.added(state);
    }

    fn added(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.thread.is_none() {
            let watch = Arc::clone(self);
            let thread = thread::Builder::new().name("fuse3-watch".to_owned());
            match thread.spawn(move || watch.look()) {
                Ok(thread) => state.thread = Some(thread),
                Err(error) => crate::base::log::error!(
                    "a request will not be told when its caller is killed, or the session ends: {error}"
                ),
            }
        } else if state.is_urgent || state.waiting.len() + state.doubted.len() == 1 {
            self.changed.notify_one();
        }
    }

    fn look(&self) {
        let mut state = self.state.lock();
        while !state.is_over {
            if state.waiting.is_empty() && state.doubted.is_empty() {
                self.changed.wait(&mut state);
                continue;
            }
            if self.is_lost.as_ref().is_some_and(|is_lost| is_lost()) {
                state.waiting.drain(..).for_each(|it| it.tell());
            }
            let began = Instant::now();
            state.is_urgent = false;
            let mut doubted = mem::take(&mut state.doubted);
            MutexGuard::unlocked(&mut state, || doubted.retain(|it| it.is_in_doubt()));
            state.doubted.append(&mut doubted);
            // However many there are, this takes no more than a small part of a processor.
            let rest = began.elapsed() * REST;
            self.changed
                .wait_while_for(&mut state, |it| !it.is_over, rest);
            let is_quiet = |it: &mut State| !it.is_over && !it.is_urgent;
            self.changed.wait_while_for(&mut state, is_quiet, PERIOD);
        }
    }

    /// No handler runs any more.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.is_over = true;
        let thread = state.thread.take();
        drop(state);
        self.changed.notify_one();
        // It has told whom it had to, should it have panicked.
        let _ = thread.map(JoinHandle::join);
    }
}
