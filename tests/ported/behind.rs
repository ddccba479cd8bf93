//! passthroughfs, whose source is changed behind its back.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::process::Command;

use crate::calls::{errno, list};
use crate::mount::{self, Mounted};
use crate::source::Source;
use crate::{DEADLINE, end};

/// Nothing is kept by the kernel, so that each change is seen at once.
fn mirror(source: &Source) -> Option<Mounted> {
    let arguments = ["-o", "timeout=0", source.str()];
    Mounted::new("passthroughfs", &arguments, DEADLINE)
}

#[test]
fn another_file_has_the_name() {
    let source = Source::new();
    fs::write(source.path().join("file"), "old").unwrap();
    let Some(mounted) = mirror(&source) else {
        return;
    };
    let path = mounted.path().join("file");
    let mut open = File::open(&path).unwrap();
    let before = path.metadata().unwrap().ino();
    fs::write(source.path().join("other"), "newer").unwrap();
    fs::rename(source.path().join("other"), source.path().join("file")).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"newer");
    assert_ne!(path.metadata().unwrap().ino(), before);
    // Who has the old one open has the old one.
    let mut text = String::new();
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text, "old");
    assert_eq!(open.metadata().unwrap().nlink(), 0);
    // And a directory is there now.
    drop(open);
    fs::remove_file(source.path().join("file")).unwrap();
    fs::create_dir(source.path().join("file")).unwrap();
    assert!(path.metadata().unwrap().is_dir() && list(&path).is_empty());
    end(mounted);
}

#[test]
fn directories_are_moved() {
    let source = Source::new();
    fs::create_dir_all(source.path().join("a/b")).unwrap();
    fs::create_dir(source.path().join("c")).unwrap();
    fs::write(source.path().join("a/b/file"), "text").unwrap();
    let Some(mounted) = mirror(&source) else {
        return;
    };
    let file = File::open(mounted.path().join("a/b/file")).unwrap();
    fs::rename(source.path().join("a/b"), source.path().join("c/b")).unwrap();
    assert_eq!(fs::read(mounted.path().join("c/b/file")).unwrap(), b"text");
    assert_eq!(
        errno(mounted.path().join("a/b/file").metadata()),
        libc::ENOENT
    );
    fs::rename(source.path().join("a"), source.path().join("c/b/a")).unwrap();
    assert!(list(&mounted.path().join("c/b/a")).is_empty());
    assert_eq!(file.metadata().unwrap().len(), 4);
    drop(file);
    end(mounted);
}

#[test]
fn a_link_in_the_place_of_a_directory_is_not_followed() {
    let (source, outside) = (Source::new(), Source::new());
    fs::write(outside.path().join("secret"), "secret").unwrap();
    fs::create_dir(source.path().join("dir")).unwrap();
    fs::write(source.path().join("dir/secret"), "shown").unwrap();
    let Some(mounted) = mirror(&source) else {
        return;
    };
    let dir = File::open(mounted.path().join("dir")).unwrap();
    fs::rename(source.path().join("dir"), source.path().join("moved")).unwrap();
    symlink(outside.path(), source.path().join("dir")).unwrap();
    // From the directory that is open, which no name leads to.
    let made = crate::calls::make_at(&dir, "made", b"");
    assert_eq!(errno(made), libc::ESTALE);
    assert_eq!(list(outside.path()), ["secret"]);
    // By the path, the kernel follows the link.
    let seen = mounted.path().join("dir").symlink_metadata().unwrap();
    assert!(seen.is_symlink());
    drop(dir);
    end(mounted);
}

/// What was found under one name, and then lost it, is found by the other.
#[test]
fn one_of_two_names_goes() {
    let source = Source::new();
    fs::write(source.path().join("a"), "text").unwrap();
    fs::hard_link(source.path().join("a"), source.path().join("b")).unwrap();
    let Some(mounted) = mirror(&source) else {
        return;
    };
    let names = ["a", "b"].map(|name| mounted.path().join(name));
    let inos = names.each_ref().map(|path| path.metadata().unwrap().ino());
    assert_eq!(inos[0], inos[1]);
    fs::remove_file(source.path().join("a")).unwrap();
    let file = File::options().write(true).open(&names[1]).unwrap();
    file.write_all_at(b"T", 0).unwrap();
    assert_eq!(fs::read(source.path().join("b")).unwrap(), b"Text");
    assert_eq!(file.metadata().unwrap().nlink(), 1);
    drop(file);
    end(mounted);
}

#[test]
fn the_mount_point_is_not_in_the_source() {
    let source = Source::new();
    let inside = source.path().join("mnt");
    fs::create_dir(&inside).unwrap();
    let program = mount::program::built("passthroughfs");
    let output = Command::new(program)
        .args([source.path(), &inside])
        .output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("which it would show"), "{said}");
}
