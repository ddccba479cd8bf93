use std::ffi::c_int;
use std::ptr;

/// While it lives, the thread cannot be cancelled: libfuse cancels its workers over io_uring while they are in handlers,
/// and a forced unwind through Rust aborts the process.
pub(crate) struct Uncancelled(c_int);

unsafe extern "C" {
    /// pthread_setcancelstate(3), which the libc crate does not have for glibc.
    fn pthread_setcancelstate(state: c_int, oldstate: *mut c_int) -> c_int;
}
/// `PTHREAD_CANCEL_DISABLE`: 1 in glibc and musl.
const PTHREAD_CANCEL_DISABLE: c_int = 1;

impl Uncancelled {
    #[inline]
    pub(crate) fn new() -> Self {
        let mut before = 0;
        // SAFETY: `before` lives; the call changes this thread only.
        unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &raw mut before) };
        Self(before)
    }
}

impl Drop for Uncancelled {
    #[inline]
    fn drop(&mut self) {
        // As it is on the workers of /dev/fuse: there it stays so.
        if self.0 == PTHREAD_CANCEL_DISABLE {
            return;
        }
        // SAFETY: `self.0` is what the call returned before; null is allowed where the state is not wanted.
        unsafe { pthread_setcancelstate(self.0, ptr::null_mut()) };
    }
}
