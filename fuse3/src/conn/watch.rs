//! Telling requests what nobody else tells them: that their session ends, that their caller dies.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::base::{log, os};
use crate::conn::interrupt::Interrupts;
use crate::conn::interruption::Interruption;

/// How long a request may not know of it. Whoever ends a session may be a signal handler, and whoever ends the connection, or kills
/// a caller, may be the kernel: neither wakes a thread.
const PERIOD: Duration = Duration::from_millis(50);

/// So many times as long as it has looked, the thread rests: it never takes more than a small part of a processor.
const REST: u32 = 20;

/// After so many it looks whether the session ends.
const AT_ONCE: usize = 256;

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
    doubted: VecDeque<Arc<Interrupts>>,
    /// One of these has just got one.
    is_urgent: bool,
    thread: Option<JoinHandle<()>>,
    is_over: bool,
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.doubted.is_empty()
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
        self.change(|state| state.waiting.push(Arc::clone(interrupts)));
        Watching(self, interrupts)
    }

    /// From now on the caller of this request is looked after: whether it gets a signal that counts.
    pub(super) fn doubt(self: &Arc<Self>, interrupts: &Arc<Interrupts>, is_urgent: bool) {
        self.change(|state| {
            if is_urgent {
                state.doubted.push_front(Arc::clone(interrupts));
                state.is_urgent = true;
            } else {
                state.doubted.push_back(Arc::clone(interrupts));
            }
        });
    }

    fn change(self: &Arc<Self>, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        if state.is_over {
            return;
        }
        let was_idle = state.is_idle();
        change(&mut state);
        if state.thread.is_some() {
            if was_idle || state.is_urgent {
                self.changed.notify_one();
            }
            return;
        }
        let watch = Arc::clone(self);
        let spawned = os::spawn("fuse3-watch", move || watch.look());
        let spawned = spawned.map(|thread| state.thread = Some(thread));
        drop(state);
        if let Err(error) = spawned {
            log::error!(
                "a request will not be told when its caller is killed, or the session ends: {error}"
            );
        }
    }

    fn look(&self) {
        // Before the first there is no rest; after the second it looks, whether it is urgent or not.
        let (mut rested, mut due) = (Instant::now(), Instant::now());
        let mut state = self.state.lock();
        while !state.is_over {
            if state.is_idle() {
                self.changed.wait(&mut state);
                continue;
            }
            if self.is_lost.as_ref().is_some_and(|is_lost| is_lost()) {
                state.waiting.drain(..).for_each(|it| it.tell());
            }
            let now = Instant::now();
            if now >= due || state.is_urgent && now >= rested {
                state.is_urgent = false;
                let count = state.doubted.len().min(AT_ONCE);
                let mut some: Vec<_> = state.doubted.drain(..count).collect();
                MutexGuard::unlocked(&mut state, || some.retain(|it| it.is_in_doubt()));
                state.doubted.extend(some);
                rested = Instant::now() + now.elapsed() * REST;
                due = rested.max(now + PERIOD);
            }
            let next = if state.is_urgent { rested } else { due };
            let next = next.min(now + PERIOD);
            self.changed.wait_until(&mut state, next);
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
        // They refer to this.
        let mut state = self.state.lock();
        let left = (mem::take(&mut state.waiting), mem::take(&mut state.doubted));
        drop(state);
        drop(left);
    }
}
