//! The tmpfs example, through the kernel.

mod acl;
mod beside;
#[path = "../common/calls.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod calls;
mod computed;
mod ending;
mod features;
#[path = "../common/handle.rs"]
mod handle;
mod handles;
#[path = "../common/ignored.rs"]
mod ignored;
mod listing;
#[path = "../common/mount.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod mount;
mod options;
mod overlay;
mod space;
mod stress;
mod tmpfile;

use std::fs;
use std::path::Path;
use std::time::Duration;

use mount::{Mounted, within};

/// After so long a file system is killed.
const DEADLINE: Duration = Duration::from_secs(120);

/// How long the kernel may take for what it does in the background.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `test` on a fresh tmpfs, deletes what it left, and then shows that nothing was lost: what the kernel was given it
/// has given back, and the accounts add up.
fn on_tmpfs(arguments: &[&str], test: impl FnOnce(&Path)) {
    let Some(mounted) = Mounted::new("tmpfs", &[&["-f"], arguments].concat(), DEADLINE) else {
        return;
    };
    test(mounted.path());
    for entry in fs::read_dir(mounted.path()).unwrap() {
        let entry = entry.unwrap();
        let removed = if entry.file_type().unwrap().is_dir() {
            fs::remove_dir_all(entry.path())
        } else {
            fs::remove_file(entry.path())
        };
        removed.unwrap_or_else(|error| panic!("{}: {error}", entry.path().display()));
    }
    // The kernel forgets and releases in the background.
    let empty = "1 inodes, 0 nameless, 1 lookups, 0 open, 0 blocks";
    let forgotten = within(PATIENCE, || left(mounted.path()) == empty);
    assert!(forgotten, "{}", left(mounted.path()));
    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
    assert!(
        ended.stdout.contains("accounting: everything adds up"),
        "{ended:?}"
    );
    assert_eq!(ended.stderr, "");
}

fn left(root: &Path) -> String {
    String::from_utf8(calls::getxattr(root, "user.tmpfs.left").unwrap()).unwrap()
}
