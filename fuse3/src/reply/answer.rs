use std::ffi::c_int;
use std::fmt;
use std::io;

use crate::reply::deferred::Deferred;
use crate::types::{errno::Errno, file::FileInfo, flags::OpenFlags, ino::Ino, opened::Opened};

/// What a handler returns: its answer, or why there is none.
///
/// `?` works on [`Errno`], [`io::Error`] and another `Answer`.
pub type Answer<T> = Result<T, Unanswered<T>>;

/// Why a handler returned no answer.
#[derive(Debug)]
pub enum Unanswered<T> {
    /// The request failed: the kernel is told this error.
    Errno(Errno),
    /// The answer was [taken away](crate::Context::defer) and is given later.
    Deferred(Deferred<T>),
}

impl<T> From<Errno> for Unanswered<T> {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl<T> From<io::Error> for Unanswered<T> {
    fn from(error: io::Error) -> Self {
        Self::Errno(error.into())
    }
}

impl<T> From<Deferred<T>> for Unanswered<T> {
    fn from(deferred: Deferred<T>) -> Self {
        Self::Deferred(deferred)
    }
}

impl<T> fmt::Display for Unanswered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(errno) => errno.fmt(f),
            Self::Deferred(_) => f.write_str("the answer was deferred"),
        }
    }
}

/// What an answer depends on besides itself.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The inode the request is about, or the parent of the name.
    pub(crate) ino: Ino,
    /// Bytes asked for or given, of `read`, `write`, `readdir`, `copy_file_range`, `ioctl` and extended attributes.
    pub(crate) size: usize,
    /// `O_*` of `open` and `create`, `FUSE_IOCTL_*` of `ioctl`.
    pub(crate) flags: c_int,
    /// The request is `opendir`.
    pub(crate) directory: bool,
    /// The request is for a new name: the type of its inode (`S_IFMT`), 0 for any.
    pub(crate) made: Option<u32>,
    /// The answer leaves from the worker that handled the request, when nothing that the handler was given is in use any more:
    /// libfuse may splice it through the pipe of the thread. Elsewhere that may have the data of a write that has not been
    /// read; and a thread that is not libfuse's would keep its pipe until the thread ends.
    pub(crate) may_splice: bool,
}

impl Asked {
    pub(crate) const fn of(ino: Ino) -> Self {
        Self {
            ino,
            size: 0,
            flags: 0,
            directory: false,
            made: None,
            may_splice: true,
        }
    }

    pub(crate) const fn size(self, size: usize) -> Self {
        Self { size, ..self }
    }

    pub(crate) const fn flags(self, flags: c_int) -> Self {
        Self { flags, ..self }
    }

    pub(crate) const fn directory(mut self) -> Self {
        self.directory = true;
        self
    }

    pub(crate) const fn made(mut self, kind: u32) -> Self {
        self.made = Some(kind);
        self
    }

    pub(crate) fn opened(&self, opened: Opened) -> FileInfo {
        FileInfo::new(opened.handle, OpenFlags::from_bits_retain(self.flags))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_is_printed() {
        let errno: Unanswered<()> = Errno::ENOENT.into();
        assert_eq!(errno.to_string(), Errno::ENOENT.to_string());
        let deferred: Unanswered<()> = Deferred::new().into();
        assert_eq!(deferred.to_string(), "the answer was deferred");
        assert_eq!(format!("{deferred:?}"), "Deferred(Deferred)");
    }
}
