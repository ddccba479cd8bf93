//! Operations that not every libfuse has: `tmpfile` (3.17), `statx` (3.18), `syncfs` (3.19).

use std::ffi::c_int;

use crate::dispatch::call::Call;
use crate::dispatch::filesystem::Filesystem;
use crate::dispatch::table::file;
use crate::reply::answer::Asked;
use crate::sys::{self, fuse_file_info, fuse_ino_t, fuse_lowlevel_ops, fuse_req_t};
use crate::types::statx::{StatxFlags, StatxMask};
use crate::types::{
    file::{Create, FileInfo},
    ino::Ino,
    operation::Operation,
};

/// Fills those slots that the headers know; [`Operation::delivered`] tells which.
pub(super) fn fill<F: Filesystem>(ops: &mut fuse_lowlevel_ops) {
    // SAFETY: `ops` lives; the call sets a member of it, or does nothing.
    unsafe { sys::fuse3_ops_set_tmpfile(ops, Some(tmpfile::<F>)) };
    // SAFETY: as above.
    unsafe { sys::fuse3_ops_set_statx(ops, Some(statx::<F>)) };
    // SAFETY: as above.
    unsafe { sys::fuse3_ops_set_syncfs(ops, Some(syncfs::<F>)) };
}

unsafe extern "C" fn tmpfile<F: Filesystem>(
    req: fuse_req_t,
    parent: fuse_ino_t,
    mode: libc::mode_t,
    fi: *mut fuse_file_info,
) {
    let parent = Ino(parent);
    // SAFETY: libfuse's file, until this returns.
    let how = Create::of(mode, unsafe { FileInfo::borrow(fi) });
    let asked = Asked::of(parent)
        .flags(how.flags.bits())
        .made(libc::S_IFREG);
    // SAFETY: libfuse's request, for this table.
    let call = unsafe { Call::<F>::take(req, asked) };
    call.answer(Operation::Tmpfile, |fs, cx| fs.tmpfile(cx, parent, how));
}

unsafe extern "C" fn statx<F: Filesystem>(
    req: fuse_req_t,
    ino: fuse_ino_t,
    flags: c_int,
    mask: c_int,
    fi: *mut fuse_file_info,
) {
    let ino = Ino(ino);
    // SAFETY: libfuse's request, for this table.
    let call = unsafe { Call::<F>::take(req, Asked::of(ino)) };
    // SAFETY: libfuse's file or null, until this returns.
    let file = unsafe { file(fi) };
    let flags = StatxFlags::from_bits_retain(flags);
    let mask = StatxMask::from_bits_retain(u32::from_ne_bytes(mask.to_ne_bytes()));
    call.answer(Operation::Statx, |fs, cx| {
        fs.statx(cx, ino, file, flags, mask)
    });
}

unsafe extern "C" fn syncfs<F: Filesystem>(req: fuse_req_t, ino: fuse_ino_t) {
    let ino = Ino(ino);
    // SAFETY: libfuse's request, for this table.
    let call = unsafe { Call::<F>::take(req, Asked::of(ino)) };
    call.answer(Operation::Syncfs, |fs, cx| fs.syncfs(cx, ino));
}
