//! Where an example runs: a directory of its own, which nothing outlives.

use std::env;
use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::fusermount3;
use crate::program;
use crate::skip::skip;

/// Nothing here takes longer, unless it hangs.
const DEADLINE: Duration = Duration::from_secs(20);
/// The ordinary user.
const NOBODY: u32 = 65534;

/// A directory with a mount point `mnt`, a `file` and the example's program in it.
pub(crate) struct Place {
    dir: PathBuf,
    program: PathBuf,
    user: u32,
    /// One test at a time: whoever waits for a child takes any.
    _alone: MutexGuard<'static, ()>,
}

/// What a program did.
#[derive(Debug)]
pub(crate) struct Ended {
    /// 128 and the signal for one that was killed, as in a shell.
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// It ended well, and said nothing that sounds otherwise.
    #[track_caller]
    pub(crate) fn well(&self) {
        assert_eq!(self.status, 0, "{self:?}");
        let said = format!("{}{}", self.stdout, self.stderr).to_lowercase();
        for word in ["error", "warning", "fault", "abort", "exception", "fatal"] {
            assert!(!said.contains(word), "{word}: {self:?}");
        }
    }
}

/// Whether this process may do everything.
pub(crate) fn root() -> bool {
    // SAFETY: no precondition.
    unsafe { libc::geteuid() == 0 }
}

impl Place {
    /// For `example`, run by this process's user. `None`, loudly, where nothing can be mounted.
    pub(crate) fn new(example: &str) -> Option<Self> {
        // SAFETY: no precondition.
        Self::of(example, unsafe { libc::geteuid() })
    }

    /// For `example`, run by an ordinary user with fusermount3. `None`, loudly, where that cannot be.
    pub(crate) fn of_nobody(example: &str) -> Option<Self> {
        if !root() {
            return Self::new(example);
        }
        if !fusermount3::is_setuid() {
            skip(example, "fusermount3 is not there, or is not setuid root");
            return None;
        }
        let place = Self::of(example, NOBODY)?;
        if let Err(error) = place.open_the_device() {
            skip(example, format_args!("no mounts of its own: {error}"));
            return None;
        }
        Some(place)
    }

    fn of(example: &str, user: u32) -> Option<Self> {
        static ALONE: Mutex<()> = Mutex::new(());
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if let Err(error) = File::options().read(true).write(true).open("/dev/fuse") {
            skip(example, format_args!("/dev/fuse cannot be opened: {error}"));
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("fuse3-{example}-{}-{number}", std::process::id());
        let dir = env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir_all(dir.join("mnt")).unwrap();
        fs::write(dir.join("file"), "below").unwrap();
        // The build's folder may not be for everybody.
        let program = dir.join(example);
        program::copy(&program::built(example), &program);
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        for path in [&dir, &dir.join("mnt"), &dir.join("file")] {
            chown(path, Some(user), Some(user)).unwrap();
        }
        Some(Self {
            dir,
            program,
            user,
            _alone: alone,
        })
    }

    /// Gives this thread, and whom it starts, mounts of their own, where /dev/fuse is for everybody as udev makes it.
    fn open_the_device(&self) -> io::Result<()> {
        let number = fs::metadata("/dev/fuse")?.rdev();
        let dir = self.path("dev");
        fs::create_dir(&dir)?;
        let node = dir.join("fuse");
        own_mounts()?;
        mount(c"tmpfs", &c_string(&dir), c"tmpfs", 0)?;
        device(&node, number)?;
        mount(&c_string(&node), c"/dev/fuse", c"none", libc::MS_BIND)?;
        let dir = c_string(&dir);
        // SAFETY: `dir` is NUL-terminated.
        done(unsafe { libc::umount2(dir.as_ptr(), libc::MNT_DETACH) })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn mount_point(&self) -> PathBuf {
        self.path("mnt")
    }

    /// The example, called with these arguments.
    pub(crate) fn example<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = self.command(&self.program);
        command.args(arguments);
        command
    }

    /// Any program, run by the place's user in the place.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        if root() && self.user != 0 {
            command.uid(self.user).gid(self.user);
        }
        let output = |name| {
            let mut options = File::options();
            options.create(true).append(true);
            options.open(self.dir.join(name)).unwrap()
        };
        command
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(output("stdout"))
            .stderr(output("stderr"));
        command
    }

    /// The program that the example is, for those that start it themselves.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Runs a command to its end.
    #[track_caller]
    pub(crate) fn run(&self, mut command: Command) -> Ended {
        let mut child = command.spawn().unwrap();
        self.ended(&mut child)
    }

    /// Waits for it, and takes what was said in the place so far.
    #[track_caller]
    pub(crate) fn ended(&self, child: &mut Child) -> Ended {
        let mut status = None;
        let ended = within(|| {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        if !ended {
            child.kill().unwrap();
            self.release();
            child.wait().unwrap();
        }
        let said = self.said();
        assert!(ended, "it did not end within {DEADLINE:?}: {said:?}");
        Ended {
            status: shell_status(status.unwrap()),
            ..said
        }
    }

    fn said(&self) -> Ended {
        let read = |name| {
            let path = self.dir.join(name);
            let said = fs::read(&path).unwrap_or_default();
            // What is said next is said of something else.
            let _ = fs::write(path, "");
            String::from_utf8_lossy(&said).into_owned()
        };
        Ended {
            status: 0,
            stdout: read("stdout"),
            stderr: read("stderr"),
        }
    }

    /// Starts a server in the foreground, and waits until `path` is a mount.
    #[track_caller]
    pub(crate) fn serve(&self, mut command: Command, path: &Path) -> Child {
        let mut child = command.spawn().unwrap();
        let mounted =
            within(|| !self.mount(path).is_empty() || child.try_wait().unwrap().is_some());
        if !mounted || self.mount(path).is_empty() {
            panic!("not mounted: {:?}", self.ended(&mut child));
        }
        child
    }

    /// Type, source and options of what is mounted on `path`.
    pub(crate) fn mount(&self, path: &Path) -> Vec<String> {
        let mounts = fs::read_to_string("/proc/thread-self/mounts").unwrap();
        let mut lines = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        lines
            .rfind(|fields| Path::new(fields[1]) == path)
            .map(|fields| {
                [fields[2], fields[0], fields[3]]
                    .map(str::to_owned)
                    .to_vec()
            })
            .unwrap_or_default()
    }

    /// What `sh -c` prints, run by the place's user.
    #[track_caller]
    pub(crate) fn shell(&self, script: &str) -> String {
        let mut command = self.command("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// As the user would.
    #[track_caller]
    pub(crate) fn unmount(&self, path: &Path) {
        let mut command = self.command("fusermount3");
        command.args(["-u", "--"]).arg(path);
        let ended = self.run(command);
        assert_eq!(ended.status, 0, "{ended:?}");
        assert!(self.mount(path).is_empty(), "it is still mounted");
    }

    /// Unmounts whatever there is, so that nobody waits for it any more.
    pub(crate) fn release(&self) {
        for name in ["mnt", "file"] {
            let path = c_string(&self.dir.join(name));
            // SAFETY: `path` is NUL-terminated.
            unsafe { libc::umount2(path.as_ptr(), libc::MNT_FORCE | libc::MNT_DETACH) };
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let left: Vec<_> = ["mnt", "file"]
            .into_iter()
            .filter(|name| !self.mount(&self.dir.join(name)).is_empty())
            .collect();
        self.release();
        let removed = fs::remove_dir_all(&self.dir);
        if !thread::panicking() {
            assert!(left.is_empty(), "{left:?} was left mounted");
            removed.unwrap();
        }
    }
}

fn done(result: i32) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives this thread, and whom it starts, mounts of their own.
fn own_mounts() -> io::Result<()> {
    // SAFETY: no memory is involved.
    done(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    mount(c"none", c"/", c"none", libc::MS_REC | libc::MS_PRIVATE)
}

fn mount(from: &CStr, to: &CStr, kind: &CStr, flags: u64) -> io::Result<()> {
    // SAFETY: the strings live and are NUL-terminated; there are no data.
    done(unsafe {
        libc::mount(
            from.as_ptr(),
            to.as_ptr(),
            kind.as_ptr(),
            flags,
            std::ptr::null(),
        )
    })
}

/// Makes a device that everybody may use.
fn device(path: &Path, number: u64) -> io::Result<()> {
    let node = c_string(path);
    // SAFETY: `node` is NUL-terminated.
    done(unsafe { libc::mknod(node.as_ptr(), libc::S_IFCHR, number) })?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))
}

/// Gives this thread, and whom it starts, mounts of their own, with a /dev in which there is nothing else than /dev/fuse and
/// /dev/null.
pub(crate) fn own_devices() -> io::Result<()> {
    let devices = ["/dev/fuse", "/dev/null"].map(Path::new);
    let numbers = devices.map(|path| fs::metadata(path).map(|device| device.rdev()));
    own_mounts()?;
    mount(c"tmpfs", c"/dev", c"tmpfs", 0)?;
    for (path, number) in devices.into_iter().zip(numbers) {
        device(path, number?)?;
    }
    Ok(())
}

pub(crate) fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

pub(crate) fn shell_status(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Polls until it is true, for as long as anything may take.
pub(crate) fn within(mut is_true: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !is_true() {
        if start.elapsed() > DEADLINE {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// A program of the system.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<_> = env::split_paths(&path).collect();
    dirs.extend(["/sbin", "/usr/sbin"].map(PathBuf::from));
    dirs.into_iter()
        .map(|dir| dir.join(program))
        .find(|path| path.exists())
}

/// `find`, for a test that is skipped without it.
pub(crate) fn need(program: &str) -> Option<PathBuf> {
    let found = find(program);
    if found.is_none() {
        skip(program, "it is not installed");
    }
    found
}
