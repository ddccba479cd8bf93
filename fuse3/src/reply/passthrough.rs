//! Passthrough: files that the kernel reads and writes by itself, without asking the file system.
//!
//! [`Context::open_backing`](crate::Context::open_backing) registers a file and returns its [`BackingId`]. A [`SharedBacking`] keeps one
//! for all who have the same inode open. It needs libfuse 3.17, Linux 6.9 and CAP_SYS_ADMIN.

use std::io;
use std::num::NonZero;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::conn::conn::Conn;
use crate::sys;
use crate::types::{errno::Errno, opened::Opened};

/// `fuse_file_info::backing_id`: a file that the kernel reads and writes in place of the file system. Dropped, it is closed.
///
/// From [`Context::open_backing`](crate::Context::open_backing); an open file is given it by [`Opened::backing`](crate::Opened::backing), and has to have it
/// until [`release`](crate::Filesystem::release). All open files of an inode are to have the same, see [`SharedBacking`].
///
/// It belongs to its session, and ends with it: dropped later, it does nothing.
///
/// # Invariants
///
/// The number came from the kernel, by the session's descriptor, and is closed with this value and not before.
#[derive(Debug)]
pub struct BackingId {
    number: NonZero<i32>,
    conn: Arc<Conn>,
}

impl BackingId {
    /// `fuse_passthrough_open()`. `Err(None)` when the session has ended, and otherwise the errno.
    pub(crate) fn open(conn: &Arc<Conn>, file: BorrowedFd<'_>) -> Result<Self, Option<Errno>> {
        let pass = conn.pass().ok_or(None)?;
        // SAFETY: both descriptors are open (`Pass`, and the borrow), and the call takes numbers alone.
        let result = unsafe { sys::fuse3_backing_open(pass.descriptor(), file.as_raw_fd()) };
        Ok(Self {
            number: number(result)?,
            conn: Arc::clone(conn),
        })
    }
}

/// The number, or the negative error number, that the call returns.
fn number(result: i32) -> Result<NonZero<i32>, Option<Errno>> {
    match NonZero::new(result) {
        Some(number) if number.get() > 0 => Ok(number),
        Some(errno) => Err(Some(Errno::from_raw(-errno.get()))),
        None => Err(None),
    }
}

impl Drop for BackingId {
    fn drop(&mut self) {
        let Some(pass) = self.conn.pass() else {
            return;
        };
        // SAFETY: the descriptor is open (`Pass`), and the call takes a number alone.
        let result = unsafe { sys::fuse3_backing_close(pass.descriptor(), self.number.get()) };
        if result != 0 {
            let error = io::Error::from_raw_os_error(-result);
            crate::base::log::error!("backing file {} was not closed: {error}", self.number);
        }
    }
}

/// What an inode has of its [`BackingId`]: opened with its first open file, closed when the last one is released.
///
/// Each open file keeps an [`Arc`], and drops it in `release`:
///
/// ```
/// # use std::{collections::HashMap, fs::File, sync::{Arc, Mutex, atomic::{AtomicU64, Ordering}}};
/// # use fuse3::{Answer, Concurrent, Context, Errno, Fh, FileInfo, Filesystem, Ino, Open, OpenFlags, Opened};
/// # use fuse3::passthrough::{BackingId, SharedBacking};
/// struct Inode {
///     backing: SharedBacking,
///     // ...
/// }
///
/// # struct Fs { inodes: HashMap<Ino, Inode>, files: Mutex<HashMap<Fh, (File, Arc<BackingId>)>>, next: AtomicU64 }
/// # impl Fs { fn open_real(&self, _: Ino, _: OpenFlags) -> std::io::Result<File> { File::open("/dev/null") } }
/// impl Filesystem for Fs {
///     type Lock = Concurrent;
///
///     fn open(
///         &self, cx: &mut Context<'_, Self>, ino: Ino, Open { flags, .. }: Open,
///     ) -> Answer<Opened> {
///         let inode = self.inodes.get(&ino).ok_or(Errno::ENOENT)?;
///         let file = self.open_real(ino, flags)?;
///         let backing = inode.backing.get_or_open(|| cx.open_backing(&file))?;
///         let handle = Fh(self.next.fetch_add(1, Ordering::Relaxed));
///         let opened = Opened::new(handle).backing(&backing);
///         self.files.lock().unwrap().insert(handle, (file, backing));
///         Ok(opened)
///     }
///
///     fn release(&self, _: &mut Context<'_, Self>, _: Ino, file: &FileInfo) -> Answer<()> {
///         self.files.lock().unwrap().remove(&file.handle());
///         Ok(())
///     }
/// }
/// ```
#[derive(Debug, Default)]
pub struct SharedBacking(Mutex<Weak<BackingId>>);

impl SharedBacking {
    /// The one that open files of the inode have, or else what `open` returns.
    ///
    /// # Errors
    ///
    /// Those of `open`.
    pub fn get_or_open(
        &self,
        open: impl FnOnce() -> io::Result<BackingId>,
    ) -> io::Result<Arc<BackingId>> {
        let mut shared = self.0.lock();
        if let Some(backing) = shared.upgrade() {
            return Ok(backing);
        }
        let backing = Arc::new(open()?);
        *shared = Arc::downgrade(&backing);
        Ok(backing)
    }
}

impl Opened {
    /// `backing_id`: the kernel reads and writes `backing` by itself, no `read` and `write` come. With `direct_io` too, only for
    /// mmap(2).
    ///
    /// `backing` is to live until [`release`](crate::Filesystem::release): dropped earlier, open(2) fails with EIO. So it does
    /// while the inode is open without it, or with another one; and with `keep_cache`, `nonseekable` or `cache_readdir`.
    pub fn backing(self, backing: &BackingId) -> Self {
        self.backed_by(backing.number.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::{interruption::Interruption, panics::OnPanic};
    use crate::types::ino::Fh;

    #[test]
    fn the_call_gives_a_number_or_an_error() {
        assert_eq!(number(1).map(NonZero::get), Ok(1));
        assert_eq!(number(-libc::EPERM), Err(Some(Errno::EPERM)));
        assert_eq!(number(0), Err(None));
    }

    #[test]
    fn an_open_file_has_the_number_of_its_backing_file() {
        let backing = BackingId {
            number: number(7).unwrap(),
            conn: Conn::new(OnPanic::Continue, Interruption::Never),
        };
        let opened = Opened::new(Fh(3));
        assert_eq!(opened.backing(&backing), opened.backed_by(7));
    }
}
