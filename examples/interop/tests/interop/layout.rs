//! C code that is compiled with what fuse3-sys tells sees the structures that Rust sees.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::mem;

use fuse3_sys::{LayoutClass, fuse_file_info};

unsafe extern "C" {
    safe fn layout_size() -> usize;
    safe fn layout_header() -> c_uint;
    fn layout_set(fi: *mut fuse_file_info, bit: *const c_char) -> c_int;
    fn layout_get(fi: *const fuse_file_info, bit: *const c_char) -> c_int;
}

fn zeroed() -> fuse_file_info {
    // SAFETY: integers, for which zero is a value.
    unsafe { mem::zeroed() }
}

/// A bit, as C and as Rust know it.
type Bit = (
    &'static CStr,
    fn(&fuse_file_info) -> u64,
    fn(&mut fuse_file_info),
);

macro_rules! bits {
    ($($name:ident $set:ident),*) => {
        [$((
            CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()).unwrap(),
            |fi| fi.$name().into(),
            |fi| fi.$set(1),
        )),*]
    };
}

#[test]
fn each_bit_is_where_it_is_in_c() {
    let bits: [Bit; 7] = bits![
        writepage set_writepage, direct_io set_direct_io, keep_cache set_keep_cache, flush set_flush,
        nonseekable set_nonseekable, flock_release set_flock_release, cache_readdir set_cache_readdir
    ];
    for (name, get, set) in bits {
        let mut by_c = zeroed();
        // SAFETY: `by_c` lives, and is laid out as this test says; `name` lives.
        let known = unsafe { layout_set(&raw mut by_c, name.as_ptr()) };
        assert_eq!((known, get(&by_c)), (0, 1), "{name:?}");
        for (other, get, _) in bits {
            assert_eq!(get(&by_c) == 1, other == name, "{other:?} with {name:?}");
        }
        let mut by_rust = zeroed();
        set(&mut by_rust);
        // SAFETY: as above.
        let there = unsafe { layout_get(&raw const by_rust, name.as_ptr()) };
        assert_eq!(there, 1, "{name:?}");
    }
}

#[test]
fn the_build_script_was_told_of_these_headers() {
    assert_eq!(layout_size(), size_of::<fuse_file_info>());
    let [major, minor, patch] = fuse3_sys::header_version();
    assert_eq!(layout_header(), fuse3_sys::FUSE_VERSION);
    assert_eq!(env!("FUSE3_VERSION"), format!("{major}.{minor}.{patch}"));
    let class = LayoutClass::of([major, minor, patch]);
    assert_eq!(env!("FUSE3_CLASS"), format!("{class:?}"));
}
