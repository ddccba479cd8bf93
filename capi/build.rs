//! Refuses a libfuse inside of the shared library, beside that of the program.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=FUSE3_STATIC");
    let asked = env::var_os("FUSE3_STATIC");
    if asked.is_some_and(|value| !value.is_empty() && value != "0") {
        println!(
            "cargo::error=FUSE3_STATIC would put a libfuse of its own into libfuse3lock.so, which runs sessions of the program's \
             libfuse: build fuse3lock without it, and link libfuse3lock.a and libfuse3.a in the program"
        );
    }
}
