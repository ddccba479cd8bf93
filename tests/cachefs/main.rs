//! The cachefs example, through the kernel. `make cachefs` runs the same for longer.

#[path = "../common/mount.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod mount;
mod ordinary;
mod outage;
mod patterns;
mod race;
mod tree;

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mount::Mounted;
use rustix::fs::{Mode, OFlags, XattrFlags};

/// A directory for the backend, which outlives mounts. It goes at the end.
struct Backend {
    directory: PathBuf,
}

impl Backend {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("fuse3-cachefs-backend-{}-{number}", std::process::id());
        let directory = env::temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        Self { directory }
    }

    /// `None`, loudly, where nothing can be mounted.
    fn mount(&self, options: &str) -> Option<Mounted> {
        let backend = self.directory.to_str().unwrap();
        let deadline = Duration::from_secs(120) + 2 * long();
        Mounted::new("cachefs", &["-f", "-o", options, backend], deadline)
    }

    /// The backend is down: its directory is not there.
    fn kill(&self) {
        fs::rename(&self.directory, self.directory.with_extension("away")).unwrap();
    }

    fn restart(&self) {
        fs::rename(self.directory.with_extension("away"), &self.directory).unwrap();
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        for directory in [
            self.directory.clone(),
            self.directory.with_extension("away"),
        ] {
            // One of the two is not there, and what is left in the temporary directory is no failure.
            let _ = fs::remove_dir_all(directory);
        }
    }
}

/// Unmounts it; the state, all of it, has to be what the backend has then.
fn check(mounted: Mounted) {
    let ended = mounted.unmount();
    assert!(
        ended.status.success() && ended.stdout == "accounting: everything adds up\n",
        "{ended:?}"
    );
}

/// Who sets it has time.
const SECONDS: &str = "FUSE3_CACHEFS_SECONDS";

/// Whether the tests are to be as long as they are meant, not as short as in `cargo test`.
fn endures() -> bool {
    env::var_os(SECONDS).is_some()
}

/// For how long the tests of endurance go on: seconds in `cargo test`, `FUSE3_CACHEFS_SECONDS` elsewhere.
fn long() -> Duration {
    let seconds = env::var(SECONDS).map(|seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(4))
}

/// Past libtest's capture.
fn say(what: &str) {
    io::stderr()
        .write_all(format!("cachefs: {what}\n").as_bytes())
        .unwrap();
}

fn control(path: &Path, name: &str, value: &str) -> rustix::io::Result<()> {
    let name = format!("user.cachefs.{name}");
    rustix::fs::setxattr(path, name, value.as_bytes(), XattrFlags::empty())
}

fn count(root: &Path, name: &str) -> u64 {
    let mut value = vec![0; 64];
    let len = rustix::fs::getxattr(root, format!("user.cachefs.{name}"), &mut value).unwrap();
    String::from_utf8_lossy(&value[..len]).parse().unwrap()
}

/// Opens it past the page cache, so that each client's read reaches the file system.
fn direct(path: &Path) -> File {
    let fd: OwnedFd =
        rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECT, Mode::empty()).unwrap();
    fd.into()
}

fn errno<T>(result: io::Result<T>) -> i32 {
    result.err().expect("it succeeded").raw_os_error().unwrap()
}

/// A small generator, so that a failure can be repeated: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
