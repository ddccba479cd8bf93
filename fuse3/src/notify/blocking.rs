use std::ffi::OsStr;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeBounds;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::hub::Hub;
use super::retrieve::Retrieved;
use super::{Notification, NotifyError, Retrieval, current};
use crate::{Ino, NotHolding};

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
/// In debug builds, all methods: inside a handler that the kernel has locked the same directory or the same file's pages for.
/// It would wait for that handler, which waits for it.
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
        if self.hub.link.is_held() {
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
        // The data makes no difference there.
        let without_data = Notification::Store {
            ino,
            offset,
            data: Arc::new([]),
        };
        self.allowed(&without_data)?;
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
