//! Locks on files.

use crate::testing::proto::constants::opcode;
use crate::testing::proto::request::{Bytes, Request};

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
            .u64(self.fh)
            .u64(self.owner)
            .u64(self.start)
            .u64(self.end)
            .u32(self.kind)
            .u32(self.pid)
            .u32(flags)
            .u32(0);
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
