//! The example `raw`: functions of libfuse beside the safe API.

#[path = "common/mount.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod mount;

use std::fs;
use std::time::Duration;

use mount::{Mounted, within};

/// After so long the file system is killed, and its clients get an error.
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn raw_functions_work_beside_the_safe_ones() {
    let Some(mounted) = Mounted::new("raw", &[], DEADLINE) else {
        return;
    };
    let read = |name| fs::read_to_string(mounted.path().join(name)).unwrap();

    let groups = rustix::process::getgroups().unwrap();
    let groups: Vec<_> = groups
        .iter()
        .map(|group| group.as_raw().to_string())
        .collect();
    assert_eq!(read("groups"), groups.join(" ") + "\n");

    // The kernel may keep it for an hour, and is told all the same.
    let number = || -> u64 { read("number").trim().parse().unwrap() };
    let first = number();
    let mut second = first;
    assert!(within(Duration::from_secs(10), || {
        second = number();
        second > first
    }));
    assert!(within(Duration::from_secs(10), || number() > second));

    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""));
}
