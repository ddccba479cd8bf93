//! Raw bindings to libfuse 3.
//!
//! Everything that the installed headers declare, generated when this crate is built, under the names that C uses: the
//! low-level API (`fuse_lowlevel.h`, `cuse_lowlevel.h`), the high-level one (`fuse.h`), what both have (`fuse_common.h`,
//! `fuse_opt.h`, `fuse_log.h`), and of libfuse 3.19 `fuse_daemonize.h` and, where it is installed, `fuse_service.h`. Functions
//! that C has only as macros or inline functions, or with another signature in another libfuse ([`fuse_session_new`],
//! [`fuse_session_loop_mt`], [`fuse_parse_cmdline`], [`fuse_session_custom_io`], the feature flags,
//! [`fuse_lowlevel_notify_expire_entry`], [`fuse_main`], [`fuse_new`], [`fuse_loop_mt`]), are compiled from `wrapper.h` and have
//! one signature whatever the version. The macro `FUSE_REGISTER_MODULE` is not there: it defines a function.
//! Names that begin with `fuse3_` are of this crate. The safe API is the crate `fuse3-lowlevel`.
//!
//! # Which libfuse
//!
//! Any from 3.10 on. The bindings fit the headers that they were made from and no other: under one soname,
//! libfuse3.so.3, there are two layouts of `struct fuse_file_info`. [`check_layout`] tells whether the library that
//! was loaded is of the layout of the headers; call it before anything else.
//!
//! # Linking
//!
//! libfuse is linked dynamically. With `FUSE3_STATIC=1` in the environment of the build `libfuse3.a` is, where there is one: the
//! program then carries its libfuse with it, and whoever passes it on what the LGPL-2.1 asks for; fusermount3 is still the
//! system's. The other libraries, the C library among them, stay dynamic.
//!
//! # For build scripts
//!
//! A crate that depends on this one directly finds what its C code is to be compiled with in its build script's environment,
//! so that nobody else asks pkg-config, and C and Rust see the same headers:
//!
//! | variable | |
//! |---|---|
//! | `DEP_FUSE3_INCLUDE` | the folder of the headers, which is all that the compiler has to be told; `FUSE_USE_VERSION` is for the C code to choose |
//! | `DEP_FUSE3_VERSION` | their version, such as `3.14.0` |
//! | `DEP_FUSE3_CLASS` | their [`LayoutClass`], `A`, `B` or `C` |
//! | `DEP_FUSE3_FEATURES` | what they have that others have not, separated by commas |
//!
//! Cargo passes them to direct dependents alone: a crate that uses `fuse3-lowlevel` names this one beside it, and gets the same
//! one, since cargo permits one crate that links `fuse3`. None of them is set where documentation is built without libfuse
//! (`DOCS_RS`).

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "fuse3-sys is for 64-bit targets: on others libc's off_t, stat and flock may not be those that libfuse is compiled with"
);

mod bindings;
mod layout;
mod macros;
mod shim;
mod version;

pub use bindings::*;
pub use layout::LayoutClass;
pub use macros::{
    FUSE_ARGS_INIT, FUSE_BUFVEC_INIT, FUSE_MAKE_VERSION, FUSE_OPT_END, FUSE_OPT_KEY, FUSE_VERSION,
};
pub use shim::{
    HAS_IO_URING, LIMITS_THREADS, cuse_lowlevel_main, cuse_lowlevel_new, cuse_lowlevel_setup,
    fuse_get_feature_flag, fuse_loop_cfg_create, fuse_loop_cfg_destroy, fuse_loop_cfg_set_clone_fd,
    fuse_loop_cfg_set_idle_threads, fuse_loop_cfg_set_max_threads, fuse_loop_mt,
    fuse_lowlevel_notify_expire_entry, fuse_main, fuse_new, fuse_parse_cmdline,
    fuse_req_get_payload, fuse_req_is_uring, fuse_session_custom_io, fuse_session_loop,
    fuse_session_loop_mt, fuse_session_new, fuse_set_feature_flag, fuse_unset_feature_flag,
};
pub use version::{LayoutMismatch, check_layout, header_version, library_version};
