use std::ffi::{CStr, OsStr, c_int};
use std::mem::{self, ManuallyDrop};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::{ExitCode, Termination};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Weak};
use std::{fmt, io, thread};

use crate::base::log;
use crate::base::os::{checked, open_device, spawn};
use crate::conn::conn::{TERMINATED, TROUBLE};
use crate::conn::{daemon, incoming::Message, libfuse_log, panics::Trouble};
use crate::conn::{stats::SessionStats, wake::Wake};
use crate::dispatch::{core::Core, filesystem::Filesystem};
use crate::lock::locking::{Library, Locking};
use crate::session::builder::{Builder, Settings};
use crate::session::fusermount::{Before, Waiting};
use crate::session::handover::{HandoverError, Keeper};
use crate::session::monitor::Monitor;
use crate::session::mountinfo::Own;
use crate::session::served::{Served, Stopped};
use crate::session::{handle::Handle, loopconfig::LoopConfig, signals::Handling};
use crate::sys;
use crate::types::capabilities::Capabilities;

/// The loop's result when the connection ended while a request was being read.
pub(crate) const ERROR_ABORTED: c_int = -libc::ECONNABORTED;

/// `struct fuse_session`: a file system that is mounted.
///
/// Dropped, it is unmounted. With the feature `tokio`, where futures that were [served](Self::serve) are in flight and the
/// `runtime` of the builder is a single-threaded one that the dropping thread is in, they could not end: then the session
/// ends on a thread of its own, when they have. A process that returns from `main` before that leaves a dead mount: keep it
/// alive, or [`close`](Self::close) the session on a thread of `spawn_blocking`.
pub struct Session<F: Filesystem> {
    pub(super) core: Arc<Core<F>>,
    pub(super) settings: Settings,
    /// The lock was told that it serves.
    started: bool,
    /// Requests may have been read before and not been answered: the loop has run, or another process has served.
    pub(super) again: bool,
    /// The kernel's INIT, once it has come.
    pub(super) init: Option<Message>,
    ended: bool,
    /// What it has mounted.
    pub(super) own: Option<Own>,
    /// What waits for the end, with `auto_unmount`.
    pub(super) waiting: Option<Waiting>,
    /// Who has the connection as well.
    pub(super) keeper: Option<Keeper>,
    monitor: Option<Box<Monitor>>,
    /// From before the mount until it is unmounted, if asked for.
    handling: Option<Handling>,
}

impl<F: Filesystem> Session<F> {
    /// The options of a session of `fs`, whose handlers run with `lock` held.
    pub fn builder(fs: F, lock: F::Lock) -> Builder<F> {
        Builder::new(fs, lock)
    }

    /// From now on signals end it, if asked for. It is not mounted yet.
    pub(crate) fn new(
        core: Arc<Core<F>>,
        settings: Settings,
        keeper: Option<Keeper>,
    ) -> io::Result<Self> {
        let handling = settings.handle_signals.then(|| Handling::of(core.conn()));
        Ok(Self {
            core,
            settings,
            started: false,
            again: false,
            init: None,
            ended: false,
            own: None,
            waiting: None,
            keeper,
            monitor: None,
            handling: handling.transpose()?,
        })
    }

    /// Tells by it what it does, once it serves.
    pub(crate) fn watched_by(&mut self, monitor: Option<Box<Monitor>>) {
        self.monitor = monitor;
    }

    /// `fuse_session_mount()`, once. The error is what libfuse said.
    pub(crate) fn mount(&mut self, mount_point: &CStr, auto_unmount: bool) -> Result<(), String> {
        let session = self.raw();
        let before = auto_unmount.then(Before::now);
        // SAFETY: the session is new, and `mount_point` lives; libfuse copies it.
        let mount = || unsafe { sys::fuse_session_mount(session, mount_point.as_ptr()) };
        let result = libfuse_log::listen(mount);
        // Dropped where it failed.
        let waiting = before.and_then(|before| before.waiting());
        match result {
            (0, _) => {}
            (_, said) if said.is_empty() => {
                return Err("fusermount3 said why on stderr".to_owned());
            }
            (_, said) => return Err(said),
        }
        let point = Path::new(OsStr::from_bytes(mount_point.to_bytes()));
        self.own = Own::on(point);
        self.waiting = waiting;
        let host: Weak<Core<F>> = Arc::downgrade(&self.core);
        self.core.conn().open(host);
        Ok(())
    }

    /// A duplicate of the connection's descriptor.
    pub(super) fn device(&self) -> Result<OwnedFd, HandoverError> {
        let pass = self.core.conn().pass();
        let pass = pass.ok_or(HandoverError::Unsupported(
            "no connection, since it has ended",
        ))?;
        pass.fd().try_clone_to_owned().map_err(HandoverError::Io)
    }

    /// The session itself, for what only its owner does; null after the end.
    fn raw(&self) -> *mut sys::fuse_session {
        let session = self.core.conn().session();
        session.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    /// A handle on the session, to end it and to ask what it does, from anywhere.
    pub fn handle(&self) -> Handle {
        let core = &self.core;
        let reporting: Weak<Core<F>> = Arc::downgrade(core);
        Handle {
            conn: Arc::clone(core.conn()),
            notifications: Arc::clone(&core.serving.notifications),
            reporting,
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
    /// A signal that the session [handles](Builder::handle_signals) and that comes to the process in the foreground, which
    /// has the terminal, is passed on to the one in the background.
    ///
    /// Start threads after it.
    ///
    /// # Errors
    ///
    /// Of the system; and when the process has more than one thread, since the others would be gone.
    pub fn daemonize(self, foreground: bool) -> io::Result<Self> {
        if !foreground {
            let conn = self.core.conn();
            let waiting = daemon::fork(|| conn.reason())?;
            self.core.serving.release_when_begun(waiting);
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
    /// What `init` returned; what the loop failed with; EAGAIN when not even the first worker could be started, or the
    /// teardown watchdog; EDEADLK when this thread holds the session's global lock, which every handler would wait for.
    ///
    /// # Panics
    ///
    /// Resumes the panic of a handler, unless [`OnPanic::Continue`](crate::session::OnPanic::Continue) was set. With the feature `tokio`, inside of an
    /// `async fn` when the `runtime` of the builder is a single-threaded one: it would never run the futures.
    pub fn run(mut self) -> io::Result<End<F>> {
        let result = self.work()?;
        self.finish(result)
    }

    /// llfuse's `main` without its `close`: as [`run`](Self::run), but after a signal or [`Handle::terminate`] the file
    /// system stays mounted, and the session can serve again.
    ///
    /// What clients ask meanwhile waits in the kernel. [`Stopped::close`] unmounts, as does dropping it. A `terminate` ends
    /// the `serve` that is under way, or the next.
    ///
    /// Over io_uring, whose queues libfuse takes down with the loop, there is no next time: the session ends as with `run`.
    ///
    /// libfuse cancels its workers in read(2), and with glibc before 2.41 one that has just read a request may lose it. So
    /// the next `serve` begins with `FUSE_NOTIFY_RESEND`, which Linux has from 6.9 on: the kernel sends once more what has
    /// not been answered. It does not while an answer is deferred, since such requests would then be handled twice; and with older kernels the client of a request that was lost waits until the file system is unmounted.
    ///
    /// ```no_run
    /// # use fuse3::{End, Filesystem, Session};
    /// # use fuse3::session::Served;
    /// # fn reload() {}
    /// /// SIGHUP: reads the configuration again. Any other signal ends it.
    /// fn serve<F: Filesystem>(mut session: Session<F>) -> std::io::Result<End<F>> {
    ///     loop {
    ///         match session.serve()? {
    ///             Served::Ended(end) => return Ok(end),
    ///             Served::Stopped(stopped) if stopped.is_signal(libc::SIGHUP) => {
    ///                 reload();
    ///                 session = stopped.again();
    ///             }
    ///             Served::Stopped(stopped) => return Ok(stopped.close()),
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As `run`. The session has ended then.
    ///
    /// # Panics
    ///
    /// As `run`. The session has ended then.
    pub fn serve(mut self) -> io::Result<Served<F>> {
        let result = self.work()?;
        let conn = self.core.conn();
        let reason = match conn.reason() {
            TERMINATED => Some(Reason::Terminated),
            signal @ 1.. => Some(Reason::Signal(signal)),
            _ => None,
        };
        if let (Some(reason), true) = (reason, self.again) {
            conn.again();
            // Asked after that, which forgets why the loop was to end: trouble that comes later ends the next one.
            if !conn.is_in_trouble() {
                let session = Box::new(self);
                return Ok(Served::Stopped(Stopped { session, reason }));
            }
        }
        self.finish(result).map(Served::Ended)
    }

    /// llfuse's `close`: unmounts, and gives the file system back, without serving (any more).
    ///
    /// `destroy` is called, on this thread, if `init` was.
    ///
    /// # Panics
    ///
    /// Resumes the panic of `destroy`, unless [`OnPanic::Continue`](crate::session::OnPanic::Continue) was set. With the feature `tokio`, as
    /// [`run`](Self::run) does, if futures that were served are in flight.
    pub fn close(mut self) -> End<F> {
        if self.core.serving.tasks_need_this_thread() {
            self.core.serving.check_tasks();
        }
        self.end();
        let trouble = self.core.conn().take_trouble();
        let end = self.given_back(Reason::Closed);
        drop(self);
        if let Some(Trouble::Panic(payload)) = trouble {
            resume_unwind(payload)
        }
        end
    }

    /// [`Builder::keep_mounted`], for what is decided later.
    pub fn keep_mounted(mut self, keep_mounted: bool) -> Self {
        self.settings.keep_mounted = keep_mounted;
        self
    }

    /// Runs the loop, and returns its result.
    fn work(&mut self) -> io::Result<c_int> {
        if self.core.lock.is_held() {
            log::error!(
                "Session::run was called with the global lock held, which no handler could take then"
            );
            return Err(io::Error::from_raw_os_error(libc::EDEADLK));
        }
        self.core.serving.check_tasks();
        if !self.started {
            self.core.lock.start(Library(()))?;
            self.started = true;
        }
        self.start_monitor()?;
        let conn = self.core.conn();
        let wake = Wake::if_needed()?;
        // After `wake`, and so gone before it, whatever happens.
        let wakes = wake.as_ref().map(|wake| conn.wakes_by(wake));
        if self.init.is_none() {
            self.init = conn.first();
            if let Some(init) = &self.init {
                conn.process(&mut init.clone());
            }
            self.deposit();
        }
        let result = thread::scope(|scope| {
            if self.again && conn.is_all_answered() {
                if let Err(error) = conn.serve_again(scope, self.settings.workers) {
                    log::warn!("requests that were sent before may be lost: {error}");
                }
            }
            self.run_loop()
        });
        let agreement = conn.agreement_of_loop();
        drop(wakes);
        let uring = Capabilities::OVER_IO_URING;
        self.again = !agreement.is_some_and(|agreement| agreement.granted.contains(uring));
        Ok(result)
    }

    fn start_monitor(&mut self) -> io::Result<()> {
        let handle = self.handle();
        match &mut self.monitor {
            Some(monitor) => monitor.start(handle),
            None => Ok(()),
        }
    }

    fn run_loop(&self) -> c_int {
        let settings = &self.settings;
        // What an idle worker that ends late drops is `'static`.
        let idle = settings.max_idle_workers;
        let Some(config) = LoopConfig::new(settings.workers, idle, settings.clone_fd) else {
            return -libc::ENOMEM;
        };
        let session = self.raw();
        let watchdog = settings.teardown_limit.map(|limit| {
            let seconds = c_int::try_from(limit.as_secs()).unwrap_or(c_int::MAX);
            // SAFETY: the session lives, and is mounted, until the watchdog is stopped.
            unsafe { sys::fuse3_session_start_teardown_watchdog(session, seconds) }
        });
        if watchdog.is_some_and(|watchdog| watchdog.is_null()) {
            return -libc::EAGAIN;
        }
        // SAFETY: the session lives, is mounted, and is run by one thread at a time, since `run` and `serve` take it.
        let run = || unsafe { sys::fuse_session_loop_mt(session, config.as_ptr()) };
        let result = libfuse_log::looping(run);
        if let Some(watchdog) = watchdog {
            // SAFETY: it was started above, and is not used again.
            unsafe { sys::fuse3_session_stop_teardown_watchdog(watchdog) };
        }
        result
    }

    /// Unmounts, and gives back what there is.
    fn finish(mut self, result: c_int) -> io::Result<End<F>> {
        self.end();
        let core = &self.core;
        let reason = match (core.conn().take_trouble(), core.conn().reason()) {
            (Some(Trouble::Panic(payload)), _) => {
                drop(self);
                resume_unwind(payload)
            }
            (Some(Trouble::Init(error)), _) => return Err(error),
            (None, TERMINATED | TROUBLE) => Reason::Terminated,
            (None, signal @ 1..) => Reason::Signal(signal),
            // ENODEV, which libfuse takes for the end, is what the kernel says when nothing was under way; ECONNABORTED
            // is the same for a worker that was just being given a request (fuse_dev_do_read(), fs/fuse/dev.c).
            (None, _) if matches!(result, 0.. | ERROR_ABORTED) => Reason::Unmounted,
            (None, _) => return Err(io::Error::from_raw_os_error(-result)),
        };
        Ok(self.given_back(reason))
    }

    fn given_back(&self, reason: Reason) -> End<F> {
        let core = &self.core;
        End {
            reason,
            fs: Arc::clone(&core.fs),
            lock: core.lock.clone(),
            stats: core.conn().stats(),
        }
    }

    /// After it nothing of the session is reached from outside any more, and `destroy` has been called. Again, it does
    /// nothing.
    fn end(&mut self) {
        if self.ended {
            return;
        }
        let session = self.raw();
        let conn = self.core.conn();
        conn.set_over();
        self.core.serving.finish_tasks(conn.is_left());
        conn.hush();
        self.core.serving.notifications.close();
        conn.close();
        // Until now there was something to see.
        drop(self.monitor.take());
        // Asked when nothing but `destroy` is left that could panic.
        let own = self.own.take();
        disconnect(session, false);
        if !self.settings.keep_mounted && !conn.ends_mounted() {
            if own.is_none_or(|own| !own.unmount()) {
                // libfuse does, by its path.
                disconnect(session, true);
            }
            // SAFETY: the session lives, its loop has ended or never ran, and nobody uses the descriptor (`close`).
            unsafe { sys::fuse_session_unmount(session) };
            self.waiting = None;
        }
        // It would unmount what is to stay.
        mem::forget(self.waiting.take());
        // No signal leaves a dead mount any more. But one may end the process while `destroy` takes long.
        self.handling = None;
        self.core.destroy();
        if mem::take(&mut self.started) {
            self.core.stop();
        }
        conn.destroy();
        self.ended = true;
    }

    /// Leaves the end to a thread that can wait for the futures, which this one runs.
    fn end_elsewhere(&mut self) {
        log::warn!(
            "a session was dropped on the thread that runs its futures: it ends in the background, when they have"
        );
        let ending = Self {
            core: Arc::clone(&self.core),
            settings: self.settings,
            started: mem::take(&mut self.started),
            again: self.again,
            init: self.init.take(),
            ended: mem::replace(&mut self.ended, true),
            own: self.own.take(),
            waiting: self.waiting.take(),
            keeper: self.keeper.take(),
            monitor: self.monitor.take(),
            handling: self.handling.take(),
        };
        // What is not spawned is not dropped either: here it would wait for ever.
        let ending = ManuallyDrop::new(ending);
        let spawned = spawn("fuse3-end", || drop(ManuallyDrop::into_inner(ending)));
        if let Err(error) = spawned {
            log::error!("it is left mounted, since no thread could be started: {error}");
        }
    }
}

/// Ends the connection to the kernel, so that no client waits for an answer any more, but leaves the mount.
///
/// The descriptor is made another one, rather than closed: libfuse closes the number later. Unless it is one to be `unmounted`, it
/// looks as that of a mount that is gone, which libfuse leaves alone.
fn disconnect(session: *mut sys::fuse_session, unmounted: bool) {
    // SAFETY: `Session::end` destroys the session later.
    let fd = unsafe { sys::fuse_session_fd(session) };
    if fd == -1 {
        // It was not mounted.
        return;
    }
    let other = match unmounted {
        true => open_device("/dev/null").map(OwnedFd::from),
        false => severed(),
    };
    let replaced = other.and_then(|other| {
        // SAFETY: `fd` is open, and libfuse's: it opened it itself, or `Builder` gave up an `OwnedFd` for it. Nobody else uses
        // the number, since the gate is shut and the loop is over (`Session::end`).
        checked(unsafe { libc::dup3(other.as_raw_fd(), fd, libc::O_CLOEXEC) })
    });
    if let Err(error) = replaced {
        log::error!(
            "clients wait until the session is destroyed, since the connection did not end before: {error}"
        );
    }
}

/// What poll(2) says POLLERR of, as of a /dev/fuse whose connection is gone: a pipe that nobody reads.
fn severed() -> io::Result<OwnedFd> {
    let mut pipe = [-1; 2];
    // SAFETY: `pipe` has room for both descriptors.
    checked(unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: the call above opened it, and nobody else has it.
    drop(unsafe { OwnedFd::from_raw_fd(pipe[0]) });
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(pipe[1]) })
}

impl<F: Filesystem> Drop for Session<F> {
    fn drop(&mut self) {
        if !self.ended && self.core.serving.tasks_need_this_thread() {
            self.end_elsewhere();
        } else {
            self.end();
        }
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
    /// [`Session::close`], [`Stopped::close`].
    Closed,
    /// [`Stopped::hand_over`]: another process serves the mount.
    HandedOver,
}

/// As libfuse's examples have it: 0 when the file system was unmounted or the session terminated, 1 after a signal.
impl Termination for Reason {
    fn report(self) -> ExitCode {
        match self {
            Self::Unmounted | Self::Terminated | Self::Closed | Self::HandedOver => {
                ExitCode::SUCCESS
            }
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
