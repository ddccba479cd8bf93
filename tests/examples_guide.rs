//! The examples `notes` and `remote`, which the guides to porting from llfuse and pyfuse3 show.

#[path = "common/mount.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod mount;

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mount::Mounted;

/// After so long the file system is killed, and its clients get an error.
const DEADLINE: Duration = Duration::from_secs(60);

/// All but the line that says what it is.
#[test]
fn the_guides_show_them_as_they_are() {
    let llfuse = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/guide/porting_from_llfuse.md"
    ));
    let pyfuse3 = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/guide/porting_from_pyfuse3.md"
    ));
    for (guide, example) in [
        (
            llfuse,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/notes.rs")),
        ),
        (
            pyfuse3,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/remote.rs")),
        ),
    ] {
        let (_, shown) = example.split_once("\n\n").unwrap();
        assert!(guide.contains(shown));
    }
}

/// Runs `example FOLDER MOUNTPOINT`; the folder is a fresh one, with what `fill` puts into it.
fn mount(example: &str, fill: impl FnOnce(&Path)) -> Option<(Mounted, PathBuf)> {
    let mut folder = PathBuf::new();
    let mounted = Mounted::start(example, &[], DEADLINE, |command, dir| {
        folder = dir.join("folder");
        fs::create_dir(&folder).unwrap();
        fill(&folder);
        let mount_point = command.get_args().last().unwrap().to_owned();
        *command = Command::new(command.get_program());
        command.arg(&folder).arg(mount_point);
    })?;
    Some((mounted, folder))
}

#[test]
fn notes_are_kept_and_saved() {
    let Some((mounted, folder)) = mount("notes", |_| ()) else {
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
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    // The listing is in the order of the numbers, of which one may be the removed note's.
    names.sort();
    assert_eq!(names, ["a", "b", "one"]);

    drop(file);
    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!((&*ended.stdout, &*ended.stderr), ("Unmounted\n", ""));
}

#[test]
fn a_remote_folder_is_read() {
    let fill = |folder: &Path| {
        for n in 0..300 {
            fs::write(folder.join(format!("file {n}")), vec![b'x'; n]).unwrap();
        }
    };
    let Some((mounted, folder)) = mount("remote", fill) else {
        return;
    };
    let mut names: Vec<_> = fs::read_dir(mounted.path())
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let (name, size) = (entry.file_name(), entry.metadata().unwrap().len());
            assert_eq!(size, fs::metadata(folder.join(&name)).unwrap().len());
            name
        })
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 300);
    let read = |n| fs::read(mounted.path().join(format!("file {n}")));
    std::thread::scope(|threads| {
        for first in 0..4 {
            let read = &read;
            threads.spawn(move || {
                for n in (first..300).step_by(4) {
                    assert_eq!(read(n).unwrap(), vec![b'x'; n]);
                }
            });
        }
    });
    let missing = fs::metadata(mounted.path().join("missing")).unwrap_err();
    assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!((&*ended.stdout, &*ended.stderr), ("Unmounted\n", ""));
}
