//! Passthrough: files that the kernel reads and writes by itself.

use std::io;
use std::num::NonZero;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::dispatch::core::Core;
use crate::dispatch::{context::Context, filesystem::Filesystem};
use crate::reply::deferred::Outlived;
use crate::sys;
use crate::types::{capabilities::Capabilities, setting::SettingError};

/// `fuse_file_info::backing_id`: a file that the kernel reads and writes in place of the file system. Dropped, it is closed.
///
/// From [`Context::open_backing`]; an open file is given it by [`Opened::backing`](crate::Opened::backing), and has to have it
/// until [`release`](crate::Filesystem::release). All open files of an inode are to have the same, see [`SharedBacking`].
///
/// It belongs to its session, and ends with it: dropped later, it does nothing.
///
/// # Invariants
///
/// The number came from the kernel, by the session's descriptor, and is closed with this value and not before.
pub struct BackingId {
    number: NonZero<i32>,
    /// Weak, since the file system, which the session owns, keeps this value.
    session: Weak<dyn Outlived>,
}

impl BackingId {
    pub(crate) fn number(&self) -> i32 {
        self.number.get()
    }
}

impl Drop for BackingId {
    fn drop(&mut self) {
        let Some(session) = self.session.upgrade() else {
            return;
        };
        let mut result = 0;
        session.while_open(&mut || {
            // SAFETY: the descriptor is open meanwhile, and the call takes a number alone.
            result = unsafe { sys::fuse3_backing_close(session.descriptor(), self.number.get()) };
        });
        if result != 0 {
            let error = io::Error::from_raw_os_error(-result);
            crate::base::log::error!("backing file {} was not closed: {error}", self.number);
        }
    }
}

impl std::fmt::Debug for BackingId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("BackingId").field(&self.number).finish()
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
///     fn open(&self, cx: &mut Context<'_, Self>, ino: Ino, Open { flags, .. }: Open) -> Answer<Opened> {
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

impl<F: Filesystem> Context<'_, F> {
    /// `fuse_passthrough_open()`: lets the kernel read and write `file` by itself.
    ///
    /// Asked for with [`Capabilities::PASSTHROUGH`] in `init`. The kernel keeps the file open; `file` may be closed.
    ///
    /// # Errors
    ///
    /// `Unsupported`, with what is lacking, where passthrough was not negotiated: with libfuse before 3.17, Linux before 6.9, and
    /// a file system that did not ask for it. `PermissionDenied` without CAP_SYS_ADMIN. Otherwise what the kernel says: ELOOP for
    /// a file on too many layers ([`Connection::set_max_backing_stack_depth`]), EOPNOTSUPP for one that cannot be read.
    ///
    /// [`Connection::set_max_backing_stack_depth`]: crate::Connection::set_max_backing_stack_depth
    pub fn open_backing(&self, file: impl AsFd) -> io::Result<BackingId> {
        let over = || io::Error::new(io::ErrorKind::NotConnected, "there is no session");
        let session = self.core().and_then(Core::outlived).ok_or_else(over)?;
        let agreement = self.core().and_then(|core| core.control.agreement());
        let agreement = agreement.ok_or_else(over)?;
        if !agreement.granted.contains(Capabilities::PASSTHROUGH) {
            let offered = agreement.capable & Capabilities::known();
            return Err(if offered.contains(Capabilities::PASSTHROUGH) {
                io::Error::new(
                    io::ErrorKind::Unsupported,
                    "init did not ask for PASSTHROUGH",
                )
            } else {
                SettingError::NotOffered(Capabilities::PASSTHROUGH).into()
            });
        }
        let file = file.as_fd().as_raw_fd();
        let mut result = 0;
        session.while_open(&mut || {
            // SAFETY: both descriptors are open meanwhile, and the call takes numbers alone.
            result = unsafe { sys::fuse3_backing_open(session.descriptor(), file) };
        });
        match NonZero::new(result) {
            None => Err(over()),
            Some(number) if number.get() > 0 => Ok(BackingId {
                number,
                session: Arc::downgrade(&session),
            }),
            Some(errno) if errno.get() == -libc::EPERM => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "passthrough needs CAP_SYS_ADMIN",
            )),
            Some(errno) => Err(io::Error::from_raw_os_error(-errno.get())),
        }
    }
}
