//! Ranges and places of a file: what `fallocate`, `copy_file_range`, `lseek` and `bmap` are given, and what they answer.
//!
//! | operation | is given | answers |
//! |---|---|---|
//! | [`fallocate`](crate::Filesystem::fallocate) | [`Fallocate`], with its [`FallocateMode`] | |
//! | [`copy_file_range`](crate::Filesystem::copy_file_range) | [`CopyFileRange`], from one [`Place`] to another, with [`CopyFlags`] | [`Copied`] |
//! | [`lseek`](crate::Filesystem::lseek) | [`Whence`] | [`Offset`] |
//! | [`bmap`](crate::Filesystem::bmap) | | [`Block`] |

use std::ffi::c_int;

use crate::types::{file::FileInfo, ino::Ino};

bitflags::bitflags! {
    /// The mode of fallocate(2). Without any, space is allocated and the file grows to the end of the range.
    ///
    /// The kernel side of FUSE refuses all but `KEEP_SIZE`, `PUNCH_HOLE` and `ZERO_RANGE` itself.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct FallocateMode: c_int {
        /// The size stays as it is.
        const KEEP_SIZE = libc::FALLOC_FL_KEEP_SIZE;
        /// The range becomes a hole; comes with `KEEP_SIZE`.
        const PUNCH_HOLE = libc::FALLOC_FL_PUNCH_HOLE;
        /// The range is taken out, what is after it moves up.
        const COLLAPSE_RANGE = libc::FALLOC_FL_COLLAPSE_RANGE;
        /// The range reads as zeros, and has space allocated.
        const ZERO_RANGE = libc::FALLOC_FL_ZERO_RANGE;
        /// A hole is put in, what was there moves down.
        const INSERT_RANGE = libc::FALLOC_FL_INSERT_RANGE;
        /// What is shared with other files is copied.
        const UNSHARE_RANGE = libc::FALLOC_FL_UNSHARE_RANGE;
        const _ = !0;
    }

    /// The flags of copy_file_range(2); Linux has none.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct CopyFlags: c_int {
        const _ = !0;
    }
}

/// `fallocate(fd, mode, offset, length)`: what `fallocate` is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fallocate {
    /// With the space, and with the size.
    pub mode: FallocateMode,
    /// The first byte.
    pub offset: u64,
    /// How many bytes, at least 1.
    pub length: u64,
}

impl Fallocate {
    /// What a handler gets; for tests of handlers.
    pub const fn new(mode: FallocateMode, offset: u64, length: u64) -> Self {
        Self {
            mode,
            offset,
            length,
        }
    }
}

/// A place in an open file, of `copy_file_range`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Place<'a> {
    /// The inode.
    pub ino: Ino,
    /// The open file.
    pub file: &'a FileInfo,
    /// The first byte.
    pub offset: u64,
}

impl<'a> Place<'a> {
    /// What a handler gets; for tests of handlers.
    pub const fn new(ino: Ino, file: &'a FileInfo, offset: u64) -> Self {
        Self { ino, file, offset }
    }
}

/// `copy_file_range(fd_in, off_in, fd_out, off_out, len, flags)`: what `copy_file_range` is to do.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CopyFileRange<'a> {
    /// `fd_in`, `off_in`: copied from.
    pub from: Place<'a>,
    /// `fd_out`, `off_out`: copied to. The file grows if it has to.
    pub to: Place<'a>,
    /// How many bytes; up to 2 GiB less a page.
    pub length: usize,
    /// None known.
    pub flags: CopyFlags,
}

impl<'a> CopyFileRange<'a> {
    /// What a handler gets; for tests of handlers.
    pub const fn new(from: Place<'a>, to: Place<'a>, length: usize) -> Self {
        Self {
            from,
            to,
            length,
            flags: CopyFlags::empty(),
        }
    }
}

/// The answer of `copy_file_range`: how many bytes were copied, not more than asked for, and 0 at the end of the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Copied(pub usize);

/// `whence` of lseek(2), as far as the kernel asks: it does the others by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Whence(c_int);

impl Whence {
    /// `SEEK_DATA`: the first byte from the offset on that is no hole.
    pub const DATA: Self = Self(libc::SEEK_DATA);
    /// `SEEK_HOLE`: the first byte from the offset on that is in a hole; the end of a file is one.
    pub const HOLE: Self = Self(libc::SEEK_HOLE);

    /// The `SEEK_*` with this number.
    pub const fn from_raw(number: c_int) -> Self {
        Self(number)
    }

    /// The number of the `SEEK_*`.
    pub const fn raw(self) -> c_int {
        self.0
    }
}

/// The answer of `lseek`: bytes from the start of the file, at most `i64::MAX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset(pub u64);

/// A block of a file or a device, of `bmap`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block(pub u64);
