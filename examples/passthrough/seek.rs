//! Holes in a file.

use std::io;
use std::os::fd::AsFd;

use fuse3::Errno;
use fuse3::range::{Offset, Whence};
use rustix::fs::{self, SeekFrom};

/// Where the next data or the next hole in `file` is, from `offset` on.
///
/// It moves the offset of the open file, which nothing here uses.
pub(super) fn seek(file: impl AsFd, offset: u64, whence: Whence) -> io::Result<Offset> {
    let to = match whence {
        Whence::DATA => SeekFrom::Data(offset),
        Whence::HOLE => SeekFrom::Hole(offset),
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(Offset(fs::seek(file, to)?))
}
