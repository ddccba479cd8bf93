//! A request, and what it is put together from.

use crate::dispatch::context::Caller;
use crate::testing::proto::constants::opcode;

/// The process that requests come from, unless they say otherwise.
pub const CALLER: Caller = Caller {
    uid: Some(0x0001_86a3),
    gid: Some(0xffff_fffe),
    pid: 4711,
    umask: 0,
};

/// A structure of the kernel, put together member by member.
#[derive(Clone, Debug, Default)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a number, as the machine has it.
    pub fn u16(self, number: u16) -> Self {
        self.raw(&number.to_ne_bytes())
    }

    /// Appends a number, as the machine has it.
    pub fn u32(self, number: u32) -> Self {
        self.raw(&number.to_ne_bytes())
    }

    /// Appends a number, as the machine has it.
    pub fn u64(self, number: u64) -> Self {
        self.raw(&number.to_ne_bytes())
    }

    /// Appends several, one after the other.
    pub fn u32s<const N: usize>(self, numbers: [u32; N]) -> Self {
        self.raw(numbers.map(u32::to_ne_bytes).as_flattened())
    }

    /// Appends several, one after the other.
    pub fn u64s<const N: usize>(self, numbers: [u64; N]) -> Self {
        self.raw(numbers.map(u64::to_ne_bytes).as_flattened())
    }

    pub(super) fn i32(self, number: i32) -> Self {
        self.raw(&number.to_ne_bytes())
    }

    /// Appends a number, as the machine has it.
    pub fn i64(self, number: i64) -> Self {
        self.raw(&number.to_ne_bytes())
    }

    /// Appends so many zeros.
    pub fn zeros(self, count: usize) -> Self {
        self.raw(&vec![0; count])
    }

    /// Appends bytes.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A name as the kernel sends them, with a NUL after it.
    pub fn name(self, name: &[u8]) -> Self {
        self.raw(name).raw(b"\0")
    }

    /// `FUSE_REC_ALIGN`.
    pub fn align(mut self) -> Self {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        self
    }
}

/// A request before it has a number.
#[derive(Clone, Debug)]
pub struct Request {
    /// `opcode`.
    pub opcode: u32,
    /// `nodeid`.
    pub nodeid: u64,
    /// `caller`.
    pub caller: Caller,
    /// `body`.
    pub body: Vec<u8>,
}

impl Request {
    pub(super) fn new(opcode: u32, nodeid: u64, body: Bytes) -> Self {
        Self {
            opcode,
            nodeid,
            caller: CALLER,
            body: body.0,
        }
    }

    /// The same from another process.
    pub fn from(self, caller: Caller) -> Self {
        Self { caller, ..self }
    }

    /// The same with these [`open_flags`](super::open_flags); of OPEN, CREATE and TMPFILE.
    pub fn open_flags(mut self, open_flags: u32) -> Self {
        let at = match self.opcode {
            opcode::OPEN => 4,
            opcode::CREATE | opcode::TMPFILE => 12,
            other => panic!("the operation {other} has no open_flags"),
        };
        self.body[at..at + 4].copy_from_slice(&open_flags.to_ne_bytes());
        self
    }

    /// `struct fuse_in_header`, and what the operation has after it.
    pub fn bytes(&self, unique: u64) -> Vec<u8> {
        let length = u32::try_from(40 + self.body.len()).unwrap();
        Bytes::new()
            .u32s([length, self.opcode])
            .u64s([unique, self.nodeid])
            .u32s([self.caller.uid, self.caller.gid].map(|id| id.unwrap_or(u32::MAX)))
            .i32(self.caller.pid)
            .u32(0) // total_extlen, padding
            .raw(&self.body)
            .0
    }
}
