//! The way of a notification to the kernel.

use std::ffi::{OsStr, c_int};
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::conn::message::{send, trouble_with, two};
use crate::conn::{conn::Pass, drain::resend};
use crate::notify::notification::{Notification, STORE_NEEDS};
use crate::notify::{error::NotifyError, hub::Hub};
use crate::sys;
use crate::types::{errno::Errno, ino::Ino};

/// `enum fuse_notify_code` (include/uapi/linux/fuse.h).
const INVAL_INODE: i32 = 2;
const INVAL_ENTRY: i32 = 3;
const STORE: i32 = 4;
const DELETE: i32 = 6;
const INC_EPOCH: i32 = 8;
const PRUNE: i32 = 9;

/// `FUSE_EXPIRE_ONLY`, of `struct fuse_notify_inval_entry_out`: the name is kept until it is used next.
const EXPIRE_ONLY: u32 = 1 << 0;

/// The most that one write(2) takes is a page less than 2 GiB; a store is cut in pieces of this.
const LARGEST: usize = 1 << 30;

/// How often a notification is tried that the kernel does not take because INIT is not over yet, a millisecond apart.
const TRIES: u32 = 500;

impl Hub {
    /// Sends a notification, and waits until the kernel has done it. `ticket` is of `Retrieve`.
    pub(super) fn send(
        &self,
        notification: &Notification,
        ticket: usize,
    ) -> Result<(), NotifyError> {
        // Names end at a NUL byte.
        let entry = notification.entry();
        if entry.is_some_and(|(_, name)| name.as_bytes().contains(&0)) {
            return Err(NotifyError::Errno(Errno::EINVAL));
        }
        self.try_to(notification.needs(), |pass| match notification {
            // Then nothing but INIT waits for an answer, and libfuse refuses a second one, after which no client of the mount
            // gets another answer than ECONNREFUSED.
            Notification::Resend if !self.conn.host().is_some_and(|host| host.is_settled()) => {
                Ok(())
            }
            _ => deliver(pass, notification, ticket),
        })
    }

    /// [`Notification::Store`] of borrowed data.
    pub(super) fn store(&self, ino: Ino, offset: u64, data: &[u8]) -> Result<(), NotifyError> {
        self.try_to(STORE_NEEDS, |pass| store(pass, ino, offset, data))
    }

    fn try_to(
        &self,
        needs: u32,
        deliver: impl Fn(&Pass<'_>) -> Result<(), Errno>,
    ) -> Result<(), NotifyError> {
        let pass = self.conn.pass_to_notify().ok_or(NotifyError::Ended)?;
        let minor = self.conn.minor();
        let unsupported = NotifyError::Unsupported {
            needs: (7, needs),
            has: (7, minor),
        };
        if minor == 0 {
            return Err(NotifyError::NotConnected);
        } else if minor < needs {
            return Err(unsupported);
        }
        let mut tries = 1;
        loop {
            match deliver(&pass) {
                // libfuse answers INIT after `init` has returned, and the kernel takes notifications after that.
                Err(Errno::ENOTCONN | Errno::EINVAL)
                    if !self.settled.load(Ordering::SeqCst)
                        && tries < TRIES
                        && !self.conn.is_closing() =>
                {
                    tries += 1;
                    thread::sleep(Duration::from_millis(1));
                }
                Err(Errno::ENOSYS) => return Err(unsupported),
                result => {
                    self.settled.store(true, Ordering::SeqCst);
                    return result.map_err(NotifyError::Errno);
                }
            }
        }
    }
}

fn deliver(pass: &Pass<'_>, notification: &Notification, ticket: usize) -> Result<(), Errno> {
    let fd = pass.descriptor();
    // Inodes, the length of a name, flags, and the name with a NUL byte after it, as the kernel checks.
    let named = |code, inodes: &[u64], name: &OsStr, flags| {
        let length = u32::try_from(name.len()).map_err(|_| Errno::ENAMETOOLONG)?;
        let members = [inodes, &[two(length, flags)]].concat();
        send(fd, code, &members, &[name.as_bytes(), b"\0"].concat())
    };
    match notification {
        // `struct fuse_notify_inval_inode_out`.
        Notification::InvalInode {
            ino,
            offset,
            length,
        } => {
            let bits = |number: i64| u64::from_ne_bytes(number.to_ne_bytes());
            send(fd, INVAL_INODE, &[ino.0, bits(*offset), bits(*length)], &[])
        }
        // `struct fuse_notify_inval_entry_out` and the name.
        Notification::InvalEntry { parent, name } => named(INVAL_ENTRY, &[parent.0], name, 0),
        Notification::ExpireEntry { parent, name } => {
            named(INVAL_ENTRY, &[parent.0], name, EXPIRE_ONLY)
        }
        // `struct fuse_notify_delete_out` and the name.
        Notification::Delete {
            parent,
            child,
            name,
        } => named(DELETE, &[parent.0, child.0], name, 0),
        Notification::Store { ino, offset, data } => store(pass, *ino, *offset, data),
        Notification::Retrieve { ino, offset, size } => {
            let offset = libc::off_t::try_from(*offset).map_err(|_| Errno::EINVAL)?;
            let size = usize::try_from(*size).map_err(|_| Errno::EINVAL)?;
            // libfuse has to send this one, since it takes the answer. It would print the error (conn/message.rs).
            if trouble_with(fd) & libc::POLLERR != 0 {
                return Err(Errno::ENOTCONN);
            }
            let (se, cookie) = (pass.session().as_ptr(), ptr::without_provenance_mut(ticket));
            // SAFETY: the session lives, and its descriptor is open (`Pass`); the cookie is a number, which libfuse
            // hands back as it is.
            sent(unsafe { sys::fuse_lowlevel_notify_retrieve(se, ino.0, size, offset, cookie) })
        }
        Notification::IncrementEpoch => send(fd, INC_EPOCH, &[], &[]),
        // `struct fuse_notify_prune_out` and the inodes.
        Notification::Prune { inos } => {
            let count = u32::try_from(inos.len()).map_err(|_| Errno::EINVAL)?;
            let mut members = vec![two(count, 0), 0];
            members.extend(inos.iter().map(|ino| ino.0));
            send(fd, PRUNE, &members, &[])
        }
        Notification::Resend => resend(fd),
    }
}

/// `struct fuse_notify_store_out` and the data.
fn store(pass: &Pass<'_>, ino: Ino, offset: u64, data: &[u8]) -> Result<(), Errno> {
    // The kernel's offsets are signed.
    if offset.saturating_add(data.len() as u64) > i64::MAX.unsigned_abs() {
        return Err(Errno::EINVAL);
    }
    let mut at = offset;
    // No data is one piece, too, so that the kernel says what it thinks of the inode.
    let nothing = data.is_empty().then_some(data);
    for piece in data.chunks(LARGEST).chain(nothing) {
        let length = u32::try_from(piece.len()).map_err(|_| Errno::EINVAL)?;
        let members = [ino.0, at, two(length, 0)];
        send(pass.descriptor(), STORE, &members, piece)?;
        at += u64::from(length);
    }
    Ok(())
}

/// What libfuse returns: 0 or a negative errno.
pub(super) fn sent(result: c_int) -> Result<(), Errno> {
    match result {
        0 => Ok(()),
        error => Err(Errno::from_raw(-error)),
    }
}
