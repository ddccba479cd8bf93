//! What is written to the session's descriptor: one message each, by one writev(2).
//!
//! libfuse has functions for most of them. They print what fails to stderr by perror(3). libfuse also cancels its workers when
//! a session ends, and one that is cancelled in a perror(3) of its own holds the lock of stderr forever: the next one
//! to fail then never returns, with the descriptor in use.

use std::ffi::{c_int, c_short};
use std::io::IoSlice;

use crate::types::errno::Errno;

/// `struct fuse_out_header`.
const HEADER: usize = 16;

/// Sends a notification: the structure of the kernel that belongs to `code` (`enum fuse_notify_code`), member by member, and
/// what follows it.
pub(crate) fn send(fd: c_int, code: i32, members: &[u64], data: &[u8]) -> Result<(), Errno> {
    write(fd, code, 0, members, data)
}

/// The same, with `unique` as the number of the request. `error` is the code, or a negative errno that answers the request.
pub(super) fn write(
    fd: c_int,
    error: i32,
    unique: u64,
    members: &[u64],
    data: &[u8],
) -> Result<(), Errno> {
    let length = HEADER + size_of_val(members) + data.len();
    let length = u32::try_from(length).map_err(|_| Errno::EINVAL)?;
    let mut head = [length.to_ne_bytes(), error.to_ne_bytes()].concat();
    head.extend(unique.to_ne_bytes());
    head.extend(members.iter().flat_map(|member| member.to_ne_bytes()));
    let pieces = [IoSlice::new(&head), IoSlice::new(data)];
    // SAFETY: both pieces live, and are only read; an `IoSlice` is a `struct iovec`. The descriptor is the session's, and open, as
    // the caller's `Pass` sees to.
    match unsafe { libc::writev(fd, pieces.as_ptr().cast(), 2) } {
        -1 => Err(Errno::last()),
        _ => Ok(()),
    }
}

/// Two members of 32 bits, in this order, as [`send`] takes them.
pub(crate) fn two(first: u32, second: u32) -> u64 {
    let [a, b, c, d] = first.to_ne_bytes();
    let [e, f, g, h] = second.to_ne_bytes();
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// What poll(2) says of a descriptor without being asked: POLLERR when the kernel has closed the connection.
pub(crate) fn trouble_with(fd: c_int) -> c_short {
    let mut poll = libc::pollfd {
        fd,
        events: 0,
        revents: 0,
    };
    // SAFETY: `poll` is one structure, and lives.
    unsafe { libc::poll(&raw mut poll, 1, 0) };
    poll.revents
}
