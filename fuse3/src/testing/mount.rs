use std::ffi::CString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use std::{fmt, fs, thread};

use crate::dispatch::filesystem::Filesystem;
use crate::lock::locking::Concurrent;
use crate::session::session::{End, Reason, Session};
use crate::session::{builder::Builder, handle::Handle, mountinfo::mounts_on};

/// After so long a mount is ended by force, unless said otherwise.
const DEADLINE: Duration = Duration::from_secs(20);

/// What [`Session::run`] did: returned, or panicked.
pub type Outcome<F> = thread::Result<io::Result<End<F>>>;

/// When [`Session::run`] has returned, and what it did.
pub(super) type Running<F> = Receiver<(Instant, Outcome<F>)>;

/// Runs the session on a thread of its own.
pub(super) fn run_apart<F: Filesystem>(session: Session<F>) -> Running<F> {
    let (sender, outcome) = mpsc::channel();
    thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| session.run()));
        // The test has gone when nobody takes it.
        let _ = sender.send((Instant::now(), outcome));
    });
    outcome
}

/// Whether this process may mount FUSE file systems, found out by mounting one, once.
///
/// # Errors
///
/// Why not, for a test to say when it does nothing, loudly.
pub fn can_mount() -> Result<(), &'static str> {
    struct Nothing;
    impl Filesystem for Nothing {
        type Lock = Concurrent;
    }
    static WHY_NOT: OnceLock<Option<String>> = OnceLock::new();
    let why_not = WHY_NOT.get_or_init(|| {
        let point = MountPoint::new();
        let session = Session::builder(Nothing, Concurrent).mount(point.path());
        session.err().map(|error| error.to_string())
    });
    why_not.as_deref().map_or(Ok(()), Err)
}

/// A fresh directory to mount on. Dropped, it is removed, and what is mounted there unmounted by force. What else is in it is
/// left alone, since it may be a directory of somebody's that was bound there.
///
/// # Panics
///
/// Dropped, when something was still mounted there, or is in it; and where there is no temporary directory to make it in.
#[derive(Debug)]
pub struct MountPoint(PathBuf);

impl MountPoint {
    /// A new one, below [`temp_dir`](std::env::temp_dir).
    #[expect(
        clippy::new_without_default,
        reason = "it makes a directory, which is nobody's default"
    )]
    #[track_caller]
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("fuse3-mounted-{}-{number}", std::process::id());
        let made = std::env::temp_dir().canonicalize().and_then(|temp| {
            let path = temp.join(name);
            fs::create_dir(&path).map(|()| path)
        });
        match made {
            Ok(path) => Self(path),
            Err(error) => panic!("a mount point cannot be made: {error}"),
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        let left = is_mounted(&self.0);
        if left {
            force_unmount(&self.0);
        }
        let removed = fs::remove_dir(&self.0);
        if !thread::panicking() {
            assert!(!left, "{} was still mounted", self.0.display());
            if let Err(error) = removed {
                panic!("{}: {error}", self.0.display());
            }
        }
    }
}

/// Something is mounted on `path`, which is absolute; asked of the kernel's list, not of the mount.
pub fn is_mounted(path: &Path) -> bool {
    !mounts_on(path).is_empty()
}

/// Ends the connection of the FUSE file system that is mounted on `path`, so that nobody waits for an answer any more, and
/// takes the mount away.
///
/// It asks nothing of the mount, and works when its server does not. Where this process may not, fusermount3 is asked to
/// unmount; then it is the control file system (/sys/fs/fuse/connections) that ends the connection, where it is mounted.
pub fn force_unmount(path: &Path) {
    for mount in mounts_on(path) {
        // The device is 0:N, and N the connection's number.
        if let Some((_, number)) = mount.device.split_once(':').filter(|_| mount.is_fuse()) {
            // Without the control file system, there is umount2(2).
            let _ = fs::write(format!("/sys/fs/fuse/connections/{number}/abort"), "1");
        }
    }
    let Ok(c_path) = CString::new(path.as_os_str().as_bytes()) else {
        return;
    };
    // SAFETY: `c_path` is NUL-terminated.
    let result = unsafe { libc::umount2(c_path.as_ptr(), libc::MNT_FORCE | libc::MNT_DETACH) };
    if result != 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EPERM) {
        // Nothing else is left to be done, should it fail.
        let _ = Command::new("fusermount3").arg("-uz").arg(path).status();
    }
}

/// A session that is mounted on a fresh directory and runs on a thread of its own. It ends whatever happens, and leaves no
/// mount behind.
///
/// Dropped, it is terminated, as in a test that fails. One that takes longer than its deadline is ended by force, so that
/// whoever hangs on it gets an error; and should that not help, the process is aborted. A client that may hang is best a
/// process of its own: one that is client and server, and starts others, can wait for itself.
///
/// ```no_run
/// use fuse3::testing::{Mount, can_mount};
/// # use fuse3::{Concurrent, Filesystem, Session};
/// # struct Fs;
/// # impl Filesystem for Fs { type Lock = Concurrent; }
///
/// # fn test() {
/// if let Err(why) = can_mount() {
///     eprintln!("SKIPPED: {why}");
///     return;
/// }
/// let mount = Mount::new(Session::builder(Fs, Concurrent));
/// assert!(std::fs::metadata(mount.join("missing")).is_err());
/// let end = mount.end();
/// assert_eq!(end.stats.panics, 0);
/// # }
/// ```
pub struct Mount<F: Filesystem> {
    point: MountPoint,
    handle: Handle,
    outcome: Option<Running<F>>,
    returned: Option<Instant>,
    deadline: Duration,
    _watchdog: Watchdog,
}

impl<F: Filesystem> Mount<F> {
    /// Mounts and runs it, for 20 seconds at most.
    ///
    /// # Panics
    ///
    /// When it cannot be mounted.
    #[track_caller]
    pub fn new(builder: Builder<F>) -> Self {
        Self::with_deadline(builder, DEADLINE)
    }

    /// The same, with another deadline.
    ///
    /// # Panics
    ///
    /// When it cannot be mounted.
    #[track_caller]
    pub fn with_deadline(builder: Builder<F>, deadline: Duration) -> Self {
        let point = MountPoint::new();
        match builder.mount(point.path()) {
            Ok(session) => Self::begin(point, session, deadline),
            Err(error) => panic!("{error}"),
        }
    }

    /// Runs a session that is mounted on `point`, for 20 seconds at most.
    pub fn run(point: MountPoint, session: Session<F>) -> Self {
        Self::begin(point, session, DEADLINE)
    }

    fn begin(point: MountPoint, session: Session<F>, deadline: Duration) -> Self {
        let handle = session.handle();
        let watchdog = Watchdog::with_deadline(point.path(), deadline);
        Self {
            point,
            handle,
            outcome: Some(run_apart(session)),
            returned: None,
            deadline,
            _watchdog: watchdog,
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.point.path()
    }

    /// The path of a file in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// The session's handle.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits until [`Session::run`] has returned, or panicked, and sees to it that nothing is mounted any more.
    ///
    /// # Panics
    ///
    /// When the session does not end in time, or has left its mount; and the second time.
    #[track_caller]
    pub fn outcome(&mut self) -> Outcome<F> {
        let outcome = self.outcome.take().expect("a session ends once");
        let (returned, outcome) = outcome
            .recv_timeout(self.deadline)
            .expect("the session did not end");
        self.returned = Some(returned);
        assert!(!is_mounted(self.path()), "the mount was left behind");
        outcome
    }

    /// The same, of a session that ended well.
    ///
    /// # Panics
    ///
    /// As [`outcome`](Self::outcome); and when `run` panicked or returned an error.
    #[track_caller]
    pub fn ended(&mut self) -> End<F> {
        self.outcome()
            .expect("run panicked")
            .expect("run returned an error")
    }

    /// How long after `start` `run` returned.
    ///
    /// # Panics
    ///
    /// Before [`outcome`](Self::outcome).
    #[track_caller]
    pub fn returned_after(&self, start: Instant) -> Duration {
        let returned = self.returned.expect("the session has ended");
        returned.saturating_duration_since(start)
    }

    /// Terminates it.
    ///
    /// # Panics
    ///
    /// As [`ended`](Self::ended), and when it was not this that ended it.
    #[track_caller]
    pub fn end(mut self) -> End<F> {
        self.handle.terminate();
        let end = self.ended();
        assert_eq!(end.reason, Reason::Terminated);
        end
    }
}

impl<F: Filesystem> Drop for Mount<F> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            self.handle.terminate();
            if outcome.recv_timeout(Duration::from_secs(5)).is_err() {
                force_unmount(self.path());
            }
        }
    }
}

impl<F: Filesystem> fmt::Debug for Mount<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount")
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

/// Ends a mount by force when its time is over, so that nobody hangs on it; and the process, should that not help.
///
/// A [`Mount`] has one; this is for sessions that a test runs itself. Dropped, it is called off.
#[derive(Debug)]
pub struct Watchdog {
    /// Dropped, it calls the watchdog off.
    _alive: Sender<()>,
}

impl Watchdog {
    /// Of what is mounted on `path`, for 20 seconds.
    pub fn new(path: &Path) -> Self {
        Self::with_deadline(path, DEADLINE)
    }

    /// The same, with another deadline.
    pub fn with_deadline(path: &Path, deadline: Duration) -> Self {
        let (alive, dead) = mpsc::channel::<()>();
        let path = path.to_owned();
        thread::spawn(move || {
            if dead.recv_timeout(deadline) == Err(RecvTimeoutError::Timeout) {
                let shown = path.display();
                bark(&format!(
                    "{shown} took longer than {deadline:?}: unmounted by force"
                ));
                force_unmount(&path);
                if dead.recv_timeout(deadline) == Err(RecvTimeoutError::Timeout) {
                    bark("that did not help");
                    std::process::abort();
                }
            }
        });
        Self { _alive: alive }
    }
}

fn bark(what: &str) {
    // Nothing else is left to say it with.
    let _ = writeln!(io::stderr(), "******** DEADLINE: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is there may be somebody's, who has bound a directory of his below it.
    #[test]
    fn a_mount_point_that_is_not_empty_keeps_what_it_has() {
        let point = MountPoint::new();
        let path = point.path().to_owned();
        fs::create_dir(path.join("dir")).unwrap();
        fs::write(path.join("dir/file"), "precious").unwrap();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(point)));
        let kept = fs::read_to_string(path.join("dir/file"));
        fs::remove_dir_all(&path).unwrap();
        assert_eq!(kept.unwrap(), "precious");
        let said = dropped.unwrap_err();
        let said = said.downcast_ref::<String>().unwrap();
        assert!(said.contains(path.to_str().unwrap()), "{said}");
    }
}
