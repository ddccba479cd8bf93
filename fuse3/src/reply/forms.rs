//! The forms of answers that libfuse has: one function for each `fuse_reply_*`.

use std::ffi::{CStr, c_int};
use std::ptr;

use crate::conn::request::{Request, Sent};
use crate::sys;
use crate::types::{ioctl::CallerMemory, opened::Opened};

impl Request {
    /// Sends by a function of libfuse's, which is given the request unanswered and spent.
    #[inline(always)]
    fn reply(self, send: impl FnOnce(sys::fuse_req_t) -> c_int) -> Sent {
        self.answer(None, send)
    }

    /// `fuse_reply_err(req, 0)`: done, with nothing to say.
    #[inline(always)]
    pub(crate) fn ok(self) -> Sent {
        // SAFETY: `reply` spends the request, which was unanswered.
        self.reply(|req| unsafe { sys::fuse_reply_err(req, 0) })
    }

    #[inline(always)]
    pub(crate) fn entry(self, entry: &sys::fuse_entry_param) -> Sent {
        // SAFETY: `reply` spends the request, which was unanswered; `entry` lives.
        self.reply(|req| unsafe { sys::fuse_reply_entry(req, entry) })
    }

    pub(crate) fn create(self, entry: &sys::fuse_entry_param, opened: Opened) -> Sent {
        let fi = opened.to_file_info();
        // SAFETY: `reply` spends the request, which was unanswered; `entry` and `fi` live.
        self.reply(|req| unsafe { sys::fuse_reply_create(req, entry, &raw const fi) })
    }

    #[inline(always)]
    pub(crate) fn attr(self, attr: &libc::stat, timeout: f64) -> Sent {
        // SAFETY: `reply` spends the request, which was unanswered; `attr` lives.
        self.reply(|req| unsafe { sys::fuse_reply_attr(req, attr, timeout) })
    }

    pub(crate) fn readlink(self, target: &CStr) -> Sent {
        // SAFETY: `reply` spends the request, which was unanswered; `target` lives.
        self.reply(|req| unsafe { sys::fuse_reply_readlink(req, target.as_ptr()) })
    }

    #[inline(always)]
    pub(crate) fn open(self, opened: Opened) -> Sent {
        let fi = opened.to_file_info();
        // SAFETY: `reply` spends the request, which was unanswered; `fi` lives.
        self.reply(|req| unsafe { sys::fuse_reply_open(req, &raw const fi) })
    }

    #[inline(always)]
    pub(crate) fn write(self, count: usize) -> Sent {
        // SAFETY: `reply` spends the request, which was unanswered.
        self.reply(|req| unsafe { sys::fuse_reply_write(req, count) })
    }

    #[inline(always)]
    pub(crate) fn buf(self, data: &[u8]) -> Sent {
        // SAFETY: `reply` spends the request, which was unanswered; `data` lives, and is only read.
        self.reply(|req| unsafe { sys::fuse_reply_buf(req, data.as_ptr().cast(), data.len()) })
    }

    /// The slices, one after the other; at most 1000 of them.
    pub(crate) fn slices(self, slices: &[&[u8]]) -> Sent {
        let iov: Vec<_> = slices
            .iter()
            .map(|slice| libc::iovec {
                iov_base: slice.as_ptr().cast_mut().cast(),
                iov_len: slice.len(),
            })
            .collect();
        let count = c_int::try_from(iov.len()).unwrap_or(c_int::MAX);
        // SAFETY: `reply` spends the request, which was unanswered; `iov` has `count` elements, which libfuse reads from.
        self.reply(|req| unsafe { sys::fuse_reply_iov(req, iov.as_ptr(), count) })
    }

    /// The buffers that the first element of `bufs` has, in memory and in files; the other elements are room for them.
    ///
    /// When they cannot be read, libfuse answers that error. They are spliced where it was asked for.
    pub(crate) fn data(self, bufs: &mut [sys::fuse_bufvec], may_splice: bool) -> Sent {
        let flags = if may_splice {
            // Without effect unless it was asked for in `init`.
            sys::fuse_buf_copy_flags_FUSE_BUF_SPLICE_MOVE
        } else {
            sys::fuse_buf_copy_flags_FUSE_BUF_NO_SPLICE
        };
        // SAFETY: `reply` spends the request, which was unanswered; `bufs` is valid for what its `count` says, and what it
        // points to lives.
        self.reply(|req| unsafe { sys::fuse_reply_data(req, bufs.as_mut_ptr(), flags) })
    }

    pub(crate) fn statfs(self, stat: &libc::statvfs) -> Sent {
        // SAFETY: `reply` spends the request, which was unanswered; `stat` lives.
        self.reply(|req| unsafe { sys::fuse_reply_statfs(req, stat) })
    }

    pub(crate) fn lock(self, lock: &libc::flock) -> Sent {
        // SAFETY: `reply` spends the request, which was unanswered; `lock` lives.
        self.reply(|req| unsafe { sys::fuse_reply_lock(req, lock) })
    }

    pub(crate) fn bmap(self, block: u64) -> Sent {
        // SAFETY: `reply` spends the request, which was unanswered.
        self.reply(|req| unsafe { sys::fuse_reply_bmap(req, block) })
    }

    pub(crate) fn ioctl(self, result: c_int, data: &[u8]) -> Sent {
        // SAFETY: `reply` spends the request, which was unanswered; `data` lives, and is not read when it is empty.
        self.reply(|req| unsafe {
            sys::fuse_reply_ioctl(req, result, data.as_ptr().cast(), data.len())
        })
    }

    /// At most 256 parts.
    pub(crate) fn ioctl_retry(self, input: &[CallerMemory], output: &[CallerMemory]) -> Sent {
        let iov = |parts: &[CallerMemory]| -> Vec<_> {
            let to_iovec = |part: &CallerMemory| libc::iovec {
                // As wide as the pointers of whoever may call: the kernel has one like this program's.
                iov_base: ptr::without_provenance_mut(
                    usize::try_from(part.address).unwrap_or(usize::MAX),
                ),
                iov_len: part.length,
            };
            parts.iter().map(to_iovec).collect()
        };
        let (input, output) = (iov(input), iov(output));
        // SAFETY: `reply` spends the request, which was unanswered; both vectors have as many elements, which libfuse
        // reads. What these point to is not touched.
        self.reply(|req| unsafe {
            sys::fuse_reply_ioctl_retry(
                req,
                input.as_ptr(),
                input.len(),
                output.as_ptr(),
                output.len(),
            )
        })
    }

    pub(crate) fn poll(self, events: u32) -> Sent {
        // SAFETY: `reply` spends the request, which was unanswered.
        self.reply(|req| unsafe { sys::fuse_reply_poll(req, events) })
    }

    pub(crate) fn lseek(self, offset: i64) -> Sent {
        // SAFETY: `reply` spends the request, which was unanswered.
        self.reply(|req| unsafe { sys::fuse_reply_lseek(req, offset) })
    }

    pub(crate) fn statx(self, statx: &mut libc::statx, timeout: f64) -> Sent {
        let statx: *mut libc::statx = statx;
        // SAFETY: `reply` spends the request, which was unanswered; `statx` lives, and is what the shim expects.
        self.reply(|req| unsafe { sys::fuse3_reply_statx(req, 0, statx.cast(), timeout) })
    }

    /// How long an extended attribute or the list of them is.
    pub(crate) fn xattr(self, length: usize) -> Sent {
        // SAFETY: `reply` spends the request, which was unanswered.
        self.reply(|req| unsafe { sys::fuse_reply_xattr(req, length) })
    }
}
