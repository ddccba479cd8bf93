//! Who is told that the caller of a request was interrupted.

use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use crate::call::Uncancelled;
use crate::deferred::Outlived;
use crate::lock::{Sleeper, Waking};
use crate::sys;

/// What waits for the interruption of one request: the data of `fuse_req_interrupt_func()`.
///
/// libfuse calls back with the lock of the request held, which unregistering waits for. So what is done there is short
/// and waits for nothing: a thread is woken, or started. Code of the file system never runs there; it may wait for
/// whatever it likes, and answer the request, which unregisters.
#[derive(Debug, Default)]
pub(crate) struct Interrupts(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    interrupted: bool,
    /// The handler, while it waits.
    sleeper: Option<Arc<Sleeper>>,
    callback: Option<Callback>,
}

/// A function of the file system, and the session that a panic of it is counted for.
pub(crate) struct Callback {
    run: Box<dyn FnOnce() + Send>,
    session: Arc<dyn Outlived>,
}

impl Callback {
    pub(crate) fn new(run: impl FnOnce() + Send + 'static, session: Arc<dyn Outlived>) -> Self {
        let run = Box::new(run);
        Self { run, session }
    }

    /// Runs it on a thread of its own, which holds nothing.
    fn start(self) {
        let Self { run, session } = self;
        let spawned = thread::Builder::new()
            .name("fuse3-interrupt".to_owned())
            .spawn(move || session.run(run));
        if let Err(error) = spawned {
            crate::log::error!("nobody was told of an interrupt: {error}");
        }
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").finish_non_exhaustive()
    }
}

impl Interrupts {
    /// Tells all who wait, and all who will.
    fn tell(&self) {
        let mut state = self.0.lock();
        state.interrupted = true;
        let (sleeper, callback) = (state.sleeper.take(), state.callback.take());
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
    pub(crate) fn set(&self, callback: Callback) -> Option<Callback> {
        let mut state = self.0.lock();
        if state.interrupted {
            drop(state);
            callback.start();
            return None;
        }
        state.callback.replace(callback)
    }

    /// What was to be run, and will not be.
    pub(crate) fn take(&self) -> Option<Callback> {
        self.0.lock().callback.take()
    }

    /// An interrupt that comes while the result lives wakes `sleeper`. `None` when it has come.
    pub(crate) fn arm(&self, sleeper: Arc<Sleeper>) -> Option<Disarm<'_>> {
        let mut state = self.0.lock();
        if state.interrupted {
            return None;
        }
        state.sleeper = Some(sleeper);
        Some(Disarm(self))
    }
}

/// While it lives, an interrupt wakes a thread that waits.
#[derive(Debug)]
pub(crate) struct Disarm<'i>(&'i Interrupts);

impl Drop for Disarm<'_> {
    fn drop(&mut self) {
        self.0.0.lock().sleeper = None;
    }
}

/// `fuse_interrupt_func_t`.
///
/// # Safety
///
/// `data` is an [`Interrupts`] that lives until this returns.
pub(crate) unsafe extern "C" fn interrupted(_req: sys::fuse_req_t, data: *mut c_void) {
    let _uncancelled = Uncancelled::new();
    // SAFETY: the caller promises it.
    let interrupts = unsafe { &*data.cast::<Interrupts>() };
    interrupts.tell();
}
