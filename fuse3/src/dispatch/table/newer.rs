//! Operations that not every libfuse has: `tmpfile` (3.17), `statx` (3.18), `syncfs` (3.19).

use std::ffi::c_int;

use libc::mode_t;

use crate::dispatch::args::{Args, File, Nodeid, Req};
use crate::dispatch::filesystem::Filesystem;
use crate::reply::answer::Asked;
use crate::sys::{self, fuse_lowlevel_ops};
use crate::types::statx::{StatxFlags, StatxMask};
use crate::types::{file::Create, ino::Ino, operation::Operation};

/// Fills those slots that the headers know; [`Operation::delivered`] tells which.
pub(super) fn fill<F: Filesystem>(ops: &mut fuse_lowlevel_ops) {
    // SAFETY: `ops` lives; the call sets a member of it, or does nothing.
    unsafe { sys::fuse3_ops_set_tmpfile(ops, Some(tmpfile::<F>)) };
    // SAFETY: as above.
    unsafe { sys::fuse3_ops_set_statx(ops, Some(statx::<F>)) };
    // SAFETY: as above.
    unsafe { sys::fuse3_ops_set_syncfs(ops, Some(syncfs::<F>)) };
}

unsafe extern "C" fn tmpfile<F: Filesystem>(req: Req, parent: Nodeid, mode: mode_t, fi: File) {
    let (args, parent) = (Args::new(), Ino(parent));
    // SAFETY: libfuse's file, which is not null.
    let how = Create::of(mode, unsafe { args.file(fi) });
    let asked = Asked::of(parent)
        .flags(how.flags.bits())
        .made(libc::S_IFREG);
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, asked) };
    call.answer(Operation::Tmpfile, |fs, cx| fs.tmpfile(cx, parent, how));
}

unsafe extern "C" fn statx<F: Filesystem>(
    req: Req,
    ino: Nodeid,
    flags: c_int,
    mask: c_int,
    fi: File,
) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    // SAFETY: libfuse's file, or null.
    let file = unsafe { args.file_if_any(fi) };
    let flags = StatxFlags::from_bits_retain(flags);
    let mask = StatxMask::from_bits_retain(u32::from_ne_bytes(mask.to_ne_bytes()));
    call.answer(Operation::Statx, |fs, cx| {
        fs.statx(cx, ino, file, flags, mask)
    });
}

unsafe extern "C" fn syncfs<F: Filesystem>(req: Req, ino: Nodeid) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    call.answer(Operation::Syncfs, |fs, cx| fs.syncfs(cx, ino));
}
