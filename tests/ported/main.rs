//! The file-system checks of llfuse and pyfuse3, on every example that stores files, with one worker and with 30.
//!
//! As in their harness, a program fails that does not end with success after the unmount, or that says a word of trouble. Each has a
//! deadline, after which it is killed and its test fails.

mod behind;
#[path = "../common/calls.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod calls;
mod checks;
mod handlers;
mod kept;
mod lltest;
#[path = "../common/mount.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod mount;
mod options;
mod source;
mod stress;
mod writeback;

use std::time::Duration;

use checks::Shown;
use mount::{Ended, Mounted, within};
use source::Source;

/// After so long a file system is killed.
const DEADLINE: Duration = Duration::from_secs(120);

/// passthroughfs's mode in which writes go to the page cache first.
const WRITEBACK: &str = "--enable-writeback-cache";

/// What no program may say that works.
const TROUBLE: [&str; 10] = [
    "exception",
    "error",
    "warning",
    "fatal",
    "traceback",
    "fault",
    "crash",
    "abort",
    "panicked",
    "fishy",
];

/// Unmounts it; it has to end with success, and without a word of trouble.
fn end(mounted: Mounted) -> Ended {
    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
    for said in [&ended.stdout, &ended.stderr] {
        let said = said.to_lowercase();
        let mut words = said.split(|letter: char| !letter.is_alphanumeric());
        let trouble = words.find(|word| TROUBLE.iter().any(|bad| word.starts_with(bad)));
        assert_eq!(trouble, None, "{ended:?}");
    }
    ended
}

/// Mounts, has all checks done twice, and unmounts.
fn on(example: &str, arguments: &[&str], source: Option<&Source>) {
    let Some(mounted) = Mounted::new(example, arguments, DEADLINE) else {
        return;
    };
    let shown = source.map(|source| Shown {
        source: source.path(),
        writeback: arguments.contains(&WRITEBACK),
    });
    checks::all(mounted.path(), shown);
    checks::all(mounted.path(), shown);
    if let Some(source) = source {
        // The kernel forgets and releases in the background: then only the root is open.
        let closed = || source.opened_by(mounted.id()) == [source.path()];
        let closed = within(Duration::from_secs(20), closed);
        assert!(closed, "{:?}", source.opened_by(mounted.id()));
    }
    end(mounted);
}

#[test]
fn tmpfs() {
    on("tmpfs", &["-f", "-s"], None);
    on("tmpfs", &["-f", "-o", "max_threads=30"], None);
}

#[test]
fn tmpfs_sqlite() {
    on("tmpfs_sqlite", &["-s"], None);
    on("tmpfs_sqlite", &["-o", "max_threads=30"], None);
}

#[test]
fn passthroughfs() {
    let source = Source::new();
    let modes: [&[&str]; 9] = [
        &["--single"],
        &["-o", "max_threads=30"],
        &["-o", "timeout=0,max_threads=30"],
        &["--async", "--single"],
        &["--async", "-o", "max_threads=30"],
        &[WRITEBACK, "--single"],
        &[WRITEBACK, "-o", "max_threads=30"],
        &[WRITEBACK, "--async", "--single"],
        &[WRITEBACK, "--async", "-o", "max_threads=30"],
    ];
    for options in modes {
        let arguments = [options, &[source.str()]].concat();
        on("passthroughfs", &arguments, Some(&source));
    }
}

#[test]
fn passthrough_hp() {
    let source = Source::new();
    for workers in ["--num-threads=1", "--num-threads=30"] {
        // Without it the kernel keeps what it knows, and times of its own, whatever happens in the source.
        let arguments = [workers, "--nocache", "--foreground", source.str()];
        on("passthrough_hp", &arguments, Some(&source));
    }
}
