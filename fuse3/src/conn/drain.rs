//! Answering what nobody serves any more.

use std::ffi::c_int;

use crate::conn::message::{send, write};
use crate::types::errno::Errno;

/// `struct fuse_in_header`.
const HEADER: usize = 40;
/// The kernel wants room for the largest write, `max_write` and a header, or returns EINVAL: 1 MiB with small pages, unless
/// /proc/sys/fs/fuse/max_pages_limit was raised, and never more than 65,535 pages.
const ROOM: usize = (1 << 20) + (1 << 16);
const MOST_ROOM: usize = 1 << 29;
/// Requests that have no answer: `FUSE_FORGET`, `FUSE_INTERRUPT`, `FUSE_NOTIFY_REPLY`, `FUSE_BATCH_FORGET`.
const UNANSWERED: [u32; 4] = [2, 36, 41, 42];

/// Answers ENOTCONN to every request that waits for a session whose loop has ended.
///
/// A notification in flight waits for locks in the kernel that clients hold, which wait for answers; and while it is in
/// flight, the connection cannot be closed, which would free them.
pub(super) fn drain(fd: c_int, buffer: &mut Vec<u8>) {
    // SAFETY: the descriptor is the session's, and open, as the caller's `Pass` sees to.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    // A request may be interrupted, and gone, before it is read.
    // SAFETY: as above.
    if flags < 0 || unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) } < 0 {
        return;
    }
    buffer.resize(buffer.len().max(ROOM), 0);
    loop {
        // SAFETY: `buffer` has that many bytes, and the descriptor is open, as above.
        let length = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
        match usize::try_from(length) {
            Ok(length) if length >= HEADER => refuse(fd, buffer),
            Err(_) if Errno::last() == Errno::EINVAL && buffer.len() < MOST_ROOM => {
                buffer.resize(buffer.len() * 2, 0);
            }
            // Nothing more is there, or nobody.
            _ => return,
        }
    }
}

fn refuse(fd: c_int, request: &[u8]) {
    let (mut opcode, mut unique) = ([0; 4], [0; 8]);
    opcode.copy_from_slice(&request[4..8]);
    unique.copy_from_slice(&request[8..16]);
    if !UNANSWERED.contains(&u32::from_ne_bytes(opcode)) {
        // It fails when the client is gone, which then waits no more.
        let _ = write(fd, -libc::ENOTCONN, u64::from_ne_bytes(unique), &[], &[]);
    }
}

/// `FUSE_NOTIFY_RESEND`: has the kernel send once more what it has sent and got no answer for. EINVAL from a kernel before 6.9.
pub(crate) fn resend(fd: c_int) -> Result<(), Errno> {
    const RESEND: i32 = 7;
    send(fd, RESEND, &[], &[])
}
