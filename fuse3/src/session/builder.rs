use std::ffi::{CStr, CString, OsStr, OsString, c_void};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fmt, mem};

use crate::conn::{
    conn::Conn, interruption::Interruption, libfuse_log, panics::OnPanic, uring::IoUring,
};
use crate::dispatch::{core::Core, core::Serving, filesystem::Filesystem, table::Table};
use crate::notify::{error::NotifyError, hub::Hub, hub::OnError, notification::Notification};
use crate::observe::{observer::Observer, observers::Observers};
use crate::session::handover::Keeper;
use crate::session::monitor::Monitor;
use crate::session::mount::{self, MountError};
use crate::session::mountinfo::served_by;
use crate::session::options::{OptionError, Options};
use crate::session::{device::CharDevice, session::Session};
use crate::sys;
#[cfg(feature = "tokio")]
use crate::tasks::in_flight::Tasks;

/// The options of a session, before it is mounted: [`Session::builder`].
pub struct Builder<F: Filesystem> {
    fs: F,
    lock: F::Lock,
    options: Result<Options, OptionError>,
    debug: bool,
    over_file: bool,
    over_mount: bool,
    stacktrace: bool,
    on_notify_error: Option<OnError>,
    pub(super) keeper: Option<Keeper>,
    observers: Vec<Box<dyn Observer>>,
    #[cfg(feature = "tokio")]
    pub(crate) tasks: crate::tasks::in_flight::Settings,
    pub(crate) settings: Settings,
}

/// `FUSE_LOOP_MT_MAX_THREADS`: libfuse complains about more.
const MOST_WORKERS: u32 = 100_000;

/// What `run` needs to know.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) workers: u32,
    pub(crate) max_idle_workers: Option<u32>,
    pub(crate) clone_fd: bool,
    pub(crate) handle_signals: bool,
    pub(crate) keep_mounted: bool,
    pub(crate) on_panic: OnPanic,
    pub(crate) interruption: Interruption,
    pub(crate) teardown_limit: Option<Duration>,
    pub(crate) hand_over_patience: Duration,
    /// What is served is a character device, not a mount.
    pub(crate) is_device: bool,
}

impl<F: Filesystem> Builder<F> {
    pub(crate) fn new(fs: F, lock: F::Lock) -> Self {
        let settings = Settings {
            workers: 30,
            hand_over_patience: Duration::from_secs(10),
            ..Settings::default()
        };
        Self {
            fs,
            lock,
            options: Ok(Options::default()),
            debug: false,
            over_file: false,
            over_mount: false,
            stacktrace: false,
            on_notify_error: None,
            keeper: None,
            observers: Vec::new(),
            #[cfg(feature = "tokio")]
            tasks: crate::tasks::in_flight::Settings::default(),
            settings,
        }
    }

    pub(super) fn change(
        mut self,
        add: impl FnOnce(&mut Options) -> Result<(), OptionError>,
    ) -> Self {
        // The first mistake is kept, for `mount` to return.
        self.options = self
            .options
            .and_then(|mut options| add(&mut options).map(|()| options));
        self
    }

    /// One mount option: a name, or `name=value` with nothing escaped. Only `fsname` may have a comma in it, since what follows one
    /// in another would be an option of its own.
    ///
    /// It is checked by [`mount`](Self::mount). Options of libfuse 2 that libfuse 3 refuses (`big_writes`, `nonempty`,
    /// `use_ino`, ...) are left out, and the log says why. Those of `fuse_parse_conn_info_opts()` (`max_write=N`,
    /// `[no_]splice_read`, `[no_]writeback_cache`, ...) are asked of the [`Connection`](crate::Connection) after
    /// [`init`](Filesystem::init), so that they have the last word; one that is not offered has no effect, and the log says
    /// so. `monitor=PATH` is [`monitor`](Self::monitor).
    pub fn option(self, option: impl AsRef<OsStr>) -> Self {
        self.change(|options| options.add(option.as_ref()))
    }

    /// Mount options as `-o` takes them: with commas between them, and a backslash before a comma or backslash that is
    /// part of one. They are checked by [`mount`](Self::mount).
    pub fn options(self, options: impl AsRef<OsStr>) -> Self {
        self.change(|all| all.add_all(options.as_ref()))
    }

    /// `fsname=NAME`: the source, first column of df(1). An `fsname` that [`option`](Self::option) or the command line gives takes
    /// precedence, in whatever order the two are given. The same holds for `subtype`.
    pub fn fsname(self, name: impl fmt::Display) -> Self {
        self.change(|options| options.name(format!("fsname={name}").as_ref()))
    }

    /// `subtype=NAME`: the type is shown as `fuse.NAME`. With a comma in it only for root: libfuse hands it to fusermount3
    /// as it is, and when that refuses it, mounts without.
    pub fn subtype(self, name: impl fmt::Display) -> Self {
        self.change(|options| options.name(format!("subtype={name}").as_ref()))
    }

    /// `allow_other`: all users may access the mount, not only who mounted it. Users need `user_allow_other` in
    /// /etc/fuse.conf.
    pub fn allow_other(self) -> Self {
        self.option("allow_other")
    }

    /// `allow_root`: root may access the mount too.
    pub fn allow_root(self) -> Self {
        self.option("allow_root")
    }

    /// `default_permissions`: the kernel checks permissions by mode, owner and group. Without it the file system has to.
    pub fn default_permissions(self) -> Self {
        self.option("default_permissions")
    }

    /// `auto_unmount`: a second process unmounts when this one is gone, however it ended.
    pub fn auto_unmount(self) -> Self {
        self.option("auto_unmount")
    }

    /// `ro`: nothing can be written.
    pub fn read_only(self) -> Self {
        self.option("ro")
    }

    /// `max_read=BYTES`: the largest read; the kernel takes 4,096 for less, and no more than
    /// [`max_write`](crate::Connection::max_write).
    pub fn max_read(self, bytes: u32) -> Self {
        self.option(format!("max_read={bytes}"))
    }

    /// `-d`: libfuse logs each request.
    pub fn debug(mut self, debug: bool) -> Self {
        self.debug = debug;
        self
    }

    /// Allows to mount over a file. The root of the file system then is a file.
    ///
    /// libfuse asks nobody: it mounts a directory over a file, and a file over a directory, too. The kernel has noted what the
    /// root is from the mount point, and answers EIO to whoever looks at one that is something else, until it is unmounted.
    /// So [`mount`](Self::mount) refuses a file unless this is set.
    pub fn over_file(mut self, over_file: bool) -> Self {
        self.over_file = over_file;
        self
    }

    /// `-o nonempty` of libfuse 2: mounts over a FUSE file system that is mounted there already, as C's always does. It is hidden
    /// until this one is unmounted.
    ///
    /// [`mount`](Self::mount) refuses to unless this is set, since a program that is started twice would hide itself. Other file
    /// systems, and directories that are not empty, are mounted over in any case.
    pub fn over_mount(mut self, over_mount: bool) -> Self {
        self.over_mount = over_mount;
        self
    }

    /// llfuse's `workers`, libfuse's `max_threads`: how many handlers may run at once; 30 unless set, at least 1.
    ///
    /// libfuse starts them as they are needed. A handler that waits for the lock, or does slow work while it has released
    /// it, occupies one. libfuse before 3.12 starts as many as there are requests at once: there those over the limit wait
    /// before their handlers, and [`SessionStats::workers`](crate::session::SessionStats::workers) may be more.
    pub fn workers(mut self, workers: u32) -> Self {
        self.settings.workers = workers.max(1);
        self
    }

    /// `max_idle_threads`: a worker that finds more than this many idle ends. None ends unless set, which libfuse advises:
    /// to start one again takes longer than it saves.
    ///
    /// Such a worker is not waited for: it may still be ending, and drop what its handlers left in thread-local variables,
    /// when [`Session::run`] has returned. libfuse takes at most 100,000; [`u32::MAX`] is as many as there are.
    pub fn max_idle_workers(mut self, workers: impl Into<Option<u32>>) -> Self {
        self.settings.max_idle_workers = workers.into().filter(|workers| *workers < MOST_WORKERS);
        self
    }

    /// `clone_fd`: each worker has a descriptor of its own, which is closed when the worker has ended and the last request
    /// that came by it has been answered, at the latest when the session ends.
    pub fn clone_fd(mut self, clone_fd: bool) -> Self {
        self.settings.clone_fd = clone_fd;
        self
    }

    /// `-o io_uring`: whether requests come over io_uring. [Off](IoUring::Off) unless set here or by the option, which whoever runs the
    /// program may add.
    pub fn io_uring(self, io_uring: IoUring) -> Self {
        self.change(|options| {
            options.connection.io_uring = io_uring;
            Ok(())
        })
    }

    /// `-o io_uring_q_depth=N`: how many requests each queue of io_uring has room for; 1 to 32,767, and 8 unless set here or by
    /// the option.
    ///
    /// There is a queue for each processor that the machine may have, and each request in it has a buffer for the largest message. So
    /// the session reserves processors x depth x ([`max_write`](crate::Connection::max_write) + 4 KiB) of addresses when it begins:
    /// 16.1 MiB with two processors and the defaults, 514 MiB with 64. It is memory only as far as messages have filled it, and
    /// none of it is locked. The [guide](crate::guide::performance#io_uring) has what was measured.
    pub fn io_uring_queue_depth(self, depth: u32) -> Self {
        self.change(|options| {
            options.queue_depth = Some(depth.max(1));
            Ok(())
        })
    }

    /// `fuse_set_signal_handlers()`: SIGINT, SIGTERM and SIGHUP end the session, and [`End`](crate::End) says which it was.
    ///
    /// From before it is mounted until it is unmounted, so that no signal leaves a dead mount: after one that comes before
    /// [`Session::run`], `run` returns at once. A signal ends all sessions of the process that handle signals. With the last
    /// of them, dropped or run, the handlers from before are installed again. Signals that are ignored stay ignored, and no
    /// other signal is touched. Off unless set.
    ///
    /// A process that forks after [`mount`](Self::mount) and leaves the session to its child still has the handlers, as
    /// after `fuse_set_signal_handlers()`; [`Session::daemonize`] sees to that.
    pub fn handle_signals(mut self, handle_signals: bool) -> Self {
        self.settings.handle_signals = handle_signals;
        self
    }

    /// llfuse's `close(unmount=False)`: the mount point stays when the session has ended, and fails with ENOTCONN, so that
    /// nobody takes the directory below for the file system.
    pub fn keep_mounted(mut self, keep_mounted: bool) -> Self {
        self.settings.keep_mounted = keep_mounted;
        self
    }

    /// `fuse_session_start_teardown_watchdog()`: once the connection has been ended from outside (`umount -f`, an abort by the
    /// control file system), handlers in flight have so long to end, in whole seconds; then the process ends, with status 1.
    ///
    /// For a file system whose handlers may hang for ever, and which is to be started again then. Off unless set.
    /// [`mount`](Self::mount) refuses it with libfuse before 3.19.
    pub fn teardown_watchdog(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.teardown_limit = limit.into();
        self
    }

    /// What becomes of the session when a handler panics.
    pub fn on_panic(mut self, on_panic: OnPanic) -> Self {
        self.settings.on_panic = on_panic;
        self
    }

    /// Which signals of a caller end what its request waits for; [`Context::set_interruption`](crate::Context::set_interruption)
    /// says otherwise for a request. Those that end the caller, unless set: [`Interruption::Fatal`].
    pub fn interruption(mut self, interruption: Interruption) -> Self {
        self.settings.interruption = interruption;
        self
    }

    /// llfuse's `stacktrace`: setxattr(2) of the name `fuse_stacktrace` on the root logs a [`Report`](crate::session::Report), as a
    /// warning, in place of calling the file system: `setfattr -n fuse_stacktrace -v 1 MOUNTPOINT`.
    ///
    /// The handler does not wait for the lock. It does need a worker: when all of them wait, only
    /// [`Handle::report`](crate::Handle::report) is left, which has the requests of all threads too where this is set. Off
    /// unless set, since each request then notes who serves it, in a table that all workers share; and since anybody may ask
    /// who may set attributes of the root.
    pub fn stacktrace(mut self, stacktrace: bool) -> Self {
        self.stacktrace = stacktrace;
        self
    }

    /// What is told of [queued notifications](crate::Notifier) that the kernel did not take, on the thread that sends them.
    ///
    /// Unless set, they are logged, but for ENOENT: the kernel did not know the inode or the name then, so that nothing
    /// was out of date; and but for EBADF, ENODEV and ENOTCONN, which are normal while the file system is unmounted. A
    /// panic is caught, and logged.
    pub fn on_notify_error(
        mut self,
        told: impl Fn(&Notification, NotifyError) + Send + Sync + 'static,
    ) -> Self {
        self.on_notify_error = Some(Box::new(told));
        self
    }

    /// How long [`Stopped::hand_over`](crate::session::Stopped::hand_over) and [`exec`](crate::session::Stopped::exec) wait for answers that are
    /// deferred and for futures, and how long each process waits for the other; 10 seconds unless set.
    pub fn hand_over_patience(mut self, patience: Duration) -> Self {
        self.settings.hand_over_patience = patience;
        self
    }

    /// Has another process keep the connection from when the session begins, so that the mount outlives a crash of this one. `None`
    /// for nobody, so that what [`Keeper::inherited`] finds can be passed on as it is.
    ///
    /// [`SPLICE_READ`](crate::Capabilities::SPLICE_READ) is asked for where it is offered: of a request that a server reads into its
    /// memory while it is killed, the client gets EIO. (A mount that is taken over is spliced if it was before.)
    ///
    /// Where the keeper is gone, the log says so, and the session goes on without.
    pub fn keeper(mut self, keeper: impl Into<Option<Keeper>>) -> Self {
        self.keeper = keeper.into();
        self
    }

    /// Has `observer` told of the session's threads and requests: see [`Observer`]. An [`Arc`] of one is one, for a program that wants
    /// to ask it something later. Each call adds one; the first is told first.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// `fuse_session_new()` and `fuse_session_mount()`: mounts on `path`. No thread is started, so that the process may
    /// fork before it calls [`Session::run`].
    ///
    /// `/dev/fd/N` is a file system that another program has mounted, as mount.fuse3(8) does with `drop_privileges`. It is taken
    /// only where it stands among the arguments of this process: the descriptor was then opened before the program began, and
    /// becomes the session's, once. For any other descriptor there is [`mount_fd`](Self::mount_fd).
    ///
    /// From 3.17 on libfuse calls setenv(3) in this process when it mounts by fusermount3, which it does where the process may
    /// not mount by itself, and for `auto_unmount`: `_FUSE_COMMFD` and `_FUSE_COMMFD2` are set, and stay. (Older ones set
    /// the first in the child alone.) So mount before another thread reads or changes the environment: the lock of
    /// `std::env` does not hold for C, and libc itself calls getenv(3) (localtime(3), getaddrinfo(3)).
    ///
    /// # Errors
    ///
    /// Each [`MountError`] says what to do.
    pub fn mount(mut self, path: impl AsRef<Path>) -> Result<Session<F>, MountError> {
        let path = path.as_ref();
        if let Some(number) = mount::descriptor(path) {
            let device = mount::inherited(path, number, env::args_os())?;
            return self.mount_fd(device);
        }
        let options = self.take_options()?;
        let over_mount = self.over_mount || options.over_mount;
        let mount_point = mount::check(path, self.over_file, over_mount)?;
        self.serve_at(path, &mount_point, options)
    }

    /// `fuse_session_mount()` of `/dev/fd/N`: serves what `device` is, /dev/fuse as somebody else has opened and mounted it, or
    /// a socket whose other end speaks the kernel's protocol.
    ///
    /// The session owns the descriptor, and closes it at its end. A
    /// duplicate of it ([`OwnedFd::try_clone`]) keeps the connection, but is not to be read from or written to. Nothing is
    /// unmounted at the end.
    ///
    /// The mount was made by others, and its options are theirs. Those of the builder have to be in force there, as
    /// /proc/self/mountinfo shows it: a file system that counts on `default_permissions` would let everybody do everything
    /// without it. (C's libfuse drops them in silence.) `fsname`, `subtype` and `auto_unmount` are not looked at. Linux before 6.16
    /// does not tell which mount is that of a descriptor: there all FUSE file systems that the process sees have to have them. Of a
    /// socket, options of the mount have no effect.
    ///
    /// ```
    /// # use fuse3::{Concurrent, Filesystem, Session};
    /// # use std::os::unix::net::UnixDatagram;
    /// # struct Fs;
    /// # impl Filesystem for Fs {
    /// #     type Lock = Concurrent;
    /// # }
    /// let (kernel, server) = UnixDatagram::pair()?;
    /// let session = Session::builder(Fs, Concurrent).mount_fd(server)?;
    /// # drop((kernel, session));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`mount`](Self::mount) that have nothing to do with mount points; [`MountError::NotInForce`] names the options that
    /// the mount lacks. The descriptor is closed then.
    pub fn mount_fd(mut self, device: impl Into<OwnedFd>) -> Result<Session<F>, MountError> {
        let device = device.into();
        let options = self.take_options()?;
        // There is nothing to unmount, so that libfuse would not end the connection either.
        self.settings.keep_mounted = true;
        let (path, place) = mount::place(&device);
        let mounts = served_by(&device);
        if mounts.is_none() {
            let why = format!(
                "{} is no /dev/fuse, and io_uring is for mounts only",
                path.display()
            );
            match options.connection.io_uring() {
                IoUring::Off => {}
                IoUring::WhereOffered => {
                    crate::base::log::warn!("the mount option \"io_uring\" has no effect: {why}");
                }
                IoUring::On => return Err(MountError::Refused(why)),
            }
        }
        let lacking = mounts.map(|mounts| options.not_in_force(&mounts));
        if let Some(lacking) = lacking.filter(|lacking| !lacking.is_empty()) {
            return Err(MountError::NotInForce(path, lacking));
        }
        let session = self.serve_at(&path, &place, options)?;
        // libfuse has taken it, and closes it with the session.
        let _ = device.into_raw_fd();
        Ok(session)
    }

    pub(super) fn serve_at(
        self,
        path: &Path,
        place: &CStr,
        options: Options,
    ) -> Result<Session<F>, MountError> {
        self.start(path, place, options, |args, userdata| {
            let ops = Table::<F>::ops();
            // SAFETY: `args` and `ops`, of which libfuse makes copies, live; `userdata` is what the table expects.
            unsafe { sys::fuse_session_new(args, &raw const ops, size_of_val(&ops), userdata) }
        })
    }

    /// `cuse_lowlevel_new()`: opens `/dev/cuse` for a session of a character device, which is there once the session runs and
    /// `init` has succeeded, and as long as it runs. Only root may.
    ///
    /// Options of mounts are of no effect.
    ///
    /// # Errors
    ///
    /// [`MountError::Cuse`] where the kernel has no CUSE, or not for this user; and those of [`mount`](Self::mount) that have
    /// nothing to do with mount points.
    pub fn character_device(self, device: &CharDevice) -> Result<Session<F>, MountError> {
        device.info()?;
        let server = device.open()?;
        self.character_device_fd(device, server)
    }

    /// [`character_device`](Self::character_device) with `server` in place of `/dev/cuse`: a descriptor of it that somebody else
    /// has opened, so that the program needs no right to open it. The session owns it, as with [`mount_fd`](Self::mount_fd).
    ///
    /// # Errors
    ///
    /// As `character_device`. The descriptor is closed then.
    pub fn character_device_fd(
        mut self,
        device: &CharDevice,
        server: impl Into<OwnedFd>,
    ) -> Result<Session<F>, MountError> {
        let server = server.into();
        let options = self.take_options()?;
        let info = device.info()?;
        // Nothing was mounted: the connection is to be closed.
        self.settings.keep_mounted = true;
        self.settings.is_device = true;
        // As for a mount by somebody else.
        let (_, place) = mount::place(&server);
        let session = self.start(&device.path(), &place, options, |args, userdata| {
            let mut strings = [info.as_ptr()];
            let info = device.to_cuse_info(&mut strings);
            let ops = Table::<F>::CUSE;
            // SAFETY: `args`, `info` and `ops`, of which libfuse makes copies, live; `userdata` is what the table expects.
            unsafe { sys::cuse_lowlevel_new(args, &raw const info, &raw const ops, userdata) }
        })?;
        // libfuse has taken it, and closes it with the session.
        let _ = server.into_raw_fd();
        Ok(session)
    }

    pub(super) fn take_options(&mut self) -> Result<Options, MountError> {
        sys::check_layout().map_err(MountError::Layout)?;
        // SAFETY: no precondition.
        let known = unsafe { sys::fuse3_has_teardown_watchdog() } == 1;
        if self.settings.teardown_limit.is_some() && !known {
            let what = "a teardown_watchdog needs libfuse 3.19, when the program is built, too";
            return Err(MountError::Refused(what.to_owned()));
        }
        let options = mem::replace(&mut self.options, Ok(Options::default()));
        let mut options = options.map_err(MountError::Option)?;
        options.connection.is_kept = self.keeper.is_some();
        if options.connection.io_uring() == IoUring::On {
            IoUring::offered().map_err(MountError::Refused)?;
        }
        Ok(options)
    }

    /// A session that `new` makes, at `place`, which is `path` as libfuse wants it.
    fn start(
        self,
        path: &Path,
        place: &CStr,
        options: Options,
        new: impl FnOnce(*mut sys::fuse_args, *mut c_void) -> *mut sys::fuse_session,
    ) -> Result<Session<F>, MountError> {
        libfuse_log::capture_libfuse();
        let mut observers = self.observers;
        let monitor = Monitor::new(&options, path, &mut observers)?;
        let conn = Conn::observed(
            self.settings.on_panic,
            self.settings.interruption,
            Observers::new(observers),
        );
        let serving = Serving::new(
            Arc::clone(&conn),
            Hub::new(Arc::clone(&conn), self.on_notify_error),
            self.settings.workers,
            self.stacktrace || options.is_monitored(),
            self.stacktrace,
            options.connection.clone(),
        );
        #[cfg(feature = "tokio")]
        let serving = serving.with_tasks(Tasks::new(self.tasks));
        let core = Arc::new(Core {
            fs: Arc::new(self.fs),
            lock: self.lock,
            serving,
        });
        let mut arguments = vec![OsString::from("fuse3")];
        arguments.extend(options.arguments());
        if self.debug {
            arguments.push("-odebug".into());
        }
        let userdata = Arc::as_ptr(&core).cast_mut().cast();
        let session = new_session(arguments, |args| new(args, userdata))?;
        // SAFETY: `session` came from libfuse, and is in no other hands. `core`, its userdata, has a share of `conn`, and
        // `Session` has one of `core` until it has destroyed the session.
        unsafe { conn.attach(session, true) };
        let session = Session::new(core, self.settings, self.keeper);
        let mut session = session.map_err(MountError::Signals)?;
        session.watched_by(monitor);
        session
            .mount(place, options.auto_unmount())
            .map_err(|said| MountError::Failed(path.to_owned(), said))?;
        session.deposit();
        Ok(session)
    }
}

/// What `new` makes of `arguments`.
fn new_session(
    arguments: Vec<OsString>,
    new: impl FnOnce(*mut sys::fuse_args) -> *mut sys::fuse_session,
) -> Result<NonNull<sys::fuse_session>, MountError> {
    let strings = arguments
        .into_iter()
        .map(|argument| CString::new(argument.into_vec()));
    let strings = strings.collect::<Result<Vec<_>, _>>();
    let strings = strings.map_err(|error| MountError::Refused(error.to_string()))?;
    let mut args = sys::FUSE_ARGS_INIT(0, std::ptr::null_mut());
    for string in &strings {
        // Copied to libfuse's own memory, since libfuse frees what it is given when it fails.
        // SAFETY: `args` is a list that libfuse made itself, and `string` lives.
        if unsafe { sys::fuse_opt_add_arg(&raw mut args, string.as_ptr()) } != 0 {
            return Err(MountError::Refused("out of memory".to_owned()));
        }
    }
    let (session, said) = libfuse_log::listen(|| new(&raw mut args));
    // SAFETY: `args` is libfuse's; what libfuse freed already it has marked so.
    unsafe { sys::fuse_opt_free_args(&raw mut args) };
    NonNull::new(session).ok_or(MountError::Refused(said))
}

impl<F: Filesystem> fmt::Debug for Builder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("options", &self.options)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
