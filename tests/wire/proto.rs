//! The kernel's side of the protocol: include/uapi/linux/fuse.h, written out byte by byte.

use std::time::Duration;

use fuse3::{Attr, Caller, Entry, StatVfs, Statx, Timestamp};

/// `enum fuse_opcode`.
pub(crate) mod opcode {
    pub(crate) const LOOKUP: u32 = 1;
    pub(crate) const FORGET: u32 = 2;
    pub(crate) const GETATTR: u32 = 3;
    pub(crate) const SETATTR: u32 = 4;
    pub(crate) const READLINK: u32 = 5;
    pub(crate) const SYMLINK: u32 = 6;
    pub(crate) const MKNOD: u32 = 8;
    pub(crate) const MKDIR: u32 = 9;
    pub(crate) const UNLINK: u32 = 10;
    pub(crate) const RMDIR: u32 = 11;
    pub(crate) const RENAME: u32 = 12;
    pub(crate) const LINK: u32 = 13;
    pub(crate) const OPEN: u32 = 14;
    pub(crate) const READ: u32 = 15;
    pub(crate) const WRITE: u32 = 16;
    pub(crate) const STATFS: u32 = 17;
    pub(crate) const RELEASE: u32 = 18;
    pub(crate) const FSYNC: u32 = 20;
    pub(crate) const SETXATTR: u32 = 21;
    pub(crate) const GETXATTR: u32 = 22;
    pub(crate) const LISTXATTR: u32 = 23;
    pub(crate) const REMOVEXATTR: u32 = 24;
    pub(crate) const FLUSH: u32 = 25;
    pub(crate) const INIT: u32 = 26;
    pub(crate) const OPENDIR: u32 = 27;
    pub(crate) const READDIR: u32 = 28;
    pub(crate) const RELEASEDIR: u32 = 29;
    pub(crate) const FSYNCDIR: u32 = 30;
    pub(crate) const GETLK: u32 = 31;
    pub(crate) const SETLK: u32 = 32;
    pub(crate) const SETLKW: u32 = 33;
    pub(crate) const ACCESS: u32 = 34;
    pub(crate) const CREATE: u32 = 35;
    pub(crate) const INTERRUPT: u32 = 36;
    pub(crate) const BMAP: u32 = 37;
    pub(crate) const DESTROY: u32 = 38;
    pub(crate) const IOCTL: u32 = 39;
    pub(crate) const POLL: u32 = 40;
    pub(crate) const NOTIFY_REPLY: u32 = 41;
    pub(crate) const BATCH_FORGET: u32 = 42;
    pub(crate) const FALLOCATE: u32 = 43;
    pub(crate) const READDIRPLUS: u32 = 44;
    pub(crate) const RENAME2: u32 = 45;
    pub(crate) const LSEEK: u32 = 46;
    pub(crate) const COPY_FILE_RANGE: u32 = 47;
    pub(crate) const SYNCFS: u32 = 50;
    pub(crate) const TMPFILE: u32 = 51;
    pub(crate) const STATX: u32 = 52;
    pub(crate) const COPY_FILE_RANGE_64: u32 = 53;
    pub(crate) const CUSE_INIT: u32 = 4096;
}

/// The flags of INIT.
pub(crate) mod init {
    pub(crate) const ASYNC_READ: u32 = 1 << 0;
    pub(crate) const POSIX_LOCKS: u32 = 1 << 1;
    pub(crate) const ATOMIC_O_TRUNC: u32 = 1 << 3;
    pub(crate) const EXPORT_SUPPORT: u32 = 1 << 4;
    pub(crate) const BIG_WRITES: u32 = 1 << 5;
    pub(crate) const FLOCK_LOCKS: u32 = 1 << 10;
    pub(crate) const AUTO_INVAL_DATA: u32 = 1 << 12;
    pub(crate) const DO_READDIRPLUS: u32 = 1 << 13;
    pub(crate) const READDIRPLUS_AUTO: u32 = 1 << 14;
    pub(crate) const ASYNC_DIO: u32 = 1 << 15;
    pub(crate) const WRITEBACK_CACHE: u32 = 1 << 16;
    pub(crate) const MAX_PAGES: u32 = 1 << 22;
    pub(crate) const INIT_EXT: u32 = 1 << 30;
    /// What Linux 6.18 offers: all but FILE_OPS, MAP_ALIGNMENT and the reserved bit, which it never did.
    pub(crate) const LINUX: u32 = !((1 << 2) | (1 << 26) | (1 << 31));
    /// The same for the second half, bits 32 to 42: SECURITY_CTX to REQUEST_TIMEOUT.
    pub(crate) const LINUX_EXT: u32 = 0x7ff;
}

/// `FATTR_*`.
pub(crate) mod fattr {
    pub(crate) const MODE: u32 = 1 << 0;
    pub(crate) const UID: u32 = 1 << 1;
    pub(crate) const GID: u32 = 1 << 2;
    pub(crate) const SIZE: u32 = 1 << 3;
    pub(crate) const ATIME: u32 = 1 << 4;
    pub(crate) const MTIME: u32 = 1 << 5;
    pub(crate) const FH: u32 = 1 << 6;
    pub(crate) const ATIME_NOW: u32 = 1 << 7;
    pub(crate) const MTIME_NOW: u32 = 1 << 8;
    pub(crate) const LOCKOWNER: u32 = 1 << 9;
    pub(crate) const CTIME: u32 = 1 << 10;
    pub(crate) const KILL_SUIDGID: u32 = 1 << 11;
}

/// `FOPEN_*`.
pub(crate) mod fopen {
    pub(crate) const DIRECT_IO: u32 = 1 << 0;
    pub(crate) const KEEP_CACHE: u32 = 1 << 1;
    pub(crate) const NONSEEKABLE: u32 = 1 << 2;
    pub(crate) const CACHE_DIR: u32 = 1 << 3;
    pub(crate) const NOFLUSH: u32 = 1 << 5;
    pub(crate) const PARALLEL_DIRECT_WRITES: u32 = 1 << 6;
}

/// The process that requests come from, unless they say otherwise.
pub(crate) const CALLER: Caller = Caller {
    uid: 0x0001_86a3,
    gid: 0xffff_fffe,
    pid: 4711,
    umask: 0,
};

/// A structure of the kernel, put together member by member.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn u16(self, number: u16) -> Self {
        self.raw(&number.to_ne_bytes())
    }

    pub(crate) fn u32(self, number: u32) -> Self {
        self.raw(&number.to_ne_bytes())
    }

    pub(crate) fn u64(self, number: u64) -> Self {
        self.raw(&number.to_ne_bytes())
    }

    fn i32(self, number: i32) -> Self {
        self.raw(&number.to_ne_bytes())
    }

    pub(crate) fn i64(self, number: i64) -> Self {
        self.raw(&number.to_ne_bytes())
    }

    pub(crate) fn zeros(self, count: usize) -> Self {
        self.raw(&vec![0; count])
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A name as the kernel sends them, with a NUL after it.
    pub(crate) fn name(self, name: &[u8]) -> Self {
        self.raw(name).raw(b"\0")
    }

    /// `FUSE_REC_ALIGN`.
    pub(crate) fn align(mut self) -> Self {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        self
    }
}

/// A request before it has a number.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) opcode: u32,
    pub(crate) nodeid: u64,
    pub(crate) caller: Caller,
    pub(crate) body: Vec<u8>,
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

    pub(crate) fn from(self, caller: Caller) -> Self {
        Self { caller, ..self }
    }

    /// `struct fuse_in_header`, and what the operation has after it.
    pub(crate) fn bytes(&self, unique: u64) -> Vec<u8> {
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
pub(crate) struct InitIn {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) max_readahead: u32,
    pub(crate) flags: u32,
    pub(crate) flags2: u32,
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

pub(crate) fn init(offer: InitIn) -> Request {
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
pub(crate) fn cuse_init(major: u32, minor: u32) -> Request {
    let body = Bytes::new().u32(major).u32(minor).u32(0).u32(1);
    Request::new(opcode::CUSE_INIT, 0, body)
}

/// `struct cuse_init_out`, and what the device is called.
pub(crate) fn cuse_init_out(minor: u32, flags: u32, number: (u32, u32), info: &[u8]) -> Vec<u8> {
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
pub(crate) struct InitOut {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) max_readahead: u32,
    pub(crate) flags: u32,
    pub(crate) max_background: u16,
    pub(crate) congestion_threshold: u16,
    pub(crate) max_write: u32,
    pub(crate) time_gran: u32,
    pub(crate) max_pages: u16,
    pub(crate) flags2: u32,
    /// map_alignment, max_stack_depth, request_timeout and what is unused.
    pub(crate) rest: Vec<u8>,
}

impl InitOut {
    pub(crate) fn read(body: &[u8]) -> Self {
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

pub(crate) fn destroy() -> Request {
    Request::new(opcode::DESTROY, 0, Bytes::new())
}

pub(crate) fn interrupt(unique: u64) -> Request {
    Request::new(opcode::INTERRUPT, 0, Bytes::new().u64(unique))
}

/// What the kernel sends, unasked, with the number that RETRIEVE had, and no answer.
pub(crate) fn notify_reply(ino: u64, offset: u64, data: &[u8]) -> Request {
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
pub(crate) fn notification(code: i32, body: &Bytes) -> Vec<u8> {
    let length = u32::try_from(16 + body.0.len()).unwrap();
    Bytes::new().u32(length).i32(code).u64(0).raw(&body.0).0
}

pub(crate) fn lookup(parent: u64, name: &[u8]) -> Request {
    Request::new(opcode::LOOKUP, parent, Bytes::new().name(name))
}

pub(crate) fn forget(ino: u64, nlookup: u64) -> Request {
    Request::new(opcode::FORGET, ino, Bytes::new().u64(nlookup))
}

pub(crate) fn batch_forget(forgets: &[(u64, u64)]) -> Request {
    let count = u32::try_from(forgets.len()).unwrap();
    let body = forgets
        .iter()
        .fold(Bytes::new().u32(count).u32(0), |body, (ino, nlookup)| {
            body.u64(*ino).u64(*nlookup)
        });
    Request::new(opcode::BATCH_FORGET, 0, body)
}

pub(crate) fn getattr(ino: u64, fh: Option<u64>) -> Request {
    let body = Bytes::new()
        .u32(fh.is_some().into()) // FUSE_GETATTR_FH
        .u32(0)
        .u64(fh.unwrap_or(0));
    Request::new(opcode::GETATTR, ino, body)
}

/// `struct fuse_setattr_in`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SetattrIn {
    pub(crate) valid: u32,
    pub(crate) fh: u64,
    pub(crate) size: u64,
    pub(crate) lock_owner: u64,
    pub(crate) atime: (i64, u32),
    pub(crate) mtime: (i64, u32),
    pub(crate) ctime: (i64, u32),
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

pub(crate) fn setattr(ino: u64, to: SetattrIn) -> Request {
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

pub(crate) fn readlink(ino: u64) -> Request {
    Request::new(opcode::READLINK, ino, Bytes::new())
}

pub(crate) fn mknod(parent: u64, name: &[u8], mode: u32, rdev: u32, umask: u32) -> Request {
    let body = Bytes::new().u32(mode).u32(rdev).u32(umask).u32(0);
    Request::new(opcode::MKNOD, parent, body.name(name))
}

pub(crate) fn mkdir(parent: u64, name: &[u8], mode: u32, umask: u32) -> Request {
    let body = Bytes::new().u32(mode).u32(umask).name(name);
    Request::new(opcode::MKDIR, parent, body)
}

pub(crate) fn unlink(parent: u64, name: &[u8]) -> Request {
    Request::new(opcode::UNLINK, parent, Bytes::new().name(name))
}

pub(crate) fn rmdir(parent: u64, name: &[u8]) -> Request {
    Request::new(opcode::RMDIR, parent, Bytes::new().name(name))
}

pub(crate) fn symlink(parent: u64, name: &[u8], target: &[u8]) -> Request {
    let body = Bytes::new().name(name).name(target);
    Request::new(opcode::SYMLINK, parent, body)
}

pub(crate) fn rename(parent: u64, name: &[u8], newparent: u64, newname: &[u8]) -> Request {
    let body = Bytes::new().u64(newparent).name(name).name(newname);
    Request::new(opcode::RENAME, parent, body)
}

/// renameat2(2) with flags.
pub(crate) fn rename2(
    parent: u64,
    name: &[u8],
    newparent: u64,
    newname: &[u8],
    flags: u32,
) -> Request {
    let body = Bytes::new().u64(newparent).u32(flags).u32(0);
    Request::new(opcode::RENAME2, parent, body.name(name).name(newname))
}

pub(crate) fn link(ino: u64, newparent: u64, newname: &[u8]) -> Request {
    Request::new(opcode::LINK, newparent, Bytes::new().u64(ino).name(newname))
}

pub(crate) fn open(ino: u64, flags: u32) -> Request {
    Request::new(opcode::OPEN, ino, Bytes::new().u32(flags).u32(0))
}

pub(crate) fn create(parent: u64, name: &[u8], mode: u32, umask: u32, flags: u32) -> Request {
    let body = Bytes::new().u32(flags).u32(mode).u32(umask).u32(0);
    Request::new(opcode::CREATE, parent, body.name(name))
}

/// What READ, READDIR and WRITE say about the open file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct File {
    pub(crate) fh: u64,
    /// As it was opened.
    pub(crate) flags: u32,
    pub(crate) lock_owner: u64,
    /// `read_flags`, `write_flags`, `release_flags`.
    pub(crate) of_request: u32,
}

impl File {
    pub(crate) fn new(fh: u64) -> Self {
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

pub(crate) fn read(ino: u64, file: File, offset: u64, size: u32) -> Request {
    Request::new(opcode::READ, ino, file.transfer(offset, size))
}

pub(crate) fn write(ino: u64, file: File, offset: u64, data: &[u8]) -> Request {
    let size = u32::try_from(data.len()).unwrap();
    Request::new(opcode::WRITE, ino, file.transfer(offset, size).raw(data))
}

pub(crate) fn flush(ino: u64, fh: u64, lock_owner: u64) -> Request {
    let body = Bytes::new().u64(fh).u32(0).u32(0).u64(lock_owner);
    Request::new(opcode::FLUSH, ino, body)
}

pub(crate) fn release(ino: u64, file: File) -> Request {
    Request::new(opcode::RELEASE, ino, file.release())
}

fn sync(opcode: u32, ino: u64, fh: u64, datasync: bool) -> Request {
    let body = Bytes::new().u64(fh).u32(datasync.into()).u32(0);
    Request::new(opcode, ino, body)
}

pub(crate) fn fsync(ino: u64, fh: u64, datasync: bool) -> Request {
    sync(opcode::FSYNC, ino, fh, datasync)
}

pub(crate) fn opendir(ino: u64, flags: u32) -> Request {
    Request::new(opcode::OPENDIR, ino, Bytes::new().u32(flags).u32(0))
}

pub(crate) fn readdir(ino: u64, fh: u64, offset: u64, size: u32) -> Request {
    let body = File::new(fh).transfer(offset, size);
    Request::new(opcode::READDIR, ino, body)
}

pub(crate) fn readdirplus(ino: u64, fh: u64, offset: u64, size: u32) -> Request {
    let body = File::new(fh).transfer(offset, size);
    Request::new(opcode::READDIRPLUS, ino, body)
}

pub(crate) fn releasedir(ino: u64, file: File) -> Request {
    Request::new(opcode::RELEASEDIR, ino, file.release())
}

pub(crate) fn fsyncdir(ino: u64, fh: u64, datasync: bool) -> Request {
    sync(opcode::FSYNCDIR, ino, fh, datasync)
}

pub(crate) fn statfs(ino: u64) -> Request {
    Request::new(opcode::STATFS, ino, Bytes::new())
}

/// Without `SETXATTR_EXT`, which libfuse does not ask for: `FUSE_COMPAT_SETXATTR_IN_SIZE`.
pub(crate) fn setxattr(ino: u64, name: &[u8], value: &[u8], flags: u32) -> Request {
    let size = u32::try_from(value.len()).unwrap();
    let body = Bytes::new().u32(size).u32(flags).name(name).raw(value);
    Request::new(opcode::SETXATTR, ino, body)
}

pub(crate) fn getxattr(ino: u64, name: &[u8], size: u32) -> Request {
    let body = Bytes::new().u32(size).u32(0).name(name);
    Request::new(opcode::GETXATTR, ino, body)
}

pub(crate) fn listxattr(ino: u64, size: u32) -> Request {
    Request::new(opcode::LISTXATTR, ino, Bytes::new().u32(size).u32(0))
}

pub(crate) fn removexattr(ino: u64, name: &[u8]) -> Request {
    Request::new(opcode::REMOVEXATTR, ino, Bytes::new().name(name))
}

pub(crate) fn access(ino: u64, mask: u32) -> Request {
    Request::new(opcode::ACCESS, ino, Bytes::new().u32(mask).u32(0))
}

/// `struct fuse_lk_in`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LkIn {
    pub(crate) fh: u64,
    pub(crate) owner: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// `F_RDLCK`, `F_WRLCK`, `F_UNLCK`.
    pub(crate) kind: u32,
    pub(crate) pid: u32,
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

pub(crate) fn getlk(ino: u64, lock: LkIn) -> Request {
    lock.request(opcode::GETLK, ino, 0)
}

fn setlk_opcode(wait: bool) -> u32 {
    if wait { opcode::SETLKW } else { opcode::SETLK }
}

pub(crate) fn setlk(ino: u64, lock: LkIn, wait: bool) -> Request {
    lock.request(setlk_opcode(wait), ino, 0)
}

/// The same opcodes, with `FUSE_LK_FLOCK`.
pub(crate) fn flock(ino: u64, lock: LkIn, wait: bool) -> Request {
    lock.request(setlk_opcode(wait), ino, 1)
}

/// `struct fuse_lk_out`.
pub(crate) fn lk_out(start: u64, end: u64, kind: u32, pid: u32) -> Vec<u8> {
    Bytes::new().u64(start).u64(end).u32(kind).u32(pid).0
}

pub(crate) fn bmap(ino: u64, block: u64, block_size: u32) -> Request {
    let body = Bytes::new().u64(block).u32(block_size).u32(0);
    Request::new(opcode::BMAP, ino, body)
}

/// `struct fuse_ioctl_in`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IoctlIn {
    pub(crate) fh: u64,
    pub(crate) flags: u32,
    pub(crate) command: u32,
    pub(crate) argument: u64,
    pub(crate) output_size: u32,
}

pub(crate) fn ioctl(ino: u64, ioctl: IoctlIn, input: &[u8]) -> Request {
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
pub(crate) fn ioctl_out(result: i32, data: &[u8]) -> Vec<u8> {
    Bytes::new().i32(result).zeros(12).raw(data).0
}

/// An address in the caller, and a length.
pub(crate) type Part = (u64, u64);

/// `struct fuse_ioctl_out` with `FUSE_IOCTL_RETRY`, and a `struct fuse_ioctl_iovec` for each part.
pub(crate) fn ioctl_retry(input: &[Part], output: &[Part]) -> Vec<u8> {
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
pub(crate) fn poll(ino: u64, fh: u64, kh: u64, schedule: bool, events: u32) -> Request {
    let body = Bytes::new()
        .u64(fh)
        .u64(kh)
        .u32(schedule.into())
        .u32(events);
    Request::new(opcode::POLL, ino, body)
}

/// `struct fuse_poll_out`.
pub(crate) fn poll_out(events: u32) -> Vec<u8> {
    Bytes::new().u32(events).u32(0).0
}

/// The notification `FUSE_NOTIFY_POLL`: no number of a request, and its code in place of an error.
pub(crate) fn notify_poll(kh: u64) -> Vec<u8> {
    out(0, 1, &Bytes::new().u64(kh).0)
}

pub(crate) fn fallocate(ino: u64, fh: u64, mode: u32, offset: u64, length: u64) -> Request {
    let body = Bytes::new()
        .u64(fh)
        .u64(offset)
        .u64(length)
        .u32(mode)
        .u32(0);
    Request::new(opcode::FALLOCATE, ino, body)
}

pub(crate) fn lseek(ino: u64, fh: u64, offset: u64, whence: u32) -> Request {
    let body = Bytes::new().u64(fh).u64(offset).u32(whence).u32(0);
    Request::new(opcode::LSEEK, ino, body)
}

/// An inode, an open file of it, and an offset.
pub(crate) type Place = (u64, u64, u64);

pub(crate) fn copy_file_range(from: Place, to: Place, length: u64, flags: u64) -> Request {
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

/// The same, with another opcode; the answer is a number of 64 bits.
pub(crate) fn copy_file_range_64(from: Place, to: Place, length: u64, flags: u64) -> Request {
    Request {
        opcode: opcode::COPY_FILE_RANGE_64,
        ..copy_file_range(from, to, length, flags)
    }
}

pub(crate) fn tmpfile(parent: u64, mode: u32, umask: u32, flags: u32) -> Request {
    let body = Bytes::new().u32(flags).u32(mode).u32(umask).u32(0);
    Request::new(opcode::TMPFILE, parent, body.name(b"/"))
}

pub(crate) fn statx(ino: u64, fh: Option<u64>, flags: u32, mask: u32) -> Request {
    let body = Bytes::new()
        .u32(fh.is_some().into()) // FUSE_GETATTR_FH
        .u32(0)
        .u64(fh.unwrap_or(0))
        .u32(flags)
        .u32(mask);
    Request::new(opcode::STATX, ino, body)
}

pub(crate) fn syncfs(ino: u64) -> Request {
    Request::new(opcode::SYNCFS, ino, Bytes::new().u64(0))
}

/// `struct fuse_bmap_out`, `struct fuse_lseek_out`.
pub(crate) fn number_out(number: u64) -> Vec<u8> {
    Bytes::new().u64(number).0
}

/// `struct fuse_sx_time`.
fn sx_time(bytes: Bytes, time: Timestamp) -> Bytes {
    bytes.i64(time.secs()).u32(time.nanos()).u32(0)
}

/// `struct fuse_statx_out`.
pub(crate) fn statx_out(statx: &Statx, timeout: Duration) -> Vec<u8> {
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
    times
        .into_iter()
        .fold(bytes, sx_time)
        .u32(libc::major(attr.rdev))
        .u32(libc::minor(attr.rdev))
        .zeros(8 + 14 * 8)
        .0
}

/// A reply: `struct fuse_out_header`, and what the operation has after it.
pub(crate) fn reply(unique: u64, body: &[u8]) -> Vec<u8> {
    out(unique, 0, body)
}

/// A reply that is an error: the header alone.
pub(crate) fn error(unique: u64, errno: i32) -> Vec<u8> {
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
pub(crate) fn attr_out(of: &Attr, timeout: Duration) -> Vec<u8> {
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
pub(crate) fn entry_out(entry: &Entry) -> Vec<u8> {
    entry_of(entry, entry.attr.ino.0).0
}

/// `struct fuse_open_out`.
pub(crate) fn open_out(fh: u64, flags: u32) -> Vec<u8> {
    Bytes::new().u64(fh).u32(flags).u32(0).0
}

/// `struct fuse_write_out`, `struct fuse_getxattr_out`.
pub(crate) fn size_out(size: u32) -> Vec<u8> {
    Bytes::new().u32(size).u32(0).0
}

/// `struct fuse_kstatfs`.
pub(crate) fn statfs_out(stat: &StatVfs) -> Vec<u8> {
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
pub(crate) fn dirent(name: &[u8], entry: &Entry, next: u64) -> Vec<u8> {
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
pub(crate) fn direntplus(name: &[u8], entry: &Entry, next: u64) -> Vec<u8> {
    let nodeid = match name {
        b"." | b".." => 0,
        _ => entry.attr.ino.0,
    };
    entry_of(entry, nodeid).raw(&dirent(name, entry, next)).0
}
