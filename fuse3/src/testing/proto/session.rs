//! What begins and ends a session, interrupts, and what comes without being asked for.

use crate::testing::proto::request::{Bytes, Request};
use crate::testing::proto::{constants::init, constants::opcode, replies::out};

/// `struct fuse_init_in`.
#[derive(Clone, Copy, Debug)]
pub struct InitIn {
    /// `major`.
    pub major: u32,
    /// `minor`.
    pub minor: u32,
    /// `max_readahead`.
    pub max_readahead: u32,
    /// `flags`.
    pub flags: u32,
    /// `flags2`.
    pub flags2: u32,
}

impl Default for InitIn {
    /// Linux 6.18.
    fn default() -> Self {
        Self {
            major: 7,
            minor: 45,
            max_readahead: 128 << 10,
            flags: init::LINUX,
            flags2: init::LINUX_EXT,
        }
    }
}

/// `FUSE_INIT`.
pub fn init(offer: InitIn) -> Request {
    let body = Bytes::new()
        .u32s([offer.major, offer.minor, offer.max_readahead])
        .u32s([offer.flags, offer.flags2]);
    Request::new(opcode::INIT, 0, body.zeros(44))
}

/// `struct cuse_init_in`.
pub fn cuse_init(major: u32, minor: u32) -> Request {
    let body = Bytes::new().u32s([major, minor, 0, 1]);
    Request::new(opcode::CUSE_INIT, 0, body)
}

/// `struct cuse_init_out`, and what the device is called.
pub fn cuse_init_out(minor: u32, flags: u32, number: (u32, u32), info: &[u8]) -> Vec<u8> {
    Bytes::new()
        .u32s([7, minor, 0, flags, 128 << 10, 1 << 20])
        .u32s([number.0, number.1])
        .zeros(40)
        .raw(info)
        .0
}

/// `struct fuse_init_out`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitOut {
    /// `major`.
    pub major: u32,
    /// `minor`.
    pub minor: u32,
    /// `max_readahead`.
    pub max_readahead: u32,
    /// `flags`.
    pub flags: u32,
    /// `max_background`.
    pub max_background: u16,
    /// `congestion_threshold`.
    pub congestion_threshold: u16,
    /// `max_write`.
    pub max_write: u32,
    /// `time_gran`.
    pub time_gran: u32,
    /// `max_pages`.
    pub max_pages: u16,
    /// `flags2`.
    pub flags2: u32,
    /// map_alignment, max_stack_depth, request_timeout and what is unused.
    pub rest: Vec<u8>,
}

impl InitOut {
    /// Reads it.
    pub fn read(body: &[u8]) -> Self {
        assert_eq!(body.len(), 64, "struct fuse_init_out");
        let u32_at = |at: usize| u32::from_ne_bytes(body[at..at + 4].try_into().unwrap());
        let u16_at = |at: usize| u16::from_ne_bytes(body[at..at + 2].try_into().unwrap());
        Self {
            major: u32_at(0),
            minor: u32_at(4),
            max_readahead: u32_at(8),
            flags: u32_at(12),
            max_background: u16_at(16),
            congestion_threshold: u16_at(18),
            max_write: u32_at(20),
            time_gran: u32_at(24),
            max_pages: u16_at(28),
            flags2: u32_at(32),
            rest: [&body[30..32], &body[36..]].concat(),
        }
    }
}

/// `FUSE_DESTROY`.
pub fn destroy() -> Request {
    Request::new(opcode::DESTROY, 0, Bytes::new())
}

/// `FUSE_INTERRUPT`.
pub fn interrupt(unique: u64) -> Request {
    Request::new(opcode::INTERRUPT, 0, Bytes::new().u64(unique))
}

/// What the kernel sends, unasked, with the number that RETRIEVE had, and no answer.
pub fn notify_reply(ino: u64, offset: u64, data: &[u8]) -> Request {
    let size = u32::try_from(data.len()).unwrap();
    let body = Bytes::new().u64s([0, offset]).u32s([size, 0]).zeros(16);
    Request::new(opcode::NOTIFY_REPLY, ino, body.raw(data))
}

/// `struct fuse_out_header` with a code in place of the error, and what follows.
pub fn notification(code: i32, body: &Bytes) -> Vec<u8> {
    out(0, code, &body.0)
}
