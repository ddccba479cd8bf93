//! A libfuse of another layout than that of the headers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What has the loader take it, and where it is.
pub(crate) struct Other {
    pub(crate) variable: &'static str,
    pub(crate) place: PathBuf,
    pub(crate) version: String,
}

impl Other {
    /// The one in the folder that FUSE3_TEST_OTHER_LIBFUSE names; else a library that only says to be one, compiled in `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        if let Some(place) = env::var_os("FUSE3_TEST_OTHER_LIBFUSE").map(PathBuf::from) {
            let library = place.join("libfuse3.so").canonicalize().unwrap();
            let name = library.file_name().unwrap().to_str().unwrap();
            let version = name.strip_prefix("libfuse3.so.").unwrap().to_owned();
            return Self {
                variable: "LD_LIBRARY_PATH",
                place,
                version,
            };
        }
        let first = fuse3::sys::header_version() <= [3, 14, 0];
        Self::saying(dir, if first { "3.16.2" } else { "3.14.0" })
    }

    /// A library that only says to be this one, compiled in `dir`.
    pub(crate) fn saying(dir: &Path, version: &str) -> Self {
        let source = dir.join("other.c");
        let code = format!("const char *fuse_pkgversion(void) {{ return \"{version}\"; }}\n");
        fs::write(&source, code).unwrap();
        let library = dir.join("libother.so");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-o"])
            .args([&library, &source]);
        let output = cc.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Self {
            variable: "LD_PRELOAD",
            place: library,
            version: version.to_owned(),
        }
    }
}
