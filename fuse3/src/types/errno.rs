use std::ffi::c_int;
use std::{fmt, io};

use crate::base::log;

/// `errno`: why a request failed, 1 to 511.
///
/// What a handler returns as error. Numbers from 512 on are errors of the kernel's own that no program is meant to see
/// (`ERESTARTSYS`, `ENOTSUPP`); system calls leak them now and then. Linux refuses a reply that has one (since 5.14;
/// `fuse_dev_do_write()` in fs/fuse/dev.c), and the caller would wait for another reply. There is no way to make an `Errno`
/// of such a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(c_int);

/// `ERESTARTSYS` less one: the kernel refuses `error <= -512`. libfuse alone would pass numbers up to 999.
const LAST: c_int = 511;

impl Errno {
    /// The error with this number, or `None` when it is not in 1..=511.
    ///
    /// libfuse from 3.17 on sends ERANGE in place of one that the C library has no text for.
    pub const fn new(number: c_int) -> Option<Self> {
        if number >= 1 && number <= LAST {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The error with this number; EIO, and a line in the log, when it is not in 1..=511.
    ///
    /// For numbers that come from elsewhere, where the client has to get some answer.
    pub fn from_raw(number: c_int) -> Self {
        Self::new(number).unwrap_or_else(|| {
            log::error!("{number} is not an errno (1 to {LAST}); the caller gets EIO");
            Self::EIO
        })
    }

    /// `errno` of this thread, as `io::Error::last_os_error()` has it.
    pub fn last() -> Self {
        io::Error::last_os_error().into()
    }

    /// The number, 1 to 511.
    pub const fn raw(self) -> c_int {
        self.0
    }
}

impl From<io::Error> for Errno {
    /// The error's own number; for an error that has none in 1..=511, the errno that fits its kind best, else EIO, and a
    /// line in the log with what it says.
    fn from(error: io::Error) -> Self {
        use io::ErrorKind;
        if let Some(errno) = error.raw_os_error().and_then(Self::new) {
            return errno;
        }
        match error.kind() {
            ErrorKind::NotFound => Self::ENOENT,
            ErrorKind::PermissionDenied => Self::EACCES,
            ErrorKind::AlreadyExists => Self::EEXIST,
            ErrorKind::WouldBlock => Self::EAGAIN,
            ErrorKind::InvalidInput => Self::EINVAL,
            ErrorKind::TimedOut => Self::ETIMEDOUT,
            ErrorKind::Interrupted => Self::EINTR,
            ErrorKind::Unsupported => Self::EOPNOTSUPP,
            ErrorKind::OutOfMemory => Self::ENOMEM,
            ErrorKind::StorageFull => Self::ENOSPC,
            ErrorKind::NotADirectory => Self::ENOTDIR,
            ErrorKind::IsADirectory => Self::EISDIR,
            ErrorKind::DirectoryNotEmpty => Self::ENOTEMPTY,
            ErrorKind::ReadOnlyFilesystem => Self::EROFS,
            _ => {
                log::error!("{error}: not an errno (1 to {LAST}); the caller gets EIO");
                Self::EIO
            }
        }
    }
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from(*self).fmt(f)
    }
}

impl std::error::Error for Errno {}

macro_rules! errnos {
    ($($name:ident)*) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "` of errno(3).")]
                pub const $name: Self = Self(libc::$name);
            )*
            /// No such extended attribute: ENODATA, as on Linux; the name is llfuse's.
            pub const ENOATTR: Self = Self(libc::ENODATA);
        }

        impl fmt::Debug for Errno {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    $(libc::$name => f.write_str(stringify!($name)),)*
                    number => write!(f, "Errno({number})"),
                }
            }
        }
    };
}

errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST EXDEV
    ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK
    ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENODATA ETIME EREMOTE ENOLINK EPROTO EBADMSG EOVERFLOW EILSEQ EUSERS
    EOPNOTSUPP ENETDOWN ENETUNREACH ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ETIMEDOUT ECONNREFUSED EHOSTDOWN
    EHOSTUNREACH EALREADY EINPROGRESS ESTALE EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED
    EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_kernel_takes() {
        for number in [0, -1, -5, 512, 524, 999, 1000, 4096, c_int::MIN, c_int::MAX] {
            assert_eq!(Errno::new(number), None);
            assert_eq!(Errno::from_raw(number), Errno::EIO);
        }
        assert_eq!(Errno::new(1), Some(Errno::EPERM));
        assert_eq!(Errno::new(511).map(Errno::raw), Some(511));
    }

    #[test]
    fn io_errors_keep_their_number_or_kind() {
        assert_eq!(
            Errno::from(io::Error::from_raw_os_error(libc::ENOSPC)),
            Errno::ENOSPC
        );
        assert_eq!(
            Errno::from(io::Error::from(io::ErrorKind::NotFound)),
            Errno::ENOENT
        );
        assert_eq!(Errno::from(io::Error::other("lost")), Errno::EIO);
        // ENOTSUPP, which system calls leak, is among those that the kernel does not take back.
        for number in [-7, 512, 524] {
            assert_eq!(
                Errno::from(io::Error::from_raw_os_error(number)),
                Errno::EIO
            );
        }
        assert_eq!(
            format!("{:?} {:?}", Errno::ENOATTR, Errno(500)),
            "ENODATA Errno(500)"
        );
    }
}
