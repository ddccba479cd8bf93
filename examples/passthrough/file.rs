//! An open file.

use std::fs::File;
use std::sync::Arc;

use fuse3::passthrough::BackingId;
use rustix::fd::{AsFd, BorrowedFd};

/// A file of the source that is open.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) file: File,
    /// What the kernel reads and writes in place of `read` and `write`. It lives as long as the file is open.
    _backing: Option<Arc<BackingId>>,
}

impl OpenFile {
    pub(crate) fn new(file: File, backing: Option<Arc<BackingId>>) -> Self {
        Self {
            file,
            _backing: backing,
        }
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
