use std::ffi::CStr;
use std::fmt;

use crate::LayoutClass;

/// The version of the headers that this crate was built against: major, minor, patch.
///
/// From `fuse3.pc`, since the headers before 3.17 do not say their patch level.
pub const fn header_version() -> [u32; 3] {
    include!(concat!(env!("OUT_DIR"), "/header_version.rs"))
}

/// `fuse_pkgversion()`: the version of the libfuse that was loaded: major, minor, patch.
///
/// Numbers that cannot be read (a development version "3.19.0-rc0" has a suffix) end at the first other character.
pub fn library_version() -> [u32; 3] {
    // SAFETY: libfuse documents no precondition; the function returns a string literal.
    let text = unsafe { crate::fuse_pkgversion() };
    // SAFETY: `fuse_pkgversion()` returned a string literal of the library, NUL-terminated and never freed.
    parse(unsafe { CStr::from_ptr(text) }.to_str().unwrap_or(""))
}

/// Refuses a library whose structures are laid out otherwise than in the headers this crate was built against.
///
/// libfuse 3.14.1 to 3.16.2 have the bits of `struct fuse_file_info` at other places than 3.14.0 and earlier, under
/// the same soname; from 3.17 on the structure is larger, under another soname (libfuse issue 1029).
///
/// # Errors
///
/// [`LayoutMismatch`], which names both versions.
pub fn check_layout() -> Result<(), LayoutMismatch> {
    compare(header_version(), library_version())
}

/// The loaded libfuse has another layout than the headers this program was built against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayoutMismatch {
    /// Version of the headers.
    pub header: [u32; 3],
    /// Version of the library.
    pub library: [u32; 3],
}

impl fmt::Display for LayoutMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.header;
        write!(
            f,
            "this program was built against the headers of libfuse {major}.{minor}.{patch}, but "
        )?;
        let [major, minor, patch] = self.library;
        write!(
            f,
            "libfuse {major}.{minor}.{patch} was loaded, which lays out struct fuse_file_info differently; \
             build it again against the headers of the installed libfuse"
        )
    }
}

impl std::error::Error for LayoutMismatch {}

fn compare(header: [u32; 3], library: [u32; 3]) -> Result<(), LayoutMismatch> {
    if LayoutClass::of(header) == LayoutClass::of(library) {
        Ok(())
    } else {
        Err(LayoutMismatch { header, library })
    }
}

fn parse(text: &str) -> [u32; 3] {
    let mut parts = text.split('.').map(|part| {
        let digits = part
            .find(|c: char| !c.is_ascii_digit())
            .map_or(part, |end| &part[..end]);
        digits.parse().unwrap_or(0)
    });
    [(); 3].map(|()| parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(parse("3.14.0"), [3, 14, 0]);
        assert_eq!(parse("3.19.0-rc0"), [3, 19, 0]);
        assert_eq!(parse("3.17"), [3, 17, 0]);
        assert_eq!(library_version()[0], 3);
        assert_eq!(header_version()[0], 3);
    }

    #[test]
    fn the_shim_links() {
        // SAFETY: libfuse documents no precondition.
        let config = unsafe { crate::fuse_loop_cfg_create() };
        assert!(!config.is_null());
        // SAFETY: `config` came from `fuse_loop_cfg_create()` and is not used again.
        unsafe { crate::fuse_loop_cfg_destroy(config) };
        // SAFETY: `struct fuse_file_info` is integers, for which zero is a value.
        let mut fi: crate::fuse_file_info = unsafe { std::mem::zeroed() };
        // SAFETY: `fi` lives.
        let known = unsafe { crate::fuse3_fi_set_nonseekable(&raw mut fi, 1) };
        // SAFETY: `fi` lives.
        let set = unsafe { crate::fuse3_fi_get_nonseekable(&raw const fi) };
        assert_eq!((known, set), (1, 1));
    }

    #[test]
    fn the_library_at_hand_fits_its_headers() {
        assert_eq!(check_layout(), Ok(()));
    }

    #[test]
    fn layouts_change_where_libfuse_changed_them() {
        let same = |a, b| compare(a, b).is_ok();
        assert!(same([3, 10, 3], [3, 14, 0]));
        assert!(!same([3, 14, 0], [3, 14, 1]));
        assert!(same([3, 14, 1], [3, 16, 2]));
        assert!(!same([3, 16, 2], [3, 17, 1]));
        assert!(same([3, 17, 2], [3, 18, 3]));
        assert!(!same([3, 14, 0], [3, 17, 2]));
    }

    #[test]
    fn a_mismatch_names_both() {
        let text = compare([3, 14, 0], [3, 16, 2]).unwrap_err().to_string();
        assert!(text.contains("3.14.0") && text.contains("3.16.2"), "{text}");
    }
}
