//! The directory that is shown.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// How many names the directory that is listed has.
pub(crate) const LISTED: usize = 100;

/// A directory with the file `message`, a directory `listed`, and files as they are asked for.
pub(crate) struct Source(PathBuf);

impl Source {
    pub(crate) fn new(path: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(path.join("listed"))?;
        fs::write(path.join("message"), [7; 4096])?;
        for number in 0..LISTED {
            File::create(path.join(format!("listed/file{number}")))?;
        }
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A new directory with `count` new files, which no server has seen yet; its name.
    pub(crate) fn fresh(&self, count: usize) -> io::Result<String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("fresh{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        fs::create_dir(self.0.join(&name))?;
        for number in 0..count {
            fs::write(self.0.join(&name).join(number.to_string()), [7; 4096])?;
        }
        Ok(name)
    }
}
