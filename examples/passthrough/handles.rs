//! What is open: files and directories.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fuse3::{Errno, Fh};
use parking_lot::RwLock;

/// A table of what `open` or `opendir` opened. It takes two small locks where C casts a pointer to a number, and no
/// `unsafe`.
#[derive(Debug)]
pub(crate) struct Handles<T> {
    last: AtomicU64,
    table: RwLock<HashMap<Fh, Arc<T>>>,
}

impl<T> Handles<T> {
    pub(crate) fn new() -> Self {
        Self {
            last: AtomicU64::new(0),
            table: RwLock::default(),
        }
    }

    /// The handle of something newly opened.
    pub(crate) fn insert(&self, open: T) -> Fh {
        let handle = Fh(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        self.table.write().insert(handle, Arc::new(open));
        handle
    }

    /// What was opened as `handle`.
    pub(crate) fn get(&self, handle: Fh) -> Result<Arc<T>, Errno> {
        let table = self.table.read();
        table.get(&handle).cloned().ok_or(Errno::EBADF)
    }

    /// It was released.
    pub(crate) fn remove(&self, handle: Fh) -> Result<Arc<T>, Errno> {
        self.table.write().remove(&handle).ok_or(Errno::EBADF)
    }
}
