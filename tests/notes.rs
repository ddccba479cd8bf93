//! The example `notes`, which the guide to porting from llfuse shows.

#[path = "common/mount.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod mount;

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::time::Duration;

use mount::Mounted;

/// After so long the file system is killed, and its clients get an error.
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn the_guide_shows_it_as_it_is() {
    let guide = include_str!("../fuse3/src/guide/porting_from_llfuse.md");
    let (_, shown) = include_str!("../examples/notes.rs")
        .split_once("\n\n")
        .unwrap();
    assert!(guide.contains(shown));
}

#[test]
fn notes_are_kept_and_saved() {
    let mut folder = None;
    let mounted = Mounted::start("notes", &[], DEADLINE, |command, dir| {
        let saved = dir.join("saved");
        fs::create_dir(&saved).unwrap();
        let mount_point = command.get_args().last().unwrap().to_owned();
        let program = command.get_program().to_owned();
        *command = std::process::Command::new(program);
        command.arg(&saved).arg(mount_point);
        folder = Some(saved);
    });
    let (Some(mounted), Some(folder)) = (mounted, folder) else {
        return;
    };
    let [one, two] = ["one", "two"].map(|name| mounted.path().join(name));

    let mut file = File::create(&one).unwrap();
    file.write_all(b"first").unwrap();
    file.sync_all().unwrap();
    assert_eq!(fs::read(folder.join("2")).unwrap(), b"first");
    fs::write(&one, b"1st").unwrap(); // O_TRUNC
    assert_eq!(fs::read(&one).unwrap(), b"1st");

    // Unlinked while it is open.
    let mut options = File::options();
    let options = options.read(true).write(true).create_new(true);
    let mut gone = options.open(&two).unwrap();
    gone.write_all(b"second").unwrap();
    fs::remove_file(&two).unwrap();
    gone.rewind().unwrap();
    let mut text = String::new();
    gone.read_to_string(&mut text).unwrap();
    assert_eq!(text, "second");
    assert_eq!(gone.metadata().unwrap().len(), 6);
    drop(gone);

    for name in ["b", "a"] {
        fs::write(mounted.path().join(name), name).unwrap();
    }
    let names = fs::read_dir(mounted.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["one", "b", "a"]);

    drop(file);
    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!((&*ended.stdout, &*ended.stderr), ("Unmounted\n", ""));
}
