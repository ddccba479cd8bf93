//! Names and inodes: their attributes, extended ones too, and the file system as a whole.

use crate::testing::proto::{constants::opcode, request::Bytes, request::Request};

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
    let head = Bytes::new().u32s([count, 0]);
    let body = forgets
        .iter()
        .fold(head, |body, (ino, nlookup)| body.u64s([*ino, *nlookup]));
    Request::new(opcode::BATCH_FORGET, 0, body)
}

/// `struct fuse_getattr_in`, with `FUSE_GETATTR_FH` where there is an open file.
fn getattr_in(fh: Option<u64>) -> Bytes {
    let head = Bytes::new().u32s([fh.is_some().into(), 0]);
    head.u64(fh.unwrap_or(0))
}

/// `FUSE_GETATTR`.
pub fn getattr(ino: u64, fh: Option<u64>) -> Request {
    Request::new(opcode::GETATTR, ino, getattr_in(fh))
}

/// `FUSE_STATX`.
pub fn statx(ino: u64, fh: Option<u64>, flags: u32, mask: u32) -> Request {
    Request::new(opcode::STATX, ino, getattr_in(fh).u32s([flags, mask]))
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
        .u32s([to.valid, 0])
        .u64s([to.fh, to.size, to.lock_owner])
        .i64(to.atime.0)
        .i64(to.mtime.0)
        .i64(to.ctime.0)
        .u32s([to.atime.1, to.mtime.1, to.ctime.1, to.mode])
        .u32s([0, to.uid, to.gid, 0]);
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

/// `FUSE_STATFS`.
pub fn statfs(ino: u64) -> Request {
    Request::new(opcode::STATFS, ino, Bytes::new())
}

/// Without `SETXATTR_EXT`, which libfuse does not ask for: `FUSE_COMPAT_SETXATTR_IN_SIZE`.
pub fn setxattr(ino: u64, name: &[u8], value: &[u8], flags: u32) -> Request {
    let size = u32::try_from(value.len()).unwrap();
    let body = Bytes::new().u32(size).u32(flags).name(name).raw(value);
    Request::new(opcode::SETXATTR, ino, body)
}

/// `FUSE_GETXATTR`.
pub fn getxattr(ino: u64, name: &[u8], size: u32) -> Request {
    let body = Bytes::new().u32(size).u32(0).name(name);
    Request::new(opcode::GETXATTR, ino, body)
}

/// `FUSE_LISTXATTR`.
pub fn listxattr(ino: u64, size: u32) -> Request {
    Request::new(opcode::LISTXATTR, ino, Bytes::new().u32(size).u32(0))
}

/// `FUSE_REMOVEXATTR`.
pub fn removexattr(ino: u64, name: &[u8]) -> Request {
    Request::new(opcode::REMOVEXATTR, ino, Bytes::new().name(name))
}

/// `FUSE_ACCESS`.
pub fn access(ino: u64, mask: u32) -> Request {
    Request::new(opcode::ACCESS, ino, Bytes::new().u32(mask).u32(0))
}

/// `FUSE_SYNCFS`.
pub fn syncfs(ino: u64) -> Request {
    Request::new(opcode::SYNCFS, ino, Bytes::new().u64(0))
}
