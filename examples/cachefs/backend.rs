//! The slow backend: a directory of objects, each written and read as a whole. The lock is released where it is called.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// A directory, and what is wrong with it. It is also down while the directory is not there.
pub(crate) struct Backend {
    directory: PathBuf,
    /// Each call takes so long.
    delay: Duration,
    /// Every call fails.
    pub(crate) down: AtomicBool,
    /// The next worker that uploads panics.
    pub(crate) deadly: AtomicBool,
    pub(crate) downloads: AtomicU64,
    pub(crate) uploads: AtomicU64,
}

impl Backend {
    pub(crate) fn new(directory: PathBuf, delay: Duration) -> Self {
        Self {
            directory,
            delay,
            down: AtomicBool::new(false),
            deadly: AtomicBool::new(false),
            downloads: AtomicU64::new(0),
            uploads: AtomicU64::new(0),
        }
    }

    /// What was put there as `name`.
    pub(crate) fn get(&self, name: &str) -> io::Result<Vec<u8>> {
        self.downloads.fetch_add(1, Ordering::Relaxed);
        self.reach()?;
        fs::read(self.directory.join(name))
    }

    /// Makes `name` be these bytes, all at once and for good: they survive this process and this machine.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.reach()?;
        let new = self.directory.join(format!("{name}.new"));
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(new, self.directory.join(name))?;
        File::open(&self.directory)?.sync_all()?;
        self.uploads.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// There is no `name` afterwards.
    pub(crate) fn delete(&self, name: &str) -> io::Result<()> {
        self.reach()?;
        match fs::remove_file(self.directory.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.directory.exists() => {
                Ok(())
            }
            result => result,
        }
    }

    /// The numbers of the objects `KIND.NUMBER`, in order.
    pub(crate) fn list(&self, kind: &str) -> io::Result<Vec<u64>> {
        self.reach()?;
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(kind));
            let number = number.and_then(|number| number.strip_prefix('.'));
            numbers.extend(number.and_then(|number| u64::from_str_radix(number, 16).ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn reach(&self) -> io::Result<()> {
        thread::sleep(self.delay);
        if self.down.load(Ordering::Relaxed) {
            return Err(io::Error::other("the backend is down"));
        }
        Ok(())
    }
}
