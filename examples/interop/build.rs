//! Compiles what is in C, against the headers that the bindings were made from: nobody asks pkg-config a second time.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=c");
    let Some(include) = env::var_os("DEP_FUSE3_INCLUDE") else {
        // Documentation is built, without libfuse.
        return;
    };
    // C code that shares structures of libfuse with Rust may look at these.
    for name in ["VERSION", "CLASS"] {
        let value = env::var(format!("DEP_FUSE3_{name}")).expect("fuse3-sys tells it");
        println!("cargo::rustc-env=FUSE3_{name}={value}");
    }
    // An archive each, of which a program takes what it calls. visits.c has a main() of its own.
    for name in ["catalog", "layout", "visits"] {
        cc::Build::new()
            .include(&include)
            .std("c11")
            .warnings(true)
            .extra_warnings(true)
            .file(format!("c/{name}.c"))
            .compile(&format!("fuse3_interop_{name}"));
    }
}
