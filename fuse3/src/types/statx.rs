//! statx(2): the time of birth and the attributes that stat(2) does not have.
//!
//! [`Filesystem::statx`](crate::Filesystem::statx) is asked for the fields of a [`StatxMask`], with [`StatxFlags`], and answers with a
//! [`Statx`], which adds [`StatxAttributes`] to an [`Attr`](crate::Attr).

use std::ffi::c_int;
use std::mem;

use crate::types::attr::{Attr, Timestamp};

bitflags::bitflags! {
    /// The flags of statx(2), as far as they reach a file system.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct StatxFlags: c_int {
        /// `AT_STATX_FORCE_SYNC`: what the file system knows is asked from where it is kept.
        const FORCE_SYNC = libc::AT_STATX_FORCE_SYNC;
        /// `AT_STATX_DONT_SYNC`: what it knows will do.
        const DONT_SYNC = libc::AT_STATX_DONT_SYNC;
        const _ = !0;
    }

    /// `STATX_*`: which members are asked for, or given.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct StatxMask: u32 {
        /// What [`Attr`] has.
        const BASIC_STATS = libc::STATX_BASIC_STATS;
        /// When the inode was made.
        const BTIME = libc::STATX_BTIME;
        const _ = !0;
    }

    /// `STATX_ATTR_*`: what chattr(1) shows.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct StatxAttributes: u64 {
        /// Compressed.
        const COMPRESSED = 0x4;
        /// Cannot be changed.
        const IMMUTABLE = 0x10;
        /// Can only grow.
        const APPEND = 0x20;
        /// Left out of backups.
        const NODUMP = 0x40;
        /// Encrypted.
        const ENCRYPTED = 0x800;
        /// Mounts itself when it is entered.
        const AUTOMOUNT = 0x1000;
        /// Protected by verity.
        const VERITY = 0x10_0000;
        const _ = !0;
    }
}

/// `struct statx`: attributes of an inode, more than stat(2) has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statx {
    /// Which members count.
    pub mask: StatxMask,
    /// The basic ones.
    pub attr: Attr,
    /// When the inode was made.
    pub btime: Timestamp,
    /// What is so.
    pub attributes: StatxAttributes,
    /// Which of `attributes` the file system knows about.
    pub attributes_mask: StatxAttributes,
}

impl Statx {
    /// The basic attributes, and no others.
    pub fn new(attr: Attr) -> Self {
        Self {
            mask: StatxMask::BASIC_STATS,
            attr,
            btime: Timestamp::default(),
            attributes: StatxAttributes::empty(),
            attributes_mask: StatxAttributes::empty(),
        }
    }

    /// Sets [`btime`](Self::btime), and its bit in the mask.
    pub fn btime(mut self, btime: Timestamp) -> Self {
        self.btime = btime;
        self.mask |= StatxMask::BTIME;
        self
    }

    /// Sets [`attributes`](Self::attributes), of which the file system knows `known`.
    pub fn attributes(mut self, attributes: StatxAttributes, known: StatxAttributes) -> Self {
        self.attributes = attributes;
        self.attributes_mask = known;
        self
    }

    pub(crate) fn to_statx(self) -> libc::statx {
        let time = |time: Timestamp| {
            // SAFETY: `struct statx_timestamp` is integers, for which zero is a value.
            let mut out: libc::statx_timestamp = unsafe { mem::zeroed() };
            out.tv_sec = time.secs();
            out.tv_nsec = time.nanos();
            out
        };
        let attr = self.attr;
        // SAFETY: `struct statx` is integers, for which zero is a value.
        let mut out: libc::statx = unsafe { mem::zeroed() };
        out.stx_mask = self.mask.bits();
        out.stx_blksize = attr.blksize;
        out.stx_attributes = self.attributes.bits();
        out.stx_attributes_mask = self.attributes_mask.bits();
        out.stx_nlink = attr.nlink;
        out.stx_uid = attr.uid;
        out.stx_gid = attr.gid;
        // The kernel's member has 16 bits, which are all that a mode has.
        out.stx_mode = u16::try_from(attr.mode & 0xffff).unwrap_or(0);
        out.stx_ino = attr.ino.0;
        out.stx_size = attr.size.min(i64::MAX.unsigned_abs());
        out.stx_blocks = attr.blocks;
        out.stx_atime = time(attr.atime);
        out.stx_btime = time(self.btime);
        out.stx_ctime = time(attr.ctime);
        out.stx_mtime = time(attr.mtime);
        [out.stx_rdev_major, out.stx_rdev_minor] = device_numbers(attr.rdev);
        out
    }
}

/// `major(device)` and `minor(device)`, which are unsafe functions in libc up to 0.2.170 and safe ones later.
pub(crate) fn device_numbers(device: libc::dev_t) -> [u32; 2] {
    let major = ((device >> 32) & 0xffff_f000) | ((device >> 8) & 0xfff);
    let minor = ((device >> 12) & 0xffff_ff00) | (device & 0xff);
    // Both have 32 bits by now.
    [major, minor].map(|number| u32::try_from(number).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ino::Ino;

    #[test]
    fn device_numbers_are_those_of_makedev() {
        for [major, minor] in [
            [0, 0],
            [8, 1],
            [0xfff, 0xff],
            [0x1000, 0x100],
            [u32::MAX; 2],
        ] {
            let device = libc::makedev(major, minor);
            assert_eq!(device_numbers(device), [major, minor]);
        }
    }

    #[test]
    fn attributes_reach_struct_statx() {
        let attr = Attr {
            size: u64::MAX,
            rdev: libc::makedev(0x123, 0x45),
            mtime: Timestamp::new(-2, 5),
            ..Attr::new(Ino(9), libc::S_IFREG | 0o4755)
        };
        let verity = StatxAttributes::VERITY;
        let statx = Statx::new(attr)
            .btime(Timestamp::new(7, 8))
            .attributes(verity, verity | StatxAttributes::APPEND)
            .to_statx();
        assert_eq!(statx.stx_mask, libc::STATX_BASIC_STATS | libc::STATX_BTIME);
        assert_eq!(u32::from(statx.stx_mode), libc::S_IFREG | 0o4755);
        assert_eq!(
            (statx.stx_ino, statx.stx_size),
            (9, i64::MAX.unsigned_abs())
        );
        assert_eq!((statx.stx_rdev_major, statx.stx_rdev_minor), (0x123, 0x45));
        assert_eq!((statx.stx_mtime.tv_sec, statx.stx_mtime.tv_nsec), (-2, 5));
        assert_eq!((statx.stx_btime.tv_sec, statx.stx_btime.tv_nsec), (7, 8));
        assert_eq!(
            (statx.stx_attributes, statx.stx_attributes_mask),
            (0x10_0000, 0x10_0020)
        );
    }
}
