//! What libfuse passes to a trampoline.

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::slice;

use crate::dispatch::{call::Call, core::Core, filesystem::Filesystem};
use crate::reply::{answer::Asked, writedata::WriteData};
use crate::sys;
use crate::types::file::FileInfo;

/// libfuse's handle of a request.
pub(super) type Req = sys::fuse_req_t;
/// The kernel's number of an inode.
pub(super) type Nodeid = sys::fuse_ino_t;
/// A NUL-terminated name.
pub(super) type Name = *const c_char;
/// The open file of a request.
pub(super) type File = *mut sys::fuse_file_info;

/// A local of a trampoline, which everything that libfuse passed to it is borrowed from: no argument outlives the call, whatever
/// lifetime a handler asks for.
///
/// libfuse's arguments last until the trampoline returns, with one exception. The names, the values and the data of a request
/// over io_uring lie in the payload of its ring, which the answer overwrites (`send_reply_uring()`, lib/fuse_uring.c). So they
/// are unchanged until the answer only, and [`Call`] answers when the handler has returned and nothing uses them any more.
pub(super) struct Args(());

impl Args {
    /// Of the trampoline that has it as a local.
    #[inline(always)]
    pub(super) const fn new() -> Self {
        Self(())
    }

    /// The request.
    ///
    /// # Safety
    ///
    /// libfuse passed `req` to this trampoline, which is of the table of `F`, and nobody else answers it.
    #[inline(always)]
    pub(super) unsafe fn call<F: Filesystem>(
        &self,
        req: sys::fuse_req_t,
        asked: Asked,
    ) -> Call<'_, F> {
        // SAFETY: the caller promises it; the session and its `Core` live until the trampoline returns.
        unsafe { Call::take(req, asked) }
    }

    /// What the session was made with.
    ///
    /// # Safety
    ///
    /// libfuse passed `userdata` to this trampoline, which is of the table of `F`.
    #[inline(always)]
    pub(super) unsafe fn core<F: Filesystem>(&self, userdata: *mut c_void) -> &Core<F> {
        // SAFETY: a session with the table of `F` is made with a `Core<F>` as its userdata (`Builder::start`), which the
        // `Session` has a share of until it has destroyed the session.
        unsafe { &*userdata.cast::<Core<F>>() }
    }

    /// A name.
    ///
    /// # Safety
    ///
    /// libfuse passed `name` to this trampoline: it is NUL-terminated, and unchanged until the answer.
    #[inline(always)]
    pub(super) unsafe fn name(&self, name: *const c_char) -> &OsStr {
        // SAFETY: the caller promises it.
        OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes())
    }

    /// The open file.
    ///
    /// # Safety
    ///
    /// libfuse passed `fi` to this trampoline, and it is not null.
    #[inline(always)]
    pub(super) unsafe fn file(&self, fi: *const sys::fuse_file_info) -> &FileInfo {
        // SAFETY: it is a local of libfuse's function that has called the trampoline (the caller).
        unsafe { FileInfo::borrow(fi) }
    }

    /// The open file, where the kernel has one at hand.
    ///
    /// # Safety
    ///
    /// libfuse passed `fi` to this trampoline.
    #[inline(always)]
    pub(super) unsafe fn file_if_any(&self, fi: *const sys::fuse_file_info) -> Option<&FileInfo> {
        // SAFETY: the caller promises it of what is not null.
        (!fi.is_null()).then(|| unsafe { self.file(fi) })
    }

    /// A structure.
    ///
    /// # Safety
    ///
    /// libfuse passed `value` to this trampoline, and it is not null.
    #[inline(always)]
    pub(super) unsafe fn value<T>(&self, value: *const T) -> &T {
        // SAFETY: it is a local of libfuse's function that has called the trampoline (the caller).
        unsafe { &*value }
    }

    /// An array; null where it is empty.
    ///
    /// # Safety
    ///
    /// libfuse passed `start` to this trampoline: `count` elements, which are unchanged until the answer.
    #[inline(always)]
    pub(super) unsafe fn array<T>(&self, start: *const T, count: usize) -> &[T] {
        if start.is_null() || count == 0 {
            return &[];
        }
        // SAFETY: the caller promises it. What the kernel sends is aligned to 8 bytes, of which its structures are multiples.
        unsafe { slice::from_raw_parts(start, count) }
    }

    /// The data of a write.
    ///
    /// # Safety
    ///
    /// libfuse passed `bufs` to `write_buf`, which is this trampoline: one buffer, in its memory or in the pipe of this thread.
    #[inline(always)]
    pub(super) unsafe fn data(&self, bufs: *mut sys::fuse_bufvec) -> WriteData<'_> {
        // SAFETY: the vector is a local of libfuse's function that has called the trampoline, which looks at it again when that
        // has returned. Until then no answer of this thread's is spliced, so that its pipe is left alone: that takes
        // `Request::spliced`, which `Call::answer` and `Conn::handled` call when the handler has returned.
        unsafe { WriteData::borrow(bufs) }
    }
}
