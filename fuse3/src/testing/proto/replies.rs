//! Replies, and their bodies.

use std::time::Duration;

use crate::testing::proto::request::Bytes;
use crate::types::attr::{Attr, Entry, Timestamp};
use crate::types::statfs::StatVfs;
use crate::types::statx::Statx;
use crate::types::statx::device_numbers;

/// `struct fuse_bmap_out`, `struct fuse_lseek_out`.
pub fn number_out(number: u64) -> Vec<u8> {
    Bytes::new().u64(number).0
}

/// `struct fuse_sx_time`.
fn sx_time(bytes: Bytes, time: Timestamp) -> Bytes {
    bytes.i64(time.secs()).u32(time.nanos()).u32(0)
}

/// `struct fuse_statx_out`.
pub fn statx_out(statx: &Statx, timeout: Duration) -> Vec<u8> {
    let attr = &statx.attr;
    let bytes = Bytes::new()
        .u64(timeout.as_secs())
        .u32(timeout.subsec_nanos())
        .u32(0)
        .zeros(16)
        .u32(statx.mask.bits())
        .u32(attr.blksize)
        .u64(statx.attributes.bits())
        .u32(attr.nlink)
        .u32(attr.uid)
        .u32(attr.gid)
        .u16(u16::try_from(attr.mode).unwrap())
        .u16(0)
        .u64(attr.ino.0)
        .u64(attr.size)
        .u64(attr.blocks)
        .u64(statx.attributes_mask.bits());
    let times = [attr.atime, statx.btime, attr.ctime, attr.mtime];
    let [major, minor] = device_numbers(attr.rdev);
    times
        .into_iter()
        .fold(bytes, sx_time)
        .u32(major)
        .u32(minor)
        .zeros(8 + 14 * 8)
        .0
}

/// A reply: `struct fuse_out_header`, and what the operation has after it.
pub fn reply(unique: u64, body: &[u8]) -> Vec<u8> {
    out(unique, 0, body)
}

/// A reply that is an error: the header alone.
pub fn error(unique: u64, errno: i32) -> Vec<u8> {
    out(unique, -errno, &[])
}

pub(super) fn out(unique: u64, error: i32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + body.len()).unwrap();
    Bytes::new().u32(length).i32(error).u64(unique).raw(body).0
}

/// `struct fuse_attr`.
fn attr(bytes: Bytes, attr: &Attr) -> Bytes {
    bytes
        .u64(attr.ino.0)
        .u64(attr.size)
        .u64(attr.blocks)
        .i64(attr.atime.secs())
        .i64(attr.mtime.secs())
        .i64(attr.ctime.secs())
        .u32(attr.atime.nanos())
        .u32(attr.mtime.nanos())
        .u32(attr.ctime.nanos())
        .u32(attr.mode)
        .u32(attr.nlink)
        .u32(attr.uid)
        .u32(attr.gid)
        .u32(u32::try_from(attr.rdev).unwrap())
        .u32(attr.blksize)
        .u32(0) // flags
}

/// `struct fuse_attr_out`.
pub fn attr_out(of: &Attr, timeout: Duration) -> Vec<u8> {
    let bytes = Bytes::new()
        .u64(timeout.as_secs())
        .u32(timeout.subsec_nanos())
        .u32(0);
    attr(bytes, of).0
}

/// `struct fuse_entry_out`, with `nodeid` for the inode.
fn entry_of(entry: &Entry, nodeid: u64) -> Bytes {
    let bytes = Bytes::new()
        .u64(nodeid)
        .u64(entry.generation)
        .u64(entry.entry_timeout.as_secs())
        .u64(entry.attr_timeout.as_secs())
        .u32(entry.entry_timeout.subsec_nanos())
        .u32(entry.attr_timeout.subsec_nanos());
    attr(bytes, &entry.attr)
}

/// `struct fuse_entry_out`.
pub fn entry_out(entry: &Entry) -> Vec<u8> {
    entry_of(entry, entry.ino.0).0
}

/// `struct fuse_open_out`.
pub fn open_out(fh: u64, flags: u32) -> Vec<u8> {
    Bytes::new().u64(fh).u32(flags).u32(0).0
}

/// `struct fuse_write_out`, `struct fuse_getxattr_out`.
pub fn size_out(size: u32) -> Vec<u8> {
    Bytes::new().u32(size).u32(0).0
}

/// `struct fuse_kstatfs`.
pub fn statfs_out(stat: &StatVfs) -> Vec<u8> {
    Bytes::new()
        .u64(stat.blocks)
        .u64(stat.bfree)
        .u64(stat.bavail)
        .u64(stat.files)
        .u64(stat.ffree)
        .u32(stat.bsize)
        .u32(stat.namemax)
        .u32(stat.frsize)
        .zeros(28)
        .0
}

/// `struct fuse_dirent`.
pub fn dirent(name: &[u8], entry: &Entry, next: u64) -> Vec<u8> {
    Bytes::new()
        .u64(entry.attr.ino.0)
        .u64(next)
        .u32(u32::try_from(name.len()).unwrap())
        .u32((entry.attr.mode & libc::S_IFMT) >> 12)
        .raw(name)
        .align()
        .0
}

/// `struct fuse_direntplus`; "." and ".." have no node.
pub fn direntplus(name: &[u8], entry: &Entry, next: u64) -> Vec<u8> {
    let nodeid = match name {
        b"." | b".." => 0,
        _ => entry.ino.0,
    };
    entry_of(entry, nodeid).raw(&dirent(name, entry, next)).0
}
