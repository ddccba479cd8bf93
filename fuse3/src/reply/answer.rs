use std::ffi::{CString, c_int};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::conn::request::{NotTaken, Request, Sent};
use crate::reply::{data::Data, deferred::Deferred, dirbuf::Listing};
use crate::types::attr::seconds;
use crate::types::{
    attr::{Attr, Entry},
    errno::Errno,
    file::{Created, FileInfo},
    flags::OpenFlags,
    ino::Ino,
    opened::Opened,
    statfs::StatVfs,
    xattr::XattrNames,
};

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
}

impl Asked {
    pub(crate) const fn of(ino: Ino) -> Self {
        Self {
            ino,
            size: 0,
            flags: 0,
            directory: false,
            made: None,
        }
    }

    pub(crate) const fn size(self, size: usize) -> Self {
        Self { size, ..self }
    }

    pub(crate) const fn flags(self, flags: c_int) -> Self {
        Self { flags, ..self }
    }

    pub(crate) const fn directory(self) -> Self {
        Self {
            directory: true,
            ..self
        }
    }

    pub(crate) const fn made(self, kind: u32) -> Self {
        Self {
            made: Some(kind),
            ..self
        }
    }

    fn opened(self, opened: Opened) -> FileInfo {
        FileInfo::new(opened.handle, OpenFlags::from_bits_retain(self.flags))
    }
}

/// A reply that the kernel did not take has given out something that it will never give back: what the library is to
/// call in its stead.
#[derive(Debug)]
pub enum Undo {
    /// Nothing was given out.
    Nothing,
    /// `forget(ino, 1)`.
    Forget(Ino),
    /// `release(ino, file)`.
    Release(Ino, FileInfo),
    /// `releasedir(ino, file)`.
    Releasedir(Ino, FileInfo),
    /// `release(ino, file)`, then `forget(ino, 1)`.
    ReleaseAndForget(Ino, FileInfo),
    /// `forget(ino, 1)` of each.
    ForgetEach(Vec<Ino>),
}

/// A type that a handler can answer with. Sealed: one per form of reply that libfuse has.
pub trait Payload: sealed::Sealed + Send + Sync {
    /// Checks the answer and sends it, or EIO when it is a mistake.
    #[doc(hidden)]
    fn send(&self, request: Request, asked: Asked) -> Sent;

    /// What it has given out.
    #[doc(hidden)]
    fn undo(&self, _asked: Asked) -> Undo {
        Undo::Nothing
    }
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// The answer is a mistake of the file system: EIO to the caller, the mistake to the log.
///
/// Reported as not taken, so that what the answer gave out is taken back.
#[cold]
pub(crate) fn mistake(request: Request, what: impl fmt::Display) -> Sent {
    crate::base::log::error!("{what}; the caller gets EIO");
    // Whether the caller takes the EIO or is gone makes no difference.
    let _ = request.err(Errno::EIO);
    Err(NotTaken(-Errno::EIO.raw()))
}

impl sealed::Sealed for () {}
impl Payload for () {
    #[inline]
    fn send(&self, request: Request, _asked: Asked) -> Sent {
        request.ok()
    }
}

impl sealed::Sealed for Entry {}
impl Payload for Entry {
    #[inline]
    fn send(&self, request: Request, asked: Asked) -> Sent {
        match self.check(asked.made) {
            Ok(()) => request.entry(&self.to_param()),
            Err(what) => mistake(request, what),
        }
    }

    fn undo(&self, _asked: Asked) -> Undo {
        if self.ino == Ino(0) {
            Undo::Nothing
        } else {
            Undo::Forget(self.ino)
        }
    }
}

impl sealed::Sealed for (Attr, Duration) {}
impl Payload for (Attr, Duration) {
    #[inline]
    fn send(&self, request: Request, _asked: Asked) -> Sent {
        match self.0.check() {
            Ok(()) => request.attr(&self.0.to_stat(), seconds(self.1)),
            Err(what) => mistake(request, what),
        }
    }
}

impl sealed::Sealed for Opened {}
impl Payload for Opened {
    #[inline]
    fn send(&self, request: Request, _asked: Asked) -> Sent {
        match self.check() {
            Ok(()) => request.open(*self),
            Err(what) => mistake(request, what),
        }
    }

    fn undo(&self, asked: Asked) -> Undo {
        let file = asked.opened(*self);
        if asked.directory {
            Undo::Releasedir(asked.ino, file)
        } else {
            Undo::Release(asked.ino, file)
        }
    }
}

impl sealed::Sealed for Created {}
impl Payload for Created {
    fn send(&self, request: Request, asked: Asked) -> Sent {
        match (self.entry.check(asked.made), self.opened.check()) {
            (Ok(()), Ok(())) => request.create(&self.entry.to_param(), self.opened),
            (Err(what), _) => mistake(request, what),
            (_, Err(what)) => mistake(request, what),
        }
    }

    fn undo(&self, asked: Asked) -> Undo {
        let file = asked.opened(self.opened);
        match self.entry.ino {
            Ino(0) => Undo::Release(Ino(0), file),
            ino => Undo::ReleaseAndForget(ino, file),
        }
    }
}

/// Longest target of a symbolic link in bytes, `PATH_MAX` less the NUL.
const TARGET_MAX: usize = 4095;

impl sealed::Sealed for PathBuf {}
impl Payload for PathBuf {
    fn send(&self, request: Request, _asked: Asked) -> Sent {
        match CString::new(self.clone().into_os_string().into_vec()) {
            Ok(target) if target.count_bytes() > TARGET_MAX => mistake(
                request,
                format_args!(
                    "readlink gave a target of {} bytes, where {TARGET_MAX} are allowed",
                    target.count_bytes()
                ),
            ),
            Ok(target) => request.readlink(&target),
            Err(error) => mistake(
                request,
                format_args!("readlink gave a target with a NUL in it: {error}"),
            ),
        }
    }
}

impl sealed::Sealed for Data<'_> {}
impl Payload for Data<'_> {
    #[inline]
    fn send(&self, request: Request, asked: Asked) -> Sent {
        self.reply(request, asked.size)
    }
}

impl sealed::Sealed for Listing {}
impl Payload for Listing {
    fn send(&self, request: Request, _asked: Asked) -> Sent {
        match self.bytes() {
            Ok(bytes) => request.buf(bytes),
            Err(what) => mistake(request, what),
        }
    }

    fn undo(&self, _asked: Asked) -> Undo {
        Undo::ForgetEach(self.counted().collect())
    }
}

impl sealed::Sealed for usize {}
impl Payload for usize {
    #[inline]
    fn send(&self, request: Request, asked: Asked) -> Sent {
        if *self > asked.size {
            return mistake(
                request,
                format_args!("write took {self} bytes of {}", asked.size),
            );
        }
        request.write(*self)
    }
}

impl sealed::Sealed for StatVfs {}
impl Payload for StatVfs {
    fn send(&self, request: Request, _asked: Asked) -> Sent {
        request.statfs(&self.to_statvfs())
    }
}

/// getxattr(2) with size 0 asks how long the value is; with too little room it fails with ERANGE.
fn xattr(value: &[u8], request: Request, asked: Asked) -> Sent {
    if asked.size == 0 {
        request.xattr(value.len())
    } else if value.len() > asked.size {
        request.err(Errno::ERANGE)
    } else {
        request.buf(value)
    }
}

impl sealed::Sealed for Vec<u8> {}
impl Payload for Vec<u8> {
    fn send(&self, request: Request, asked: Asked) -> Sent {
        xattr(self, request, asked)
    }
}

impl sealed::Sealed for XattrNames {}
impl Payload for XattrNames {
    fn send(&self, request: Request, asked: Asked) -> Sent {
        match self.checked() {
            Ok(names) => xattr(names, request, asked),
            Err(what) => mistake(request, what),
        }
    }
}
