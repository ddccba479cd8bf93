use std::ffi::c_int;
use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::process::{ExitCode, Termination};
use std::sync::Arc;

use crate::builder::Settings;
use crate::control::{TERMINATED, TROUBLE};
use crate::core::{Core, Live, Trouble};
use crate::signals::Handling;
use crate::wake::Wake;
use crate::{Builder, Filesystem, Handle, Locking, SessionStats, daemon, sys};

/// The loop's result when the connection ended while a request was being read.
const ERROR_ABORTED: c_int = -libc::ECONNABORTED;

/// `struct fuse_session`: a file system that is mounted.
///
/// Dropped, it is unmounted.
pub struct Session<F: Filesystem> {
    live: Arc<Live<F>>,
    core: Arc<Core<F>>,
    settings: Settings,
}

impl<F: Filesystem> Session<F> {
    /// The options of a session of `fs`, whose handlers run with `lock` held.
    pub fn builder(fs: F, lock: F::Lock) -> Builder<F> {
        Builder::new(fs, lock)
    }

    pub(crate) fn new(live: Arc<Live<F>>, core: Arc<Core<F>>, settings: Settings) -> Self {
        core.control.open(live.session());
        live.open_notifications(&core);
        Self {
            live,
            core,
            settings,
        }
    }

    /// A handle on the session, to end it and to ask what it does, from anywhere.
    pub fn handle(&self) -> Handle {
        let core = &self.core;
        Handle {
            control: Arc::clone(&core.control),
            counters: Arc::clone(&core.counters),
            notifications: Arc::clone(&core.notifications),
        }
    }

    /// The file system.
    pub fn fs(&self) -> &F {
        &self.core.fs
    }

    /// `fuse_daemonize()`: goes to the background, unless `foreground`; the working directory becomes `/` either way, so that
    /// the process keeps no other file system busy.
    ///
    /// The process forks, and the one that returns has a session of its own (setsid(2)). The one in the foreground waits
    /// until [`init`](Filesystem::init) has succeeded and then ends with status 0. Until then errors go to the same stderr
    /// as before, and if the process in the background ends, the one in the foreground does so with the same status. (C's
    /// ends at once, and such errors are lost.) Afterwards standard input, output and error are /dev/null: set a logger
    /// before, if the file system has something to say.
    ///
    /// Start threads after it.
    ///
    /// # Errors
    ///
    /// Of the system; and when the process has more than one thread, since the others would be gone.
    pub fn daemonize(self, foreground: bool) -> io::Result<Self> {
        if !foreground {
            let waiting = daemon::fork()?;
            self.core.release_when_begun(waiting);
        }
        std::env::set_current_dir("/")?;
        Ok(self)
    }

    /// `fuse_session_loop_mt()`, llfuse's `main`: serves requests until the file system is unmounted, the session is
    /// [terminated](Handle::terminate), or a signal comes; then unmounts.
    ///
    /// Handlers run on libfuse's workers, and this thread waits. When it returns, the workers have ended, and every request
    /// that a handler was given has been answered.
    ///
    /// # Errors
    ///
    /// What `init` returned; what the loop failed with; EDEADLK when this thread holds the session's global lock, which
    /// every handler would wait for.
    ///
    /// # Panics
    ///
    /// Resumes the panic of a handler, unless [`OnPanic::Continue`](crate::OnPanic::Continue) was set.
    pub fn run(self) -> io::Result<End<F>> {
        if self.core.lock.is_held() {
            crate::log::error!(
                "Session::run was called with the global lock held, which no handler could take then"
            );
            return Err(io::Error::from_raw_os_error(libc::EDEADLK));
        }
        let control = &self.core.control;
        let wake = Wake::if_needed()?;
        if let Some(wake) = &wake {
            // SAFETY: `control.close()` comes before `wake` is dropped.
            unsafe { control.open_wake(wake) };
        }
        let handling = self
            .settings
            .handle_signals
            .then(|| Handling::of(control))
            .transpose();
        self.core.notifications.running();
        let result = handling.map(|_handling| self.serve());
        control.close();
        drop(wake);
        self.finish(result?)
    }

    fn serve(&self) -> c_int {
        // SAFETY: no precondition.
        let config = unsafe { sys::fuse_loop_cfg_create() };
        if config.is_null() {
            return -libc::ENOMEM;
        }
        // SAFETY: `config` came from `fuse_loop_cfg_create()`.
        unsafe { sys::fuse_loop_cfg_set_max_threads(config, self.settings.workers) };
        // SAFETY: as above.
        unsafe { sys::fuse_loop_cfg_set_clone_fd(config, self.settings.clone_fd.into()) };
        // libfuse's default is that idle workers stay. One that it detaches, since there are too many, might end after the
        // loop has: it uses nothing of the loop or the session any more, and what it drops is `'static`.
        if let Some(workers) = self.settings.max_idle_workers {
            // SAFETY: as above.
            unsafe { sys::fuse_loop_cfg_set_idle_threads(config, workers) };
        }
        let session = self.live.session();
        let watchdog = self.settings.teardown_limit.map(|limit| {
            let seconds = c_int::try_from(limit.as_secs()).unwrap_or(c_int::MAX);
            // SAFETY: the session lives, and is mounted, until the watchdog is stopped.
            unsafe { sys::fuse3_session_start_teardown_watchdog(session, seconds) }
        });
        let mut result = -libc::EAGAIN;
        if watchdog.is_none_or(|watchdog| !watchdog.is_null()) {
            // SAFETY: the session lives, is mounted, and is run once, since `run` takes it.
            result = unsafe { sys::fuse_session_loop_mt(session, config) };
        }
        if let Some(watchdog) = watchdog.filter(|watchdog| !watchdog.is_null()) {
            // SAFETY: it was started above, and is not used again.
            unsafe { sys::fuse3_session_stop_teardown_watchdog(watchdog) };
        }
        // SAFETY: `config` came from `fuse_loop_cfg_create()` and is not used again.
        unsafe { sys::fuse_loop_cfg_destroy(config) };
        result
    }

    /// Unmounts, and gives back what there is.
    fn finish(self, result: c_int) -> io::Result<End<F>> {
        self.end();
        let core = &self.core;
        let reason = match (core.take_trouble(), core.control.reason()) {
            (Some(Trouble::Panic(payload)), _) => {
                drop(self);
                resume_unwind(payload)
            }
            (Some(Trouble::Init(error)), _) => return Err(error),
            (None, TERMINATED | TROUBLE) => Reason::Terminated,
            (None, signal) if signal > 0 => Reason::Signal(signal),
            // ENODEV, which libfuse takes for the end, is what the kernel says when nothing was under way; ECONNABORTED
            // is the same for a worker that was just being given a request (fuse_dev_do_read(), fs/fuse/dev.c).
            (None, _) if matches!(result, 0.. | ERROR_ABORTED) => Reason::Unmounted,
            (None, _) => return Err(io::Error::from_raw_os_error(-result)),
        };
        Ok(End {
            reason,
            fs: Arc::clone(&core.fs),
            lock: core.lock.clone(),
            stats: core.counters.stats(),
        })
    }

    /// After it nothing of the session is reached from outside any more, and `destroy` has been called. Again, it does
    /// nothing.
    fn end(&self) {
        let session = self.live.session();
        self.live.close(&self.core);
        if self.settings.keep_mounted {
            disconnect(session);
        } else {
            // SAFETY: the session lives, its loop has ended or never ran, and no reply uses the descriptor (`close`).
            unsafe { sys::fuse_session_unmount(session) };
        }
        self.core.destroy();
    }
}

/// Ends the connection to the kernel, so that no client waits for an answer any more, but leaves the mount.
///
/// The descriptor is made one of /dev/null, rather than closed: libfuse closes the number later.
fn disconnect(session: *mut sys::fuse_session) {
    // SAFETY: the caller's session lives.
    let fd = unsafe { sys::fuse_session_fd(session) };
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null");
    let replaced = null.and_then(|null| {
        use std::os::fd::AsRawFd;
        // SAFETY: both descriptors are open, and `fd` is the session's own.
        match unsafe { libc::dup3(null.as_raw_fd(), fd, libc::O_CLOEXEC) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    });
    if let Err(error) = replaced {
        crate::log::error!(
            "the connection stays open until the last deferred reply is dropped: {error}"
        );
    }
}

impl<F: Filesystem> Drop for Session<F> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<F: Filesystem> fmt::Debug for Session<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Somebody unmounted the file system, or the connection was aborted.
    Unmounted,
    /// [`Handle::terminate`].
    Terminated,
    /// This signal; what llfuse's `main` returns.
    Signal(i32),
}

/// As libfuse's examples have it: 0 when the file system was unmounted or the session terminated, 1 after a signal.
impl Termination for Reason {
    fn report(self) -> ExitCode {
        match self {
            Self::Unmounted | Self::Terminated => ExitCode::SUCCESS,
            Self::Signal(_) => ExitCode::FAILURE,
        }
    }
}

/// What is left of a session.
pub struct End<F: Filesystem> {
    /// Why it ended.
    pub reason: Reason,
    /// The file system; [`Arc::into_inner`] gives it back, unless a task that outlived the session has it too.
    pub fs: Arc<F>,
    /// The lock, and what it guards.
    pub lock: F::Lock,
    /// What the session did.
    pub stats: SessionStats,
}

impl<F: Filesystem> fmt::Debug for End<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End")
            .field("reason", &self.reason)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
