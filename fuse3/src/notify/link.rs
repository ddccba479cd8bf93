//! The way to the kernel: the session's descriptor, while it is open.

use std::ffi::c_int;
use std::fmt;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::RwLock;

use crate::conn::control::{Control, Hold};
use crate::notify::drain::drain;
use crate::notify::{error::NotifyError, notification::Notification, raw};
use crate::sys;
use crate::types::{errno::Errno, ino::Ino};

/// The most that one write(2) takes is a page less than 2 GiB; a store is cut in pieces of this.
const LARGEST: usize = 1 << 30;

/// How often a notification is tried that the kernel does not take because INIT is not over yet, a millisecond apart.
const TRIES: u32 = 500;

/// How long [`Link::close`] waits for a notification in flight before it does something for it.
const PATIENCE: Duration = Duration::from_millis(20);

/// # Invariants
///
/// While `open` is `Some`, its session has not been destroyed, and its descriptor is open. Who uses it holds the lock for
/// reading, and [`close`](Link::close) takes it away under the lock for writing, before the session's owner closes either.
pub(super) struct Link {
    open: RwLock<Option<Open>>,
    /// No notification is begun any more.
    ending: AtomicBool,
    /// Minor version of the kernel's protocol; 0 until `init` has returned.
    minor: AtomicU32,
    /// The kernel is known to take notifications.
    settled: AtomicBool,
    control: Arc<Control>,
}

struct Open {
    session: NonNull<sys::fuse_session>,
    asks: Asks,
}

/// What a session is asked.
pub(crate) struct Asks {
    /// The calling thread holds its global lock.
    pub(crate) is_held: Box<dyn Fn() -> bool + Send + Sync>,
    /// A request has come that is not INIT: the kernel has got the answer to that.
    pub(crate) is_settled: Box<dyn Fn() -> bool + Send + Sync>,
}

// SAFETY: the pointer is used under the lock of `Link` alone, and libfuse allows notifications from any thread.
unsafe impl Send for Open {}
// SAFETY: as for `Send`: several threads may send notifications at once, each by one write(2).
unsafe impl Sync for Open {}

impl Link {
    pub(super) fn new(control: Arc<Control>) -> Self {
        Self {
            open: RwLock::new(None),
            ending: AtomicBool::new(false),
            minor: AtomicU32::new(0),
            settled: AtomicBool::new(false),
            control,
        }
    }

    /// # Safety
    ///
    /// `session` is not destroyed, nor its descriptor closed, until [`close`](Self::close) has returned.
    pub(super) unsafe fn open(&self, session: NonNull<sys::fuse_session>, asks: Asks) {
        *self.open.write() = Some(Open { session, asks });
    }

    /// `init` has returned, and the kernel's protocol is 7.`minor`.
    pub(super) fn ready(&self, minor: u32) {
        self.minor.store(minor, Ordering::SeqCst);
    }

    /// The calling thread holds the session's global lock.
    pub(super) fn is_held(&self) -> bool {
        // Recursive, here and below: whoever waits for the lock to write waits for those who read.
        self.open
            .read_recursive()
            .as_ref()
            .is_some_and(|open| (open.asks.is_held)())
    }

    /// The session does not end while this lives; `None` when it is ending already.
    pub(super) fn hold(&self) -> Option<Hold<'_>> {
        self.control.hold()
    }

    /// Ends it, once the notifications in flight are over.
    pub(super) fn close(&self) {
        self.ending.store(true, Ordering::SeqCst);
        let mut buffer = Vec::new();
        let mut first = true;
        let taken = loop {
            if let Some(mut open) = self.open.try_write_for(PATIENCE) {
                break open.take();
            }
            let open = self.open.read_recursive();
            let Some(open) = &*open else { return };
            // SAFETY: the session lives (invariant).
            let fd = unsafe { sys::fuse_session_fd(open.session.as_ptr()) };
            if mem::take(&mut first) && self.minor.load(Ordering::SeqCst) >= 40 {
                // Whatever was deferred, and is not answered yet, comes once more, to be answered here. Where it
                // fails, what is deferred is waited for.
                let _ = raw::resend(fd);
            }
            drain(fd, &mut buffer);
        };
        drop(taken);
    }

    /// Has the kernel send once more what it has sent and got no answer for; INIT too, so that nobody knows yet whether it
    /// can.
    pub(super) fn resend(&self) {
        if let Some(open) = &*self.open.read_recursive() {
            // SAFETY: the session lives (invariant).
            let fd = unsafe { sys::fuse_session_fd(open.session.as_ptr()) };
            // A kernel that cannot says EINVAL, and nothing can be done about it.
            let _ = raw::resend(fd);
        }
    }

    /// Runs `f` while the session is there and its descriptor open; `None` when it is ending.
    pub(super) fn with_raw<R>(&self, f: impl FnOnce(NonNull<sys::fuse_session>) -> R) -> Option<R> {
        let open = self.open.read_recursive();
        let open = open
            .as_ref()
            .filter(|_| !self.ending.load(Ordering::SeqCst))?;
        // What waits for the kernel waits for the loop; where that was told to end before, `close` helps.
        let _hold = self.hold();
        Some(f(open.session))
    }

    /// Sends a notification, and waits until the kernel has done it. `ticket` is of `Retrieve`.
    pub(super) fn send(
        &self,
        notification: &Notification,
        ticket: usize,
    ) -> Result<(), NotifyError> {
        if notification.has_nul() {
            return Err(NotifyError::Errno(Errno::EINVAL));
        }
        self.with(notification.needs(), |open| match notification {
            // Then nothing but INIT waits for an answer, and libfuse refuses a second one, after which no client of the mount
            // gets another answer than ECONNREFUSED.
            Notification::Resend if !(open.asks.is_settled)() => 0,
            _ => deliver(open.session, notification, ticket),
        })
    }

    /// [`Notification::Store`] of borrowed data.
    pub(super) fn store(&self, ino: Ino, offset: u64, data: &[u8]) -> Result<(), NotifyError> {
        self.with(STORE_NEEDS, |open| store(open.session, ino, offset, data))
    }

    fn with(&self, needs: u32, deliver: impl Fn(&Open) -> c_int) -> Result<(), NotifyError> {
        let open = self.open.read_recursive();
        let Some(open) = open
            .as_ref()
            .filter(|_| !self.ending.load(Ordering::SeqCst))
        else {
            return Err(NotifyError::Ended);
        };
        let minor = match self.minor.load(Ordering::SeqCst) {
            0 => return Err(NotifyError::NotConnected),
            minor if minor < needs => {
                return Err(NotifyError::Unsupported {
                    needs: (7, needs),
                    has: (7, minor),
                });
            }
            minor => minor,
        };
        let mut tries = 0;
        loop {
            let result = deliver(open);
            match -result {
                0 => {}
                // libfuse answers INIT after `init` has returned, and the kernel takes notifications after that.
                libc::ENOTCONN | libc::EINVAL if !self.settled.load(Ordering::SeqCst) => {
                    tries += 1;
                    if tries < TRIES && !self.ending.load(Ordering::SeqCst) {
                        thread::sleep(Duration::from_millis(1));
                        continue;
                    }
                }
                libc::ENOSYS => {
                    return Err(NotifyError::Unsupported {
                        needs: (7, needs),
                        has: (7, minor),
                    });
                }
                _ => {}
            }
            self.settled.store(true, Ordering::SeqCst);
            return if result == 0 {
                Ok(())
            } else {
                Err(NotifyError::of(result))
            };
        }
    }
}

/// [`Notification::needs`] of `Store`.
const STORE_NEEDS: u32 = 15;

/// Returns 0 or a negative errno.
fn deliver(
    session: NonNull<sys::fuse_session>,
    notification: &Notification,
    ticket: usize,
) -> c_int {
    // SAFETY: the session lives (`Link`).
    let fd = unsafe { sys::fuse_session_fd(session.as_ptr()) };
    match notification {
        Notification::InvalInode {
            ino,
            offset,
            length,
        } => raw::inval_inode(fd, *ino, *offset, *length),
        Notification::InvalEntry { parent, name } => {
            raw::inval_entry(fd, *parent, name.as_bytes(), false)
        }
        Notification::ExpireEntry { parent, name } => {
            raw::inval_entry(fd, *parent, name.as_bytes(), true)
        }
        Notification::Delete {
            parent,
            child,
            name,
        } => raw::delete(fd, *parent, *child, name.as_bytes()),
        Notification::Store { ino, offset, data } => store(session, *ino, *offset, data),
        Notification::Retrieve { ino, offset, size } => {
            let (Ok(offset), Ok(size)) = (libc::off_t::try_from(*offset), usize::try_from(*size))
            else {
                return -libc::EINVAL;
            };
            // libfuse has to send this one, since it takes the answer. It would print the error (`raw`).
            if raw::is_dead(fd) {
                return -libc::ENOTCONN;
            }
            let (se, cookie) = (session.as_ptr(), ptr::without_provenance_mut(ticket));
            // SAFETY: the session lives, and its descriptor is open (`Link`); the cookie is a number, which libfuse
            // hands back as it is.
            unsafe { sys::fuse_lowlevel_notify_retrieve(se, ino.0, size, offset, cookie) }
        }
        Notification::IncrementEpoch => raw::increment_epoch(fd),
        Notification::Prune { inos } => raw::prune(fd, inos),
        Notification::Resend => raw::resend(fd),
    }
}

fn store(session: NonNull<sys::fuse_session>, ino: Ino, offset: u64, data: &[u8]) -> c_int {
    // SAFETY: the session lives (`Link`).
    let fd = unsafe { sys::fuse_session_fd(session.as_ptr()) };
    // The kernel's offsets are signed.
    let last = u64::try_from(data.len()).ok();
    let last = last.and_then(|length| offset.checked_add(length));
    if last.is_none_or(|last| i64::try_from(last).is_err()) {
        return -libc::EINVAL;
    }
    let mut at = offset;
    for piece in data.chunks(LARGEST) {
        let result = raw::store(fd, ino, at, piece);
        if result != 0 {
            return result;
        }
        at += LARGEST as u64;
    }
    if data.is_empty() {
        return raw::store(fd, ino, offset, data);
    }
    0
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("minor", &self.minor)
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}
