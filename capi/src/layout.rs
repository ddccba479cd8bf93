//! Which of libfuse's layouts the C program was compiled with.

use std::ffi::c_uint;

use fuse3::sys::LayoutClass;

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
        Self::of_class(LayoutClass::of(fuse3::sys::library_version()))
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

    /// As the header's inline function sees it, with bindings of the headers at hand.
    #[test]
    fn the_headers_at_hand_have_the_class_of_their_version() {
        // SAFETY: `struct fuse_file_info` is integers, for which zero is a value.
        let mut fi: fuse3::sys::fuse_file_info = unsafe { mem::zeroed() };
        fi.set_flush(1);
        // SAFETY: it is at least two words long.
        let flush = unsafe { (&raw const fi).cast::<c_uint>().wrapping_add(1).read() };
        let here = Layout::of_program(size_of_val(&fi), flush);
        let class = LayoutClass::of(fuse3::sys::header_version());
        assert_eq!(here, Layout::of_class(class));
    }
}
