use std::error::Error;
use std::fmt;
use std::io;

use crate::types::errno::Errno;

/// Why a notification was not sent, or not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotifyError {
    /// The session has not begun: `init` has not returned yet.
    NotConnected,
    /// The session has ended, or is ending.
    Ended,
    /// The thread would wait for itself: it holds the session's global lock, or it is the one that sends the queue.
    Deadlock,
    /// The time was up.
    TimedOut,
    /// The kernel does not have this notification.
    Unsupported {
        /// The protocol version that has it.
        needs: (u32, u32),
        /// The protocol version of the kernel.
        has: (u32, u32),
    },
    /// What the kernel returned. ENOENT: it does not know the inode, or has no such name in its cache.
    Errno(Errno),
}

impl NotifyError {
    /// The same as an errno.
    pub const fn errno(self) -> Errno {
        match self {
            Self::NotConnected => Errno::ENOTCONN,
            Self::Ended => Errno::ENODEV,
            Self::Deadlock => Errno::EDEADLK,
            Self::TimedOut => Errno::ETIMEDOUT,
            Self::Unsupported { .. } => Errno::ENOSYS,
            Self::Errno(errno) => errno,
        }
    }
}

impl fmt::Display for NotifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => f.write_str("the session has not begun"),
            Self::Ended => f.write_str("the session has ended"),
            Self::Deadlock => f.write_str(
                "this thread would wait for itself: it holds the global lock, sends the queue, or handles a request that \
                 keeps the directory locked",
            ),
            Self::TimedOut => f.write_str("the time was up"),
            Self::Unsupported { needs, has } => write!(
                f,
                "not supported by kernel: it has protocol {}.{}, this needs {}.{}",
                has.0, has.1, needs.0, needs.1
            ),
            Self::Errno(errno) => errno.fmt(f),
        }
    }
}

impl Error for NotifyError {}

impl From<NotifyError> for io::Error {
    fn from(error: NotifyError) -> Self {
        match error {
            NotifyError::Unsupported { .. } => Self::new(io::ErrorKind::Unsupported, error),
            other => Self::from_raw_os_error(other.errno().raw()),
        }
    }
}
