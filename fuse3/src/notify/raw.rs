//! What is written to the session's descriptor: one message each, by one writev(2).
//!
//! libfuse has functions for most of them. They print what fails to stderr by perror(3). libfuse also cancels its workers when
//! a session ends, and one that is cancelled in a perror(3) of its own keeps the lock of stderr for ever: the next one to
//! fail waits for ever then, with the descriptor in use.

use std::ffi::c_int;
use std::io;

use crate::types::ino::Ino;

/// `enum fuse_notify_code` (include/uapi/linux/fuse.h).
const INVAL_INODE: i32 = 2;
const INVAL_ENTRY: i32 = 3;
const STORE: i32 = 4;
const DELETE: i32 = 6;
const INC_EPOCH: i32 = 8;
const PRUNE: i32 = 9;

/// `FUSE_EXPIRE_ONLY`, of `struct fuse_notify_inval_entry_out`.
const EXPIRE_ONLY: u32 = 1 << 0;

/// A structure of the kernel, member by member, after `struct fuse_out_header`.
struct Message(Vec<u8>);

impl Message {
    /// The header, with the code in place of the error and 0 as the number of the request; its length is put in when it is
    /// sent.
    fn new(code: i32) -> Self {
        Self(Vec::with_capacity(64)).u32(0).i32(code).u64(0)
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn i32(self, number: i32) -> Self {
        self.raw(&number.to_ne_bytes())
    }

    fn u32(self, number: u32) -> Self {
        self.raw(&number.to_ne_bytes())
    }

    fn u64(self, number: u64) -> Self {
        self.raw(&number.to_ne_bytes())
    }

    fn i64(self, number: i64) -> Self {
        self.raw(&number.to_ne_bytes())
    }

    /// A name, with a NUL byte after it, as the kernel checks.
    fn name(self, name: &[u8]) -> Self {
        self.raw(name).raw(b"\0")
    }

    /// Sends it, and `data` after it. Returns 0 or a negative errno.
    fn send(mut self, fd: c_int, data: &[u8]) -> c_int {
        let Ok(length) = u32::try_from(self.0.len() + data.len()) else {
            return -libc::EINVAL;
        };
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        let piece = |bytes: &[u8]| libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        let pieces = [piece(&self.0), piece(data)];
        // SAFETY: both pieces live, and are only read. The descriptor is the session's, and open, as the caller's `Pass` sees
        // to.
        let written = unsafe { libc::writev(fd, pieces.as_ptr(), 2) };
        if written < 0 {
            // There is an errno whenever a call fails.
            -io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EIO)
        } else {
            0
        }
    }
}

/// `struct fuse_notify_inval_inode_out`.
pub(super) fn inval_inode(fd: c_int, ino: Ino, offset: i64, length: i64) -> c_int {
    let message = Message::new(INVAL_INODE).u64(ino.0).i64(offset);
    message.i64(length).send(fd, &[])
}

/// `struct fuse_notify_inval_entry_out` and the name; `keep` is the flag that keeps it until it is used next.
pub(super) fn inval_entry(fd: c_int, parent: Ino, name: &[u8], keep: bool) -> c_int {
    let Ok(length) = u32::try_from(name.len()) else {
        return -libc::ENAMETOOLONG;
    };
    let flags = if keep { EXPIRE_ONLY } else { 0 };
    let message = Message::new(INVAL_ENTRY).u64(parent.0).u32(length);
    message.u32(flags).name(name).send(fd, &[])
}

/// `struct fuse_notify_delete_out` and the name.
pub(super) fn delete(fd: c_int, parent: Ino, child: Ino, name: &[u8]) -> c_int {
    let Ok(length) = u32::try_from(name.len()) else {
        return -libc::ENAMETOOLONG;
    };
    let message = Message::new(DELETE).u64(parent.0).u64(child.0);
    message.u32(length).u32(0).name(name).send(fd, &[])
}

/// `struct fuse_notify_store_out` and the data.
pub(super) fn store(fd: c_int, ino: Ino, offset: u64, data: &[u8]) -> c_int {
    let Ok(length) = u32::try_from(data.len()) else {
        return -libc::EINVAL;
    };
    let message = Message::new(STORE).u64(ino.0).u64(offset);
    message.u32(length).u32(0).send(fd, data)
}

pub(super) fn increment_epoch(fd: c_int) -> c_int {
    Message::new(INC_EPOCH).send(fd, &[])
}

/// `struct fuse_notify_prune_out` and the inodes.
pub(super) fn prune(fd: c_int, inos: &[Ino]) -> c_int {
    let Ok(count) = u32::try_from(inos.len()) else {
        return -libc::EINVAL;
    };
    let message = Message::new(PRUNE).u32(count).u32(0).u64(0);
    let all = inos.iter().fold(message, |message, ino| message.u64(ino.0));
    all.send(fd, &[])
}

/// Whether the kernel has closed the connection.
pub(super) fn is_dead(fd: c_int) -> bool {
    let mut poll = libc::pollfd {
        fd,
        events: 0,
        revents: 0,
    };
    // SAFETY: `poll` is one structure, and lives.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    ready > 0 && poll.revents & libc::POLLERR != 0
}
