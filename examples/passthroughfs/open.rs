//! The one descriptor of an inode that is open.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;

use fuse3::{Fh, OpenFlags};
use rustix::fs::OFlags;

/// What all opens of an inode share, until the last one is released.
#[derive(Debug)]
pub(crate) struct Open {
    /// Replaced when somebody wants more of it than was opened; who has the old one goes on with that.
    pub(crate) file: Arc<File>,
    pub(crate) access: Access,
    /// One to read without moving the time of access, once somebody has opened it so.
    pub(crate) quiet: Option<Arc<File>>,
    /// One for each time that it was opened, so that none is closed twice.
    pub(crate) handles: BTreeSet<Fh>,
}

/// Whether who opens with these flags has asked to leave the time of access alone.
pub(crate) fn is_quiet(flags: OpenFlags) -> bool {
    flags.bits() & libc::O_NOATIME != 0
}

/// What may be done by a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl Access {
    pub(crate) fn of(flags: OpenFlags) -> Self {
        Self {
            read: flags.access_mode() != libc::O_WRONLY,
            write: flags.writes(),
        }
    }

    /// Everything that `self` may, and `other`.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            read: self.read || other.read,
            write: self.write || other.write,
        }
    }

    pub(crate) fn flags(self) -> OFlags {
        match (self.read, self.write) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            _ => OFlags::RDONLY,
        }
    }
}
