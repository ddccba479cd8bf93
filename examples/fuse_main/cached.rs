//! What `auto_cache` knows: whether a file is as it was when the kernel cached it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fuse3::{Attr, Ino, Timestamp};

#[derive(Debug, Default)]
pub(super) struct Cached(Mutex<HashMap<Ino, Known>>);

#[derive(Debug)]
struct Known {
    mtime: Timestamp,
    size: u64,
    at: Instant,
    /// It has been opened, and not changed since.
    valid: bool,
}

impl Known {
    fn seen(&mut self, attr: &Attr) {
        self.valid &= (self.mtime, self.size) == (attr.mtime, attr.size);
        (self.mtime, self.size) = (attr.mtime, attr.size);
        self.at = Instant::now();
    }
}

impl Cached {
    /// The kernel is told of `attr`.
    pub(super) fn seen(&self, attr: &Attr) {
        let mut known = self.known();
        known
            .entry(attr.ino)
            .or_insert_with(|| fresh(attr))
            .seen(attr);
    }

    /// It is opened, and is `attr` now, which counts when what is known is older than `fresh_for`. Is it as it was when it
    /// was opened before?
    pub(super) fn opened(&self, attr: &Attr, fresh_for: Duration) -> bool {
        let mut known = self.known();
        let known = known.entry(attr.ino).or_insert_with(|| fresh(attr));
        if known.valid && known.at.elapsed() > fresh_for {
            known.seen(attr);
        }
        std::mem::replace(&mut known.valid, true)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Ino, Known>> {
        // There is nothing half done in it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fresh(attr: &Attr) -> Known {
    Known {
        mtime: attr.mtime,
        size: attr.size,
        at: Instant::now(),
        valid: false,
    }
}
