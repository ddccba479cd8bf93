//! Compiling what is in C and C++ against the library that cargo has just built.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::mount::skip::skip;

/// The library's folder: that of this program.
fn library() -> PathBuf {
    let this = env::current_exe().unwrap();
    this.parent().unwrap().to_owned()
}

pub(crate) fn capi() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What pkg-config says of libfuse. Its headers are the system's: what they warn of is not this library's.
fn libfuse(what: &str) -> Vec<String> {
    let output = Command::new("pkg-config").args([what, "fuse3"]).output();
    let flags = String::from_utf8(output.unwrap().stdout).unwrap();
    let flags = flags.split_whitespace().map(str::to_owned);
    flags
        .flat_map(|flag| match flag.strip_prefix("-I") {
            Some(folder) => vec!["-isystem".to_owned(), folder.to_owned()],
            None => vec![flag],
        })
        .collect()
}

/// Where libfuse's headers are.
pub(crate) fn include() -> PathBuf {
    let mut folders = libfuse("--cflags-only-I").into_iter().skip(1).step_by(2);
    let folder = folders.find(|folder| Path::new(folder).join("fuse_common.h").exists());
    folder.expect("pkg-config says where they are").into()
}

/// Those compilers that there are here; each that is missing is said loudly.
pub(crate) fn compilers(names: &[&'static str]) -> Vec<&'static str> {
    let is_there = |name: &&str| {
        let there = Command::new(name).arg("--version").output().is_ok();
        if !there {
            skip("fuse3lock", format_args!("{name} is not installed"));
        }
        there
    };
    names.iter().copied().filter(is_there).collect()
}

/// The strictest that a compiler may be asked to be.
pub(crate) fn compile(compiler: &str, standard: &str, arguments: &[&str]) -> Output {
    Command::new(compiler)
        .args([standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g"])
        .arg("-I")
        .arg(capi().join("include"))
        .args(arguments)
        .args(libfuse("--cflags"))
        .output()
        .unwrap()
}

/// A program from `source`, a file below `capi/`, linked with the shared library.
pub(crate) fn program(compiler: &str, standard: &str, source: &str) -> PathBuf {
    program_with(&include(), compiler, standard, source)
}

/// The same, with the headers of libfuse in another folder.
pub(crate) fn program_with(
    headers: &Path,
    compiler: &str,
    standard: &str,
    source: &str,
) -> PathBuf {
    let library = library();
    let source = capi().join(source);
    let stem = source.file_stem().unwrap().to_str().unwrap();
    // Tests run side by side.
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    let program = library.join(format!("fuse3lock-{stem}-{compiler}-{process}-{number}"));
    // Before LD_LIBRARY_PATH, in which cargo has the folder that an earlier `cargo build` may have left a library in.
    let rpath = format!("-Wl,--disable-new-dtags,-rpath,{}", library.display());
    let folder = format!("-L{}", library.display());
    let libs = libfuse("--libs");
    // Before those of pkg-config.
    let mut arguments = vec!["-isystem", headers.to_str().unwrap()];
    arguments.extend([source.to_str().unwrap(), "-o", program.to_str().unwrap()]);
    arguments.extend([&*folder, "-lfuse3lock", &*rpath]);
    arguments.extend(libs.iter().map(String::as_str));
    arguments.push("-lpthread");
    let output = compile(compiler, standard, &arguments);
    assert!(output.status.success(), "{compiler} {source:?}: {output:?}");
    program
}

/// The names that the shared library exports.
pub(crate) fn exported() -> Vec<String> {
    let library = library().join("libfuse3lock.so");
    let output = Command::new("nm")
        .args(["--dynamic", "--defined-only", "--format=posix"])
        .arg(library)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}
