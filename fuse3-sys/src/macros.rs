#![expect(
    non_snake_case,
    reason = "these are named as the C macros that they stand for"
)]

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

use crate::{fuse_args, fuse_buf, fuse_bufvec, fuse_opt};

/// `FUSE_VERSION`: of the headers, in the form of [`FUSE_MAKE_VERSION`].
pub const FUSE_VERSION: u32 = crate::bindings::fuse3_header_version;

/// `FUSE_ARGS_INIT(argc, argv)`: arguments that libfuse does not own.
pub const fn FUSE_ARGS_INIT(argc: c_int, argv: *mut *mut c_char) -> fuse_args {
    fuse_args {
        argc,
        argv,
        allocated: 0,
    }
}

/// `FUSE_OPT_KEY(templ, key)`: an option that is given to the processing function.
///
/// The offset is C's `-1U`, 32 bits wide whatever the width of the field.
pub const fn FUSE_OPT_KEY(templ: &'static CStr, key: c_int) -> fuse_opt {
    fuse_opt {
        templ: templ.as_ptr(),
        offset: u32::MAX as _,
        value: key,
    }
}

/// `FUSE_OPT_END`: the last element of a list of options.
pub const fn FUSE_OPT_END() -> fuse_opt {
    fuse_opt {
        templ: ptr::null(),
        offset: 0,
        value: 0,
    }
}

/// `FUSE_BUFVEC_INIT(size)`: a vector of one buffer of `size` bytes, yet without memory.
pub const fn FUSE_BUFVEC_INIT(size: usize) -> fuse_bufvec {
    // SAFETY: `struct fuse_buf` is integers and a pointer, for which zero is a value; it has one member more from
    // libfuse 3.17 on.
    let mut buf: fuse_buf = unsafe { std::mem::zeroed() };
    buf.size = size;
    buf.fd = -1;
    fuse_bufvec {
        count: 1,
        idx: 0,
        off: 0,
        buf: [buf],
    }
}

/// `FUSE_MAKE_VERSION(major, minor)`: the form that [`fuse_version`](crate::fuse_version) returns.
pub const fn FUSE_MAKE_VERSION(major: c_int, minor: c_int) -> c_int {
    major * 100 + minor
}
