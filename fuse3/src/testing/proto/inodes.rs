//! Inodes and their names.

use crate::testing::proto::constants::opcode;
use crate::testing::proto::request::{Bytes, Request};

/// `FUSE_LOOKUP`.
pub fn lookup(parent: u64, name: &[u8]) -> Request {
    Request::new(opcode::LOOKUP, parent, Bytes::new().name(name))
}

/// `FUSE_FORGET`.
pub fn forget(ino: u64, nlookup: u64) -> Request {
    Request::new(opcode::FORGET, ino, Bytes::new().u64(nlookup))
}

/// `FUSE_BATCH_FORGET`.
pub fn batch_forget(forgets: &[(u64, u64)]) -> Request {
    let count = u32::try_from(forgets.len()).unwrap();
    let body = forgets
        .iter()
        .fold(Bytes::new().u32(count).u32(0), |body, (ino, nlookup)| {
            body.u64(*ino).u64(*nlookup)
        });
    Request::new(opcode::BATCH_FORGET, 0, body)
}

/// `FUSE_GETATTR`.
pub fn getattr(ino: u64, fh: Option<u64>) -> Request {
    let body = Bytes::new()
        .u32(fh.is_some().into()) // FUSE_GETATTR_FH
        .u32(0)
        .u64(fh.unwrap_or(0));
    Request::new(opcode::GETATTR, ino, body)
}

/// `struct fuse_setattr_in`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetattrIn {
    /// `valid`.
    pub valid: u32,
    /// `fh`.
    pub fh: u64,
    /// `size`.
    pub size: u64,
    /// `lock_owner`.
    pub lock_owner: u64,
    /// `atime`.
    pub atime: (i64, u32),
    /// `mtime`.
    pub mtime: (i64, u32),
    /// `ctime`.
    pub ctime: (i64, u32),
    /// `mode`.
    pub mode: u32,
    /// `uid`.
    pub uid: u32,
    /// `gid`.
    pub gid: u32,
}

/// `FUSE_SETATTR`.
pub fn setattr(ino: u64, to: SetattrIn) -> Request {
    let body = Bytes::new()
        .u32(to.valid)
        .u32(0)
        .u64(to.fh)
        .u64(to.size)
        .u64(to.lock_owner)
        .i64(to.atime.0)
        .i64(to.mtime.0)
        .i64(to.ctime.0)
        .u32(to.atime.1)
        .u32(to.mtime.1)
        .u32(to.ctime.1)
        .u32(to.mode)
        .u32(0)
        .u32(to.uid)
        .u32(to.gid)
        .u32(0);
    Request::new(opcode::SETATTR, ino, body)
}

/// `FUSE_READLINK`.
pub fn readlink(ino: u64) -> Request {
    Request::new(opcode::READLINK, ino, Bytes::new())
}

/// `FUSE_MKNOD`.
pub fn mknod(parent: u64, name: &[u8], mode: u32, rdev: u32, umask: u32) -> Request {
    let body = Bytes::new().u32(mode).u32(rdev).u32(umask).u32(0);
    Request::new(opcode::MKNOD, parent, body.name(name))
}

/// `FUSE_MKDIR`.
pub fn mkdir(parent: u64, name: &[u8], mode: u32, umask: u32) -> Request {
    let body = Bytes::new().u32(mode).u32(umask).name(name);
    Request::new(opcode::MKDIR, parent, body)
}

/// `FUSE_UNLINK`.
pub fn unlink(parent: u64, name: &[u8]) -> Request {
    Request::new(opcode::UNLINK, parent, Bytes::new().name(name))
}

/// `FUSE_RMDIR`.
pub fn rmdir(parent: u64, name: &[u8]) -> Request {
    Request::new(opcode::RMDIR, parent, Bytes::new().name(name))
}

/// `FUSE_SYMLINK`.
pub fn symlink(parent: u64, name: &[u8], target: &[u8]) -> Request {
    let body = Bytes::new().name(name).name(target);
    Request::new(opcode::SYMLINK, parent, body)
}

/// `FUSE_RENAME`.
pub fn rename(parent: u64, name: &[u8], newparent: u64, newname: &[u8]) -> Request {
    let body = Bytes::new().u64(newparent).name(name).name(newname);
    Request::new(opcode::RENAME, parent, body)
}

/// renameat2(2) with flags.
pub fn rename2(parent: u64, name: &[u8], newparent: u64, newname: &[u8], flags: u32) -> Request {
    let body = Bytes::new().u64(newparent).u32(flags).u32(0);
    Request::new(opcode::RENAME2, parent, body.name(name).name(newname))
}

/// `FUSE_LINK`.
pub fn link(ino: u64, newparent: u64, newname: &[u8]) -> Request {
    Request::new(opcode::LINK, newparent, Bytes::new().u64(ino).name(newname))
}
