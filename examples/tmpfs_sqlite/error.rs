//! Why something was not done.

use fuse3::Errno;
use fuse3::reply::Unanswered;
use rusqlite::ErrorCode;

/// What the caller is to be told, or a failure of the database.
#[derive(Debug)]
pub(crate) enum Error {
    Errno(Errno),
    Database(rusqlite::Error),
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl<T> From<Error> for Unanswered<T> {
    fn from(error: Error) -> Self {
        let errno = match error {
            Error::Errno(errno) => errno,
            Error::Database(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => Errno::ENOSPC,
                Some(ErrorCode::TooBig) => Errno::EFBIG,
                Some(ErrorCode::ReadOnly) => Errno::EROFS,
                _ => {
                    crate::complain(format_args!("the database: {error}"));
                    Errno::EIO
                }
            },
        };
        errno.into()
    }
}
