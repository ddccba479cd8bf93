//! A directory for the files of a test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use fuse3::testing::force_unmount;

/// Dropped, it is removed with all that is in it; but not while something is mounted below it, which is unmounted first.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("fuse3-test-{}-{number}", process::id());
        let path = env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What is mounted in it; nobody knows without /proc.
    fn mounts(&self) -> Vec<PathBuf> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        let below = points
            .map(PathBuf::from)
            .filter(|it| it.starts_with(&self.0));
        below.collect()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let left = self.mounts();
        // Last ones first: they may be on top of others.
        for point in left.iter().rev() {
            force_unmount(point);
        }
        let removed = if self.mounts().is_empty() {
            fs::remove_dir_all(&self.0)
        } else {
            Ok(())
        };
        if !std::thread::panicking() {
            assert!(left.is_empty(), "still mounted: {left:?}");
            removed.unwrap_or_else(|error| panic!("{}: {error}", self.0.display()));
        }
    }
}
