//! Which of libfuse's layouts the C program was compiled with.

use std::ffi::c_uint;

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
        Self::of_version(fuse3::sys::library_version())
    }

    const fn of_version(version: [u32; 3]) -> Self {
        let bit = match version {
            [3, 14, 0] => 3,
            [3, 14..=16, _] => 4,
            _ => 3,
        };
        let bit = if cfg!(target_endian = "big") {
            31 - bit
        } else {
            bit
        };
        Self {
            grown: !matches!(version, [3, ..=16, _]),
            flush: 1 << bit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_change_where_libfuse_changed_them() {
        let same = |a, b| Layout::of_version(a) == Layout::of_version(b);
        assert!(same([3, 10, 3], [3, 14, 0]));
        assert!(!same([3, 14, 0], [3, 14, 1]));
        assert!(same([3, 14, 1], [3, 16, 2]));
        assert!(!same([3, 16, 2], [3, 17, 1]));
        assert!(same([3, 17, 2], [3, 18, 3]));
        assert!(!same([3, 14, 0], [3, 17, 2]));
    }
}
