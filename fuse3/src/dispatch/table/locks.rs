//! `getlk`, `setlk`, `flock`: the kernel has one opcode for the last two, which libfuse tells apart.

use std::ffi::c_int;

use crate::dispatch::call::Call;
use crate::dispatch::filesystem::Filesystem;
use crate::reply::answer::Asked;
use crate::sys::{fuse_file_info, fuse_ino_t, fuse_req_t};
use crate::types::filelock::{FileLock, Flock, SetLock};
use crate::types::{file::FileInfo, ino::Ino, operation::Operation};

pub(super) unsafe extern "C" fn getlk<F: Filesystem>(
    req: fuse_req_t,
    ino: fuse_ino_t,
    fi: *mut fuse_file_info,
    lock: *mut libc::flock,
) {
    let ino = Ino(ino);
    // SAFETY: libfuse's request, for this table.
    let call = unsafe { Call::<F>::take(req, Asked::of(ino)) };
    // SAFETY: libfuse's file, until this returns.
    let file = unsafe { FileInfo::borrow(fi) };
    // SAFETY: libfuse passes its own structure, until this returns.
    let lock = unsafe { &*lock };
    call.answer(Operation::Getlk, |fs, cx| {
        let lock = FileLock::from_flock(lock, file.lock_owner())?;
        fs.getlk(cx, ino, file, lock)
    });
}

pub(super) unsafe extern "C" fn setlk<F: Filesystem>(
    req: fuse_req_t,
    ino: fuse_ino_t,
    fi: *mut fuse_file_info,
    lock: *mut libc::flock,
    sleep: c_int,
) {
    let ino = Ino(ino);
    // SAFETY: libfuse's request, for this table.
    let call = unsafe { Call::<F>::take(req, Asked::of(ino)) };
    // SAFETY: libfuse's file, until this returns.
    let file = unsafe { FileInfo::borrow(fi) };
    // SAFETY: libfuse passes its own structure, until this returns.
    let lock = unsafe { &*lock };
    call.answer(Operation::Setlk, |fs, cx| {
        let lock = FileLock::from_flock(lock, file.lock_owner())?;
        fs.setlk(cx, ino, file, SetLock::new(lock, sleep != 0))
    });
}

pub(super) unsafe extern "C" fn flock<F: Filesystem>(
    req: fuse_req_t,
    ino: fuse_ino_t,
    fi: *mut fuse_file_info,
    operation: c_int,
) {
    let ino = Ino(ino);
    // SAFETY: libfuse's request, for this table.
    let call = unsafe { Call::<F>::take(req, Asked::of(ino)) };
    // SAFETY: libfuse's file, until this returns.
    let file = unsafe { FileInfo::borrow(fi) };
    call.answer(Operation::Flock, |fs, cx| {
        let flock = Flock::from_operation(operation, file.lock_owner())?;
        fs.flock(cx, ino, file, flock)
    });
}
