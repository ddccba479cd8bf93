//! What a person is told who lacks something: the build script of this package, run once more with a part of the system
//! hidden from it. scripts/missing shows the same with cargo, in chroots that lack it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

#[path = "../build/install.rs"]
mod install;

use install::{COMPILER, LIBCLANG, LIBFUSE, LIBFUSE_ANEW, PKG_CONFIG, told};

/// The build script, and a folder for it.
struct Script {
    program: PathBuf,
    dir: PathBuf,
}

impl Script {
    /// The one that cargo made for this test.
    fn new(name: &str) -> Self {
        let this = env::current_exe().unwrap();
        let profile = this.ancestors().nth(2).expect("target/PROFILE/deps/NAME");
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--quiet",
            "--locked",
            "--package=fuse3-sys",
            "--message-format=json",
        ]);
        build.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let messages = build.output().unwrap();
        let messages = String::from_utf8(messages.stdout).unwrap();
        let mut messages = messages.lines();
        let artifact =
            messages.find(|line| line.contains("\"custom-build\"") && line.contains("fuse3-sys@"));
        let names = artifact.and_then(|line| line.split("\"filenames\":[\"").nth(1));
        let name_of = names.and_then(|names| names.split('"').next());
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("missing-{name}"));
        if dir.exists() {
            fs::remove_dir_all(&dir).unwrap();
        }
        fs::create_dir_all(dir.join("out")).unwrap();
        Self {
            program: PathBuf::from(name_of.expect("cargo tells where the build script is")),
            dir,
        }
    }

    /// A file in the folder, which is returned.
    fn with(&self, file: &str, text: &str) -> &Path {
        fs::write(self.dir.join(file), text).unwrap();
        &self.dir
    }

    /// A .pc file of it, of a library that is not there.
    fn with_pc(&self, name: &str, version: &str, more: &str) -> &Path {
        let text = format!(
            "Name: {name}\nDescription: none\nVersion: {version}\nCflags: -I/nonexistent/{name}\n{more}\n"
        );
        self.with(&format!("{name}.pc"), &text)
    }

    /// What it does as cargo runs it, but for this one variable.
    fn run(&self, variable: &str, value: impl AsRef<Path>) -> Output {
        let version = Command::new(env!("CARGO")).arg("-vV").output().unwrap();
        let version = String::from_utf8(version.stdout).unwrap();
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let mut script = Command::new(&self.program);
        for hidden in ["DOCS_RS", "PKG_CONFIG"] {
            script.env_remove(hidden);
        }
        if variable == "PKG_CONFIG_LIBDIR" {
            script.env_remove("PKG_CONFIG_PATH");
        }
        script
            .env("OUT_DIR", self.dir.join("out"))
            .envs([("HOST", host), ("TARGET", host)].map(|(name, host)| (name, host.unwrap())))
            .envs([
                ("OPT_LEVEL", "0"),
                ("DEBUG", "false"),
                ("RUST_BACKTRACE", "1"),
            ])
            .env(variable, value.as_ref())
            .output()
            .unwrap()
    }

    /// The one error that there is without this, for which cargo fails without showing anything else.
    fn says(&self, variable: &str, value: impl AsRef<Path>) -> String {
        let output = self.run(variable, value);
        assert!(output.status.success(), "{output:?}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        let mut errors = stdout
            .lines()
            .filter_map(|line| line.strip_prefix("cargo::error="));
        let error = errors
            .next()
            .unwrap_or_else(|| panic!("no error: {stdout}"));
        assert_eq!(errors.next(), None);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains("panicked"), "{stderr}");
        error.to_owned()
    }
}

#[test]
fn nothing_is_said_when_all_is_there() {
    let output = Script::new("nothing").run("LANG", "C");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && stdout.contains("cargo::metadata=VERSION=3."),
        "{stdout}"
    );
    assert!(!stdout.contains("cargo::error"), "{stdout}");
}

#[test]
fn pkg_config() {
    let script = Script::new("pkg-config");
    assert_eq!(
        script.says("PATH", &script.dir),
        told(
            "pkg-config, which tells where libfuse 3 is, was not found",
            PKG_CONFIG
        )
    );
    assert_eq!(
        script.says("PKG_CONFIG", "/nonexistent/pkgconf"),
        told(
            "/nonexistent/pkgconf, which tells where libfuse 3 is, was not found",
            PKG_CONFIG
        )
    );
}

#[test]
fn libfuse_3() {
    let script = Script::new("libfuse-3");
    assert_eq!(
        script.says("PKG_CONFIG_LIBDIR", &script.dir),
        told(
            "libfuse 3 was not found: pkg-config knows no fuse3.pc",
            LIBFUSE
        )
    );
    assert_eq!(
        script.says("PKG_CONFIG_LIBDIR", script.with_pc("fuse", "2.9.9", "")),
        told(
            "libfuse 3 was not found, only libfuse 2.9.9, which may stay beside it",
            LIBFUSE
        )
    );
    assert_eq!(
        script.says("PKG_CONFIG_LIBDIR", script.with_pc("fuse3", "3.9.4", "")),
        "libfuse 3.9.4 is too old: 3.10 or later is needed. Debian 11, Ubuntu 22.04 and what is newer have it; \
         PKG_CONFIG_PATH names the folder of the fuse3.pc of one that you have built yourself"
    );
    assert_eq!(
        script.says(
            "PKG_CONFIG_LIBDIR",
            script.with_pc("fuse3", "3.14.0", "Requires: nowhere")
        ),
        told(
            "libfuse 3 cannot be used: Package 'nowhere', required by 'fuse3', not found",
            LIBFUSE
        )
    );
}

#[test]
fn headers() {
    let script = Script::new("headers");
    assert_eq!(
        script.says("PKG_CONFIG_LIBDIR", script.with_pc("fuse3", "3.14.0", "")),
        told(
            "the headers of libfuse 3.14.0 are missing: there is no fuse_lowlevel.h in /nonexistent/fuse3",
            LIBFUSE_ANEW
        )
    );
}

#[test]
fn libclang_and_its_headers() {
    let script = Script::new("libclang");
    let reads = "libclang, with which bindgen reads libfuse's headers,";
    let dir = script.dir.display();
    assert_eq!(
        script.says("LIBCLANG_PATH", &script.dir),
        told(&format!("{reads} is not in LIBCLANG_PATH, {dir}"), LIBCLANG)
    );
    // Of another architecture, or cut off.
    let said = script.says("LIBCLANG_PATH", script.with("libclang.so", "\x7fELF\x01"));
    assert!(
        said.starts_with(&format!("{reads} cannot be used: ")),
        "{said}"
    );
    assert!(
        said.contains(&format!("{dir}/libclang.so: invalid ELF class (32-bit)")),
        "{said}"
    );
    // As if libclang's own stddef.h and the like were not installed.
    let said = script.says("BINDGEN_EXTRA_CLANG_ARGS", "-nobuiltininc");
    assert!(
        said.starts_with("libclang, which is of ")
            && said.contains(" cannot read libfuse's headers in /"),
        "{said}"
    );
    assert!(
        said.contains(": fatal error: '") && said.ends_with(&told(" file not found", LIBCLANG)[..]),
        "{said}"
    );
}

/// One that has hardly any function of those that bindgen calls.
#[test]
fn an_old_libclang() {
    let script = Script::new("old-libclang");
    let source = "typedef struct { const void *data; unsigned flags; } CXString;
        CXString clang_getClangVersion(void) { CXString text = { \"clang version 3.0\", 0 }; return text; }
        const char *clang_getCString(CXString text) { return text.data; }
        void clang_disposeString(CXString text) { (void)text; }";
    let source = script.with("old.c", source).join("old.c");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o"])
        .arg(script.dir.join("libclang.so"))
        .arg(source);
    assert!(compiler.status().unwrap().success());
    assert_eq!(
        script.says("LIBCLANG_PATH", &script.dir),
        told(
            "libclang, which is of clang version 3.0, is too old for bindgen",
            LIBCLANG
        )
    );
}

#[test]
fn the_compiler() {
    let said = Script::new("compiler").says("CC", "/nonexistent/cc");
    let what = "the inline functions of libfuse's headers were not compiled: ";
    let commands = told("", COMPILER);
    assert!(
        said.starts_with(what) && said.contains("/nonexistent/cc") && said.ends_with(&commands),
        "{said}"
    );
}
