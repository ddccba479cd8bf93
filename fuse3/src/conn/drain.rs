//! Answering what nobody serves any more.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::conn::incoming::Incoming;
use crate::conn::message::{send, write};
use crate::types::errno::Errno;

/// Answers ENOTCONN to every request that waits for a session whose loop has ended.
///
/// A notification in flight waits for locks in the kernel that clients hold, which wait for answers; and while it is in
/// flight, the connection cannot be closed, which would free them.
pub(super) fn drain(fd: BorrowedFd<'_>) {
    let Ok(mut incoming) = Incoming::of(fd) else {
        return;
    };
    // An error means that nobody waits any more.
    while let Ok(Some(request)) = incoming.next() {
        if request.is_answered() {
            // It fails when the client is gone, which then waits no more.
            let _ = write(fd.as_raw_fd(), -libc::ENOTCONN, request.unique(), &[], &[]);
        }
    }
}

/// `FUSE_NOTIFY_RESEND`: has the kernel send once more what it has sent and got no answer for. EINVAL from a kernel before 6.9.
pub(crate) fn resend(fd: c_int) -> Result<(), Errno> {
    const RESEND: i32 = 7;
    send(fd, RESEND, &[], &[])
}
