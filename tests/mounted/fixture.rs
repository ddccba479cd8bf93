//! A mount that ends whatever happens.

use std::ffi::{CStr, CString};
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use fuse3::testing::{Mount, MountPoint, Outcome, Watchdog, force_unmount, is_mounted};

pub(crate) use crate::skip::skip;
pub(crate) use crate::tempdir::TempDir;

/// After so long a mount is ended by force, and its test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// In which a client that was killed is to be gone.
const SOON: Duration = Duration::from_millis(100);

/// Returns from the test, loudly, where mounting is not possible; and keeps it from running beside another.
macro_rules! require_mount {
    () => {
        if !crate::fixture::can_mount(module_path!()) {
            return;
        }
        let _alone = crate::fixture::alone();
    };
    // When scripts/matrix has libfuse use io_uring for all of them.
    (not over io_uring: $why:expr) => {
        if std::env::var_os("FUSE_URING_ENABLE").is_some() {
            crate::fixture::skip(module_path!(), concat!("over io_uring ", $why));
            return;
        }
        require_mount!();
    };
}
pub(crate) use require_mount;

/// These tests are servers and clients in one process, and some start others. A process that is just being started has
/// copies of all descriptors until it calls execve(2), which closes them one by one, flushing the files: when it flushes a
/// file of a session that ends meanwhile, and has that session's descriptor too, it waits for itself, for ever. So they run
/// one at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed says nothing about the next one.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this process may mount FUSE file systems, found out without the code under test.
pub(crate) fn can_mount(test: &str) -> bool {
    static WHY_NOT: OnceLock<Option<String>> = OnceLock::new();
    let why_not = WHY_NOT.get_or_init(|| try_mount().err().map(|error| error.to_string()));
    if let Some(why) = why_not {
        skip(&format!("a mounted test of {test}"), why);
    }
    why_not.is_none()
}

fn try_mount() -> io::Result<()> {
    let told = |what: &str, error: io::Error| io::Error::other(format!("{what}: {error}"));
    let device = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .map_err(|error| told("/dev/fuse cannot be opened", error))?;
    let dir = MountPoint::new();
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0",
        device.as_raw_fd()
    );
    let (point, options) = (c_string(dir.path()), CString::new(options)?);
    // SAFETY: all four strings live and are NUL-terminated.
    let mounted = unsafe {
        libc::mount(
            c"fuse".as_ptr(),
            point.as_ptr(),
            c"fuse".as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV,
            options.as_ptr().cast(),
        )
    };
    if mounted != 0 {
        let error = io::Error::last_os_error();
        // An ordinary user has fusermount3, which knows whom to let mount.
        return match error.raw_os_error() {
            Some(libc::EPERM) if !is_root() => try_fusermount(dir.path()),
            _ => Err(told("mounting is not allowed", error)),
        };
    }
    force_unmount(dir.path());
    Ok(())
}

/// fusermount3(1) mounts, and sends the descriptor over the socket that it is told of, here its standard input.
fn try_fusermount(path: &Path) -> io::Result<()> {
    let (ours, its) = UnixStream::pair()?;
    let mut command = Command::new("fusermount3");
    command.arg("--").arg(path).env("_FUSE_COMMFD", "0");
    let mounted = command.stdin(OwnedFd::from(its)).output();
    let mounted = mounted.map_err(|error| io::Error::other(format!("fusermount3: {error}")))?;
    if !mounted.status.success() {
        let said = String::from_utf8_lossy(&mounted.stderr).trim().to_owned();
        return Err(io::Error::other(said));
    }
    force_unmount(path);
    drop(ours);
    Ok(())
}

pub(crate) fn is_root() -> bool {
    // SAFETY: it has no precondition.
    unsafe { libc::geteuid() == 0 }
}

pub(crate) fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// Lines of mountinfo whose mount point is `path`.
pub(crate) fn mounts_on(path: &Path) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let on_path = |line: &&str| line.split(' ').nth(4) == path.to_str();
    mounts.lines().filter(on_path).map(str::to_owned).collect()
}

/// Mount points below `path`.
pub(crate) fn mounts_below(path: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let below = points.map(PathBuf::from).filter(|p| p.starts_with(path));
    below.collect()
}

pub(crate) fn unmount_below(path: &Path) {
    // Last ones first: they may be on top of others.
    for point in mounts_below(path).iter().rev() {
        force_unmount(point);
    }
}

/// Ends the connections of the mounts below `path`, so that nobody waits for an answer any more.
///
/// By the control file system, which asks nothing of the mount.
pub(crate) fn abort_below(path: &Path) {
    const CONNECTIONS: &CStr = c"/sys/fs/fuse/connections";
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let below = |line: &&str| {
        let point = line.split(' ').nth(4).map(Path::new);
        point.is_some_and(|point| point.starts_with(path)) && line.contains(" - fuse")
    };
    let numbers = mounts.lines().filter(below).filter_map(|line| {
        let device = line.split(' ').nth(2)?;
        Some(device.split_once(':')?.1)
    });
    let numbers: Vec<&str> = numbers.collect();
    let at = CONNECTIONS.to_str().unwrap();
    let control = !numbers.is_empty() && !is_mounted(Path::new(at));
    if control {
        // SAFETY: all strings live and are NUL-terminated, and there is no data.
        unsafe {
            libc::mount(
                c"none".as_ptr(),
                CONNECTIONS.as_ptr(),
                c"fusectl".as_ptr(),
                0,
                std::ptr::null(),
            )
        };
    }
    for number in numbers {
        if let Err(error) = fs::write(format!("{at}/{number}/abort"), "1") {
            bark(&format!("connection {number} was not aborted: {error}"));
        }
    }
    if control {
        // SAFETY: the string lives and is NUL-terminated.
        unsafe { libc::umount2(CONNECTIONS.as_ptr(), libc::MNT_DETACH) };
    }
    unmount_below(path);
}

fn bark(what: &str) {
    // Nothing else is left to say it with.
    let _ = writeln!(io::stderr(), "******** DEADLINE: {what}");
}

/// How long `what` took, and what it returned.
pub(crate) fn timed<R>(what: impl FnOnce() -> R) -> (Duration, R) {
    let start = Instant::now();
    let result = what();
    (start.elapsed(), result)
}

/// What the first of three tries returned that had the client gone [`SOON`]: `kill` says after how long it was.
///
/// On a busy machine it may have to wait for a processor; but who is not told is never gone.
#[track_caller]
pub(crate) fn gone_soon<R>(mut kill: impl FnMut() -> (Duration, R)) -> (Duration, R) {
    let mut times = Vec::new();
    for _ in 0..3 {
        let (took, result) = kill();
        assert!(took < 10 * SOON, "the client waited {took:?}");
        if took < SOON {
            return (took, result);
        }
        times.push(took);
    }
    panic!("the clients waited {times:?}");
}

/// Waits until `what` holds.
#[track_caller]
pub(crate) fn until(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < DEADLINE, "waited in vain");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Closed, handlers wait before it.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// How many came to it, and whether it is open.
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Gate {
    /// Waits until it is open.
    pub(crate) fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.changed.notify_all();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, DEADLINE, |(_, open)| !*open)
            .unwrap();
        assert!(state.1, "the gate was not opened");
    }

    /// Waits until `count` have come to it.
    pub(crate) fn came(&self, count: usize) {
        let state = self.state.lock().unwrap();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, DEADLINE, |(came, _)| *came < count)
            .unwrap();
        assert!(state.0 >= count, "{} came to the gate", state.0);
    }

    /// How many have come to it.
    pub(crate) fn count(&self) -> usize {
        self.state.lock().unwrap().0
    }

    pub(crate) fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}
