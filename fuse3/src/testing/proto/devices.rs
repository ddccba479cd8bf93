//! What devices have: blocks, ioctl(2) and poll(2).

use crate::testing::proto::request::{Bytes, Request};
use crate::testing::proto::{constants::opcode, replies::out};

/// `FUSE_BMAP`.
pub fn bmap(ino: u64, block: u64, block_size: u32) -> Request {
    let body = Bytes::new().u64(block).u32(block_size).u32(0);
    Request::new(opcode::BMAP, ino, body)
}

/// `struct fuse_ioctl_in`.
#[derive(Clone, Copy, Debug, Default)]
pub struct IoctlIn {
    /// `fh`.
    pub fh: u64,
    /// `flags`.
    pub flags: u32,
    /// `command`.
    pub command: u32,
    /// `argument`.
    pub argument: u64,
    /// `output_size`.
    pub output_size: u32,
}

/// `FUSE_IOCTL`.
pub fn ioctl(ino: u64, ioctl: IoctlIn, input: &[u8]) -> Request {
    let body = Bytes::new()
        .u64(ioctl.fh)
        .u32s([ioctl.flags, ioctl.command])
        .u64(ioctl.argument)
        .u32s([u32::try_from(input.len()).unwrap(), ioctl.output_size])
        .raw(input);
    Request::new(opcode::IOCTL, ino, body)
}

/// `struct fuse_ioctl_out`.
pub fn ioctl_out(result: i32, data: &[u8]) -> Vec<u8> {
    Bytes::new().i32(result).zeros(12).raw(data).0
}

/// An address in the caller, and a length.
pub type Part = (u64, u64);

/// `struct fuse_ioctl_out` with `FUSE_IOCTL_RETRY`, and a `struct fuse_ioctl_iovec` for each part.
pub fn ioctl_retry(input: &[Part], output: &[Part]) -> Vec<u8> {
    let count = |parts: &[Part]| u32::try_from(parts.len()).unwrap();
    let head = Bytes::new().u32s([0, 1 << 2, count(input), count(output)]);
    let parts = input.iter().chain(output);
    parts
        .fold(head, |bytes, part| bytes.u64s([part.0, part.1]))
        .0
}

/// With `FUSE_POLL_SCHEDULE_NOTIFY` when `schedule`.
pub fn poll(ino: u64, fh: u64, kh: u64, schedule: bool, events: u32) -> Request {
    let body = Bytes::new().u64s([fh, kh]).u32s([schedule.into(), events]);
    Request::new(opcode::POLL, ino, body)
}

/// `struct fuse_poll_out`.
pub fn poll_out(events: u32) -> Vec<u8> {
    Bytes::new().u32(events).u32(0).0
}

/// The notification `FUSE_NOTIFY_POLL`: no number of a request, and its code in place of an error.
pub fn notify_poll(kh: u64) -> Vec<u8> {
    out(0, 1, &Bytes::new().u64(kh).0)
}
