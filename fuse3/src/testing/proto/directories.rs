//! Open directories.

use crate::testing::proto::constants::opcode;
use crate::testing::proto::files::{File, sync};
use crate::testing::proto::request::{Bytes, Request};

/// `FUSE_OPENDIR`.
pub fn opendir(ino: u64, flags: u32) -> Request {
    Request::new(opcode::OPENDIR, ino, Bytes::new().u32(flags).u32(0))
}

/// `FUSE_READDIR`.
pub fn readdir(ino: u64, fh: u64, offset: u64, size: u32) -> Request {
    let body = File::new(fh).transfer(offset, size);
    Request::new(opcode::READDIR, ino, body)
}

/// `FUSE_READDIRPLUS`.
pub fn readdirplus(ino: u64, fh: u64, offset: u64, size: u32) -> Request {
    let body = File::new(fh).transfer(offset, size);
    Request::new(opcode::READDIRPLUS, ino, body)
}

/// `FUSE_RELEASEDIR`.
pub fn releasedir(ino: u64, file: File) -> Request {
    Request::new(opcode::RELEASEDIR, ino, file.release())
}

/// `FUSE_FSYNCDIR`.
pub fn fsyncdir(ino: u64, fh: u64, datasync: bool) -> Request {
    sync(opcode::FSYNCDIR, ino, fh, datasync)
}
