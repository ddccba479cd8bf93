//! Ranges of files, and what newer kernels ask.

use crate::testing::proto::constants::opcode;
use crate::testing::proto::request::{Bytes, Request};

/// `FUSE_FALLOCATE`.
pub fn fallocate(ino: u64, fh: u64, mode: u32, offset: u64, length: u64) -> Request {
    let body = Bytes::new()
        .u64(fh)
        .u64(offset)
        .u64(length)
        .u32(mode)
        .u32(0);
    Request::new(opcode::FALLOCATE, ino, body)
}

/// `FUSE_LSEEK`.
pub fn lseek(ino: u64, fh: u64, offset: u64, whence: u32) -> Request {
    let body = Bytes::new().u64(fh).u64(offset).u32(whence).u32(0);
    Request::new(opcode::LSEEK, ino, body)
}

/// An inode, an open file of it, and an offset.
pub type Place = (u64, u64, u64);

/// `FUSE_COPY_FILE_RANGE`.
pub fn copy_file_range(from: Place, to: Place, length: u64, flags: u64) -> Request {
    let body = Bytes::new()
        .u64(from.1)
        .u64(from.2)
        .u64(to.0)
        .u64(to.1)
        .u64(to.2)
        .u64(length)
        .u64(flags);
    Request::new(opcode::COPY_FILE_RANGE, from.0, body)
}

/// `FUSE_COPY_FILE_RANGE_64`, from Linux 6.18 on: the same with another opcode, and the answer is [`number_out`](super::number_out).
pub fn copy_file_range_64(from: Place, to: Place, length: u64, flags: u64) -> Request {
    Request {
        opcode: opcode::COPY_FILE_RANGE_64,
        ..copy_file_range(from, to, length, flags)
    }
}

/// `FUSE_TMPFILE`.
pub fn tmpfile(parent: u64, mode: u32, umask: u32, flags: u32) -> Request {
    let body = Bytes::new().u32(flags).u32(mode).u32(umask).u32(0);
    Request::new(opcode::TMPFILE, parent, body.name(b"/"))
}

/// `FUSE_STATX`.
pub fn statx(ino: u64, fh: Option<u64>, flags: u32, mask: u32) -> Request {
    let body = Bytes::new()
        .u32(fh.is_some().into()) // FUSE_GETATTR_FH
        .u32(0)
        .u64(fh.unwrap_or(0))
        .u32(flags)
        .u32(mask);
    Request::new(opcode::STATX, ino, body)
}

/// `FUSE_SYNCFS`.
pub fn syncfs(ino: u64) -> Request {
    Request::new(opcode::SYNCFS, ino, Bytes::new().u64(0))
}
