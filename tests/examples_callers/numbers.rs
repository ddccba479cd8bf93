//! Inode numbers that the source gives again, and file handles, which are made of them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::handle::Handle;
use crate::mount::skip::skip;
use crate::mount::{Mounted, is_root};
use crate::place::{Source, WAYS, Way};

/// What was asked, and what came of it.
pub(crate) type Said = (String, String);

/// What may come of it: the file that was meant, or no file.
pub(crate) const OWN: &str = "its own, or none";

/// How often something is made until the source gives it the number that it is to have.
const TRIES: u32 = 24;

fn whose(result: io::Result<Vec<u8>>, own: &[u8]) -> String {
    match result {
        Ok(bytes) if bytes == own => OWN.to_owned(),
        Ok(bytes) => format!("another's: {:?}", String::from_utf8_lossy(&bytes)),
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT | libc::ESTALE) => OWN.to_owned(),
            _ => error.to_string(),
        },
    }
}

/// The names in a directory, one after the other.
pub(crate) fn names(dir: &Path) -> io::Result<Vec<u8>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.extend(entry?.file_name().as_encoded_bytes());
    }
    Ok(names)
}

/// What is open as `file`, however it was opened.
pub(crate) fn through(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn number(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

pub(crate) fn handle_only(path: &Path) -> File {
    let mut open = File::options();
    open.read(true)
        .custom_flags(libc::O_PATH)
        .open(path)
        .unwrap()
}

/// Has `make` make something in `dir` until it has the number `wanted`.
fn given_again(dir: &Path, wanted: u64, make: impl Fn(&Path) -> io::Result<()>) -> Option<PathBuf> {
    for index in 0..TRIES {
        let path = dir.join(format!("again {index}"));
        make(&path).unwrap();
        if number(&path) == wanted {
            return Some(path);
        }
        // What was closed a moment ago is released a little later.
        if index % 4 == 3 {
            thread::sleep(Duration::from_millis(2));
        }
    }
    None
}

fn make_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o777).create(path)?;
    fs::write(path.join("other"), "another's")
}

fn make_file(path: &Path) -> io::Result<()> {
    fs::write(path, "another's")
}

/// The number of what is deleted in the source is given again, while somebody has the old file, or directory.
///
/// `None` when it was not given to what is made here: a passthrough that holds a descriptor of the old file keeps it, and
/// another process may have got it. There is a name for each `round`.
pub(crate) fn given_again_behind(
    source: &Source,
    mounted: &Mounted,
    round: u32,
) -> Option<Vec<Said>> {
    let mut said = Vec::new();
    let mut say = |what: &str, result: String| said.push((what.to_owned(), result));
    let [behind, seen] =
        [&*source.0, mounted.path()].map(|root| root.join(format!("round {round}")));
    fs::create_dir(&behind).unwrap();
    let known = |name: &str| handle_only(&seen.join(name));
    let new_seen = |new: &Path| seen.join(new.strip_prefix(&behind).unwrap());

    for name in ["old", "directories", "files"] {
        fs::create_dir(behind.join(name)).unwrap();
    }
    let dir = known("old");
    let was = number(&behind.join("old"));
    fs::remove_dir(behind.join("old")).unwrap();
    let new = given_again(&behind.join("directories"), was, make_directory)?;
    let listed = names(&new_seen(&new)).unwrap();
    assert_eq!(listed, b"other");
    let dir = through(&dir);
    say("the names in the old directory", whose(names(&dir), b""));
    say(
        "a file of the new one",
        whose(fs::read(dir.join("other")), b""),
    );
    let made = File::create_new(dir.join("made")).map(|_| b"it was made".to_vec());
    say("a file made in the old one", whose(made, b""));
    let kept = names(&new).unwrap();
    say("the new one", whose(Ok(kept), b"other"));

    fs::write(behind.join("file"), "its own").unwrap();
    let file = known("file");
    let was = number(&behind.join("file"));
    fs::remove_file(behind.join("file")).unwrap();
    let new = given_again(&behind.join("files"), was, make_file)?;
    assert_eq!(fs::read(new_seen(&new)).unwrap(), b"another's");
    let file = through(&file);
    say("the old file", whose(fs::read(&file), b""));
    let mut write = File::options();
    let truncated = write.write(true).truncate(true).open(&file);
    say(
        "the old file, truncated",
        whose(truncated.map(|_| b"it was".to_vec()), b""),
    );
    say("the new file", whose(fs::read(&new), b"another's"));
    Some(said)
}

/// The same, until the numbers are given again, or for so many rounds.
pub(crate) fn given_again_in(rounds: u32, source: &Source, mounted: &Mounted) -> Option<Vec<Said>> {
    (0..rounds).find_map(|round| given_again_behind(source, mounted, round))
}

fn read(handle: &mut Handle, mount: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    handle.open(mount)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn listed(handle: &mut Handle, mount: &Path) -> io::Result<Vec<u8>> {
    names(&through(&handle.open(mount)?))
}

/// What file handles lead to: after a file was deleted, and when the file system was mounted again.
pub(crate) fn handles(source: &Source, mount: &dyn Fn(&Source) -> Mounted) -> Vec<Said> {
    let mut said = Vec::new();
    let mut say = |what: &str, result: String| said.push((what.to_owned(), result));
    let behind = &*source.0;
    let mounted = mount(source);
    let seen = mounted.path().to_owned();
    for name in ["kept", "deleted", "replaced"] {
        fs::write(seen.join(name), "its own").unwrap();
    }
    fs::create_dir(seen.join("dir")).unwrap();
    let handle = |name| Handle::of(&seen.join(name));
    let mut deleted = match handle("deleted") {
        Ok(handle) => handle,
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            // A newer libfuse has the kernel refuse them.
            say("refused", OWN.to_owned());
            return said;
        }
        Err(error) => panic!("{error}"),
    };
    let [mut kept, mut replaced, mut dir] =
        ["kept", "replaced", "dir"].map(|name| handle(name).unwrap());
    say(
        "the handle of a file",
        whose(read(&mut kept, &seen), b"its own"),
    );
    say(
        "of one to delete",
        whose(read(&mut deleted, &seen), b"its own"),
    );
    let was = number(&behind.join("deleted"));
    fs::remove_file(seen.join("deleted")).unwrap();
    say("of a deleted one", whose(read(&mut deleted, &seen), b""));
    fs::create_dir(seen.join("files")).unwrap();
    // It may be that a program still has the file, or that somebody else has its number by now.
    if let Some(new) = given_again(&seen.join("files"), was, make_file) {
        assert_eq!(fs::read(new).unwrap(), b"another's");
        say(
            "of one whose number was given again",
            whose(read(&mut deleted, &seen), b""),
        );
    } else {
        say(
            "of one whose number was not given again",
            whose(read(&mut deleted, &seen), b""),
        );
    }
    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");

    let was = ["replaced", "dir"].map(|name| number(&behind.join(name)));
    fs::remove_file(behind.join("replaced")).unwrap();
    fs::remove_dir(behind.join("dir")).unwrap();
    let [files, dirs] = ["new files", "new directories"].map(|name| behind.join(name));
    fs::create_dir(&files).unwrap();
    let file = given_again(&files, was[0], make_file);
    fs::create_dir(&dirs).unwrap();
    let directory = given_again(&dirs, was[1], make_directory);
    let mounted = mount(source);
    let seen = mounted.path();
    // The kernel knows the new ones.
    let open: Vec<_> = [file, directory]
        .into_iter()
        .flatten()
        .map(|path| File::open(seen.join(path.strip_prefix(behind).unwrap())).unwrap())
        .collect();
    say(
        "of a replaced one, after a restart",
        whose(read(&mut replaced, seen), b"its own"),
    );
    say(
        "of a replaced directory, after a restart",
        whose(listed(&mut dir, seen), b""),
    );
    say(
        "of one that is not known again, after a restart",
        whose(read(&mut kept, seen), b"its own"),
    );
    assert_eq!(fs::read(seen.join("kept")).unwrap(), b"its own");
    say(
        "of one that is known again, after a restart",
        whose(read(&mut kept, seen), b"its own"),
    );
    drop(open);
    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
    said
}

/// Whether the file system of `source` gives the numbers of deleted files again, and soon: mostly, since others may get them.
pub(crate) fn are_given_again(source: &Source) -> bool {
    (0..20).any(|round| {
        let dir = source.0.join(format!("numbers {round}"));
        fs::create_dir(&dir).unwrap();
        let first = dir.join("first");
        fs::write(&first, "").unwrap();
        let was = number(&first);
        fs::remove_file(&first).unwrap();
        let given = given_again(&dir, was, make_file).is_some();
        fs::remove_dir_all(&dir).unwrap();
        given
    })
}

/// The ways in which what is known of an inode differs.
fn each_way(what: &str, of: impl Fn(&Source, Way)) {
    if !is_root() {
        return skip(what, "only root opens by handles and mounts for others");
    }
    for way in [0, 1, 5, 10, 11, 12].map(|index| WAYS[index]) {
        let source = Source::new();
        if !are_given_again(&source) {
            let why = "the file system of the temporary directory does not give numbers again";
            return skip(what, why);
        }
        // Whether anything can be mounted at all.
        match source.mounted(way) {
            Some(first) => assert!(first.unmount().status.success()),
            None => return,
        }
        of(&source, way);
    }
}

#[test]
fn a_number_that_is_given_again_is_another_file_s() {
    each_way("numbers that are given again", |source, way| {
        let mounted = source.mounted(way).unwrap();
        // The others hold a descriptor of each file that the kernel knows, and so its number.
        let by_name = way.0 == "passthroughfs";
        let said = given_again_in(if by_name { 20 } else { 1 }, source, &mounted);
        assert_eq!(said.is_some(), by_name, "{way:?}");
        for (what, said) in said.into_iter().flatten() {
            assert_eq!(said, OWN, "{what} in {way:?}");
        }
        let ended = mounted.unmount();
        assert!(ended.status.success(), "{ended:?}");
    });
}

#[test]
fn a_handle_leads_to_its_own_file_or_to_none() {
    each_way("file handles", |source, way| {
        for (what, said) in handles(source, &|source| source.mounted(way).unwrap()) {
            assert_eq!(said, OWN, "{what} in {way:?}");
        }
    });
}
