//! What llfuse's own tests check of a file system (its test/test_examples.py), and pyfuse3's.

use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::calls::{errno, mknod, statvfs};
use crate::mount::is_root;
use crate::on_tmpfs;

#[test]
fn with_one_worker() {
    on_tmpfs(&["--workers=1"], all);
}

#[test]
fn with_thirty_workers() {
    on_tmpfs(&["--workers=30"], all);
}

fn all(root: &Path) {
    write(root);
    make_node(root);
    make_directory(root);
    make_symlink(root);
    change_owner(root);
    change_mode(root);
    set_times(root);
    times_are_not_rounded(root);
    link(root);
    read_directory(root);
    stat_file_system(root);
    truncate_path(root);
    truncate_descriptor(root);
    unlink_while_open(root);
    rename(root);
}

fn write(root: &Path) {
    let source = std::env::current_exe().unwrap();
    let copy = root.join("copy");
    fs::copy(&source, &copy).unwrap();
    assert!(fs::read(&source).unwrap() == fs::read(&copy).unwrap());
    gone(&copy);
}

/// Removes a file, and shows that it is gone.
fn gone(path: &Path) {
    fs::remove_file(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(!list(path.parent().unwrap()).contains(&name));
    assert_eq!(errno(path.symlink_metadata()), libc::ENOENT);
}

fn make_node(root: &Path) {
    let path = root.join("node");
    mknod(&path, libc::S_IFREG | 0o600).unwrap();
    assert!(path.metadata().unwrap().is_file() && list(root).contains(&"node".to_owned()));
    gone(&path);
    mknod(&path, libc::S_IFIFO | 0o600).unwrap();
    assert!(path.metadata().unwrap().file_type().is_fifo());
    gone(&path);
}

fn make_directory(root: &Path) {
    let path = root.join("directory");
    fs::create_dir(&path).unwrap();
    let stat = path.metadata().unwrap();
    assert!(stat.is_dir() && list(&path).is_empty() && matches!(stat.nlink(), 1 | 2));
    fs::remove_dir(&path).unwrap();
    assert_eq!(errno(path.metadata()), libc::ENOENT);
}

fn make_symlink(root: &Path) {
    let path = root.join("symlink");
    symlink("/imaginary/dest", &path).unwrap();
    let stat = path.symlink_metadata().unwrap();
    assert!(stat.is_symlink() && stat.nlink() == 1);
    assert_eq!(
        fs::read_link(&path).unwrap(),
        PathBuf::from("/imaginary/dest")
    );
    gone(&path);
}

fn change_owner(root: &Path) {
    if !is_root() {
        return;
    }
    let path = root.join("owned");
    fs::create_dir(&path).unwrap();
    chown(&path, Some(1234), None).unwrap();
    let stat = path.metadata().unwrap();
    assert_eq!((stat.uid(), stat.gid()), (1234, 0));
    chown(&path, None, Some(5678)).unwrap();
    let stat = path.metadata().unwrap();
    assert_eq!((stat.uid(), stat.gid()), (1234, 5678));
}

fn change_mode(root: &Path) {
    let path = root.join("mode");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    assert_eq!(path.metadata().unwrap().mode(), libc::S_IFDIR | 0o640);
    fs::remove_dir(&path).unwrap();
}

fn set_times(root: &Path) {
    let path = root.join("times");
    let file = File::create(&path).unwrap();
    let first = file.metadata().unwrap();
    let atime = UNIX_EPOCH - Duration::new(86_400, 1);
    let mtime = UNIX_EPOCH + Duration::new(3, 141_592_653);
    file.set_times(FileTimes::new().set_accessed(atime).set_modified(mtime))
        .unwrap();
    let stat = path.metadata().unwrap();
    assert_eq!((stat.atime(), stat.atime_nsec()), (-86_401, 999_999_999));
    assert_eq!((stat.mtime(), stat.mtime_nsec()), (3, 141_592_653));
    assert!((stat.ctime(), stat.ctime_nsec()) > (first.ctime(), first.ctime_nsec()));
}

fn times_are_not_rounded(root: &Path) {
    let path = root.join("rounding");
    let file = File::create(&path).unwrap();
    let time = UNIX_EPOCH + Duration::new(67 * 365 * 86_400 + 999, 999_999_999);
    file.set_times(FileTimes::new().set_accessed(time).set_modified(time))
        .unwrap();
    let stat = path.metadata().unwrap();
    assert_eq!(
        (stat.accessed().unwrap(), stat.modified().unwrap()),
        (time, time)
    );
}

fn link(root: &Path) {
    let (one, two) = (root.join("one"), root.join("two"));
    fs::write(&one, "linked").unwrap();
    assert_eq!(one.metadata().unwrap().nlink(), 1);
    fs::hard_link(&one, &two).unwrap();
    let (a, b) = (one.metadata().unwrap(), two.metadata().unwrap());
    assert_eq!((a.ino(), a.nlink(), a.len()), (b.ino(), 2, 6));
    assert_eq!(fs::read(&two).unwrap(), b"linked");
    gone(&one);
    assert_eq!(two.metadata().unwrap().nlink(), 1);
    gone(&two);
}

fn read_directory(root: &Path) {
    let top = root.join("top");
    fs::create_dir(&top).unwrap();
    fs::create_dir_all(top.join("middle/bottom")).unwrap();
    fs::write(top.join("file"), "x").unwrap();
    fs::write(top.join("middle/bottom/file"), "y").unwrap();
    assert_eq!(list(&top), ["file", "middle"]);
    assert_eq!(list(&top.join("middle")), ["bottom"]);
    assert_eq!(list(&top.join("middle/bottom")), ["file"]);
    assert_eq!(
        (
            top.metadata().unwrap().nlink(),
            root.join("top/middle/bottom").metadata().unwrap().nlink()
        ),
        (3, 2)
    );
    fs::remove_dir_all(&top).unwrap();
}

fn stat_file_system(root: &Path) {
    let stat = statvfs(root).unwrap();
    assert!(stat.f_blocks >= stat.f_bfree && stat.f_bfree > 0 && stat.f_files > stat.f_ffree);
    assert_eq!(stat.f_namemax, 255);
}

fn truncate_path(root: &Path) {
    let path = root.join("truncated");
    let old = fs::read(std::env::current_exe().unwrap()).unwrap()[..10_000].to_vec();
    fs::write(&path, &old).unwrap();
    truncate_with(
        &old,
        |size| {
            OpenOptions::new()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(size)
                .unwrap()
        },
        || fs::read(&path).unwrap(),
    );
    gone(&path);
}

fn truncate_descriptor(root: &Path) {
    let path = root.join("truncated");
    let old = vec![7; 10_000];
    fs::write(&path, &old).unwrap();
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let writer = file.try_clone().unwrap();
    truncate_with(
        &old,
        |size| writer.set_len(size).unwrap(),
        || {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(0)).unwrap();
            file.read_to_end(&mut bytes).unwrap();
            bytes
        },
    );
    gone(&path);
}

/// Growing adds zeros, shrinking cuts, and what was cut does not come back.
fn truncate_with(old: &[u8], set_len: impl Fn(u64), mut read: impl FnMut() -> Vec<u8>) {
    let size = old.len();
    set_len(size as u64 + 1024);
    assert!(read() == [old, &[0; 1024]].concat());
    set_len(size as u64 - 1024);
    assert!(read() == old[..size - 1024]);
    set_len(size as u64);
    assert!(read() == [&old[..size - 1024], &[0; 1024]].concat());
}

fn unlink_while_open(root: &Path) {
    let path = root.join("unlinked");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    file.write_all(b"foo").unwrap();
    gone(&path);
    file.write_all(b"bar").unwrap();
    let stat = file.metadata().unwrap();
    assert_eq!((stat.nlink(), stat.len()), (0, 6));
    let mut bytes = [0; 6];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"foobar");
}

fn rename(root: &Path) {
    let (from, to) = (root.join("from"), root.join("to"));
    fs::create_dir(&from).unwrap();
    fs::write(from.join("file"), "moved").unwrap();
    fs::rename(&from, &to).unwrap();
    assert_eq!(errno(from.metadata()), libc::ENOENT);
    assert_eq!(fs::read(to.join("file")).unwrap(), b"moved");
    fs::write(root.join("other"), "replaced").unwrap();
    fs::rename(to.join("file"), root.join("other")).unwrap();
    assert_eq!(fs::read(root.join("other")).unwrap(), b"moved");
    assert!(list(&to).is_empty());
}
