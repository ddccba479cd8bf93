//! Tests in a process of their own: signals, threads and descriptors are counted and changed there.

use std::env;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::fixture::{TempDir, abort_below, is_root, mounts_below, skip, unmount_below};

/// Set in the child, to the test that it is to run.
const CHILD: &str = "FUSE3_TEST_CHILD";
/// After so long the child is killed.
const DEADLINE: Duration = Duration::from_secs(60);
/// What the child says when it has run its test.
const DONE: &str = "the test has run";

/// The path of the test that it stands in.
macro_rules! this_test {
    () => {{
        fn here() {}
        let name = std::any::type_name_of_val(&here);
        let name = name.strip_suffix("::here").unwrap();
        name.strip_prefix(concat!(env!("CARGO_CRATE_NAME"), "::"))
            .unwrap()
    }};
}
pub(crate) use this_test;

fn is_child(name: &str) -> bool {
    env::var(CHILD).is_ok_and(|child| child == name)
}

/// Runs `test`, whose name is `name`, in a process of its own, with a temporary directory of its own.
#[track_caller]
pub(crate) fn run(name: &str, test: impl FnOnce()) {
    run_with(name, |_| (), test);
}

/// The same, with changes to how the process is started.
#[track_caller]
pub(crate) fn run_with(name: &str, change: impl FnOnce(&mut Command), test: impl FnOnce()) {
    let mut command = Command::new(env::current_exe().unwrap());
    change(&mut command);
    run_command(name, command, test);
}

/// The same, run under strace(1), whose log of `calls` is returned. `None` in the child, and, loudly, without strace or
/// when the user is not root.
#[track_caller]
pub(crate) fn traced(name: &str, calls: &str, test: impl FnOnce()) -> Option<String> {
    let version = || {
        let mut strace = Command::new("strace");
        strace.arg("-V").stdout(Stdio::null()).status()
    };
    if !is_child(name) {
        if version().is_err() {
            skip(name, "strace is not installed");
            return None;
        }
        if !is_root() {
            skip(name, "fusermount3 is not setuid when it is traced");
            return None;
        }
    }
    let dir = TempDir::new();
    let log = dir.path().join("strace");
    let mut tracer = Command::new("strace");
    tracer.args(["-f", "-qq", "-e", "signal=none", "-e"]);
    tracer.arg(format!("trace={calls}")).arg("-o").arg(&log);
    tracer.arg(env::current_exe().unwrap());
    run_command(name, tracer, test).then(|| fs::read_to_string(log).unwrap())
}

/// False in the child.
#[track_caller]
fn run_command(name: &str, mut command: Command, test: impl FnOnce()) -> bool {
    if is_child(name) {
        test();
        println!("{DONE}");
        return false;
    }
    let temp = TempDir::new();
    command
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, name)
        .env("TMPDIR", temp.path())
        .stdin(Stdio::null());
    let (success, output) = finish_in(&mut command, temp.path(), DEADLINE);
    let left = mounts_below(temp.path());
    unmount_below(temp.path());
    assert!(success, "{name} failed:\n{output}");
    assert!(
        output.contains(DONE),
        "{name} ran no test of that name:\n{output}"
    );
    assert!(left.is_empty(), "{name} left mounts: {left:?}\n{output}");
    // For `--nocapture`: what was measured.
    print!("{output}");
    true
}

/// Runs a command to its end, in its own process group, and returns whether it succeeded and all that it said.
#[track_caller]
pub(crate) fn finish(command: &mut Command, deadline: Duration) -> (bool, String) {
    let dir = TempDir::new();
    finish_in(command, dir.path(), deadline)
}

/// The same, of a command whose mounts are below `dir`.
#[track_caller]
fn finish_in(command: &mut Command, dir: &Path, deadline: Duration) -> (bool, String) {
    // A file, since a pipe is open as long as whatever the command has left behind.
    let path = dir.join("output");
    let output = File::create(&path).unwrap();
    command
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .process_group(0);
    let status = finish_within(&mut command.spawn().unwrap(), dir, deadline);
    let mut said = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
    if status.is_none() {
        said.push_str("\n******** DEADLINE: killed\n");
    }
    (status.is_some_and(|status| status.success()), said)
}

/// Waits for a client of the mounts below `dir`. `None` when it had to be killed.
pub(crate) fn finish_within(
    client: &mut Child,
    dir: &Path,
    deadline: Duration,
) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = client.try_wait().unwrap() {
            return Some(status);
        }
        if start.elapsed() > deadline {
            // Who waits for an answer is not killed before it has one: nobody would be waited for without this.
            abort_below(dir);
            let pid = i32::try_from(client.id()).unwrap();
            // SAFETY: no memory is involved. The child has not been waited for, and the group, if there is one of that
            // number, is its own.
            unsafe { libc::kill(-pid, libc::SIGKILL) };
            client.kill().unwrap();
            client.wait().unwrap();
            return None;
        }
        thread::sleep(Duration::from_millis(1));
    }
}
