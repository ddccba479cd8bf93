//! A program that was compiled with other headers than the library's libfuse has.

use std::fs;
use std::path::{Path, PathBuf};

use crate::compiler::{include, program_with};
use crate::wire::Watched;

/// A copy of libfuse's headers, with one bit more in the middle of `struct fuse_file_info`: what 3.14.1 did to 3.14.0, and
/// took back in 3.17.
fn with_a_bit_more() -> PathBuf {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("a-bit-more");
    if copy.exists() {
        fs::remove_dir_all(&copy).unwrap();
    }
    fs::create_dir_all(&copy).unwrap();
    for header in fs::read_dir(include()).unwrap() {
        let header = header.unwrap();
        fs::copy(header.path(), copy.join(header.file_name())).unwrap();
    }
    let common = copy.join("fuse_common.h");
    let text = fs::read_to_string(&common).unwrap();
    let (before, after) = text.split_once("keep_cache : 1;").unwrap();
    let changed = format!("{before}keep_cache : 1;\n\tunsigned int inserted : 1;\n{after}");
    // It comes out of the padding.
    let bits = |count: u32| format!("padding : {count};");
    let padding = (1..32).find(|count| changed.contains(&bits(*count)));
    let padding = padding.expect("there are bits left");
    let changed = changed.replacen(&bits(padding), &bits(padding - 1), 1);
    fs::write(&common, changed).unwrap();
    copy
}

/// And with those that it has: the other tests.
#[test]
fn other_headers_are_refused() {
    let headers = with_a_bit_more();
    let program = program_with(&headers, "cc", "-std=gnu11", "tests/watched.c");
    assert_eq!(libc::ELIBBAD, 80);
    let mut watched = Watched::start(&program);
    let said = watched.ends(1);
    assert_eq!(said, "ended -80\nagain -80\nother -80\n");
}
