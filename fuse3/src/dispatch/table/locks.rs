//! `getlk`, `setlk`, `flock`: the kernel has one opcode for the last two, which libfuse tells apart.

use std::ffi::c_int;

use crate::dispatch::args::{Args, File, Nodeid, Req};
use crate::dispatch::filesystem::Filesystem;
use crate::reply::answer::Asked;
use crate::types::filelock::{FileLock, Flock, SetLock};
use crate::types::{ino::Ino, operation::Operation};

pub(super) unsafe extern "C" fn getlk<F: Filesystem>(
    req: Req,
    ino: Nodeid,
    fi: File,
    lock: *mut libc::flock,
) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    // SAFETY: libfuse's file, which is not null.
    let file = unsafe { args.file(fi) };
    // SAFETY: libfuse's structure, which is not null.
    let lock = unsafe { args.value(lock) };
    call.answer(Operation::Getlk, |fs, cx| {
        let lock = FileLock::from_flock(lock, file.lock_owner())?;
        fs.getlk(cx, ino, file, lock)
    });
}

pub(super) unsafe extern "C" fn setlk<F: Filesystem>(
    req: Req,
    ino: Nodeid,
    fi: File,
    lock: *mut libc::flock,
    sleep: c_int,
) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    // SAFETY: libfuse's file, which is not null.
    let file = unsafe { args.file(fi) };
    // SAFETY: libfuse's structure, which is not null.
    let lock = unsafe { args.value(lock) };
    call.answer(Operation::Setlk, |fs, cx| {
        let lock = FileLock::from_flock(lock, file.lock_owner())?;
        fs.setlk(cx, ino, file, SetLock::new(lock, sleep != 0))
    });
}

pub(super) unsafe extern "C" fn flock<F: Filesystem>(
    req: Req,
    ino: Nodeid,
    fi: File,
    operation: c_int,
) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    // SAFETY: libfuse's file, which is not null.
    let file = unsafe { args.file(fi) };
    call.answer(Operation::Flock, |fs, cx| {
        let flock = Flock::from_operation(operation, file.lock_owner())?;
        fs.flock(cx, ino, file, flock)
    });
}
