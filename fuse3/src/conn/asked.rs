//! What libfuse tells of a request that is not answered yet.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::ptr::{self, NonNull};
use std::slice;

use crate::conn::request::Request;
use crate::sys;
use crate::types::caller::{Caller, SecurityContext};

impl Request {
    /// `fuse_req_ctx()`.
    #[inline]
    pub(crate) fn caller(&self) -> Caller {
        // SAFETY: the request is unanswered and exists (invariants).
        let ctx = unsafe { sys::fuse_req_ctx(self.as_ptr()) };
        // SAFETY: `fuse_req_ctx()` returned a member of the request, which lives until it is answered.
        let ctx = unsafe { &*ctx };
        Caller {
            uid: ctx.uid,
            gid: ctx.gid,
            pid: ctx.pid,
            umask: ctx.umask,
        }
    }

    /// `fuse_req_getgroups()`.
    pub(crate) fn groups(&self) -> io::Result<Vec<u32>> {
        let mut groups = vec![0; 32];
        loop {
            let room = i32::try_from(groups.len()).unwrap_or(i32::MAX);
            // SAFETY: the request is unanswered and exists (invariants), and `groups` has `room` elements.
            let count =
                unsafe { sys::fuse_req_getgroups(self.as_ptr(), room, groups.as_mut_ptr()) };
            let Ok(count) = usize::try_from(count) else {
                return Err(io::Error::from_raw_os_error(-count));
            };
            let enough = count <= groups.len();
            groups.resize(count, 0);
            if enough {
                return Ok(groups);
            }
        }
    }

    /// `fuse_req_secctx_next()`, of all there are.
    pub(crate) fn security_contexts(&self) -> io::Result<Vec<SecurityContext>> {
        // SAFETY: the request is unanswered (invariant).
        let count = unsafe { sys::fuse3_req_secctx_count(self.as_ptr()) };
        if count < 0 {
            let why = "security contexts need libfuse 3.19, when the program is built, too";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        // SAFETY: as above.
        unsafe { sys::fuse3_req_secctx_reset(self.as_ptr()) };
        let next = |_| self.next_security_context();
        (0..count).map(next).collect()
    }

    fn next_security_context(&self) -> io::Result<SecurityContext> {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the request is unanswered (invariant), and the other arguments live.
        let result = unsafe {
            sys::fuse3_req_secctx_next(self.as_ptr(), &raw mut name, &raw mut value, &raw mut size)
        };
        let size = usize::try_from(size).unwrap_or(0);
        if result != 0 || name.is_null() || (value.is_null() && size > 0) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        // SAFETY: libfuse has looked for the NUL, and the name lives as long as the request.
        let name = unsafe { CStr::from_ptr(name) };
        let value = if size == 0 {
            &[]
        } else {
            // SAFETY: it has as many bytes, which live as long as the request.
            unsafe { slice::from_raw_parts(value.cast::<u8>(), size) }
        };
        Ok(SecurityContext {
            name: OsStr::from_bytes(name.to_bytes()).to_owned(),
            value: value.to_vec(),
        })
    }

    /// `fuse_req_get_payload()`: where the answer of a request over io_uring goes, which is its own until it is answered.
    ///
    /// `None` for one that came over the descriptor. The bytes are what an earlier request has left, or this one's arguments.
    pub(crate) fn payload(&self) -> Option<NonNull<[u8]>> {
        let mut payload = ptr::null_mut();
        let mut size = 0;
        // SAFETY: the request is unanswered (invariant); null is allowed where the registration is not wanted.
        let result = unsafe {
            sys::fuse_req_get_payload(
                self.as_ptr(),
                &raw mut payload,
                &raw mut size,
                ptr::null_mut(),
            )
        };
        let payload = NonNull::new(payload.cast::<u8>()).filter(|_| result == 0)?;
        Some(NonNull::slice_from_raw_parts(payload, size))
    }
}
