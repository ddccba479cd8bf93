//! `fallocate`, `copy_file_range`, `lseek`, `bmap`.

use std::ffi::c_int;

use libc::off_t;

use crate::dispatch::args::{Args, File, Nodeid, Req};
use crate::dispatch::{filesystem::Filesystem, table::bits};
use crate::reply::answer::Asked;
use crate::types::range::{
    Block, CopyFileRange, CopyFlags, Fallocate, FallocateMode, Place, Whence,
};
use crate::types::{ino::Ino, operation::Operation};

pub(super) unsafe extern "C" fn fallocate<F: Filesystem>(
    req: Req,
    ino: Nodeid,
    mode: c_int,
    offset: off_t,
    length: off_t,
    fi: File,
) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    // SAFETY: libfuse's file, which is not null.
    let file = unsafe { args.file(fi) };
    let mode = FallocateMode::from_bits_retain(mode);
    let range = Fallocate::new(mode, bits(offset), bits(length));
    call.answer(Operation::Fallocate, |fs, cx| {
        fs.fallocate(cx, ino, file, range)
    });
}

pub(super) unsafe extern "C" fn copy_file_range<F: Filesystem>(
    req: Req,
    ino_in: Nodeid,
    off_in: off_t,
    fi_in: File,
    ino_out: Nodeid,
    off_out: off_t,
    fi_out: File,
    length: usize,
    flags: c_int,
) {
    let args = Args::new();
    // The answer of the protocol before 7.45 has 32 bits for how much was copied; the kernel asks again for the rest.
    let length = length.min(usize::try_from(u32::MAX).unwrap_or(usize::MAX));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(Ino(ino_in)).size(length)) };
    // SAFETY: libfuse's file, which is not null.
    let file_in = unsafe { args.file(fi_in) };
    // SAFETY: as above.
    let file_out = unsafe { args.file(fi_out) };
    let from = Place::new(Ino(ino_in), file_in, bits(off_in));
    let to = Place::new(Ino(ino_out), file_out, bits(off_out));
    let mut copy = CopyFileRange::new(from, to, length);
    copy.flags = CopyFlags::from_bits_retain(flags);
    call.answer(Operation::CopyFileRange, |fs, cx| {
        fs.copy_file_range(cx, &copy)
    });
}

pub(super) unsafe extern "C" fn lseek<F: Filesystem>(
    req: Req,
    ino: Nodeid,
    offset: off_t,
    whence: c_int,
    fi: File,
) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    // SAFETY: libfuse's file, which is not null.
    let file = unsafe { args.file(fi) };
    call.answer(Operation::Lseek, |fs, cx| {
        fs.lseek(cx, ino, file, bits(offset), Whence::from_raw(whence))
    });
}

pub(super) unsafe extern "C" fn bmap<F: Filesystem>(
    req: Req,
    ino: Nodeid,
    block_size: usize,
    block: u64,
) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    call.answer(Operation::Bmap, |fs, cx| {
        fs.bmap(cx, ino, block_size, Block(block))
    });
}
