use std::{fmt, mem};

use crate::sys;
use crate::types::{filelock::LockOwner, flags::OpenFlags, ino::Fh, opened::Opened};

/// `struct fuse_file_info`: the open file that a request is about.
#[repr(transparent)]
pub struct FileInfo(pub(crate) sys::fuse_file_info);

impl FileInfo {
    /// What a handler gets for a file that `open` called `handle`, opened with `flags`; for tests of handlers.
    pub fn new(handle: Fh, flags: OpenFlags) -> Self {
        // SAFETY: `struct fuse_file_info` is integers, for which zero is a value.
        let mut fi: sys::fuse_file_info = unsafe { mem::zeroed() };
        fi.fh = handle.0;
        fi.flags = flags.bits();
        Self(fi)
    }

    /// # Safety
    ///
    /// `fi` is not null and lives, unchanged, for `'a`.
    pub(crate) unsafe fn borrow<'a>(fi: *const sys::fuse_file_info) -> &'a Self {
        // SAFETY: the caller promises that `fi` lives for 'a; the type is a transparent wrapper.
        unsafe { &*fi.cast::<Self>() }
    }

    /// `fh`: what `open`, `create` or `opendir` called it.
    pub fn handle(&self) -> Fh {
        Fh(self.0.fh)
    }

    /// `flags`: as the file was opened. For `write` with the writeback cache, those of any open file of the inode.
    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_retain(self.0.flags)
    }

    /// `lock_owner`: who closes or locks; for `flush`, `release` and locks.
    pub fn lock_owner(&self) -> LockOwner {
        LockOwner(self.0.lock_owner)
    }

    /// `writepage`: this write comes from the page cache, not from write(2); its uid, gid and pid may be anybody's.
    pub fn writepage(&self) -> bool {
        // SAFETY: `self.0` lives.
        unsafe { sys::fuse3_fi_get_writepage(&raw const self.0) == 1 }
    }

    /// `flush`: of `release`, a flush is to be done too.
    pub fn flush(&self) -> bool {
        // SAFETY: `self.0` lives.
        unsafe { sys::fuse3_fi_get_flush(&raw const self.0) == 1 }
    }

    /// `flock_release`: of `release`, flock(2) locks of the file are to be dropped.
    pub fn flock_release(&self) -> bool {
        // SAFETY: `self.0` lives.
        unsafe { sys::fuse3_fi_get_flock_release(&raw const self.0) == 1 }
    }

    /// `kill_suidgid`: of `write`, the set-user-id bit is to be dropped from the file's mode, and the set-group-id bit where the
    /// group may execute the file. Only with [`HANDLE_KILLPRIV_V2`](crate::Capabilities::HANDLE_KILLPRIV_V2).
    pub fn kill_suidgid(&self) -> bool {
        // SAFETY: `self.0` lives.
        unsafe { sys::fuse3_fi_get_kill_suidgid(&raw const self.0) == 1 }
    }
}

impl fmt::Debug for FileInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileInfo")
            .field("handle", &self.handle())
            .field("flags", &self.flags())
            .finish_non_exhaustive()
    }
}

/// The answer of `create`: the new inode, and the file open on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// The inode; adds one to its lookup count.
    pub entry: crate::types::attr::Entry,
    /// The open file.
    pub opened: Opened,
}

/// `struct fuse_open_in`: what `open` is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Open {
    /// As open(2) was called, without O_CREAT, O_EXCL and O_NOCTTY.
    pub flags: OpenFlags,
    /// `FUSE_OPEN_KILL_SUIDGID`: the file is cut ([`OpenFlags::TRUNC`]) by a caller without CAP_FSETID, so the set-user-id bit is
    /// to be dropped from its mode, and the set-group-id bit where the group may execute it. Only with
    /// [`HANDLE_KILLPRIV_V2`](crate::Capabilities::HANDLE_KILLPRIV_V2); without it the kernel sees to the bits, or
    /// [`HANDLE_KILLPRIV`](crate::Capabilities::HANDLE_KILLPRIV) says that the file system does.
    pub kill_suidgid: bool,
}

impl Open {
    /// What a handler gets; for tests of handlers. No bits are to be dropped.
    pub const fn new(flags: OpenFlags) -> Self {
        Self {
            flags,
            kill_suidgid: false,
        }
    }
}

impl From<&FileInfo> for Open {
    fn from(file: &FileInfo) -> Self {
        Self {
            flags: file.flags(),
            kill_suidgid: file.kill_suidgid(),
        }
    }
}

/// What `create` and `tmpfile` are to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Create {
    /// Type and permissions of the file, the umask applied unless `DONT_MASK` was negotiated.
    pub mode: u32,
    /// As open(2) was called, with O_CREAT and without O_NOCTTY.
    pub flags: OpenFlags,
    /// As [`Open::kill_suidgid`], of a file that `create` finds there already and cuts. Of `tmpfile`, whose file is new, never.
    pub kill_suidgid: bool,
}

impl Create {
    /// What a handler gets; for tests of handlers. No bits are to be dropped.
    pub const fn new(mode: u32, flags: OpenFlags) -> Self {
        Self {
            mode,
            flags,
            kill_suidgid: false,
        }
    }

    pub(crate) fn of(mode: u32, file: &FileInfo) -> Self {
        Self {
            kill_suidgid: file.kill_suidgid(),
            ..Self::new(mode, file.flags())
        }
    }
}
