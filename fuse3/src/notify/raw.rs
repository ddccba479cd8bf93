//! Messages that not every libfuse has a function for, written to the session's descriptor.

use std::ffi::{CStr, c_int};
use std::io;

use crate::Ino;

/// `enum fuse_notify_code` (include/uapi/linux/fuse.h).
const INVAL_ENTRY: i32 = 3;
const RESEND: i32 = 7;
const INC_EPOCH: i32 = 8;
const PRUNE: i32 = 9;

/// `FUSE_EXPIRE_ONLY`, of `struct fuse_notify_inval_entry_out`.
const EXPIRE_ONLY: u32 = 1 << 0;

/// Sends `struct fuse_out_header`, with the code in place of the error and 0 as the number of the request, and what follows.
fn send(fd: c_int, code: i32, body: &[u8]) -> c_int {
    let length = 16 + body.len();
    let Ok(header_length) = u32::try_from(length) else {
        return -libc::EINVAL;
    };
    let mut message = Vec::with_capacity(length);
    message.extend(header_length.to_ne_bytes());
    message.extend(code.to_ne_bytes());
    message.extend(0_u64.to_ne_bytes());
    message.extend(body);
    // SAFETY: `message` has that many bytes. The descriptor is the session's, and open, as the caller's lock sees to.
    let written = unsafe { libc::write(fd, message.as_ptr().cast(), message.len()) };
    if written < 0 {
        // An errno is always there when a call fails.
        -io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(libc::EIO)
    } else {
        0
    }
}

/// `struct fuse_notify_inval_entry_out` and the name, with the flag that keeps the name.
pub(super) fn expire_entry(fd: c_int, parent: Ino, name: &CStr) -> c_int {
    let Ok(length) = u32::try_from(name.to_bytes().len()) else {
        return -libc::ENAMETOOLONG;
    };
    let mut body = Vec::with_capacity(17 + name.to_bytes().len());
    body.extend(parent.0.to_ne_bytes());
    body.extend(length.to_ne_bytes());
    body.extend(EXPIRE_ONLY.to_ne_bytes());
    body.extend(name.to_bytes_with_nul());
    send(fd, INVAL_ENTRY, &body)
}

pub(super) fn resend(fd: c_int) -> c_int {
    send(fd, RESEND, &[])
}

pub(super) fn increment_epoch(fd: c_int) -> c_int {
    send(fd, INC_EPOCH, &[])
}

/// `struct fuse_notify_prune_out` and the inodes.
pub(super) fn prune(fd: c_int, inos: &[Ino]) -> c_int {
    let Ok(count) = u32::try_from(inos.len()) else {
        return -libc::EINVAL;
    };
    let mut body = Vec::with_capacity(16 + 8 * inos.len());
    body.extend(count.to_ne_bytes());
    body.extend(0_u32.to_ne_bytes());
    body.extend(0_u64.to_ne_bytes());
    for ino in inos {
        body.extend(ino.0.to_ne_bytes());
    }
    send(fd, PRUNE, &body)
}
