//! The shim's functions, under the names of what they stand for.

pub use crate::bindings::{
    shim_cuse_lowlevel_main as cuse_lowlevel_main, shim_cuse_lowlevel_new as cuse_lowlevel_new,
    shim_cuse_lowlevel_setup as cuse_lowlevel_setup,
    shim_fuse_get_feature_flag as fuse_get_feature_flag, shim_fuse_loop_mt as fuse_loop_mt,
    shim_fuse_lowlevel_notify_expire_entry as fuse_lowlevel_notify_expire_entry,
    shim_fuse_main as fuse_main, shim_fuse_new as fuse_new,
    shim_fuse_parse_cmdline as fuse_parse_cmdline,
    shim_fuse_req_get_payload as fuse_req_get_payload, shim_fuse_req_is_uring as fuse_req_is_uring,
    shim_fuse_session_custom_io as fuse_session_custom_io,
    shim_fuse_session_loop as fuse_session_loop, shim_fuse_session_loop_mt as fuse_session_loop_mt,
    shim_fuse_session_new as fuse_session_new, shim_fuse_set_feature_flag as fuse_set_feature_flag,
    shim_fuse_unset_feature_flag as fuse_unset_feature_flag,
};

/// Whether `fuse_loop_cfg_set_max_threads()` has an effect: libfuse before 3.12 starts a thread for each request that comes
/// while all others are busy, whatever it is told.
pub const LIMITS_THREADS: bool = cfg!(fuse3_loop_cfg);

/// Whether the headers have io_uring (libfuse 3.18): otherwise [`fuse_req_is_uring`] is false of every request.
pub const HAS_IO_URING: bool = cfg!(fuse3_io_uring);

#[cfg(fuse3_loop_cfg)]
pub use crate::bindings::{
    fuse_loop_cfg_create, fuse_loop_cfg_destroy, fuse_loop_cfg_set_clone_fd,
    fuse_loop_cfg_set_idle_threads, fuse_loop_cfg_set_max_threads,
};
#[cfg(not(fuse3_loop_cfg))]
pub use crate::bindings::{
    shim_fuse_loop_cfg_create as fuse_loop_cfg_create,
    shim_fuse_loop_cfg_destroy as fuse_loop_cfg_destroy,
    shim_fuse_loop_cfg_set_clone_fd as fuse_loop_cfg_set_clone_fd,
    shim_fuse_loop_cfg_set_idle_threads as fuse_loop_cfg_set_idle_threads,
    shim_fuse_loop_cfg_set_max_threads as fuse_loop_cfg_set_max_threads,
};
