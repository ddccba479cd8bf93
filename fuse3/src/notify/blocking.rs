use std::ffi::OsStr;
use std::marker::PhantomData;
use std::ops::RangeBounds;
use std::sync::Arc;
use std::time::Duration;

use crate::conn::conn::Hold;
use crate::lock::proof::{self, NotHolding};
use crate::notify::retrieve::{Retrieval, Retrieved};
use crate::notify::{current::waits_for_itself, error::NotifyError};
use crate::notify::{hub::Hub, notification::Notification};
use crate::types::ino::Ino;

/// `fuse_lowlevel_notify_*`: sends at once, and returns when the kernel has done it. See [`Notifier`](crate::Notifier), which
/// has the same for the queue, for what each does.
///
/// The session does not end while one of these is on its way; from then on they return [`NotifyError::Ended`].
///
/// # Errors
///
/// All methods: [`NotifyError::NotConnected`] before `init` has returned; [`NotifyError::Unsupported`] where the kernel does
/// not have it; [`NotifyError::Deadlock`] when the proof is that of another lock, and this thread holds the session's;
/// what the kernel said, as ENOENT for an inode or name that it does not know, in which case nothing is out of date.
///
/// # What the kernel waits for
///
/// | with | while these are handled |
/// |---|---|
/// | `inval_entry`, `expire_entry` and `delete` in a directory | there: `lookup`, `readdir`, `fsyncdir`, `create`, `mknod`, `mkdir`, `symlink`, `link`, `unlink`, `rmdir`, `rename` from and to it; of it: `setattr`, `setxattr`, `removexattr`, chattr(1) |
/// | `delete` of an inode | of it: the same; `link`, `write`, `fsync`, `fallocate`, `lseek`, `copy_file_range` to it, `open` that truncates with the writeback cache |
/// | `inval_inode` of data, and `store` | `read` of the same pages; `write` of a part of the page; `readlink` with `CACHE_SYMLINKS` |
/// | `inval_inode` of data | with the writeback cache: `setattr` or `open` that truncates; `write` from the cache, since Linux 6.16 |
/// | `inval_attr`, `retrieve`, `increment_epoch`, `prune`, `resend` | |
///
/// A handler that has the answer yet to give and sends one that the kernel answers after that waits for itself. Where it is certain,
/// in the first row for `create`, `mknod`, `mkdir`, `symlink`, `link`, `unlink`, `rmdir` and `rename`, the notification is refused
/// with [`NotifyError::Deadlock`]. The rest depends on who calls, and on what the kernel has in its caches, and is not noticed; nor is
/// it when two handlers wait for each other's requests. Queue it
/// ([`Notifier`](crate::Notifier)), or send it from another thread.
#[derive(Debug)]
pub struct Blocking<'n> {
    hub: &'n Arc<Hub>,
    /// The proof is lent as long, and is of this thread.
    proof: PhantomData<*mut ()>,
}

impl<'n> Blocking<'n> {
    pub(super) fn new(hub: &'n Arc<Hub>, _proof: &'n mut impl NotHolding) -> Self {
        Self {
            hub,
            proof: PhantomData,
        }
    }

    /// While the result lives, the session goes on.
    fn begin(&self, waits_for_itself: bool) -> Result<Hold<'_>, NotifyError> {
        let conn = &self.hub.conn;
        if waits_for_itself || conn.holds_lock() || proof::holds_a_lock() {
            return Err(NotifyError::Deadlock);
        }
        conn.hold().ok_or(NotifyError::Ended)
    }

    fn send(&self, notification: &Notification) -> Result<(), NotifyError> {
        let _hold = self.begin(waits_for_itself(&self.hub.conn, notification))?;
        self.hub.send(notification, 0)
    }

    /// [`Notifier::inval_inode`](crate::Notifier::inval_inode).
    ///
    /// # Errors
    ///
    /// See [`Blocking`].
    pub fn inval_inode(&self, ino: Ino, range: impl RangeBounds<u64>) -> Result<(), NotifyError> {
        self.send(&Notification::inval_inode(ino, range))
    }

    /// [`Notifier::inval_attr`](crate::Notifier::inval_attr).
    ///
    /// # Errors
    ///
    /// See [`Blocking`].
    pub fn inval_attr(&self, ino: Ino) -> Result<(), NotifyError> {
        self.send(&Notification::inval_attr(ino))
    }

    /// [`Notifier::inval_entry`](crate::Notifier::inval_entry).
    ///
    /// # Errors
    ///
    /// See [`Blocking`].
    pub fn inval_entry(&self, parent: Ino, name: impl AsRef<OsStr>) -> Result<(), NotifyError> {
        let name = name.as_ref().to_owned();
        self.send(&Notification::InvalEntry { parent, name })
    }

    /// [`Notifier::expire_entry`](crate::Notifier::expire_entry).
    ///
    /// # Errors
    ///
    /// See [`Blocking`].
    pub fn expire_entry(&self, parent: Ino, name: impl AsRef<OsStr>) -> Result<(), NotifyError> {
        let name = name.as_ref().to_owned();
        self.send(&Notification::ExpireEntry { parent, name })
    }

    /// [`Notifier::delete`](crate::Notifier::delete).
    ///
    /// # Errors
    ///
    /// See [`Blocking`].
    pub fn delete(
        &self,
        parent: Ino,
        child: Ino,
        name: impl AsRef<OsStr>,
    ) -> Result<(), NotifyError> {
        self.send(&Notification::delete(parent, child, name))
    }

    /// [`Notifier::store`](crate::Notifier::store). When it fails, a part may have been stored.
    ///
    /// # Errors
    ///
    /// See [`Blocking`].
    pub fn store(&self, ino: Ino, offset: u64, data: &[u8]) -> Result<(), NotifyError> {
        let _hold = self.begin(false)?;
        self.hub.store(ino, offset, data)
    }

    /// [`Notifier::retrieve`](crate::Notifier::retrieve), with the answer. A worker has to be free to take it.
    ///
    /// # Errors
    ///
    /// See [`Blocking`]; [`NotifyError::TimedOut`].
    pub fn retrieve(
        &self,
        ino: Ino,
        offset: u64,
        size: u32,
        timeout: Duration,
    ) -> Result<Retrieved, NotifyError> {
        let notification = Notification::Retrieve { ino, offset, size };
        let _hold = self.begin(false)?;
        let (taker, retrieval) = Retrieval::new(&self.hub.conn);
        let send = |ticket| self.hub.send(&notification, ticket);
        self.hub.retrieve(taker, send);
        retrieval.wait_any(timeout)
    }

    /// [`Notifier::increment_epoch`](crate::Notifier::increment_epoch).
    ///
    /// # Errors
    ///
    /// See [`Blocking`].
    pub fn increment_epoch(&self) -> Result<(), NotifyError> {
        self.send(&Notification::IncrementEpoch)
    }

    /// [`Notifier::prune`](crate::Notifier::prune).
    ///
    /// # Errors
    ///
    /// See [`Blocking`].
    pub fn prune(&self, inos: impl Into<Vec<Ino>>) -> Result<(), NotifyError> {
        let inos = inos.into();
        if inos.is_empty() {
            return Ok(());
        }
        self.send(&Notification::Prune { inos })
    }

    /// [`Notifier::resend`](crate::Notifier::resend).
    ///
    /// # Errors
    ///
    /// See [`Blocking`].
    pub fn resend(&self) -> Result<(), NotifyError> {
        self.send(&Notification::Resend)
    }
}
