//! Open files.

use crate::testing::proto::constants::opcode;
use crate::testing::proto::request::{Bytes, Request};

/// `FUSE_OPEN`.
pub fn open(ino: u64, flags: u32) -> Request {
    Request::new(opcode::OPEN, ino, Bytes::new().u32(flags).u32(0))
}

/// `FUSE_CREATE`.
pub fn create(parent: u64, name: &[u8], mode: u32, umask: u32, flags: u32) -> Request {
    let body = Bytes::new().u32(flags).u32(mode).u32(umask).u32(0);
    Request::new(opcode::CREATE, parent, body.name(name))
}

/// What READ, READDIR and WRITE say about the open file.
#[derive(Clone, Copy, Debug, Default)]
pub struct File {
    /// `fh`.
    pub fh: u64,
    /// As it was opened.
    pub flags: u32,
    /// `lock_owner`.
    pub lock_owner: u64,
    /// `read_flags`, `write_flags`, `release_flags`.
    pub of_request: u32,
}

impl File {
    /// Nothing yet.
    pub fn new(fh: u64) -> Self {
        Self {
            fh,
            ..Self::default()
        }
    }

    /// `struct fuse_read_in`, `struct fuse_write_in`.
    pub(super) fn transfer(self, offset: u64, size: u32) -> Bytes {
        Bytes::new()
            .u64(self.fh)
            .u64(offset)
            .u32(size)
            .u32(self.of_request)
            .u64(self.lock_owner)
            .u32(self.flags)
            .u32(0)
    }

    /// `struct fuse_release_in`.
    pub(super) fn release(self) -> Bytes {
        Bytes::new()
            .u64(self.fh)
            .u32(self.flags)
            .u32(self.of_request)
            .u64(self.lock_owner)
    }
}

/// `FUSE_READ`.
pub fn read(ino: u64, file: File, offset: u64, size: u32) -> Request {
    Request::new(opcode::READ, ino, file.transfer(offset, size))
}

/// `FUSE_WRITE`.
pub fn write(ino: u64, file: File, offset: u64, data: &[u8]) -> Request {
    let size = u32::try_from(data.len()).unwrap();
    Request::new(opcode::WRITE, ino, file.transfer(offset, size).raw(data))
}

/// `FUSE_FLUSH`.
pub fn flush(ino: u64, fh: u64, lock_owner: u64) -> Request {
    let body = Bytes::new().u64(fh).u32(0).u32(0).u64(lock_owner);
    Request::new(opcode::FLUSH, ino, body)
}

/// `FUSE_RELEASE`.
pub fn release(ino: u64, file: File) -> Request {
    Request::new(opcode::RELEASE, ino, file.release())
}

pub(super) fn sync(opcode: u32, ino: u64, fh: u64, datasync: bool) -> Request {
    let body = Bytes::new().u64(fh).u32(datasync.into()).u32(0);
    Request::new(opcode, ino, body)
}

/// `FUSE_FSYNC`.
pub fn fsync(ino: u64, fh: u64, datasync: bool) -> Request {
    sync(opcode::FSYNC, ino, fh, datasync)
}
