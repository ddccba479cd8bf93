//! A program that was compiled with other headers than the library's libfuse has, and one that is run with another libfuse.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fuse3::sys::LayoutClass;

use crate::compiler::{include, program, program_with};
use crate::other::Other;
use crate::served::Served;

/// watched.c is told so each time.
#[track_caller]
fn is_refused(watched: Command) {
    let ended = Served::start(watched).ends();
    assert_eq!(libc::ELIBBAD, 80);
    assert_eq!(
        (ended.code, &*ended.stdout),
        (Some(1), "ended -80\nagain -80\nother -80\n"),
        "{ended:?}"
    );
}

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
    is_refused(Command::new(&program));
    fs::remove_file(program).unwrap();
}

fn folder(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// A program has brought it, beside that of the library.
#[test]
fn a_libfuse_of_another_soname_is_refused() {
    let third = LayoutClass::of(fuse3::sys::header_version()) == LayoutClass::C;
    let version = if third { "3.14.0" } else { "3.17.2" };
    let other = Other::saying(&folder("another-soname"), version);
    let program = program("cc", "-std=gnu11", "tests/errors.c");
    let mut errors = Command::new(&program);
    errors.arg("soname").env(other.variable, &other.place);
    let output = errors.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    fs::remove_file(program).unwrap();
}

#[test]
fn a_libfuse_of_another_layout_is_refused() {
    let dir = folder("another-libfuse");
    let other = Other::new(&dir);
    let program = program("cc", "-std=gnu11", "tests/watched.c");
    let mut watched = Command::new(&program);
    watched.env(other.variable, &other.place);
    is_refused(watched);
    fs::remove_file(program).unwrap();
}
