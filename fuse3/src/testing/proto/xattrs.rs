//! The file system as a whole, extended attributes, and access.

use crate::testing::proto::constants::opcode;
use crate::testing::proto::request::{Bytes, Request};

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
