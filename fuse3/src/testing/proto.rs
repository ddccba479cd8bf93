//! The kernel's side of the protocol: include/uapi/linux/fuse.h, written out byte by byte.
//!
//! Requests are functions, named as their `FUSE_*` in lower case, with what the kernel says in them as arguments: for the
//! [`Wire`](super::Wire) to send. The bodies of replies are functions whose names end in `_out`, as those of the structures
//! that they are.

use std::time::Duration;

use crate::dispatch::context::Caller;
use crate::types::statx::device_numbers;
use crate::types::{
    attr::{Attr, Entry, Timestamp},
    statfs::StatVfs,
    statx::Statx,
};

/// `enum fuse_opcode`.
#[expect(missing_docs, reason = "the names are those of the kernel's header")]
pub mod opcode {
    pub const LOOKUP: u32 = 1;
    pub const FORGET: u32 = 2;
    pub const GETATTR: u32 = 3;
    pub const SETATTR: u32 = 4;
    pub const READLINK: u32 = 5;
    pub const SYMLINK: u32 = 6;
    pub const MKNOD: u32 = 8;
    pub const MKDIR: u32 = 9;
    pub const UNLINK: u32 = 10;
    pub const RMDIR: u32 = 11;
    pub const RENAME: u32 = 12;
    pub const LINK: u32 = 13;
    pub const OPEN: u32 = 14;
    pub const READ: u32 = 15;
    pub const WRITE: u32 = 16;
    pub const STATFS: u32 = 17;
    pub const RELEASE: u32 = 18;
    pub const FSYNC: u32 = 20;
    pub const SETXATTR: u32 = 21;
    pub const GETXATTR: u32 = 22;
    pub const LISTXATTR: u32 = 23;
    pub const REMOVEXATTR: u32 = 24;
    pub const FLUSH: u32 = 25;
    pub const INIT: u32 = 26;
    pub const OPENDIR: u32 = 27;
    pub const READDIR: u32 = 28;
    pub const RELEASEDIR: u32 = 29;
    pub const FSYNCDIR: u32 = 30;
    pub const GETLK: u32 = 31;
    pub const SETLK: u32 = 32;
    pub const SETLKW: u32 = 33;
    pub const ACCESS: u32 = 34;
    pub const CREATE: u32 = 35;
    pub const INTERRUPT: u32 = 36;
    pub const BMAP: u32 = 37;
    pub const DESTROY: u32 = 38;
    pub const IOCTL: u32 = 39;
    pub const POLL: u32 = 40;
    pub const NOTIFY_REPLY: u32 = 41;
    pub const BATCH_FORGET: u32 = 42;
    pub const FALLOCATE: u32 = 43;
    pub const READDIRPLUS: u32 = 44;
    pub const RENAME2: u32 = 45;
    pub const LSEEK: u32 = 46;
    pub const COPY_FILE_RANGE: u32 = 47;
    pub const SYNCFS: u32 = 50;
    pub const TMPFILE: u32 = 51;
    pub const STATX: u32 = 52;
    pub const COPY_FILE_RANGE_64: u32 = 53;
    pub const CUSE_INIT: u32 = 4096;
}

/// The flags of INIT.
#[expect(missing_docs, reason = "the names are those of the kernel's header")]
pub mod init {
    pub const ASYNC_READ: u32 = 1 << 0;
    pub const POSIX_LOCKS: u32 = 1 << 1;
    pub const ATOMIC_O_TRUNC: u32 = 1 << 3;
    pub const EXPORT_SUPPORT: u32 = 1 << 4;
    pub const BIG_WRITES: u32 = 1 << 5;
    pub const FLOCK_LOCKS: u32 = 1 << 10;
    pub const AUTO_INVAL_DATA: u32 = 1 << 12;
    pub const DO_READDIRPLUS: u32 = 1 << 13;
    pub const READDIRPLUS_AUTO: u32 = 1 << 14;
    pub const ASYNC_DIO: u32 = 1 << 15;
    pub const WRITEBACK_CACHE: u32 = 1 << 16;
    pub const MAX_PAGES: u32 = 1 << 22;
    pub const INIT_EXT: u32 = 1 << 30;
    /// What Linux 6.18 offers: all but FILE_OPS, MAP_ALIGNMENT and the reserved bit, which it never did.
    pub const LINUX: u32 = !((1 << 2) | (1 << 26) | (1 << 31));
    /// The same for the second half, bits 32 to 42: SECURITY_CTX to REQUEST_TIMEOUT.
    pub const LINUX_EXT: u32 = 0x7ff;
}

/// `FATTR_*`.
#[expect(missing_docs, reason = "the names are those of the kernel's header")]
pub mod fattr {
    pub const MODE: u32 = 1 << 0;
    pub const UID: u32 = 1 << 1;
    pub const GID: u32 = 1 << 2;
    pub const SIZE: u32 = 1 << 3;
    pub const ATIME: u32 = 1 << 4;
    pub const MTIME: u32 = 1 << 5;
    pub const FH: u32 = 1 << 6;
    pub const ATIME_NOW: u32 = 1 << 7;
    pub const MTIME_NOW: u32 = 1 << 8;
    pub const LOCKOWNER: u32 = 1 << 9;
    pub const CTIME: u32 = 1 << 10;
    pub const KILL_SUIDGID: u32 = 1 << 11;
}

/// `FOPEN_*`.
#[expect(missing_docs, reason = "the names are those of the kernel's header")]
pub mod fopen {
    pub const DIRECT_IO: u32 = 1 << 0;
    pub const KEEP_CACHE: u32 = 1 << 1;
    pub const NONSEEKABLE: u32 = 1 << 2;
    pub const CACHE_DIR: u32 = 1 << 3;
    pub const NOFLUSH: u32 = 1 << 5;
    pub const PARALLEL_DIRECT_WRITES: u32 = 1 << 6;
}

/// The `open_flags` of OPEN and CREATE, for [`Request::open_flags`].
#[expect(missing_docs, reason = "the names are those of the kernel's header")]
pub mod open_flags {
    pub const KILL_SUIDGID: u32 = 1 << 0;
}

/// The process that requests come from, unless they say otherwise.
pub const CALLER: Caller = Caller {
    uid: 0x0001_86a3,
    gid: 0xffff_fffe,
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

    fn i32(self, number: i32) -> Self {
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
    fn new(opcode: u32, nodeid: u64, body: Bytes) -> Self {
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

    /// The same with these [`open_flags`]; of OPEN, CREATE and TMPFILE.
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
            .u32(length)
            .u32(self.opcode)
            .u64(unique)
            .u64(self.nodeid)
            .u32(self.caller.uid)
            .u32(self.caller.gid)
            .i32(self.caller.pid)
            .u16(0) // total_extlen
            .u16(0) // padding
            .raw(&self.body)
            .0
    }
}

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
        .u32(offer.major)
        .u32(offer.minor)
        .u32(offer.max_readahead)
        .u32(offer.flags)
        .u32(offer.flags2)
        .zeros(44);
    Request::new(opcode::INIT, 0, body)
}

/// `struct cuse_init_in`.
pub fn cuse_init(major: u32, minor: u32) -> Request {
    let body = Bytes::new().u32(major).u32(minor).u32(0).u32(1);
    Request::new(opcode::CUSE_INIT, 0, body)
}

/// `struct cuse_init_out`, and what the device is called.
pub fn cuse_init_out(minor: u32, flags: u32, number: (u32, u32), info: &[u8]) -> Vec<u8> {
    Bytes::new()
        .u32(7)
        .u32(minor)
        .u32(0)
        .u32(flags)
        .u32(128 << 10)
        .u32(1 << 20)
        .u32(number.0)
        .u32(number.1)
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
    let body = Bytes::new()
        .u64(0)
        .u64(offset)
        .u32(u32::try_from(data.len()).unwrap())
        .u32(0)
        .zeros(16)
        .raw(data);
    Request::new(opcode::NOTIFY_REPLY, ino, body)
}

/// `struct fuse_out_header` with a code in place of the error, and what follows.
pub fn notification(code: i32, body: &Bytes) -> Vec<u8> {
    let length = u32::try_from(16 + body.0.len()).unwrap();
    Bytes::new().u32(length).i32(code).u64(0).raw(&body.0).0
}

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

/// `FUSE_OPEN`.
pub fn open(ino: u64, flags: u32) -> Request {
    Request::new(opcode::OPEN, ino, Bytes::new().u32(flags).u32(0))
}

/// `FUSE_CREATE`.
pub fn create(parent: u64, name: &[u8], mode: u32, umask: u32, flags: u32) -> Request {
    let body = Bytes::new().u32(flags).u32(mode).u32(umask).u32(0);
    Request::new(opcode::CREATE, parent, body.name(name))
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
            .u64(self.fh)
            .u64(offset)
            .u32(size)
            .u32(self.of_request)
            .u64(self.lock_owner)
            .u32(self.flags)
            .u32(0)
    }

    /// `struct fuse_release_in`.
    fn release(self) -> Bytes {
        Bytes::new()
            .u64(self.fh)
            .u32(self.flags)
            .u32(self.of_request)
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
    let body = File::new(fh).transfer(offset, size);
    Request::new(opcode::READDIR, ino, body)
}

/// `FUSE_READDIRPLUS`.
pub fn readdirplus(ino: u64, fh: u64, offset: u64, size: u32) -> Request {
    let body = File::new(fh).transfer(offset, size);
    Request::new(opcode::READDIRPLUS, ino, body)
}

/// `FUSE_RELEASEDIR`.
pub fn releasedir(ino: u64, file: File) -> Request {
    Request::new(opcode::RELEASEDIR, ino, file.release())
}

/// `FUSE_FSYNCDIR`.
pub fn fsyncdir(ino: u64, fh: u64, datasync: bool) -> Request {
    sync(opcode::FSYNCDIR, ino, fh, datasync)
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
        .u32(ioctl.flags)
        .u32(ioctl.command)
        .u64(ioctl.argument)
        .u32(u32::try_from(input.len()).unwrap())
        .u32(ioctl.output_size)
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
    let head = Bytes::new()
        .u32(0)
        .u32(1 << 2)
        .u32(count(input))
        .u32(count(output));
    let all = [input, output].concat();
    all.iter()
        .fold(head, |bytes, part| bytes.u64(part.0).u64(part.1))
        .0
}

/// With `FUSE_POLL_SCHEDULE_NOTIFY` when `schedule`.
pub fn poll(ino: u64, fh: u64, kh: u64, schedule: bool, events: u32) -> Request {
    let body = Bytes::new()
        .u64(fh)
        .u64(kh)
        .u32(schedule.into())
        .u32(events);
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

/// `FUSE_FALLOCATE`.
pub fn fallocate(ino: u64, fh: u64, mode: u32, offset: u64, length: u64) -> Request {
    let body = Bytes::new()
        .u64(fh)
        .u64(offset)
        .u64(length)
        .u32(mode)
        .u32(0);
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
    let body = Bytes::new()
        .u64(from.1)
        .u64(from.2)
        .u64(to.0)
        .u64(to.1)
        .u64(to.2)
        .u64(length)
        .u64(flags);
    Request::new(opcode::COPY_FILE_RANGE, from.0, body)
}

/// `FUSE_COPY_FILE_RANGE_64`, from Linux 6.18 on: the same with another opcode, and the answer is [`number_out`].
pub fn copy_file_range_64(from: Place, to: Place, length: u64, flags: u64) -> Request {
    Request {
        opcode: opcode::COPY_FILE_RANGE_64,
        ..copy_file_range(from, to, length, flags)
    }
}

/// `FUSE_TMPFILE`.
pub fn tmpfile(parent: u64, mode: u32, umask: u32, flags: u32) -> Request {
    let body = Bytes::new().u32(flags).u32(mode).u32(umask).u32(0);
    Request::new(opcode::TMPFILE, parent, body.name(b"/"))
}

/// `FUSE_STATX`.
pub fn statx(ino: u64, fh: Option<u64>, flags: u32, mask: u32) -> Request {
    let body = Bytes::new()
        .u32(fh.is_some().into()) // FUSE_GETATTR_FH
        .u32(0)
        .u64(fh.unwrap_or(0))
        .u32(flags)
        .u32(mask);
    Request::new(opcode::STATX, ino, body)
}

/// `FUSE_SYNCFS`.
pub fn syncfs(ino: u64) -> Request {
    Request::new(opcode::SYNCFS, ino, Bytes::new().u64(0))
}

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

fn out(unique: u64, error: i32, body: &[u8]) -> Vec<u8> {
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
