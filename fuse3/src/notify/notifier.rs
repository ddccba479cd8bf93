use std::ffi::OsStr;
use std::ops::RangeBounds;
use std::sync::Arc;
use std::time::Duration;

use crate::lock::proof::NotHolding;
use crate::notify::retrieve::{Retrieval, Retrieved};
use crate::notify::{blocking::Blocking, error::NotifyError};
use crate::notify::{hub::Hub, notification::Notification};
use crate::types::ino::Ino;

/// `fuse_lowlevel_notify_*`, queued: tells the kernel that what it has cached is out of date, or what it may cache.
///
/// From any thread, and from any handler, with the lock held or not: nothing here waits. A thread of the session sends what
/// is queued, one after the other, in this order. It is started when there is something to send, but not before
/// [`Session::run`](crate::Session::run) was called and `init` has returned. What is queued earlier is sent then. What is
/// queued twice and has not been sent is sent once. The queue has no limit.
///
/// The kernel makes the thread wait for whatever goes on in the directory or page in question, and what is queued behind
/// waits with it. Use [`blocking`](Self::blocking), on a thread of its own, for what must not.
///
/// So these are pyfuse3's `invalidate_entry_async`, and nothing to be awaited: futures call them as they are. What pyfuse3
/// does at once, and may block for, is [`blocking`](Self::blocking); in a future inside of `unblock`, on a thread that may wait.
///
/// Errors are told to [`Builder::on_notify_error`](crate::Builder::on_notify_error), or logged. ENOENT is not logged: the
/// kernel did not know the inode or name, so that there is nothing out of date.
///
/// When the session ends, the thread ends before the descriptor is closed. What has not been sent by then is dropped, since
/// the kernel drops its caches as well. Later this does nothing. A notifier does not keep anything of the session but its
/// own memory, so that the file system may keep one.
///
/// ```
/// # use fuse3::{Answer, Context, Errno, Filesystem, GlobalLock, Ino, Notifier};
/// # use std::{ffi::OsStr, sync::{Arc, OnceLock}};
/// struct Fs {
///     notifier: OnceLock<Notifier>, // set from `session.handle().notifier()`, before `run`
/// }
///
/// impl Filesystem for Fs {
///     type Lock = Arc<GlobalLock<()>>;
///
///     fn unlink(&self, _cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<()> {
///         // A name elsewhere goes along. Nobody waits for it here.
///         if let Some(notifier) = self.notifier.get() {
///             notifier.inval_entry(Ino(2), name);
///         }
/// #       let _ = parent;
///         Ok(())
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Notifier {
    hub: Arc<Hub>,
}

impl Notifier {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }

    /// `fuse_lowlevel_notify_inval_inode()`, llfuse's `invalidate_inode`: the attributes of an inode, and this range of its
    /// bytes, are out of date.
    ///
    /// Pages that the range touches are written back if they are dirty, and dropped. `..` is all of them. An empty range
    /// is the attributes only.
    pub fn inval_inode(&self, ino: Ino, range: impl RangeBounds<u64>) {
        self.hub.push(Notification::inval_inode(ino, range));
    }

    /// `fuse_lowlevel_notify_inval_inode()` with a negative offset, llfuse's `invalidate_inode(attr_only=True)`: the
    /// attributes of an inode are out of date.
    pub fn inval_attr(&self, ino: Ino) {
        self.hub.push(Notification::inval_attr(ino));
    }

    /// `fuse_lowlevel_notify_inval_entry()`, llfuse's `invalidate_entry`: a name is to be looked up anew, and the attributes
    /// of the directory are out of date.
    ///
    /// What is open or mounted below stays reachable.
    pub fn inval_entry(&self, parent: Ino, name: impl AsRef<OsStr>) {
        let name = name.as_ref().to_owned();
        self.hub.push(Notification::InvalEntry { parent, name });
    }

    /// `fuse_lowlevel_notify_expire_entry()`: a name is to be looked up anew when it is used next, but not dropped, so that
    /// what is mounted below and who watches it by inotify keep it. Linux 6.2.
    pub fn expire_entry(&self, parent: Ino, name: impl AsRef<OsStr>) {
        let name = name.as_ref().to_owned();
        self.hub.push(Notification::ExpireEntry { parent, name });
    }

    /// `fuse_lowlevel_notify_delete()`, pyfuse3's `invalidate_entry(deleted=)`: a name is gone; who watches it by inotify is
    /// told. ENOENT when the name is another inode's than `child`; it is to be looked up anew all the same.
    ///
    /// It fails with ENOTEMPTY for a directory that has names in the cache, and EBUSY for one that something is mounted on.
    pub fn delete(&self, parent: Ino, child: Ino, name: impl AsRef<OsStr>) {
        self.hub.push(Notification::delete(parent, child, name));
    }

    /// `fuse_lowlevel_notify_store()`, llfuse's `notify_store`: these bytes of a file are put into the page cache, where
    /// reads find them. The file becomes longer if they end beyond; the file system has to say so in
    /// [`getattr`](crate::Filesystem::getattr), which the kernel asks next, or it drops what was stored.
    ///
    /// Pages are up to date only as a whole: one that `data` has a part of is taken for read if it was read before, or if
    /// the part goes to the end of the file.
    pub fn store(&self, ino: Ino, offset: u64, data: impl Into<Arc<[u8]>>) {
        let data = data.into();
        self.hub.push(Notification::Store { ino, offset, data });
    }

    /// `fuse_lowlevel_notify_retrieve()`: asks for bytes that are in the page cache, dirty or not.
    ///
    /// They come as a request of their own, which waits for no handler and no lock.
    pub fn retrieve(&self, ino: Ino, offset: u64, size: u32) -> Retrieval {
        let (taker, retrieval) = Retrieval::new(&self.hub.conn);
        self.retrieve_with(ino, offset, size, taker);
        retrieval
    }

    /// [`retrieve`](Self::retrieve), with something to call: once, with the bytes or an error.
    ///
    /// It is called on a worker, the notifier's thread or that which ends the session, and with no lock held. Its panics
    /// are logged.
    pub fn retrieve_with(
        &self,
        ino: Ino,
        offset: u64,
        size: u32,
        then: impl FnOnce(Result<Retrieved, NotifyError>) + Send + 'static,
    ) {
        let notification = Notification::Retrieve { ino, offset, size };
        let send = |ticket| self.hub.push_for(notification, ticket);
        self.hub.retrieve(Box::new(then), send);
    }

    /// `fuse_lowlevel_notify_increment_epoch()`: all names are to be looked up anew when they are used next. Linux 6.16.
    pub fn increment_epoch(&self) {
        self.hub.push(Notification::IncrementEpoch);
    }

    /// `fuse_lowlevel_notify_prune()`: the kernel may forget these inodes; it does if nobody uses them. Linux 6.18.
    pub fn prune(&self, inos: impl Into<Vec<Ino>>) {
        let inos = inos.into();
        if !inos.is_empty() {
            self.hub.push(Notification::Prune { inos });
        }
    }

    /// `FUSE_NOTIFY_RESEND`: the kernel sends all requests again that have not been answered. Linux 6.9.
    ///
    /// For a server that took over a connection, and does not know what was asked before. What this process answers to
    /// the request from before is not taken then, and taken back (`forget`, `release`). Before the first request but INIT there is
    /// nothing to send again, and nothing is done.
    pub fn resend(&self) {
        self.hub.push(Notification::Resend);
    }

    /// Waits until all that was queued before this call has been sent.
    ///
    /// In a handler of a file system without a lock it may wait for what waits for that very handler, until the time is up.
    ///
    /// # Errors
    ///
    /// [`NotifyError::Deadlock`] at once when the thread holds the session's global lock, which handlers may want before
    /// the kernel goes on, or is the one that sends; [`NotifyError::TimedOut`]; [`NotifyError::Ended`] when the session
    /// ended before it was sent.
    pub fn flush(&self, timeout: Duration) -> Result<(), NotifyError> {
        if self.hub.conn.holds_lock() {
            return Err(NotifyError::Deadlock);
        }
        let _hold = self.hub.conn.hold().ok_or(NotifyError::Ended)?;
        self.hub.queue.flush(timeout)
    }

    /// The same notifications, sent by the calling thread, which waits until the kernel has done them.
    ///
    /// The kernel waits for what goes on in the directory or page in question. That handler may wait for the lock in its
    /// turn, so that this wants the proof that the thread does not hold it: [`Unlocked`](crate::lock::Unlocked) inside
    /// [`Locked::released`](crate::Locked::released) and [`GlobalLock::unlocked`](crate::GlobalLock::unlocked);
    /// [`NoLock`](crate::lock::NoLock), where there is no lock, inside [`NoLock::released`](crate::lock::NoLock::released) and
    /// [`Concurrent::unlocked`](crate::Concurrent::unlocked); in a handler without a lock the context itself.
    pub fn blocking<'n>(&'n self, proof: &'n mut impl NotHolding) -> Blocking<'n> {
        Blocking::new(&self.hub, proof)
    }
}
