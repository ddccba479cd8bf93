//! Programs that mount nothing.

use std::process::Command;
use std::{fs, path::Path};

use crate::compiler::{compilers, program};

/// It says what fails, and ends with a status that is not 0, by an alarm(2) if it hangs.
fn succeeds(program: &Path) {
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let output = Command::new(program).arg(profile).output().unwrap();
    fs::remove_file(program).unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn each_function_has_the_errors_that_the_header_says() {
    for compiler in compilers(&["gcc", "clang"]) {
        succeeds(&program(compiler, "-std=gnu11", "tests/errors.c"));
    }
}

#[test]
fn cpps_guards_take_it() {
    for compiler in compilers(&["g++", "clang++"]) {
        succeeds(&program(compiler, "-std=c++17", "tests/guards.cc"));
    }
}
