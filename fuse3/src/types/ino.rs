use std::fmt;

/// `fuse_ino_t`: the number that the file system gave an inode.
///
/// The kernel names inodes by it from the first successful [`lookup`](crate::Filesystem::lookup) (or `mknod`, `mkdir`,
/// `symlink`, `link`, `create`) until it has [forgotten](crate::Filesystem::forget) it. 64 bits, 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ino(pub u64);

impl Ino {
    /// `FUSE_ROOT_ID`, llfuse's `ROOT_INODE`: the root of the mount, known to the kernel from the start.
    pub const ROOT: Self = Self(1);
}

impl fmt::Display for Ino {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `fuse_file_info::fh`: what the file system calls an open file or directory.
///
/// Any 64 bits: the kernel hands back what [`open`](crate::Filesystem::open) gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fh(pub u64);

impl fmt::Display for Fh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
