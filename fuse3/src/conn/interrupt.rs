//! Who is told that the caller of a request was interrupted.

use std::ffi::c_void;
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::{cancel::Uncancelled, log, os};
use crate::conn::interruption::{Interruption, Standing};
use crate::conn::watch::Watch;
use crate::lock::sleeper::{Sleeper, Waking};
use crate::sys;

/// What waits for the interruption of one request: the data of `fuse_req_interrupt_func()`.
///
/// libfuse calls back with the lock of the request held, which unregistering waits for. So what is done there is short
/// and waits for nothing: a thread is woken, or started. Code of the file system never runs there; it may wait for
/// whatever it likes, and answer the request, which unregisters.
pub(crate) struct Interrupts {
    state: Mutex<State>,
    watch: Arc<Watch>,
}

#[derive(Default)]
struct State {
    standing: Standing,
    /// One that counts has come.
    interrupted: bool,
    /// The caller is looked after.
    is_doubted: bool,
    /// The handler, while it waits.
    sleeper: Option<Arc<Sleeper>>,
    /// Until the request is answered, when it has been started, too.
    callback: Option<Arc<Callback>>,
    /// It is unregistered: libfuse calls back no more.
    is_over: bool,
}

type Run = Box<dyn FnOnce() + Send>;

/// A function of the file system, which catches its own panics: see [`Conn::callback`](crate::conn::conn::Conn::callback).
/// Whoever takes it runs it, or sees to it that it is not run.
pub(crate) struct Callback(Mutex<Option<Run>>);

impl Callback {
    pub(super) fn new(run: impl FnOnce() + Send + 'static) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(Box::new(run)))))
    }

    fn take(&self) -> Option<Run> {
        self.0.lock().take()
    }

    /// Runs it on a thread of its own, which holds nothing. Nothing of the file system's is dropped here.
    fn start(self: Arc<Self>) {
        let spawned = os::spawn("fuse3-interrupt", move || {
            if let Some(run) = self.take() {
                run();
            }
        });
        if let Err(error) = spawned {
            log::error!("nobody was told of an interrupt: {error}");
        }
    }
}

impl fmt::Debug for Interrupts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupts").finish_non_exhaustive()
    }
}

impl Interrupts {
    pub(super) fn new(watch: &Arc<Watch>, standing: Standing) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                standing,
                ..State::default()
            }),
            watch: Arc::clone(watch),
        })
    }

    pub(super) fn by(&self) -> Interruption {
        self.state.lock().standing.by
    }

    /// From now on these signals count.
    pub(crate) fn set_by(self: &Arc<Self>, by: Interruption) {
        self.weigh(|standing| standing.by = by);
    }

    /// The kernel has sent an interrupt.
    fn come(self: &Arc<Self>) {
        self.weigh(|standing| standing.has_come = true);
    }

    /// Tells of an interrupt if it counts from now on, or has the caller looked after.
    pub(super) fn weigh(self: &Arc<Self>, change: impl FnOnce(&mut Standing)) {
        let mut state = self.state.lock();
        change(&mut state.standing);
        let standing = state.standing;
        let is_new = standing.is_doubtful() && !state.is_doubted;
        state.is_doubted |= is_new;
        drop(state);
        if is_new {
            self.watch.doubt(self, standing.has_come);
        } else if !standing.is_doubtful() && standing.counts() {
            self.tell();
        }
    }

    /// Looks after the caller: tells if a signal counts that it has got. Otherwise it may be worth looking again.
    pub(super) fn is_in_doubt(&self) -> bool {
        let standing = || {
            let mut state = self.state.lock();
            let is_open = !state.interrupted && !state.is_over && state.standing.is_doubtful();
            state.is_doubted = is_open;
            is_open.then_some(state.standing)
        };
        if standing().is_some_and(Standing::counts) {
            self.tell();
        }
        standing().is_some()
    }

    /// Tells all who wait, and all who will.
    pub(super) fn tell(&self) {
        let mut state = self.state.lock();
        if state.is_over {
            return;
        }
        state.interrupted = true;
        let (sleeper, callback) = (state.sleeper.take(), state.callback.clone());
        drop(state);
        if let Some(sleeper) = sleeper {
            sleeper.wake(Waking::Interrupted);
        }
        if let Some(callback) = callback {
            callback.start();
        }
    }

    /// `callback` is run when the interrupt comes, or now when it has come. Returns what was to be run until now.
    #[must_use = "its destructor is the application's"]
    pub(crate) fn set(&self, callback: Arc<Callback>) -> Option<Run> {
        let mut state = self.state.lock();
        let before = state.callback.replace(Arc::clone(&callback));
        let interrupted = state.interrupted;
        drop(state);
        if interrupted {
            callback.start();
        }
        before.and_then(|before| before.take())
    }

    /// The interrupt has come.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_told(&self) -> bool {
        self.state.lock().interrupted
    }

    /// It has been unregistered. Returns what has not been run by now, and will not be.
    #[must_use = "its destructor is the application's"]
    pub(crate) fn take(&self) -> Option<Run> {
        let mut state = self.state.lock();
        state.is_over = true;
        let callback = state.callback.take();
        drop(state);
        callback.and_then(|callback| callback.take())
    }

    /// An interrupt that comes while the result lives wakes `sleeper`. `None` when it has come.
    pub(crate) fn arm(&self, sleeper: Arc<Sleeper>) -> Option<Disarm<'_>> {
        let mut state = self.state.lock();
        if state.interrupted {
            return None;
        }
        state.sleeper = Some(sleeper);
        Some(Disarm(self))
    }
}

/// While it lives, an interrupt wakes a thread that waits.
pub(crate) struct Disarm<'i>(&'i Interrupts);

impl Drop for Disarm<'_> {
    fn drop(&mut self) {
        self.0.state.lock().sleeper = None;
    }
}

/// `fuse_interrupt_func_t`.
///
/// # Safety
///
/// `data` came from [`Arc::as_ptr`] of an `Arc<Interrupts>` that lives until this returns.
pub(crate) unsafe extern "C" fn interrupted(_req: sys::fuse_req_t, data: *mut c_void) {
    let _uncancelled = Uncancelled::new();
    // SAFETY: the caller promises it; the count is left as it is.
    let interrupts = ManuallyDrop::new(unsafe { Arc::from_raw(data.cast::<Interrupts>()) });
    interrupts.come();
}
