use std::ffi::c_uint;
use std::ptr::NonNull;

use crate::sys;

/// `struct fuse_loop_config`: how many workers libfuse's loop has.
///
/// # Invariants
///
/// It came from `fuse_loop_cfg_create()` and has not been destroyed.
pub(crate) struct LoopConfig(NonNull<sys::fuse_loop_config>);

impl LoopConfig {
    /// `None` when there is no memory.
    ///
    /// libfuse's default is that idle workers stay. One that it detaches, since there are more than `idle`, might end after the
    /// loop has: it uses nothing of the loop or the session any more.
    pub(crate) fn new(workers: c_uint, idle: Option<c_uint>, clone_fd: bool) -> Option<Self> {
        // SAFETY: no precondition.
        let config = Self(NonNull::new(unsafe { sys::fuse_loop_cfg_create() })?);
        // SAFETY: it lives (invariant).
        unsafe { sys::fuse_loop_cfg_set_max_threads(config.as_ptr(), workers) };
        // SAFETY: as above.
        unsafe { sys::fuse_loop_cfg_set_clone_fd(config.as_ptr(), clone_fd.into()) };
        if let Some(idle) = idle {
            // SAFETY: as above.
            unsafe { sys::fuse_loop_cfg_set_idle_threads(config.as_ptr(), idle) };
        }
        Some(config)
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::fuse_loop_config {
        self.0.as_ptr()
    }
}

impl Drop for LoopConfig {
    fn drop(&mut self) {
        // SAFETY: it lives (invariant), and is not used again.
        unsafe { sys::fuse_loop_cfg_destroy(self.as_ptr()) };
    }
}
