//! The examples as programs.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// The example's program, beside this one's folder; cargo brings it up to date, since `cargo test` does not build an
/// example that has tests of its own as a program, too.
pub(crate) fn built(example: &str) -> PathBuf {
    let this = env::current_exe().unwrap();
    let [profile, target] = [2, 3].map(|above| {
        this.ancestors()
            .nth(above)
            .expect("target/PROFILE/deps/NAME")
    });
    if let Some(cargo) = env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--offline", "--example", example]);
        build.arg("--target-dir").arg(target);
        let features = [
            ("bytes", cfg!(feature = "bytes")),
            ("tokio", cfg!(feature = "tokio")),
        ];
        for (feature, _) in features.into_iter().filter(|(_, on)| *on) {
            build.args(["--features", feature]);
        }
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "{example} was not built");
    }
    profile.join("examples").join(example)
}
