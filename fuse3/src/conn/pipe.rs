//! How much a pipe holds: libfuse splices requests only where a whole one fits.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `FUSE_BUFFER_HEADER_SIZE`: what libfuse has room for besides the data of a write.
const HEADER: u32 = 0x1000;

/// The largest write of up to `max_write` bytes that is spliced.
///
/// Without CAP_SYS_RESOURCE no pipe is larger than /proc/sys/fs/pipe-max-size, 1 MiB: less than what libfuse wants for the 1 MiB
/// that it allows a write, so that it would splice none at all (`fuse_session_receive_buf()`, lib/fuse_lowlevel.c).
pub(crate) fn most_spliced(max_write: u32) -> u32 {
    let wanted = max_write.saturating_add(HEADER);
    if can_hold(wanted) {
        return max_write;
    }
    match number_in("/proc/sys/fs/pipe-max-size") {
        Some(largest) if largest >= 2 * HEADER && largest < wanted => largest - HEADER,
        // Nobody knows why, and libfuse reads instead.
        _ => max_write,
    }
}

/// The number that a file of /proc/sys has.
pub(super) fn number_in(file: &str) -> Option<u32> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn can_hold(size: u32) -> bool {
    let mut fds = [-1; 2];
    // SAFETY: `fds` has room for the two descriptors.
    if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return false;
    }
    // SAFETY: the call above opened them, and nobody else has them.
    let [end, _other] = fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    // SAFETY: the descriptor is open; no memory is involved.
    let result = unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETPIPE_SZ, size) };
    u32::try_from(result).is_ok_and(|held| held >= size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_writes_fit() {
        assert_eq!(most_spliced(4096), 4096);
        assert_eq!(most_spliced(131_072), 131_072);
        // Nobody may have a pipe of 2 GiB; root may have one of 4 MiB.
        assert!(most_spliced(u32::MAX) < u32::MAX);
        assert!(can_hold(most_spliced(1 << 20) + HEADER));
    }
}
