use std::ffi::c_int;

bitflags::bitflags! {
    /// `fuse_file_info::flags`: how a file is opened, the `O_*` of open(2).
    ///
    /// The access mode is two bits, not flags: [`access_mode`](OpenFlags::access_mode).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct OpenFlags: c_int {
        /// Writes go to the end.
        const APPEND = libc::O_APPEND;
        /// The file is cut to nothing; sent to `open` when `ATOMIC_O_TRUNC` was negotiated, which libfuse 3 does.
        const TRUNC = libc::O_TRUNC;
        /// No blocking.
        const NONBLOCK = libc::O_NONBLOCK;
        /// No page cache.
        const DIRECT = libc::O_DIRECT;
        /// Data reach the disk before write(2) returns.
        const DSYNC = libc::O_DSYNC;
        /// So do attributes.
        const SYNC = libc::O_SYNC;
        /// Reading does not change `atime`.
        const NOATIME = libc::O_NOATIME;
        /// Of `create`: the file must be new.
        const EXCL = libc::O_EXCL;
        const _ = !0;
    }

    /// The flags of renameat2(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct RenameFlags: u32 {
        /// EEXIST when the new name is taken.
        const NOREPLACE = libc::RENAME_NOREPLACE;
        /// The two names change places.
        const EXCHANGE = libc::RENAME_EXCHANGE;
        /// Leaves a whiteout, a character device with the number 0, under the old name: overlayfs's upper directory needs it.
        const WHITEOUT = libc::RENAME_WHITEOUT;
        const _ = !0;
    }

    /// The flags of setxattr(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct XattrFlags: c_int {
        /// EEXIST when the attribute is there.
        const CREATE = libc::XATTR_CREATE;
        /// ENODATA when it is not.
        const REPLACE = libc::XATTR_REPLACE;
        const _ = !0;
    }

    /// What access(2) asks; none for F_OK.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct AccessMode: c_int {
        /// R_OK.
        const READ = libc::R_OK;
        /// W_OK.
        const WRITE = libc::W_OK;
        /// X_OK.
        const EXECUTE = libc::X_OK;
        const _ = !0;
    }
}

impl OpenFlags {
    /// `O_RDONLY`, `O_WRONLY` or `O_RDWR`.
    pub const fn access_mode(self) -> c_int {
        self.bits() & libc::O_ACCMODE
    }

    /// Opened with O_WRONLY or O_RDWR.
    pub const fn writes(self) -> bool {
        matches!(self.access_mode(), libc::O_WRONLY | libc::O_RDWR)
    }
}
