//! The command lines of tmpfs_sqlite and passthroughfs, and signals.

use std::fs;
use std::process::Command;

use crate::DEADLINE;
use crate::mount::{Mounted, program};
use crate::source::Source;

#[test]
fn debug() {
    let source = Source::new();
    let one = ["--debug", "--debug-fuse", source.str()];
    let other = ["--async", "--debug", "--debug-fuse", source.str()];
    for (example, arguments, says) in [
        ("passthroughfs", &one[..], "DEBUG: lookup of \"missing\""),
        ("passthroughfs", &other, "DEBUG: lookup of \"missing\""),
        ("tmpfs_sqlite", &["--debug-fuse"], "LOOKUP"),
    ] {
        let Some(mounted) = Mounted::new(example, arguments, DEADLINE) else {
            return;
        };
        assert!(!mounted.path().join("missing").exists());
        let ended = mounted.unmount();
        assert!(ended.status.success(), "{ended:?}");
        for said in [says, "LOOKUP"] {
            assert!(ended.stderr.contains(said), "{said}: {ended:?}");
        }
    }
}

/// As with libfuse's examples: 0 only after an unmount. What is open does not keep it from ending.
#[test]
fn signals_end_it() {
    let source = Source::new();
    for (example, arguments) in [
        ("passthroughfs", &[source.str()][..]),
        ("passthroughfs", &["--async", source.str()]),
        ("tmpfs_sqlite", &[]),
    ] {
        let Some(mounted) = Mounted::new(example, arguments, DEADLINE) else {
            return;
        };
        let open = fs::File::create(mounted.path().join("open")).unwrap();
        let ended = mounted.signal("TERM");
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert_eq!(ended.stderr, "");
        drop(open);
    }
}

#[test]
fn mistakes() {
    let source = Source::new();
    let file = source.path().join("file");
    fs::write(&file, "no database, and no directory").unwrap();
    let database = format!("database={}", file.display());
    let missing = source.path().join("missing");
    let missing = missing.to_str().unwrap();
    for (example, arguments, says) in [
        ("passthroughfs", &["/mnt"][..], "SOURCE"),
        ("passthroughfs", &[missing, "/mnt"], "missing"),
        ("passthroughfs", &[file.to_str().unwrap(), "/mnt"], "file"),
        (
            "passthroughfs",
            &["-o", "timeout=-1", source.str(), "/mnt"],
            "timeout=-1",
        ),
        ("tmpfs_sqlite", &[], "Usage"),
        ("tmpfs_sqlite", &["-o", &database, "/mnt"], "not a database"),
    ] {
        let output = Command::new(program::built(example))
            .args(arguments)
            .output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = [output.stdout, output.stderr].concat().to_ascii_lowercase();
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains(&says.to_lowercase()), "{says}: {said}");
    }
}
