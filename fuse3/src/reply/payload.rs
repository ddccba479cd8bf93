//! What a handler can answer with, and how each leaves. Only here both the values and the requests are known.

mod data;

use std::ffi::{CString, c_uint};
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::conn::request::{NotTaken, Request, Sent};
use crate::conn::undo::Undo;
use crate::reply::{answer::Asked, data::Data, dirbuf::Listing};
use crate::types::attr::{Attr, Entry, seconds};
use crate::types::filelock::{FileLock, LockKind};
use crate::types::ioctl::{IoctlFlags, IoctlReply, MOST_PARTS, Retry};
use crate::types::range::{Block, Copied, Offset};
use crate::types::{
    errno::Errno, file::Created, opened::Opened, poll::PollEvents, statfs::StatVfs, statx::Statx,
    xattr::XattrNames,
};

/// A type that a handler can answer with: one per form of reply that libfuse has.
///
/// It cannot be implemented elsewhere, where nobody can name what `send` is given.
pub trait Payload: Send + Sync {
    /// Checks the answer and sends it, or EIO when it is a mistake.
    #[doc(hidden)]
    fn send(&self, request: Request, asked: &Asked) -> Sent;

    /// What it has given out.
    #[doc(hidden)]
    fn undo(&self, _asked: &Asked) -> Undo {
        Undo::default()
    }
}

/// The answer is a mistake of the file system: EIO to the caller, the mistake to the log.
///
/// Reported as not taken, so that what the answer gave out is taken back.
#[cold]
pub(crate) fn mistake(request: Request, what: impl fmt::Display) -> Sent {
    crate::base::log::error!("{what}; the caller gets EIO");
    // Whether the caller takes the EIO or is gone makes no difference.
    let _ = request.err(Errno::EIO);
    Err(NotTaken)
}

/// Longest target of a symbolic link in bytes, `PATH_MAX` less the NUL.
const TARGET_MAX: usize = 4095;

/// getxattr(2) with size 0 asks how long the value is; with too little room it fails with ERANGE.
fn xattr(value: &[u8], request: Request, asked: &Asked) -> Sent {
    if asked.size == 0 {
        request.xattr(value.len())
    } else if value.len() > asked.size {
        request.err(Errno::ERANGE)
    } else {
        request.buf(value)
    }
}

impl Payload for () {
    #[inline(always)]
    fn send(&self, request: Request, _asked: &Asked) -> Sent {
        request.ok()
    }
}

impl Payload for Entry {
    #[inline(always)]
    fn send(&self, request: Request, asked: &Asked) -> Sent {
        match self.check(asked.made) {
            Ok(()) => request.entry(&self.param()),
            Err(what) => mistake(request, what),
        }
    }

    fn undo(&self, _asked: &Asked) -> Undo {
        Undo::forget([self.ino])
    }
}

impl Payload for (Attr, Duration) {
    #[inline(always)]
    fn send(&self, request: Request, _asked: &Asked) -> Sent {
        match self.0.check() {
            Ok(()) => request.attr(&self.0.to_stat(), seconds(self.1)),
            Err(what) => mistake(request, what),
        }
    }
}

impl Payload for Opened {
    #[inline(always)]
    fn send(&self, request: Request, _asked: &Asked) -> Sent {
        match self.check() {
            Ok(()) => request.open(*self),
            Err(what) => mistake(request, what),
        }
    }

    fn undo(&self, asked: &Asked) -> Undo {
        Undo {
            release: Some((asked.ino, asked.opened(*self))),
            is_directory: asked.directory,
            ..Undo::default()
        }
    }
}

impl Payload for Created {
    fn send(&self, request: Request, asked: &Asked) -> Sent {
        match (self.entry.check(asked.made), self.opened.check()) {
            (Ok(()), Ok(())) => request.create(&self.entry.param(), self.opened),
            (Err(what), _) => mistake(request, what),
            (_, Err(what)) => mistake(request, what),
        }
    }

    fn undo(&self, asked: &Asked) -> Undo {
        Undo {
            release: Some((self.entry.ino, asked.opened(self.opened))),
            ..self.entry.undo(asked)
        }
    }
}

impl Payload for PathBuf {
    fn send(&self, request: Request, _asked: &Asked) -> Sent {
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

impl Payload for Data<'_> {
    #[inline(always)]
    fn send(&self, request: Request, asked: &Asked) -> Sent {
        data::send(self, request, asked)
    }
}

impl Payload for Listing {
    fn send(&self, request: Request, _asked: &Asked) -> Sent {
        match self.bytes() {
            Ok(bytes) => request.buf(bytes),
            Err(what) => mistake(request, what),
        }
    }

    fn undo(&self, _asked: &Asked) -> Undo {
        Undo::forget(self.counted())
    }
}

impl Payload for usize {
    #[inline(always)]
    fn send(&self, request: Request, asked: &Asked) -> Sent {
        if *self > asked.size {
            return mistake(
                request,
                format_args!("write took {self} bytes of {}", asked.size),
            );
        }
        request.write(*self)
    }
}

impl Payload for StatVfs {
    fn send(&self, request: Request, _asked: &Asked) -> Sent {
        request.statfs(&self.to_statvfs())
    }
}

impl Payload for Vec<u8> {
    fn send(&self, request: Request, asked: &Asked) -> Sent {
        xattr(self, request, asked)
    }
}

impl Payload for XattrNames {
    fn send(&self, request: Request, asked: &Asked) -> Sent {
        match self.checked() {
            Ok(names) => xattr(names, request, asked),
            Err(what) => mistake(request, what),
        }
    }
}

impl Payload for Option<FileLock> {
    fn send(&self, request: Request, _asked: &Asked) -> Sent {
        let none = FileLock::new(LockKind::Unlock, 0, 0);
        let lock = self.unwrap_or(none);
        match lock.check() {
            Ok(()) => request.lock(&lock.to_flock()),
            Err(what) => mistake(request, what),
        }
    }
}

impl Payload for Copied {
    fn send(&self, request: Request, asked: &Asked) -> Sent {
        if self.0 > asked.size {
            let what = format!("copy_file_range copied {} bytes of {}", self.0, asked.size);
            return mistake(request, what);
        }
        request.write(self.0)
    }
}

impl Payload for Offset {
    fn send(&self, request: Request, _asked: &Asked) -> Sent {
        match i64::try_from(self.0) {
            Ok(offset) => request.lseek(offset),
            Err(_) => mistake(request, format_args!("lseek gave the offset {}", self.0)),
        }
    }
}

impl Payload for Block {
    fn send(&self, request: Request, _asked: &Asked) -> Sent {
        request.bmap(self.0)
    }
}

impl Payload for IoctlReply {
    fn send(&self, request: Request, asked: &Asked) -> Sent {
        if let Some(retry) = &self.retry {
            return send_retry(retry, request, asked);
        }
        let (result, data) = (self.result, &self.data);
        if result < 0 {
            return mistake(request, format_args!("ioctl gave the result {result}"));
        }
        if data.len() > asked.size {
            let (gave, size) = (data.len(), asked.size);
            return mistake(
                request,
                format_args!("ioctl gave {gave} bytes where the caller has room for {size}"),
            );
        }
        request.ioctl(result, data)
    }
}

impl Payload for (Statx, Duration) {
    fn send(&self, request: Request, _asked: &Asked) -> Sent {
        match self.0.attr.check() {
            Ok(()) => request.statx(&mut self.0.to_statx(), seconds(self.1)),
            Err(what) => mistake(request, what),
        }
    }
}

impl Payload for PollEvents {
    fn send(&self, request: Request, _asked: &Asked) -> Sent {
        request.poll(self.bits())
    }
}

fn send_retry(retry: &Retry, request: Request, asked: &Asked) -> Sent {
    let Retry { input, output } = retry;
    let flags = IoctlFlags::from_bits_retain(c_uint::from_ne_bytes(asked.flags.to_ne_bytes()));
    if !flags.contains(IoctlFlags::UNRESTRICTED) {
        let what = "ioctl asked for memory of the caller, which it may only of an unrestricted call over CUSE";
        return mistake(request, what);
    }
    let parts = input.len() + output.len();
    if parts > MOST_PARTS {
        let what =
            format!("ioctl asked for {parts} parts of memory where {MOST_PARTS} are allowed");
        return mistake(request, what);
    }
    request.ioctl_retry(input, output)
}
