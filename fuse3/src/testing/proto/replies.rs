//! Replies, and their bodies.

use std::time::Duration;

use crate::testing::proto::request::Bytes;
use crate::types::attr::{Attr, Entry, Timestamp};
use crate::types::{statfs::StatVfs, statx::Statx, statx::device_numbers};

/// `struct fuse_bmap_out`, `struct fuse_lseek_out`.
pub fn number_out(number: u64) -> Vec<u8> {
    Bytes::new().u64(number).0
}

/// How long the kernel may keep what follows.
fn valid_for(timeout: Duration) -> Bytes {
    let head = Bytes::new().u64(timeout.as_secs());
    head.u32s([timeout.subsec_nanos(), 0])
}

/// `struct fuse_sx_time`.
fn sx_time(bytes: Bytes, time: Timestamp) -> Bytes {
    bytes.i64(time.secs()).u32s([time.nanos(), 0])
}

/// `struct fuse_statx_out`.
pub fn statx_out(statx: &Statx, timeout: Duration) -> Vec<u8> {
    let attr = &statx.attr;
    let bytes = valid_for(timeout)
        .zeros(16)
        .u32s([statx.mask.bits(), attr.blksize])
        .u64(statx.attributes.bits())
        .u32s([attr.nlink, attr.uid, attr.gid])
        .u16(u16::try_from(attr.mode).unwrap())
        .u16(0)
        .u64s([attr.ino.0, attr.size, attr.blocks])
        .u64(statx.attributes_mask.bits());
    let times = [attr.atime, statx.btime, attr.ctime, attr.mtime];
    let bytes = times.into_iter().fold(bytes, sx_time);
    bytes.u32s(device_numbers(attr.rdev)).zeros(8 + 14 * 8).0
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
        .u64s([attr.ino.0, attr.size, attr.blocks])
        .i64(attr.atime.secs())
        .i64(attr.mtime.secs())
        .i64(attr.ctime.secs())
        .u32s([attr.atime, attr.mtime, attr.ctime].map(Timestamp::nanos))
        .u32s([attr.mode, attr.nlink, attr.uid, attr.gid])
        .u32s([u32::try_from(attr.rdev).unwrap(), attr.blksize])
        .u32(0) // flags
}

/// `struct fuse_attr_out`.
pub fn attr_out(of: &Attr, timeout: Duration) -> Vec<u8> {
    attr(valid_for(timeout), of).0
}

/// `struct fuse_entry_out`, with `nodeid` for the inode.
fn entry_of(entry: &Entry, nodeid: u64) -> Bytes {
    let timeouts = [entry.entry_timeout, entry.attr_timeout];
    let bytes = Bytes::new()
        .u64s([nodeid, entry.generation])
        .u64s(timeouts.map(|it| it.as_secs()))
        .u32s(timeouts.map(|it| it.subsec_nanos()));
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
        .u64s([stat.blocks, stat.bfree, stat.bavail, stat.files, stat.ffree])
        .u32s([stat.bsize, stat.namemax, stat.frsize])
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
