//! The header, next to what it is the header of.

use std::fs;

use fuse3::Operation;

use crate::compiler::{capi, compile, compilers, exported};

fn header() -> String {
    fs::read_to_string(capi().join("include/fuse3lock.h")).unwrap()
}

#[test]
fn it_compiles_without_a_warning_in_c_and_in_cpp() {
    for (names, standard, source) in [
        (["gcc", "clang"], "-std=c11", "tests/all.c"),
        (["gcc", "clang"], "-std=c17", "tests/all.c"),
        (["g++", "clang++"], "-std=c++17", "tests/all.cc"),
    ] {
        for compiler in compilers(&names) {
            let source = capi().join(source);
            for api in ["35", "312", "317", "318"] {
                let define = format!("-DFUSE_USE_VERSION={api}");
                let arguments = ["-fsyntax-only", &*define, source.to_str().unwrap()];
                let output = compile(compiler, standard, &arguments);
                let what = format!("{compiler} {standard} {define}");
                assert!(output.status.success(), "{what}: {output:?}");
            }
        }
    }
}

#[test]
fn an_older_interface_of_libfuse_is_refused() {
    let source = capi().join("tests/all.c");
    let arguments = [
        "-fsyntax-only",
        "-DFUSE_USE_VERSION=34",
        source.to_str().unwrap(),
    ];
    let output = compile("cc", "-std=c11", &arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("35 or more"), "{output:?}");
}

#[test]
fn what_is_exported_is_what_is_declared() {
    let header = header();
    let mut declared: Vec<&str> = header
        .lines()
        .filter(|line| !line.starts_with([' ', '\t', '#', '/', '*']))
        .filter(|line| !line.starts_with("static"))
        .filter_map(|line| line.split_once('('))
        .filter_map(|(before, _)| before.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("fuse3lock_"))
        .collect();
    declared.sort_unstable();
    let mut exported = exported();
    exported.sort_unstable();
    assert_eq!(declared, exported);
    assert!(exported.len() > 20, "{exported:?}");
}

/// The numbers go from the trampolines in the program to the library.
#[test]
fn the_handlers_have_the_librarys_numbers() {
    let header = header();
    let list = header.split("enum fuse3lock_op {").nth(1).unwrap();
    let list = list.split("FUSE3LOCK_OP_END_").next().unwrap();
    let names: Vec<String> = list
        .split(',')
        .filter_map(|name| name.trim().strip_prefix("FUSE3LOCK_OP_"))
        .map(str::to_lowercase)
        .collect();
    let known: Vec<&str> = Operation::ALL.iter().map(|known| known.name()).collect();
    assert_eq!(names, known);
}
