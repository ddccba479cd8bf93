use std::ffi::{OsStr, OsString};
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use crate::types::ino::Ino;

/// One message to the kernel, as [`Builder::on_notify_error`](crate::Builder::on_notify_error) is told of it.
///
/// Two that are equal and wait in the queue are sent as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Notification {
    /// `fuse_lowlevel_notify_inval_inode()`: attributes of an inode, and data.
    InvalInode {
        /// The inode.
        ino: Ino,
        /// The first byte; negative for no data.
        offset: i64,
        /// How many bytes; 0 for all that follow.
        length: i64,
    },
    /// `fuse_lowlevel_notify_inval_entry()`: a name.
    InvalEntry {
        /// The directory.
        parent: Ino,
        /// The name in it.
        name: OsString,
    },
    /// `fuse_lowlevel_notify_expire_entry()`: a name, to be looked up again.
    ExpireEntry {
        /// The directory.
        parent: Ino,
        /// The name in it.
        name: OsString,
    },
    /// `fuse_lowlevel_notify_delete()`: a name that is gone.
    Delete {
        /// The directory.
        parent: Ino,
        /// The inode that had the name.
        child: Ino,
        /// The name in the directory.
        name: OsString,
    },
    /// `fuse_lowlevel_notify_store()`: data for the page cache.
    Store {
        /// The inode.
        ino: Ino,
        /// Where in the file.
        offset: u64,
        /// The data.
        data: Arc<[u8]>,
    },
    /// `fuse_lowlevel_notify_retrieve()`: a request for data in the page cache.
    Retrieve {
        /// The inode.
        ino: Ino,
        /// Where in the file.
        offset: u64,
        /// How many bytes.
        size: u32,
    },
    /// `fuse_lowlevel_notify_increment_epoch()`: all names.
    IncrementEpoch,
    /// `fuse_lowlevel_notify_prune()`: inodes that nobody uses.
    Prune {
        /// The inodes.
        inos: Vec<Ino>,
    },
    /// `FUSE_NOTIFY_RESEND`: the requests that are not answered.
    Resend,
}

/// [`Notification::needs`] of `Store`.
pub(super) const STORE_NEEDS: u32 = 15;

impl Notification {
    /// The name of the function.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::InvalInode { .. } => "inval_inode",
            Self::InvalEntry { .. } => "inval_entry",
            Self::ExpireEntry { .. } => "expire_entry",
            Self::Delete { .. } => "delete",
            Self::Store { .. } => "store",
            Self::Retrieve { .. } => "retrieve",
            Self::IncrementEpoch => "increment_epoch",
            Self::Prune { .. } => "prune",
            Self::Resend => "resend",
        }
    }

    /// The minor version of the protocol that has it (include/uapi/linux/fuse.h).
    pub(super) const fn needs(&self) -> u32 {
        match self {
            Self::InvalInode { .. } | Self::InvalEntry { .. } => 12,
            Self::Store { .. } | Self::Retrieve { .. } => STORE_NEEDS,
            Self::Delete { .. } => 18,
            Self::ExpireEntry { .. } => 38,
            Self::Resend => 40,
            Self::IncrementEpoch => 44,
            Self::Prune { .. } => 45,
        }
    }

    /// The directory, and the name in it that it is about.
    pub(super) fn entry(&self) -> Option<(Ino, &OsStr)> {
        match self {
            Self::InvalEntry { parent, name }
            | Self::ExpireEntry { parent, name }
            | Self::Delete { parent, name, .. } => Some((*parent, name)),
            _ => None,
        }
    }

    /// Sent twice in a row it does nothing the second time.
    pub(super) const fn is_idempotent(&self) -> bool {
        !matches!(self, Self::Store { .. } | Self::Retrieve { .. })
    }

    pub(super) fn inval_inode(ino: Ino, range: impl RangeBounds<u64>) -> Self {
        let (offset, length) = data(range);
        Self::InvalInode {
            ino,
            offset,
            length,
        }
    }

    pub(super) const fn inval_attr(ino: Ino) -> Self {
        Self::InvalInode {
            ino,
            offset: -1,
            length: 0,
        }
    }

    pub(super) fn delete(parent: Ino, child: Ino, name: impl AsRef<OsStr>) -> Self {
        Self::Delete {
            parent,
            child,
            name: name.as_ref().to_owned(),
        }
    }
}

/// Offset and length as the kernel wants them.
fn data(range: impl RangeBounds<u64>) -> (i64, i64) {
    let start = match range.start_bound() {
        Bound::Included(start) => Some(*start),
        Bound::Excluded(start) => start.checked_add(1),
        Bound::Unbounded => Some(0),
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.checked_add(1),
        Bound::Excluded(end) => Some(*end),
        Bound::Unbounded => None,
    };
    // No file has bytes beyond: attributes only.
    let Some(offset) = start.and_then(|start| i64::try_from(start).ok()) else {
        return (-1, 0);
    };
    match end.map(i64::try_from) {
        Some(Ok(end)) if end <= offset => (-1, 0),
        Some(Ok(end)) => (offset, end - offset),
        Some(Err(_)) | None => (offset, 0),
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Some((parent, name)) = self.entry() {
            return write!(f, " of {name:?} in directory {parent}");
        }
        match self {
            Self::InvalInode { ino, .. } | Self::Store { ino, .. } | Self::Retrieve { ino, .. } => {
                write!(f, " of inode {ino}")
            }
            Self::Prune { inos } => write!(f, " of {} inodes", inos.len()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_what_the_kernel_takes() {
        assert_eq!(data(..), (0, 0));
        assert_eq!(data(7..), (7, 0));
        assert_eq!(data(..9), (0, 9));
        assert_eq!(data(4..=4), (4, 1));
        assert_eq!(data(10..30), (10, 20));
        assert_eq!(data(0..=u64::MAX), (0, 0));
        // Length 0 would be everything.
        assert_eq!(data(5..5), (-1, 0));
        assert_eq!(data((Bound::Included(9), Bound::Excluded(5))), (-1, 0));
        assert_eq!(data((1 << 63)..), (-1, 0));
        assert_eq!(data((Bound::Excluded(u64::MAX), Bound::Unbounded)), (-1, 0));
    }
}
