//! `-o fsname` and `-o subtype`: who runs an example has the last word, whatever name the example gives itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::place::{Place, root};

/// Each example that takes options of a mount, with what it needs besides.
const TAKE_OPTIONS: [(&str, &[&str], &str); 17] = [
    ("cachefs", &["-f", "source"], "mnt"),
    ("hello_async", &[], "mnt"),
    ("hello_ll", &["-f"], "mnt"),
    ("ioctl_ll", &["-f"], "mnt"),
    ("lltest", &[], "mnt"),
    ("memfs_ll", &["-f"], "mnt"),
    ("notify_inval_entry", &["-f"], "mnt"),
    ("notify_inval_inode", &["-f"], "mnt"),
    ("notify_prune", &["-f", "--no-notify"], "mnt"),
    ("notify_store_retrieve", &["-f"], "mnt"),
    ("null", &["-f"], "file"),
    ("passthrough_hp", &["--foreground", "source"], "mnt"),
    ("passthrough_ll", &["-f"], "mnt"),
    ("passthroughfs", &["source"], "mnt"),
    ("poll", &["-f"], "mnt"),
    ("tmpfs", &["-f"], "mnt"),
    ("tmpfs_sqlite", &[], "mnt"),
];

/// They take their arguments by place, and no options.
const TAKE_NONE: [&str; 4] = ["hello", "notes", "raw", "remote"];

/// They mount nothing.
const MOUNT_NOTHING: [&str; 6] = [
    "cuse",
    "hello_ll_uds",
    "ioctl_client",
    "keeper",
    "poll_client",
    "printcap",
];

#[test]
fn every_example_is_in_one_of_the_lists() {
    let of_mounts = TAKE_OPTIONS.map(|(example, ..)| example);
    let listed = [&of_mounts[..], &TAKE_NONE, &MOUNT_NOTHING].concat();
    let listed: BTreeSet<_> = listed.into_iter().map(str::to_owned).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let programs = fs::read_dir(folder).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let is_program = path.is_file() || path.join("main.rs").exists();
        is_program.then(|| path.file_stem().unwrap().to_str().unwrap().to_owned())
    });
    assert_eq!(programs.collect::<BTreeSet<_>>(), listed);
}

/// The name is shown that `-o` gives, where `place` says who mounts.
fn are_shown(place: impl Fn(&str) -> Option<Place>) {
    for (example, arguments, over) in TAKE_OPTIONS {
        let Some(place) = place(example) else {
            return;
        };
        place.shell("mkdir source");
        let names = ["-o", "fsname=foo,subtype=bar", over];
        let command = place.example([arguments, &names].concat());
        let look = format!("stat -c %F {over}");
        let over = place.path(over);
        let mut server = place.serve(command, &over);
        let mount = place.mount(&over);
        assert_eq!(mount[..2], ["fuse.bar", "foo"], "{example}");
        // It is busy until the session has begun.
        assert_ne!(place.shell(&look), "", "{example}");
        place.unmount(&over);
        let ended = place.ended(&mut server);
        assert_eq!(ended.status, 0, "{example}: {ended:?}");
    }
}

#[test]
fn names_given_by_root() {
    if root() {
        are_shown(Place::new);
    }
}

/// By fusermount3, which reads the names itself.
#[test]
fn names_given_by_an_ordinary_user() {
    are_shown(Place::of_nobody);
}
