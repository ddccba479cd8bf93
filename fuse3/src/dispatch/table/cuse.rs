//! The table of a character device: that of a file system, for a file that has no inode.

use std::ffi::{c_char, c_int, c_uint, c_void};

use libc::off_t;

use crate::base::cancel::Uncancelled;
use crate::dispatch::args::{Args, File, Req};
use crate::dispatch::filesystem::Filesystem;
use crate::dispatch::table::{
    Table, begin, destroy, devices, flush, fsync, open, read, release, write_buf,
};
use crate::sys::{self, cuse_lowlevel_ops, fuse_conn_info, fuse_ino_t, fuse_pollhandle};

/// What handlers are told that the inode is.
const NO_INODE: fuse_ino_t = 0;

impl<F: Filesystem> Table<F> {
    /// Every slot: one that a later libfuse adds does not go unseen.
    pub(crate) const CUSE: cuse_lowlevel_ops = cuse_lowlevel_ops {
        init: Some(cuse_init::<F>),
        init_done: Some(init_done::<F>),
        destroy: Some(destroy::<F>),
        open: Some(cuse_open::<F>),
        read: Some(cuse_read::<F>),
        write: Some(cuse_write::<F>),
        flush: Some(cuse_flush::<F>),
        release: Some(cuse_release::<F>),
        fsync: Some(cuse_fsync::<F>),
        ioctl: Some(cuse_ioctl::<F>),
        poll: Some(cuse_poll::<F>),
    };
}

// libfuse's own handlers for a session that `cuse_lowlevel_new()` has made drop the inode and call these, with the other
// arguments as they are (lib/cuse_lowlevel.c): what makes the trampolines of a file system sound holds here.

/// The device is not there before `init_done`.
unsafe extern "C" fn cuse_init<F: Filesystem>(userdata: *mut c_void, conn: *mut fuse_conn_info) {
    let args = Args::new();
    let _uncancelled = Uncancelled::new();
    // SAFETY: libfuse's userdata, for this table.
    let core = unsafe { args.core::<F>(userdata) };
    // SAFETY: `conn` is what libfuse passed.
    unsafe { begin(core, conn) };
}

unsafe extern "C" fn init_done<F: Filesystem>(userdata: *mut c_void) {
    let args = Args::new();
    let _uncancelled = Uncancelled::new();
    // SAFETY: libfuse's userdata, for this table.
    let core = unsafe { args.core::<F>(userdata) };
    core.device_is_there();
}

unsafe extern "C" fn cuse_open<F: Filesystem>(req: Req, fi: File) {
    // SAFETY: libfuse's arguments, for this table.
    unsafe { open::<F>(req, NO_INODE, fi) };
}

unsafe extern "C" fn cuse_read<F: Filesystem>(req: Req, size: usize, offset: off_t, fi: File) {
    // SAFETY: libfuse's arguments, for this table.
    unsafe { read::<F>(req, NO_INODE, size, offset, fi) };
}

/// There is no `write_buf` here, and so no pipe.
unsafe extern "C" fn cuse_write<F: Filesystem>(
    req: Req,
    data: *const c_char,
    size: usize,
    offset: off_t,
    fi: File,
) {
    let mut bufs = sys::FUSE_BUFVEC_INIT(size);
    bufs.buf[0].mem = data.cast_mut().cast();
    // SAFETY: libfuse's arguments, for this table, and a vector of one buffer in its memory, which `WriteData` only reads; it is
    // a local of this function.
    unsafe { write_buf::<F>(req, NO_INODE, &raw mut bufs, offset, fi) };
}

unsafe extern "C" fn cuse_flush<F: Filesystem>(req: Req, fi: File) {
    // SAFETY: libfuse's arguments, for this table.
    unsafe { flush::<F>(req, NO_INODE, fi) };
}

unsafe extern "C" fn cuse_release<F: Filesystem>(req: Req, fi: File) {
    // SAFETY: libfuse's arguments, for this table.
    unsafe { release::<F>(req, NO_INODE, fi) };
}

unsafe extern "C" fn cuse_fsync<F: Filesystem>(req: Req, datasync: c_int, fi: File) {
    // SAFETY: libfuse's arguments, for this table.
    unsafe { fsync::<F>(req, NO_INODE, datasync, fi) };
}

unsafe extern "C" fn cuse_ioctl<F: Filesystem>(
    req: Req,
    command: c_int,
    argument: *mut c_void,
    fi: File,
    flags: c_uint,
    input: *const c_void,
    input_size: usize,
    output_size: usize,
) {
    let command = c_uint::from_ne_bytes(command.to_ne_bytes());
    // SAFETY: libfuse's arguments, for this table.
    unsafe {
        devices::ioctl::<F>(
            req,
            NO_INODE,
            command,
            argument,
            fi,
            flags,
            input,
            input_size,
            output_size,
        )
    };
}

unsafe extern "C" fn cuse_poll<F: Filesystem>(req: Req, fi: File, handle: *mut fuse_pollhandle) {
    // SAFETY: libfuse's arguments, for this table.
    unsafe { devices::poll::<F>(req, NO_INODE, fi, handle) };
}
