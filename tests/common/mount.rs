//! An example, run as a program and mounted, which ends whatever happens.

#[path = "fusermount3.rs"]
mod fusermount3;
#[path = "program.rs"]
pub(crate) mod program;
#[path = "skip.rs"]
pub(crate) mod skip;

use std::env;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long mounting, unmounting and ending may take each.
const PATIENCE: Duration = Duration::from_secs(30);

/// The user, and the group, that has no rights.
pub(crate) const NOBODY: u32 = 65534;

/// A mounted example. Dropped, it is killed and unmounted.
#[derive(Debug)]
pub(crate) struct Mounted {
    child: Arc<Mutex<Child>>,
    /// Holds the mount point and what the program prints.
    dir: PathBuf,
    mount_point: PathBuf,
    /// Dropped, it tells the watchdog that the test is over.
    _watched: Sender<()>,
}

/// What became of a program that was unmounted, or told to end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Mounted {
    /// Runs `example ARGUMENTS MOUNTPOINT`, for at most `deadline`: then it is killed, whoever waits for it gets an error,
    /// and so the test fails.
    ///
    /// Returns `None`, and says so loudly, where nothing can be mounted.
    pub(crate) fn new(example: &str, arguments: &[&str], deadline: Duration) -> Option<Self> {
        Self::start(example, arguments, deadline, |_, _| {})
    }

    /// The same, by a user without rights, where the test is root's, through fusermount3. Only where all users may open
    /// /dev/fuse.
    pub(crate) fn by_nobody(example: &str, arguments: &[&str], deadline: Duration) -> Option<Self> {
        let mode = fs::metadata("/dev/fuse").map_or(0, |device| device.permissions().mode());
        if mode & 0o6 != 0o6 {
            skipped(example, "not every user may open /dev/fuse");
            return None;
        }
        if is_root() && !fusermount3::is_setuid() {
            skipped(example, "fusermount3 is not there, or is not setuid root");
            return None;
        }
        Self::start(example, arguments, deadline, |command, dir| {
            if !is_root() {
                return;
            }
            // The program may be where only root can read it.
            let copy = dir.join(example);
            program::copy(Path::new(command.get_program()), &copy);
            chown(dir.join("mnt"), Some(NOBODY), Some(NOBODY)).unwrap();
            let mut nobody_s = Command::new(copy);
            nobody_s.args(command.get_args()).uid(NOBODY).gid(NOBODY);
            *command = nobody_s;
        })
    }

    /// The same as `new`, with the command changed by `change`, which is also given a directory for the test.
    pub(crate) fn start(
        example: &str,
        arguments: &[&str],
        deadline: Duration,
        change: impl FnOnce(&mut Command, &Path),
    ) -> Option<Self> {
        Self::start_program(example, arguments, deadline, change, || {
            program::built(example)
        })
    }

    /// The same of a program that is no example, which `built` is asked for where something can be mounted.
    pub(crate) fn start_program(
        example: &str,
        arguments: &[&str],
        deadline: Duration,
        change: impl FnOnce(&mut Command, &Path),
        built: impl FnOnce() -> PathBuf,
    ) -> Option<Self> {
        if let Err(why) = can_mount() {
            skipped(example, &why);
            return None;
        }
        let program = built();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("fuse3-{example}-{}-{number}", std::process::id());
        let dir = env::temp_dir().canonicalize().unwrap().join(name);
        let mount_point = dir.join("mnt");
        fs::create_dir_all(&mount_point).unwrap();
        let output = |name| File::create(dir.join(name)).unwrap();
        let mut command = Command::new(&program);
        command.args(arguments).arg(&mount_point);
        change(&mut command, &dir);
        let child = command
            .stdin(Stdio::null())
            .stdout(output("stdout"))
            .stderr(output("stderr"))
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let child = Arc::new(Mutex::new(child));
        let mounted = Self {
            _watched: watch(&child, deadline),
            child,
            dir,
            mount_point,
        };
        let ready = within(PATIENCE, || {
            mounted.is_mounted() || mounted.status().is_some()
        });
        assert!(
            ready && mounted.is_mounted(),
            "not mounted: {:?}",
            mounted.ended()
        );
        Some(mounted)
    }

    /// The root of the file system.
    pub(crate) fn path(&self) -> &Path {
        &self.mount_point
    }

    /// The program's process.
    pub(crate) fn id(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// Unmounts it, and waits until the program has ended.
    pub(crate) fn unmount(self) -> Ended {
        let unmounted = within(PATIENCE, || {
            unmount(&self.mount_point, false) || !self.is_mounted()
        });
        assert!(unmounted, "busy: {}", self.mount_point.display());
        self.wait()
    }

    /// Sends it the signal `name`, as kill(1) calls it, and waits until the program has ended.
    pub(crate) fn signal(self, name: &str) -> Ended {
        let kill = format!("kill -{name} {}", self.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
        self.wait()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.status().is_none()
    }

    /// Waits until the program has ended by itself, with its mount gone.
    pub(crate) fn ends(self) -> Ended {
        self.wait()
    }

    fn wait(&self) -> Ended {
        assert!(
            within(PATIENCE, || self.status().is_some()),
            "it did not end"
        );
        assert!(!self.is_mounted(), "the mount was left behind");
        self.ended().expect("it has ended")
    }

    fn status(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().try_wait().unwrap()
    }

    fn ended(&self) -> Option<Ended> {
        let printed = |name| fs::read_to_string(self.dir.join(name)).unwrap();
        Some(Ended {
            status: self.status()?,
            stdout: printed("stdout"),
            stderr: printed("stderr"),
        })
    }

    fn is_mounted(&self) -> bool {
        is_mounted(&self.mount_point)
    }
}

/// Whether something is mounted right there.
pub(crate) fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut points = mounts.lines().map(|line| line.split(' ').nth(4));
    points.any(|point| point == path.to_str())
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let mut child = self
            .child
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        // It has ended already, mostly.
        let _ = child.kill();
        let _ = child.wait();
        drop(child);
        if self.is_mounted() {
            unmount(&self.mount_point, true);
        }
        if !self.is_mounted() {
            // What is left in the temporary directory is no failure.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

fn skipped(example: &str, why: &str) {
    skip::skip(&format!("a mounted test of {example}"), why);
}

/// Kills `child` when the time is up.
fn watch(child: &Arc<Mutex<Child>>, deadline: Duration) -> Sender<()> {
    let (watched, over) = mpsc::channel();
    let child = Arc::clone(child);
    thread::spawn(move || {
        if over.recv_timeout(deadline) == Err(RecvTimeoutError::Timeout) {
            let line = format!(
                "******** the deadline of {deadline:?} is over, the file system is killed\n"
            );
            io::stderr().write_all(line.as_bytes()).unwrap();
            child.lock().unwrap().kill().unwrap();
        }
    });
    watched
}

/// Root does it itself, at once; others need fusermount3(1).
pub(crate) fn unmount(mount_point: &Path, lazily: bool) -> bool {
    if is_root() {
        let path = CString::new(mount_point.as_os_str().as_bytes()).unwrap();
        let flags = if lazily { libc::MNT_DETACH } else { 0 };
        // SAFETY: `path` lives and is NUL-terminated.
        return unsafe { libc::umount2(path.as_ptr(), flags) } == 0;
    }
    let mut program = Command::new("fusermount3");
    program
        .arg("-u")
        .args(lazily.then_some("-z"))
        .arg(mount_point);
    program.output().unwrap().status.success()
}

pub(crate) fn is_root() -> bool {
    // SAFETY: it has no precondition.
    unsafe { libc::geteuid() == 0 }
}

/// Polls until it is true, for at most `time`.
pub(crate) fn within(time: Duration, mut is_true: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !is_true() {
        if start.elapsed() > time {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

/// # Errors
///
/// Why not.
fn can_mount() -> Result<(), String> {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .map_err(|error| format!("/dev/fuse cannot be opened: {error}"))?;
    let capabilities = fs::read_to_string("/proc/self/status").unwrap();
    let effective = capabilities
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    const CAP_SYS_ADMIN: u32 = 21;
    if is_root() && effective.is_some_and(|bits| (bits >> CAP_SYS_ADMIN) & 1 == 0) {
        return Err("root may not mount here (no CAP_SYS_ADMIN)".to_owned());
    }
    if !is_root()
        && Command::new("fusermount3")
            .arg("--version")
            .output()
            .is_err()
    {
        return Err("fusermount3 is not installed".to_owned());
    }
    Ok(())
}
