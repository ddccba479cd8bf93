//! What is asked for with `-o` is in force.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, symlink};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::DEADLINE;
use crate::beside::beside;
use crate::calls::list;
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

/// How the times of access move, of a file, a directory and a link.
fn reading(root: &Path) -> Vec<String> {
    let [file, directory, link] = ["file", "directory", "link"].map(|name| root.join(name));
    fs::write(&file, "text").unwrap();
    fs::create_dir(&directory).unwrap();
    symlink("file", &link).unwrap();
    let mut answers = Vec::new();
    let mut step = |what: &str, path: &Path, act: &dyn Fn()| {
        let time = || {
            let stat = fs::symlink_metadata(path).unwrap();
            (stat.atime(), stat.atime_nsec())
        };
        let before = time();
        thread::sleep(Duration::from_millis(20));
        act();
        answers.push(format!("{what}: moved {}", before != time()));
    };
    let read = |flags| {
        let open = File::options().read(true).custom_flags(flags).open(&file);
        assert_eq!(std::io::read_to_string(open.unwrap()).unwrap(), "text");
    };
    step("read with O_NOATIME", &file, &|| read(libc::O_NOATIME));
    step("read", &file, &|| read(0));
    step("read again", &file, &|| read(0));
    step("write", &file, &|| fs::write(&file, "text").unwrap());
    step("read with O_NOATIME", &file, &|| read(libc::O_NOATIME));
    step("read after the write", &file, &|| read(0));
    step("read again", &file, &|| read(0));
    step("list", &directory, &|| drop(list(&directory)));
    step("list again", &directory, &|| drop(list(&directory)));
    step("make", &directory, &|| {
        fs::write(directory.join("new"), "").unwrap()
    });
    step("list after that", &directory, &|| drop(list(&directory)));
    step("read the link", &link, &|| {
        drop(fs::read_link(&link).unwrap())
    });
    step("read it again", &link, &|| {
        drop(fs::read_link(&link).unwrap())
    });
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let line = mounts
        .lines()
        .find(|line| line.contains(root.to_str().unwrap()));
    answers.push(format!("noatime {}", line.unwrap().contains("noatime")));
    answers
}

#[test]
fn times_of_access_move_as_asked_for() {
    for options in ["", "noatime", "relatime"] {
        beside(options, reading);
    }
}
