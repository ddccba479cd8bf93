//! The way of a notification to the kernel.

use std::ffi::c_int;
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::conn::conn::{Conn, Pass};
use crate::conn::drain::resend;
use crate::notify::error::NotifyError;
use crate::notify::notification::Notification;
use crate::notify::raw;
use crate::sys;
use crate::types::{errno::Errno, ino::Ino};

/// The most that one write(2) takes is a page less than 2 GiB; a store is cut in pieces of this.
const LARGEST: usize = 1 << 30;

/// How often a notification is tried that the kernel does not take because INIT is not over yet, a millisecond apart.
const TRIES: u32 = 500;

/// What is known of the kernel's end.
#[derive(Debug, Default)]
pub(super) struct Sender {
    /// The kernel is known to take notifications.
    settled: AtomicBool,
}

impl Sender {
    /// Sends a notification, and waits until the kernel has done it. `ticket` is of `Retrieve`.
    pub(super) fn send(
        &self,
        conn: &Conn,
        notification: &Notification,
        ticket: usize,
    ) -> Result<(), NotifyError> {
        if notification.has_nul() {
            return Err(NotifyError::Errno(Errno::EINVAL));
        }
        self.try_to(conn, notification.needs(), |pass| match notification {
            // Then nothing but INIT waits for an answer, and libfuse refuses a second one, after which no client of the mount
            // gets another answer than ECONNREFUSED.
            Notification::Resend if !conn.host().is_some_and(|host| host.is_settled()) => 0,
            _ => deliver(pass, notification, ticket),
        })
    }

    /// [`Notification::Store`] of borrowed data.
    pub(super) fn store(
        &self,
        conn: &Conn,
        ino: Ino,
        offset: u64,
        data: &[u8],
    ) -> Result<(), NotifyError> {
        self.try_to(conn, STORE_NEEDS, |pass| store(pass, ino, offset, data))
    }

    fn try_to(
        &self,
        conn: &Conn,
        needs: u32,
        deliver: impl Fn(&Pass<'_>) -> c_int,
    ) -> Result<(), NotifyError> {
        let pass = conn.pass_to_notify().ok_or(NotifyError::Ended)?;
        let minor = match conn.minor() {
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
            let result = deliver(&pass);
            match -result {
                0 => {}
                // libfuse answers INIT after `init` has returned, and the kernel takes notifications after that.
                libc::ENOTCONN | libc::EINVAL if !self.settled.load(Ordering::SeqCst) => {
                    tries += 1;
                    if tries < TRIES && !conn.is_closing() {
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
fn deliver(pass: &Pass<'_>, notification: &Notification, ticket: usize) -> c_int {
    let fd = pass.descriptor();
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
        Notification::Store { ino, offset, data } => store(pass, *ino, *offset, data),
        Notification::Retrieve { ino, offset, size } => {
            let (Ok(offset), Ok(size)) = (libc::off_t::try_from(*offset), usize::try_from(*size))
            else {
                return -libc::EINVAL;
            };
            // libfuse has to send this one, since it takes the answer. It would print the error (`raw`).
            if raw::is_dead(fd) {
                return -libc::ENOTCONN;
            }
            let (se, cookie) = (pass.session().as_ptr(), ptr::without_provenance_mut(ticket));
            // SAFETY: the session lives, and its descriptor is open (`Pass`); the cookie is a number, which libfuse
            // hands back as it is.
            unsafe { sys::fuse_lowlevel_notify_retrieve(se, ino.0, size, offset, cookie) }
        }
        Notification::IncrementEpoch => raw::increment_epoch(fd),
        Notification::Prune { inos } => raw::prune(fd, inos),
        Notification::Resend => resend(fd),
    }
}

fn store(pass: &Pass<'_>, ino: Ino, offset: u64, data: &[u8]) -> c_int {
    let fd = pass.descriptor();
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
