//! Open files and directories: their data, ranges of it, and locks.

use crate::testing::proto::{constants::opcode, request::Bytes, request::Request};

/// `FUSE_OPEN`.
pub fn open(ino: u64, flags: u32) -> Request {
    Request::new(opcode::OPEN, ino, Bytes::new().u32(flags).u32(0))
}

/// `FUSE_CREATE`.
pub fn create(parent: u64, name: &[u8], mode: u32, umask: u32, flags: u32) -> Request {
    let body = Bytes::new().u32(flags).u32(mode).u32(umask).u32(0);
    Request::new(opcode::CREATE, parent, body.name(name))
}

/// `FUSE_TMPFILE`.
pub fn tmpfile(parent: u64, mode: u32, umask: u32, flags: u32) -> Request {
    let body = Bytes::new().u32(flags).u32(mode).u32(umask).u32(0);
    Request::new(opcode::TMPFILE, parent, body.name(b"/"))
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
    fn transfer(self, offset: u64, size: u32) -> Bytes {
        Bytes::new()
            .u64s([self.fh, offset])
            .u32s([size, self.of_request])
            .u64(self.lock_owner)
            .u32s([self.flags, 0])
    }

    /// `struct fuse_release_in`.
    fn release(self) -> Bytes {
        Bytes::new()
            .u64(self.fh)
            .u32s([self.flags, self.of_request])
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

fn sync(opcode: u32, ino: u64, fh: u64, datasync: bool) -> Request {
    let body = Bytes::new().u64(fh).u32(datasync.into()).u32(0);
    Request::new(opcode, ino, body)
}

/// `FUSE_FSYNC`.
pub fn fsync(ino: u64, fh: u64, datasync: bool) -> Request {
    sync(opcode::FSYNC, ino, fh, datasync)
}

/// `FUSE_OPENDIR`.
pub fn opendir(ino: u64, flags: u32) -> Request {
    Request::new(opcode::OPENDIR, ino, Bytes::new().u32(flags).u32(0))
}

/// `FUSE_READDIR`.
pub fn readdir(ino: u64, fh: u64, offset: u64, size: u32) -> Request {
    Request::new(opcode::READDIR, ino, File::new(fh).transfer(offset, size))
}

/// `FUSE_READDIRPLUS`.
pub fn readdirplus(ino: u64, fh: u64, offset: u64, size: u32) -> Request {
    let directory = File::new(fh);
    Request::new(opcode::READDIRPLUS, ino, directory.transfer(offset, size))
}

/// `FUSE_RELEASEDIR`.
pub fn releasedir(ino: u64, file: File) -> Request {
    Request::new(opcode::RELEASEDIR, ino, file.release())
}

/// `FUSE_FSYNCDIR`.
pub fn fsyncdir(ino: u64, fh: u64, datasync: bool) -> Request {
    sync(opcode::FSYNCDIR, ino, fh, datasync)
}

/// `FUSE_FALLOCATE`.
pub fn fallocate(ino: u64, fh: u64, mode: u32, offset: u64, length: u64) -> Request {
    let body = Bytes::new().u64s([fh, offset, length]).u32s([mode, 0]);
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
    let body = Bytes::new().u64s([from.1, from.2, to.0, to.1, to.2, length, flags]);
    Request::new(opcode::COPY_FILE_RANGE, from.0, body)
}

/// `FUSE_COPY_FILE_RANGE_64`, from Linux 6.18 on: the same with another opcode, and the answer is [`number_out`](super::number_out).
pub fn copy_file_range_64(from: Place, to: Place, length: u64, flags: u64) -> Request {
    Request {
        opcode: opcode::COPY_FILE_RANGE_64,
        ..copy_file_range(from, to, length, flags)
    }
}

/// `struct fuse_lk_in`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LkIn {
    /// `fh`.
    pub fh: u64,
    /// `owner`.
    pub owner: u64,
    /// `start`.
    pub start: u64,
    /// `end`.
    pub end: u64,
    /// `F_RDLCK`, `F_WRLCK`, `F_UNLCK`.
    pub kind: u32,
    /// `pid`.
    pub pid: u32,
}

impl LkIn {
    fn request(self, opcode: u32, ino: u64, flags: u32) -> Request {
        let body = Bytes::new()
            .u64s([self.fh, self.owner, self.start, self.end])
            .u32s([self.kind, self.pid, flags, 0]);
        Request::new(opcode, ino, body)
    }
}

/// `FUSE_GETLK`.
pub fn getlk(ino: u64, lock: LkIn) -> Request {
    lock.request(opcode::GETLK, ino, 0)
}

fn setlk_opcode(wait: bool) -> u32 {
    if wait { opcode::SETLKW } else { opcode::SETLK }
}

/// `FUSE_SETLK`.
pub fn setlk(ino: u64, lock: LkIn, wait: bool) -> Request {
    lock.request(setlk_opcode(wait), ino, 0)
}

/// The same opcodes, with `FUSE_LK_FLOCK`.
pub fn flock(ino: u64, lock: LkIn, wait: bool) -> Request {
    lock.request(setlk_opcode(wait), ino, 1)
}

/// `struct fuse_lk_out`.
pub fn lk_out(start: u64, end: u64, kind: u32, pid: u32) -> Vec<u8> {
    Bytes::new().u64(start).u64(end).u32(kind).u32(pid).0
}
