//! The examples as programs.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

/// A copy that can be run at once: a process that another thread starts meanwhile has what this one has open, and a program that
/// somebody has open to write is busy. So cp(1) writes it.
pub(crate) fn copy(program: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-p").args([program, to]).status();
    assert!(copied.unwrap().success(), "{}", to.display());
}

/// The example's program, beside this one's folder; cargo brings it up to date, since `cargo test` does not build an
/// example that has tests of its own as a program, too; once in each process.
pub(crate) fn built(example: &str) -> PathBuf {
    // A thread that has mounts of its own, in a chroot, is told another path.
    static THIS: LazyLock<PathBuf> = LazyLock::new(|| env::current_exe().unwrap());
    let [profile, target] = [2, 3].map(|above| {
        THIS.ancestors()
            .nth(above)
            .expect("target/PROFILE/deps/NAME")
    });
    static UP_TO_DATE: Mutex<Vec<String>> = Mutex::new(Vec::new());
    // Whoever else wants one waits, as it would for cargo. A test that has failed in here has left nothing half done.
    let mut up_to_date = UP_TO_DATE.lock().unwrap_or_else(PoisonError::into_inner);
    let is_known = up_to_date.iter().any(|known| known == example);
    if let (false, Some(cargo)) = (is_known, env::var_os("CARGO")) {
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--offline", "--example", example]);
        build.arg("--manifest-path").arg(manifest(target));
        build.arg("--target-dir").arg(target);
        let features = [
            ("bytes", cfg!(feature = "bytes")),
            ("rustix", cfg!(feature = "rustix")),
            ("systemd", cfg!(feature = "systemd")),
            ("tokio", cfg!(feature = "tokio")),
        ];
        for (feature, _) in features.into_iter().filter(|(_, on)| *on) {
            build.args(["--features", feature]);
        }
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "{example} was not built");
        up_to_date.push(example.to_owned());
    }
    profile.join("examples").join(example)
}

/// The crate's, or, of a crate that was published, that of a folder of links to it in `target`: cargo writes its lock file
/// beside it, which an ordinary user may not where a distribution has installed the crate.
fn manifest(target: &Path) -> PathBuf {
    let crate_s = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !crate_s.join("Cargo.toml.orig").exists() {
        return crate_s.join("Cargo.toml");
    }
    let links = target.join(concat!("source-", env!("CARGO_PKG_VERSION")));
    fs::create_dir_all(&links).unwrap();
    for entry in fs::read_dir(crate_s).unwrap() {
        let entry = entry.unwrap();
        match symlink(entry.path(), links.join(entry.file_name())) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => panic!("{links:?}: {error}"),
            _ => {}
        }
    }
    links.join("Cargo.toml")
}
