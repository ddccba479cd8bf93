//! The table of callbacks that libfuse is given. Each trampoline takes the call, borrows the arguments and answers.

mod cuse;
mod devices;
mod locks;
mod newer;
mod ranges;

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::marker::PhantomData;
use std::mem;
use std::ptr::NonNull;

use libc::{dev_t, mode_t, off_t};

use crate::base::cancel::Uncancelled;
use crate::conn::{connection::Connection, libfuse_log};
use crate::dispatch::args::{Args, File, Name, Nodeid, Req};
use crate::dispatch::{core::Core, filesystem::Filesystem};
use crate::reply::{answer::Asked, dirbuf::DirBuf, readbuf::ReadBuf};
use crate::sys::{fuse_bufvec, fuse_conn_info, fuse_forget_data, fuse_lowlevel_ops};
use crate::types::file::{Create, FileInfo, Open};
use crate::types::flags::{AccessMode, RenameFlags, XattrFlags};
use crate::types::{attr::SetAttr, ino::Ino, operation::Operation};

/// The `fuse_lowlevel_ops` of a file system.
pub(crate) struct Table<F>(PhantomData<F>);

impl<F: Filesystem> Table<F> {
    /// The table, as far as this libfuse has slots.
    pub(crate) fn ops() -> fuse_lowlevel_ops {
        let mut ops = Self::OPS;
        newer::fill::<F>(&mut ops);
        ops
    }

    /// What every libfuse has.
    const OPS: fuse_lowlevel_ops = {
        // SAFETY: every member is a nullable function pointer. Which there are depends on the headers, so that they
        // cannot all be named.
        let mut ops: fuse_lowlevel_ops = unsafe { mem::zeroed() };
        ops.init = Some(init::<F>);
        ops.destroy = Some(destroy::<F>);
        ops.lookup = Some(lookup::<F>);
        ops.forget = Some(forget::<F>);
        ops.getattr = Some(getattr::<F>);
        ops.setattr = Some(setattr::<F>);
        ops.readlink = Some(readlink::<F>);
        ops.mknod = Some(mknod::<F>);
        ops.mkdir = Some(mkdir::<F>);
        ops.unlink = Some(unlink::<F>);
        ops.rmdir = Some(rmdir::<F>);
        ops.symlink = Some(symlink::<F>);
        ops.rename = Some(rename::<F>);
        ops.link = Some(link::<F>);
        ops.open = Some(open::<F>);
        ops.read = Some(read::<F>);
        // It comes first; with it, libfuse calls no `write`.
        ops.write_buf = Some(write_buf::<F>);
        ops.flush = Some(flush::<F>);
        ops.release = Some(release::<F>);
        ops.fsync = Some(fsync::<F>);
        ops.opendir = Some(opendir::<F>);
        ops.readdir = Some(readdir::<F>);
        ops.releasedir = Some(releasedir::<F>);
        ops.fsyncdir = Some(fsyncdir::<F>);
        ops.statfs = Some(statfs::<F>);
        ops.setxattr = Some(setxattr::<F>);
        ops.getxattr = Some(getxattr::<F>);
        ops.listxattr = Some(listxattr::<F>);
        ops.removexattr = Some(removexattr::<F>);
        ops.access = Some(access::<F>);
        ops.create = Some(create::<F>);
        ops.retrieve_reply = Some(retrieve_reply::<F>);
        ops.getlk = Some(locks::getlk::<F>);
        ops.setlk = Some(locks::setlk::<F>);
        ops.bmap = Some(ranges::bmap::<F>);
        ops.ioctl = Some(devices::ioctl::<F>);
        ops.poll = Some(devices::poll::<F>);
        ops.forget_multi = Some(forget_multi::<F>);
        ops.flock = Some(locks::flock::<F>);
        ops.fallocate = Some(ranges::fallocate::<F>);
        ops.readdirplus = Some(readdirplus::<F>);
        ops.copy_file_range = Some(ranges::copy_file_range::<F>);
        ops.lseek = Some(ranges::lseek::<F>);
        ops
    };
}

/// An offset as the 64 bits that the kernel sent; libfuse passes them signed.
fn bits(offset: off_t) -> u64 {
    u64::from_ne_bytes(offset.to_ne_bytes())
}

// What makes the trampolines sound, all of them: libfuse alone has them, and calls them with a
// request that nobody has answered, of a session that was made with `Table<F>` and a `Core<F>`.
// Names are NUL-terminated, `fi` is not null unless said otherwise, and what the pointers lead to
// is libfuse's until the callback returns (`fuse_session_process_buf()`, lib/fuse_lowlevel.c).
// Over io_uring, names, values and data are so until the answer only: see `Args`.

unsafe extern "C" fn init<F: Filesystem>(userdata: *mut c_void, conn: *mut fuse_conn_info) {
    let args = Args::new();
    let _uncancelled = Uncancelled::new();
    // SAFETY: libfuse's userdata, for this table.
    let core = unsafe { args.core::<F>(userdata) };
    // SAFETY: `conn` is what libfuse passed.
    if unsafe { begin(core, conn) } {
        core.serving.release();
    }
}

/// Whether the session has begun.
///
/// # Safety
///
/// `conn` is what libfuse passed to `init`, which has not returned.
unsafe fn begin<F: Filesystem>(core: &Core<F>, conn: *mut fuse_conn_info) -> bool {
    let Some(conn) = NonNull::new(conn) else {
        return false;
    };
    // SAFETY: `conn` is what libfuse passed, and `connection` is gone when this returns.
    let mut connection = unsafe { Connection::new(conn) };
    let begun = core.begin(&mut connection);
    core.conn().begun(conn);
    libfuse_log::begun(core.conn(), core.serving.needs_io_uring());
    begun
}

unsafe extern "C" fn destroy<F: Filesystem>(userdata: *mut c_void) {
    let args = Args::new();
    let _uncancelled = Uncancelled::new();
    // SAFETY: libfuse's userdata, for this table.
    let core = unsafe { args.core::<F>(userdata) };
    core.destroy();
}

unsafe extern "C" fn lookup<F: Filesystem>(req: Req, parent: Nodeid, name: Name) {
    let (args, parent) = (Args::new(), Ino(parent));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(parent)) };
    // SAFETY: libfuse's name, unchanged until the answer.
    let name = unsafe { args.name(name) };
    call.answer(Operation::Lookup, |fs, cx| fs.lookup(cx, parent, name));
}

unsafe extern "C" fn forget<F: Filesystem>(req: Req, ino: Nodeid, nlookup: u64) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    call.forget(Operation::Forget, |fs, cx| fs.forget(cx, ino, nlookup));
}

unsafe extern "C" fn forget_multi<F: Filesystem>(
    req: Req,
    count: usize,
    forgets: *mut fuse_forget_data,
) {
    let args = Args::new();
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(Ino(0))) };
    // SAFETY: the kernel sent `count` elements of this structure. It never does over io_uring, so that they are unchanged until
    // this returns, while the request is freed before (`Call::forget`).
    let forgets = unsafe { args.array(forgets, count) };
    let mut forgets = forgets
        .iter()
        .map(|forget| (Ino(forget.ino), forget.nlookup));
    call.forget(Operation::ForgetMulti, |fs, cx| {
        fs.forget_multi(cx, &mut forgets)
    });
}

unsafe extern "C" fn getattr<F: Filesystem>(req: Req, ino: Nodeid, fi: File) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    // SAFETY: libfuse's file, or null.
    let file = unsafe { args.file_if_any(fi) };
    call.answer(Operation::Getattr, |fs, cx| fs.getattr(cx, ino, file));
}

unsafe extern "C" fn setattr<F: Filesystem>(
    req: Req,
    ino: Nodeid,
    attr: *mut libc::stat,
    to_set: c_int,
    fi: File,
) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    // SAFETY: libfuse's file, or null.
    let file = unsafe { args.file_if_any(fi) };
    // SAFETY: libfuse's structure, which is not null.
    let attr = unsafe { args.value(attr) };
    let changes = SetAttr::new(
        attr,
        u32::from_ne_bytes(to_set.to_ne_bytes()),
        file.map(FileInfo::handle),
    );
    call.answer(Operation::Setattr, |fs, cx| fs.setattr(cx, ino, &changes));
}

unsafe extern "C" fn readlink<F: Filesystem>(req: Req, ino: Nodeid) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    call.answer(Operation::Readlink, |fs, cx| fs.readlink(cx, ino));
}

unsafe extern "C" fn mknod<F: Filesystem>(
    req: Req,
    parent: Nodeid,
    name: Name,
    mode: mode_t,
    rdev: dev_t,
) {
    let (args, parent) = (Args::new(), Ino(parent));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(parent).made(mode & libc::S_IFMT)) };
    // SAFETY: libfuse's name, unchanged until the answer.
    let name = unsafe { args.name(name) };
    call.answer_locked(Operation::Mknod, [parent; 2], |fs, cx| {
        fs.mknod(cx, parent, name, mode, rdev)
    });
}

unsafe extern "C" fn mkdir<F: Filesystem>(req: Req, parent: Nodeid, name: Name, mode: mode_t) {
    let (args, parent) = (Args::new(), Ino(parent));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(parent).made(libc::S_IFDIR)) };
    // SAFETY: libfuse's name, unchanged until the answer.
    let name = unsafe { args.name(name) };
    call.answer_locked(Operation::Mkdir, [parent; 2], |fs, cx| {
        fs.mkdir(cx, parent, name, mode)
    });
}

unsafe extern "C" fn unlink<F: Filesystem>(req: Req, parent: Nodeid, name: Name) {
    let (args, parent) = (Args::new(), Ino(parent));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(parent)) };
    // SAFETY: libfuse's name, unchanged until the answer.
    let name = unsafe { args.name(name) };
    call.answer_locked(Operation::Unlink, [parent; 2], |fs, cx| {
        fs.unlink(cx, parent, name)
    });
}

unsafe extern "C" fn rmdir<F: Filesystem>(req: Req, parent: Nodeid, name: Name) {
    let (args, parent) = (Args::new(), Ino(parent));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(parent)) };
    // SAFETY: libfuse's name, unchanged until the answer.
    let name = unsafe { args.name(name) };
    call.answer_locked(Operation::Rmdir, [parent; 2], |fs, cx| {
        fs.rmdir(cx, parent, name)
    });
}

unsafe extern "C" fn symlink<F: Filesystem>(req: Req, target: Name, parent: Nodeid, name: Name) {
    let (args, parent) = (Args::new(), Ino(parent));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(parent).made(libc::S_IFLNK)) };
    // SAFETY: libfuse's string, unchanged until the answer.
    let target = unsafe { args.name(target) };
    // SAFETY: libfuse's name, unchanged until the answer.
    let name = unsafe { args.name(name) };
    call.answer_locked(Operation::Symlink, [parent; 2], |fs, cx| {
        fs.symlink(cx, target, parent, name)
    });
}

unsafe extern "C" fn rename<F: Filesystem>(
    req: Req,
    parent: Nodeid,
    name: Name,
    newparent: Nodeid,
    newname: Name,
    flags: c_uint,
) {
    let args = Args::new();
    let (parent, newparent) = (Ino(parent), Ino(newparent));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(parent)) };
    // SAFETY: libfuse's name, unchanged until the answer.
    let name = unsafe { args.name(name) };
    // SAFETY: libfuse's name, unchanged until the answer.
    let newname = unsafe { args.name(newname) };
    let flags = RenameFlags::from_bits_retain(flags);
    call.answer_locked(Operation::Rename, [parent, newparent], |fs, cx| {
        fs.rename(cx, parent, name, newparent, newname, flags)
    });
}

unsafe extern "C" fn link<F: Filesystem>(req: Req, ino: Nodeid, newparent: Nodeid, newname: Name) {
    let args = Args::new();
    let (ino, newparent) = (Ino(ino), Ino(newparent));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino).made(0)) };
    // SAFETY: libfuse's name, unchanged until the answer.
    let newname = unsafe { args.name(newname) };
    call.answer_locked(Operation::Link, [newparent; 2], |fs, cx| {
        fs.link(cx, ino, newparent, newname)
    });
}

unsafe extern "C" fn open<F: Filesystem>(req: Req, ino: Nodeid, fi: File) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's file, which is not null.
    let how = Open::from(unsafe { args.file(fi) });
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino).flags(how.flags.bits())) };
    call.answer(Operation::Open, |fs, cx| fs.open(cx, ino, how));
}

unsafe extern "C" fn create<F: Filesystem>(
    req: Req,
    parent: Nodeid,
    name: Name,
    mode: mode_t,
    fi: File,
) {
    let (args, parent) = (Args::new(), Ino(parent));
    // SAFETY: libfuse's file, which is not null.
    let how = Create::of(mode, unsafe { args.file(fi) });
    let asked = Asked::of(parent)
        .flags(how.flags.bits())
        .made(libc::S_IFREG);
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, asked) };
    // SAFETY: libfuse's name, unchanged until the answer.
    let name = unsafe { args.name(name) };
    call.answer_locked(Operation::Create, [parent; 2], |fs, cx| {
        fs.create(cx, parent, name, how)
    });
}

unsafe extern "C" fn read<F: Filesystem>(
    req: Req,
    ino: Nodeid,
    size: usize,
    offset: off_t,
    fi: File,
) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino).size(size)) };
    // SAFETY: libfuse's file, which is not null.
    let file = unsafe { args.file(fi) };
    call.answer(Operation::Read, |fs, cx| {
        fs.read(cx, ino, file, bits(offset), ReadBuf::new(size))
    });
}

unsafe extern "C" fn write_buf<F: Filesystem>(
    req: Req,
    ino: Nodeid,
    bufs: *mut fuse_bufvec,
    offset: off_t,
    fi: File,
) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's vector, of one buffer in its memory or in the pipe of this thread.
    let data = unsafe { args.data(bufs) };
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino).size(data.len())) };
    // SAFETY: libfuse's file, which is not null.
    let file = unsafe { args.file(fi) };
    call.answer(Operation::Write, |fs, cx| {
        fs.write_buf(cx, ino, file, bits(offset), data)
    });
}

unsafe extern "C" fn flush<F: Filesystem>(req: Req, ino: Nodeid, fi: File) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    // SAFETY: libfuse's file, which is not null.
    let file = unsafe { args.file(fi) };
    call.answer(Operation::Flush, |fs, cx| fs.flush(cx, ino, file));
}

unsafe extern "C" fn release<F: Filesystem>(req: Req, ino: Nodeid, fi: File) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    // SAFETY: libfuse's file, which is not null.
    let file = unsafe { args.file(fi) };
    call.answer(Operation::Release, |fs, cx| fs.release(cx, ino, file));
}

unsafe extern "C" fn fsync<F: Filesystem>(req: Req, ino: Nodeid, datasync: c_int, fi: File) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    // SAFETY: libfuse's file, which is not null.
    let file = unsafe { args.file(fi) };
    call.answer(Operation::Fsync, |fs, cx| {
        fs.fsync(cx, ino, file, datasync != 0)
    });
}

unsafe extern "C" fn opendir<F: Filesystem>(req: Req, ino: Nodeid, fi: File) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's file, which is not null.
    let flags = unsafe { args.file(fi) }.flags();
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino).flags(flags.bits()).directory()) };
    call.answer(Operation::Opendir, |fs, cx| fs.opendir(cx, ino, flags));
}

unsafe extern "C" fn retrieve_reply<F: Filesystem>(
    req: Req,
    cookie: *mut c_void,
    ino: Nodeid,
    offset: off_t,
    bufv: *mut fuse_bufvec,
) {
    let args = Args::new();
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(Ino(ino))) };
    // SAFETY: libfuse's vector, of one buffer in its memory or in the pipe of this thread.
    let data = unsafe { args.data(bufv) };
    call.retrieved(cookie.addr(), bits(offset), data);
}

/// READDIR and READDIRPLUS differ in the form of the listing.
///
/// # Safety
///
/// As for the trampolines.
unsafe fn list<F: Filesystem>(
    req: Req,
    ino: Nodeid,
    size: usize,
    offset: off_t,
    fi: File,
    plus: bool,
) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino).size(size)) };
    // SAFETY: libfuse's file, which is not null.
    let file = unsafe { args.file(fi) };
    let offset = bits(offset);
    let operation = if plus {
        Operation::Readdirplus
    } else {
        Operation::Readdir
    };
    call.answer(operation, |fs, cx| {
        fs.readdir(cx, ino, file, offset, DirBuf::new(size, offset, plus))
    });
}

unsafe extern "C" fn readdir<F: Filesystem>(
    req: Req,
    ino: Nodeid,
    size: usize,
    offset: off_t,
    fi: File,
) {
    // SAFETY: libfuse's arguments, for this table.
    unsafe { list::<F>(req, ino, size, offset, fi, false) };
}

unsafe extern "C" fn readdirplus<F: Filesystem>(
    req: Req,
    ino: Nodeid,
    size: usize,
    offset: off_t,
    fi: File,
) {
    // SAFETY: libfuse's arguments, for this table.
    unsafe { list::<F>(req, ino, size, offset, fi, true) };
}

unsafe extern "C" fn releasedir<F: Filesystem>(req: Req, ino: Nodeid, fi: File) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    // SAFETY: libfuse's file, which is not null.
    let file = unsafe { args.file(fi) };
    call.answer(Operation::Releasedir, |fs, cx| fs.releasedir(cx, ino, file));
}

unsafe extern "C" fn fsyncdir<F: Filesystem>(req: Req, ino: Nodeid, datasync: c_int, fi: File) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    // SAFETY: libfuse's file, which is not null.
    let file = unsafe { args.file(fi) };
    call.answer(Operation::Fsyncdir, |fs, cx| {
        fs.fsyncdir(cx, ino, file, datasync != 0)
    });
}

unsafe extern "C" fn statfs<F: Filesystem>(req: Req, ino: Nodeid) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    call.answer(Operation::Statfs, |fs, cx| fs.statfs(cx, ino));
}

unsafe extern "C" fn setxattr<F: Filesystem>(
    req: Req,
    ino: Nodeid,
    name: Name,
    value: *const c_char,
    size: usize,
    flags: c_int,
) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino).size(size)) };
    // SAFETY: libfuse's name, unchanged until the answer.
    let name = unsafe { args.name(name) };
    if call.is_stacktrace(name) {
        return call.stacktrace();
    }
    // SAFETY: `value` points behind the name, to `size` bytes that are unchanged until the answer.
    let value = unsafe { args.array(value.cast::<u8>(), size) };
    let flags = XattrFlags::from_bits_retain(flags);
    call.answer(Operation::Setxattr, |fs, cx| {
        let answer = fs.setxattr(cx, ino, name, value, flags);
        cx.check_acl(name, answer)
    });
}

unsafe extern "C" fn getxattr<F: Filesystem>(req: Req, ino: Nodeid, name: Name, size: usize) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino).size(size)) };
    // SAFETY: libfuse's name, unchanged until the answer.
    let name = unsafe { args.name(name) };
    call.answer(Operation::Getxattr, |fs, cx| {
        let answer = fs.getxattr(cx, ino, name);
        cx.check_acl(name, answer)
    });
}

unsafe extern "C" fn listxattr<F: Filesystem>(req: Req, ino: Nodeid, size: usize) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino).size(size)) };
    call.answer(Operation::Listxattr, |fs, cx| fs.listxattr(cx, ino));
}

unsafe extern "C" fn removexattr<F: Filesystem>(req: Req, ino: Nodeid, name: Name) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    // SAFETY: libfuse's name, unchanged until the answer.
    let name = unsafe { args.name(name) };
    call.answer(Operation::Removexattr, |fs, cx| {
        fs.removexattr(cx, ino, name)
    });
}

unsafe extern "C" fn access<F: Filesystem>(req: Req, ino: Nodeid, mask: c_int) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    let mask = AccessMode::from_bits_retain(mask);
    call.answer(Operation::Access, |fs, cx| fs.access(cx, ino, mask));
}
