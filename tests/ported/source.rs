//! A directory to show.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory, which is deleted in the end.
#[derive(Debug)]
pub(crate) struct Source(PathBuf);

impl Source {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("fuse3-source-{}-{number}", std::process::id());
        let path = std::env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn str(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// What the process `id` has open of it.
    pub(crate) fn opened_by(&self, id: u32) -> Vec<PathBuf> {
        let descriptors = fs::read_dir(format!("/proc/{id}/fd")).unwrap();
        // One that is closed meanwhile leads nowhere.
        let files = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        files.filter(|file| file.starts_with(&self.0)).collect()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // What is left in the temporary directory is no failure.
        let _ = fs::remove_dir_all(&self.0);
    }
}
