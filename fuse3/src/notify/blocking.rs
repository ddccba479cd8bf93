use std::ffi::OsStr;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeBounds;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::lock::proof::{self, NotHolding};
use crate::notify::hub::Hub;
use crate::notify::retrieve::Retrieved;
use crate::notify::{current, error::NotifyError, notification::Notification, retrieve::Retrieval};
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
/// # Panics
///
/// In debug builds: inside a handler that has the answer yet to give, when the kernel would wait for that answer.
///
/// | the kernel waits | while these are handled |
/// |---|---|
/// | with `inval_entry`, `expire_entry` and `delete` in a directory | there: `lookup`, `readdir`, `fsyncdir`, `create`, `mknod`, `mkdir`, `symlink`, `link`, `unlink`, `rmdir`, `rename` from and to it; of it: `setattr`, `setxattr`, `removexattr`, chattr(1) |
/// | with `delete` of an inode | of it: the same; `link`, `write`, `fsync`, `fallocate`, `lseek`, `copy_file_range` to it, `open` that truncates with the writeback cache |
/// | with `inval_inode` of data, and with `store` | `read` of the same pages; `write` of a part of the page; `readlink` with `CACHE_SYMLINKS` |
/// | with `inval_inode` of data | with the writeback cache: `setattr` or `open` that truncates; `write` from the cache, since Linux 6.16 |
/// | with `inval_attr`, `retrieve`, `increment_epoch`, `prune`, `resend` | |
///
/// `write` from the writeback cache and direct `read` lock nothing. Others are waited for in none of these ways, and may
/// send what they like: `inval_inode` of the inode in its own `getattr` just returns.
///
/// It is not noticed, and waits all the same, for what a request does not tell: `unlink`, `rmdir` and `rename` lock the inode
/// that has the name, too; a `read` has its caller wait for other pages than its own, perhaps with locks. Nor is it after
/// [`Context::defer`](crate::Context::defer). Two handlers that wait for each other's requests are nobody's to notice.
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

    #[track_caller]
    fn allowed(&self, notification: &Notification) -> Result<(), NotifyError> {
        if self.hub.link.is_held() || proof::holds_a_lock() {
            return Err(NotifyError::Deadlock);
        }
        current::check(self.hub.id(), notification);
        Ok(())
    }

    #[track_caller]
    fn send(&self, notification: &Notification) -> Result<(), NotifyError> {
        self.allowed(notification)?;
        let _hold = self.hub.link.hold().ok_or(NotifyError::Ended)?;
        self.hub.link.send(notification, 0)
    }

    /// [`Notifier::inval_inode`](crate::Notifier::inval_inode).
    ///
    /// # Errors
    ///
    /// See [`Blocking`].
    #[track_caller]
    pub fn inval_inode(&self, ino: Ino, range: impl RangeBounds<u64>) -> Result<(), NotifyError> {
        self.send(&Notification::inval_inode(ino, range))
    }

    /// [`Notifier::inval_attr`](crate::Notifier::inval_attr).
    ///
    /// # Errors
    ///
    /// See [`Blocking`].
    #[track_caller]
    pub fn inval_attr(&self, ino: Ino) -> Result<(), NotifyError> {
        self.send(&Notification::inval_attr(ino))
    }

    /// [`Notifier::inval_entry`](crate::Notifier::inval_entry).
    ///
    /// # Errors
    ///
    /// See [`Blocking`].
    #[track_caller]
    pub fn inval_entry(&self, parent: Ino, name: impl AsRef<OsStr>) -> Result<(), NotifyError> {
        let name = name.as_ref().to_owned();
        self.send(&Notification::InvalEntry { parent, name })
    }

    /// [`Notifier::expire_entry`](crate::Notifier::expire_entry).
    ///
    /// # Errors
    ///
    /// See [`Blocking`].
    #[track_caller]
    pub fn expire_entry(&self, parent: Ino, name: impl AsRef<OsStr>) -> Result<(), NotifyError> {
        let name = name.as_ref().to_owned();
        self.send(&Notification::ExpireEntry { parent, name })
    }

    /// [`Notifier::delete`](crate::Notifier::delete).
    ///
    /// # Errors
    ///
    /// See [`Blocking`].
    #[track_caller]
    pub fn delete(
        &self,
        parent: Ino,
        child: Ino,
        name: impl AsRef<OsStr>,
    ) -> Result<(), NotifyError> {
        let name = name.as_ref().to_owned();
        self.send(&Notification::Delete {
            parent,
            child,
            name,
        })
    }

    /// [`Notifier::store`](crate::Notifier::store). When it fails, a part may have been stored.
    ///
    /// # Errors
    ///
    /// See [`Blocking`].
    #[track_caller]
    pub fn store(&self, ino: Ino, offset: u64, data: &[u8]) -> Result<(), NotifyError> {
        // Looked at in debug builds alone.
        let looked_at = if cfg!(debug_assertions) { data } else { &[] };
        let data_of = Arc::from(looked_at);
        self.allowed(&Notification::Store {
            ino,
            offset,
            data: data_of,
        })?;
        let _hold = self.hub.link.hold().ok_or(NotifyError::Ended)?;
        self.hub.link.store(ino, offset, data)
    }

    /// [`Notifier::retrieve`](crate::Notifier::retrieve), with the answer. A worker has to be free to take it.
    ///
    /// # Errors
    ///
    /// See [`Blocking`]; [`NotifyError::TimedOut`].
    #[track_caller]
    pub fn retrieve(
        &self,
        ino: Ino,
        offset: u64,
        size: u32,
        timeout: Duration,
    ) -> Result<Retrieved, NotifyError> {
        let notification = Notification::Retrieve { ino, offset, size };
        self.allowed(&notification)?;
        let (sender, answer) = mpsc::sync_channel(1);
        let taker = move |answer| {
            // Nobody waits any more when the time was up.
            let _ = sender.send(answer);
        };
        self.hub.retrieve_now(&notification, Box::new(taker));
        Retrieval::new(answer, Arc::clone(self.hub)).wait_any(timeout)
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

impl fmt::Debug for Blocking<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blocking")
    }
}
