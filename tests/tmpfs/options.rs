//! What is asked for with `-o` is in force.

use std::fs;

use crate::DEADLINE;
use crate::mount::Mounted;

#[test]
fn the_source_is_what_fsname_says() {
    for (arguments, source) in [
        (&["-f"][..], "tmpfs"),
        (&["-f", "-o", "fsname=foo"], "foo"),
        (&["-f", "scratch"], "scratch"),
        (&["-f", "-o", "fsname=foo", "scratch"], "foo"),
    ] {
        let Some(mounted) = Mounted::new("tmpfs", arguments, DEADLINE) else {
            return;
        };
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let here = mounted.path().to_str().unwrap();
        let line = mounts.lines().find(|line| line.contains(here)).unwrap();
        assert_eq!(line.split(' ').next(), Some(source), "{arguments:?}");
        assert!(mounted.unmount().status.success());
    }
}
