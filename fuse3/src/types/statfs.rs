use std::mem;

/// `struct statvfs`, llfuse's `StatvfsData`: the answer of `statfs`, under the names of statvfs(3) without `f_`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatVfs {
    /// Preferred size of a read or write in bytes.
    pub bsize: u32,
    /// Bytes that the three numbers of blocks count.
    pub frsize: u32,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub bfree: u64,
    /// Free blocks for ordinary users.
    pub bavail: u64,
    /// Inodes in all.
    pub files: u64,
    /// Free inodes.
    pub ffree: u64,
    /// Longest name in bytes.
    pub namemax: u32,
}

impl StatVfs {
    pub(crate) fn to_statvfs(self) -> libc::statvfs {
        // SAFETY: `struct statvfs` is integers, for which zero is a value.
        let mut stat: libc::statvfs = unsafe { mem::zeroed() };
        stat.f_bsize = self.bsize.into();
        stat.f_frsize = self.frsize.into();
        stat.f_blocks = self.blocks;
        stat.f_bfree = self.bfree;
        stat.f_bavail = self.bavail;
        stat.f_files = self.files;
        stat.f_ffree = self.ffree;
        stat.f_favail = self.ffree;
        stat.f_namemax = self.namemax.into();
        stat
    }
}
