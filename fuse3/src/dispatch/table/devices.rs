//! What is mostly sent to devices: `ioctl`, `poll`.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::dispatch::args::{Args, File, Nodeid, Req};
use crate::dispatch::filesystem::Filesystem;
use crate::notify::poll::{PollEvents, PollHandle};
use crate::reply::answer::Asked;
use crate::sys::fuse_pollhandle;
use crate::types::ioctl::{Ioctl, IoctlCommand, IoctlFlags};
use crate::types::{ino::Ino, operation::Operation};

pub(super) unsafe extern "C" fn ioctl<F: Filesystem>(
    req: Req,
    ino: Nodeid,
    command: c_uint,
    argument: *mut c_void,
    fi: File,
    flags: c_uint,
    input: *const c_void,
    input_size: usize,
    output_size: usize,
) {
    let (args, ino) = (Args::new(), Ino(ino));
    let asked = Asked::of(ino).size(output_size);
    let asked = asked.flags(c_int::from_ne_bytes(flags.to_ne_bytes()));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, asked) };
    // SAFETY: libfuse's file, which is not null.
    let file = unsafe { args.file(fi) };
    // SAFETY: `input` is null, or points behind the header to `input_size` bytes that are unchanged until the answer.
    let input = unsafe { args.array(input.cast::<u8>(), input_size) };
    let ioctl = Ioctl::new(IoctlCommand(command), input, output_size)
        .argument(argument.addr() as u64)
        .flags(IoctlFlags::from_bits_retain(flags));
    call.answer(Operation::Ioctl, |fs, cx| fs.ioctl(cx, ino, file, &ioctl));
}

pub(super) unsafe extern "C" fn poll<F: Filesystem>(
    req: Req,
    ino: Nodeid,
    fi: File,
    handle: *mut fuse_pollhandle,
) {
    let (args, ino) = (Args::new(), Ino(ino));
    // SAFETY: libfuse's request, for this table, which nobody has answered.
    let call = unsafe { args.call::<F>(req, Asked::of(ino)) };
    // SAFETY: libfuse's file, which is not null.
    let file = unsafe { args.file(fi) };
    let conn = Arc::clone(call.conn());
    let handle = NonNull::new(handle)
        // SAFETY: libfuse has made the handle for this request, and leaves it to the handler to destroy it.
        .map(|handle| unsafe { PollHandle::new(handle, conn) });
    let events = PollEvents::from_bits_retain(file.0.poll_events);
    call.answer(Operation::Poll, |fs, cx| {
        fs.poll(cx, ino, file, events, handle)
    });
}
