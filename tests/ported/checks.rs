//! What llfuse's own tests check of a file system (its test/test_examples.py), and pyfuse3's; and what those leave out that a
//! file system gets wrong easily.

use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use crate::calls::{self, errno, list, mknod, statvfs};
use crate::mount::is_root;

/// The directory that a file system shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) source: &'a Path,
    /// The kernel keeps times of files of its own.
    pub(crate) writeback: bool,
}

/// All of them, in a file system that is empty, and in the end is so again. `shown` is the directory that it shows, if it does.
pub(crate) fn all(root: &Path, shown: Option<Shown<'_>>) {
    let source = shown.map(|shown| shown.source);
    write(root);
    make_node(root);
    make_directory(root);
    make_symlink(root);
    change_owner(root);
    change_mode(root);
    set_times(root);
    times_are_not_rounded(root);
    link(root);
    read_directory(root, source);
    read_long_directory(root);
    stat_file_system(root, source);
    truncate_path(root);
    truncate_descriptor(root);
    unlink_while_open(root);
    rename(root);
    rename_with_flags(root);
    rename_above_what_is_open(root);
    replace_what_is_open(root);
    remove_one_of_two_names(root);
    remove_working_directory(root);
    open_for_more(root);
    if let Some(shown) = shown {
        shows_the_source(root, shown);
    }
    for name in list(root) {
        let path = root.join(name);
        let removed = match path.symlink_metadata().unwrap().is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        removed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
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
    assert_eq!(
        (stat.uid(), stat.gid()),
        (1234, root.metadata().unwrap().gid())
    );
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
    // The clock of most file systems ticks a few hundred times a second.
    thread::sleep(Duration::from_millis(20));
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

fn read_directory(root: &Path, source: Option<&Path>) {
    let top = root.join("top");
    fs::create_dir(&top).unwrap();
    fs::create_dir_all(top.join("middle/bottom")).unwrap();
    fs::write(top.join("file"), "x").unwrap();
    fs::write(top.join("middle/bottom/file"), "y").unwrap();
    assert_eq!(list(&top), ["file", "middle"]);
    assert_eq!(list(&top.join("middle")), ["bottom"]);
    assert_eq!(list(&top.join("middle/bottom")), ["file"]);
    // A file system that shows another has the links that this one counts.
    let links = |path: &str| {
        source
            .unwrap_or(root)
            .join(path)
            .metadata()
            .unwrap()
            .nlink()
    };
    for (path, counted) in [("top", 3), ("top/middle", 3), ("top/middle/bottom", 2)] {
        let seen = root.join(path).metadata().unwrap().nlink();
        assert_eq!(seen, links(path));
        assert!(source.is_some() || seen == counted, "{path}: {seen}");
    }
    fs::remove_dir_all(&top).unwrap();
}

/// More names than one request can take, of which every third goes while they are listed.
fn read_long_directory(root: &Path) {
    let top = root.join("long");
    fs::create_dir(&top).unwrap();
    let names: Vec<_> = (0..1000).map(|number| format!("{number:0100}")).collect();
    for name in &names {
        File::create(top.join(name)).unwrap();
    }
    assert_eq!(list(&top), names);
    let mut listed = Vec::new();
    for (turn, entry) in fs::read_dir(&top).unwrap().enumerate() {
        let entry = entry.unwrap();
        if turn % 3 == 0 {
            fs::remove_file(entry.path()).unwrap();
        }
        listed.push(entry.file_name().into_string().unwrap());
    }
    listed.sort();
    assert_eq!(listed, names);
    assert_eq!(list(&top).len(), 666);
    fs::remove_dir_all(&top).unwrap();
}

fn stat_file_system(root: &Path, source: Option<&Path>) {
    let stat = statvfs(root).unwrap();
    assert_eq!(stat.f_namemax, 255);
    match source {
        Some(source) => {
            let there = statvfs(source).unwrap();
            assert_eq!(
                (stat.f_bsize, stat.f_blocks, stat.f_files),
                (there.f_bsize, there.f_blocks, there.f_files)
            );
        }
        None => {
            assert!(stat.f_blocks >= stat.f_bfree && stat.f_bfree > 0);
            assert!(stat.f_files > stat.f_ffree);
        }
    }
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

/// RENAME_NOREPLACE and RENAME_EXCHANGE, which llfuse does not have.
fn rename_with_flags(root: &Path) {
    let (one, two) = (root.join("one"), root.join("two"));
    fs::write(&one, "1").unwrap();
    fs::create_dir(&two).unwrap();
    fs::write(two.join("in"), "2").unwrap();
    let renamed = calls::rename(&one, &two, libc::RENAME_NOREPLACE);
    assert_eq!(errno(renamed), libc::EEXIST);
    calls::rename(&one, &two, libc::RENAME_EXCHANGE).unwrap();
    assert_eq!(fs::read(&two).unwrap(), b"1");
    assert_eq!(fs::read(one.join("in")).unwrap(), b"2");
    calls::rename(&two, &one.join("new"), libc::RENAME_NOREPLACE).unwrap();
    assert_eq!(list(&one), ["in", "new"]);
    assert_eq!(errno(two.metadata()), libc::ENOENT);
    fs::remove_dir_all(&one).unwrap();
}

/// The path of what is open, and of what was looked up, changes.
fn rename_above_what_is_open(root: &Path) {
    let (from, to) = (root.join("above"), root.join("elsewhere"));
    fs::create_dir_all(from.join("between/below")).unwrap();
    let path = "between/below/file";
    fs::write(from.join(path), "first").unwrap();
    let directory = File::open(from.join("between/below")).unwrap();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(from.join(path))
        .unwrap();
    fs::create_dir(&to).unwrap();
    fs::rename(&from, to.join("above")).unwrap();
    fs::rename(to.join("above/between"), to.join("between")).unwrap();
    // By descriptor, by the new path, and from the directory that is open.
    file.write_all_at(b"later", 0).unwrap();
    file.set_permissions(Permissions::from_mode(0o600)).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 5);
    assert_eq!(fs::read(to.join(path)).unwrap(), b"later");
    calls::make_at(&directory, "made", b"here").unwrap();
    assert_eq!(fs::read(to.join("between/below/made")).unwrap(), b"here");
    assert_eq!(list(&to.join("between/below")), ["file", "made"]);
    assert_eq!(errno(from.metadata()), libc::ENOENT);
    fs::remove_dir_all(&to).unwrap();
}

fn replace_what_is_open(root: &Path) {
    let (one, two) = (root.join("one"), root.join("two"));
    fs::write(&one, "old").unwrap();
    fs::write(&two, "new").unwrap();
    let old = File::open(&one).unwrap();
    fs::rename(&two, &one).unwrap();
    assert_eq!(fs::read(&one).unwrap(), b"new");
    let stat = old.metadata().unwrap();
    assert_eq!((stat.nlink(), stat.len()), (0, 3));
    assert_ne!(stat.ino(), one.metadata().unwrap().ino());
    let mut bytes = [0; 3];
    old.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"old");
    gone(&one);
}

/// The name that was looked up first, or last; and one is renamed onto the other, which does nothing.
fn remove_one_of_two_names(root: &Path) {
    let dir = root.join("names");
    for removed in [0, 1] {
        fs::create_dir(&dir).unwrap();
        let names = [root.join("name"), dir.join("name")];
        fs::write(&names[0], "text").unwrap();
        fs::hard_link(&names[0], &names[1]).unwrap();
        fs::rename(&names[0], &names[1]).unwrap();
        assert_eq!(names[0].metadata().unwrap().nlink(), 2);
        fs::remove_file(&names[removed]).unwrap();
        let left = &names[1 - removed];
        fs::set_permissions(left, Permissions::from_mode(0o600)).unwrap();
        let stat = left.metadata().unwrap();
        assert_eq!((stat.nlink(), stat.mode() & 0o7777), (1, 0o600));
        let moved = root.join("moved");
        fs::rename(left, &moved).unwrap();
        assert_eq!(fs::read(&moved).unwrap(), b"text");
        fs::remove_file(moved).unwrap();
        fs::remove_dir(&dir).unwrap();
    }
}

fn remove_working_directory(root: &Path) {
    let path = root.join("working");
    fs::create_dir(&path).unwrap();
    let directory = File::open(&path).unwrap();
    fs::remove_dir(&path).unwrap();
    // Another one of the name is another one.
    fs::create_dir(&path).unwrap();
    fs::write(path.join("file"), "").unwrap();
    let stat = directory.metadata().unwrap();
    assert!(stat.is_dir() && stat.ino() != path.metadata().unwrap().ino());
    assert_eq!(errno(calls::make_at(&directory, "made", b"")), libc::ENOENT);
    fs::remove_dir_all(&path).unwrap();
}

/// A file that is open for one thing is opened for another.
fn open_for_more(root: &Path) {
    let path = root.join("more");
    fs::write(&path, "hello").unwrap();
    let reading = File::open(&path).unwrap();
    let writing = OpenOptions::new().write(true).open(&path).unwrap();
    let appending = OpenOptions::new().append(true).open(&path).unwrap();
    writing.write_all_at(b"j", 0).unwrap();
    drop(writing);
    (&appending).write_all(b"!").unwrap();
    let mut bytes = [0; 6];
    reading.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"jello!");
    drop(reading);
    // And what is left may go on doing what it could, and no more.
    (&appending).write_all(b"?").unwrap();
    assert_eq!(errno((&appending).read(&mut bytes)), libc::EBADF);
    drop(appending);
    let cut = OpenOptions::new().write(true).truncate(true).open(&path);
    assert_eq!(cut.unwrap().metadata().unwrap().len(), 0);
    gone(&path);
}

/// A file made in the source is seen, and the other way round, with the same attributes; but for a file's times where writes go to
/// the page cache first, as in pyfuse3's test.
fn shows_the_source(root: &Path, Shown { source, writeback }: Shown<'_>) {
    for (made, seen) in [(source, root), (root, source)] {
        let dir = format!("shown{}", made == root);
        fs::create_dir(made.join(&dir)).unwrap();
        fs::write(made.join(&dir).join("file"), "the same text").unwrap();
        let seen = seen.join(&dir);
        assert_eq!(list(&seen), ["file"]);
        assert_eq!(fs::read(seen.join("file")).unwrap(), b"the same text");
        for path in [dir.clone(), format!("{dir}/file")] {
            let (here, there) = (root.join(&path), source.join(&path));
            let of = |path: &Path| {
                let stat = path.symlink_metadata().unwrap();
                let times = [
                    stat.mtime(),
                    stat.mtime_nsec(),
                    stat.ctime(),
                    stat.ctime_nsec(),
                ];
                let times = (stat.is_dir() || !writeback).then_some(times);
                let ids = (
                    stat.ino(),
                    stat.mode(),
                    stat.nlink(),
                    stat.uid(),
                    stat.gid(),
                );
                (ids, stat.size(), stat.blocks(), times)
            };
            assert_eq!(of(&here), of(&there), "{path}");
        }
    }
}
