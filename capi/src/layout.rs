//! Which libfuse the C program was compiled with, and which it calls.

use std::ffi::{c_int, c_uint};
use std::ptr;

use fuse3::sys::{self, LayoutClass};

/// The address of `fuse_session_fd()` in the program.
pub(crate) type SessionFd = unsafe extern "C" fn(*mut sys::fuse_session) -> c_int;

/// The program calls the same libfuse as this library, which is of the soname that this library was built with.
///
/// Each may have brought one of its own: by linking one statically, or another soname. The loader takes most functions from
/// the first then, and what only the second has from there.
pub(crate) fn is_shared(session_fd: SessionFd) -> bool {
    ptr::fn_addr_eq(session_fd, sys::fuse_session_fd as SessionFd)
        && is_soname(sys::header_version(), sys::library_version())
}

/// The soname has changed once, when `struct fuse_file_info` grew.
fn is_soname(built: [u32; 3], loaded: [u32; 3]) -> bool {
    let [built, loaded] = [built, loaded].map(|version| LayoutClass::of(version) == LayoutClass::C);
    built == loaded
}

/// What of `struct fuse_file_info` tells the layouts of libfuse's releases apart (issue 1029 of libfuse).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// 64 bytes from 3.17 on, 40 before, or 4 less where 64-bit integers are aligned to 4.
    grown: bool,
    /// The second word, with `flush` set and nothing else.
    flush: c_uint,
}

impl Layout {
    /// As the program's compiler sees it.
    pub(crate) const fn of_program(size: usize, flush: c_uint) -> Self {
        Self {
            grown: size >= 56,
            flush,
        }
    }

    /// As the libfuse that was loaded has it.
    pub(crate) fn of_library() -> Self {
        Self::of_class(LayoutClass::of(sys::library_version()))
    }

    const fn of_class(class: LayoutClass) -> Self {
        let bit = match class {
            LayoutClass::A | LayoutClass::C => 3,
            LayoutClass::B => 4,
        };
        let bit = if cfg!(target_endian = "big") {
            31 - bit
        } else {
            bit
        };
        Self {
            grown: matches!(class, LayoutClass::C),
            flush: 1 << bit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem;

    #[test]
    fn classes_are_told_apart() {
        let [a, b, c] = [LayoutClass::A, LayoutClass::B, LayoutClass::C].map(Layout::of_class);
        assert!(a != b && b != c && c != a);
    }

    #[test]
    fn sonames_are_told_apart() {
        assert!(is_soname([3, 10, 3], [3, 16, 2]) && is_soname([3, 18, 3], [3, 17, 1]));
        assert!(!is_soname([3, 16, 2], [3, 17, 1]) && !is_soname([3, 18, 3], [3, 14, 0]));
    }

    /// As the header's inline function sees it, with bindings of the headers at hand.
    #[test]
    fn the_headers_at_hand_have_the_class_of_their_version() {
        // SAFETY: `struct fuse_file_info` is integers, for which zero is a value.
        let mut fi: sys::fuse_file_info = unsafe { mem::zeroed() };
        fi.set_flush(1);
        // SAFETY: it is at least two words long.
        let flush = unsafe { (&raw const fi).cast::<c_uint>().wrapping_add(1).read() };
        let here = Layout::of_program(size_of_val(&fi), flush);
        let class = LayoutClass::of(sys::header_version());
        assert_eq!(here, Layout::of_class(class));
    }
}
