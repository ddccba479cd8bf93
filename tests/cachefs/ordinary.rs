//! What any file system does.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use crate::{Backend, check, count, errno};

#[test]
fn files_and_directories_also_after_another_mount() {
    let backend = Backend::new();
    for round in 0..2 {
        let Some(mounted) = backend.mount("commit=100") else {
            return;
        };
        let root = mounted.path();
        if round == 0 {
            make(root);
        }
        assert_eq!(names(root), ["d", "moved"]);
        assert_eq!(names(&root.join("d")), ["e", "sparse"]);
        let sparse = fs::read(root.join("d/sparse")).unwrap();
        assert_eq!(sparse.len(), 1_000_000);
        assert!(sparse[..300_000].iter().all(|byte| *byte == 0));
        assert_eq!(&sparse[300_000..300_005], b"middl");
        assert!(sparse[300_005..].iter().all(|byte| *byte == 0));
        assert_eq!(fs::read(root.join("moved")).unwrap(), vec![7; 400_000]);
        let mode = root.join("moved").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
        assert_eq!(root.metadata().unwrap().nlink(), 3);
        check(mounted);
    }
}

fn make(root: &Path) {
    fs::create_dir(root.join("d")).unwrap();
    fs::create_dir(root.join("d/e")).unwrap();
    fs::write(root.join("file"), vec![7; 400_000]).unwrap();
    fs::write(root.join("moved"), "replaced").unwrap();
    fs::rename(root.join("file"), root.join("d/file")).unwrap();
    fs::rename(root.join("d/file"), root.join("moved")).unwrap();
    fs::set_permissions(root.join("moved"), fs::Permissions::from_mode(0o640)).unwrap();
    let sparse = File::create(root.join("d/sparse")).unwrap();
    sparse.write_all_at(b"middle", 300_000).unwrap();
    sparse.set_len(300_005).unwrap();
    sparse.set_len(1_000_000).unwrap();
    let path = |path| root.join(path);
    assert_eq!(errno(fs::remove_dir(path("d"))), libc::ENOTEMPTY);
    assert_eq!(errno(fs::remove_file(path("no"))), libc::ENOENT);
    assert_eq!(errno(fs::create_dir(path("d"))), libc::EEXIST);
    assert_eq!(errno(fs::rename(path("d"), path("moved"))), libc::ENOTDIR);
    assert_eq!(errno(fs::remove_file(path("d"))), libc::EISDIR);
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_unlinked_lives_until_it_is_closed() {
    let backend = Backend::new();
    let Some(mounted) = backend.mount("commit=20") else {
        return;
    };
    let path = mounted.path().join("file");
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    file.write_all_at(&[1; 200_000], 0).unwrap();
    file.sync_all().unwrap();
    fs::remove_file(&path).unwrap();
    file.write_all_at(&[2; 10], 199_990).unwrap();
    file.sync_all().unwrap();
    let mut bytes = vec![0; 200_001];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 200_000);
    assert_eq!((bytes[199_989], bytes[199_990]), (1, 2));
    drop(file);
    check(mounted);
    // What nobody can reach any more goes with the next mount at the latest.
    let mounted = backend.mount("").unwrap();
    assert_eq!(names(mounted.path()), [""; 0]);
    check(mounted);
    assert!(
        names(&backend.directory)
            .iter()
            .all(|name| name.starts_with("commit."))
    );
}

/// More names than one readdir takes, with others coming and going meanwhile.
#[test]
fn long_directories_and_small_caches() {
    let backend = Backend::new();
    let Some(mounted) = backend.mount("commit=50,cache=1") else {
        return;
    };
    let root = mounted.path();
    for number in 0..2000 {
        File::create(root.join(format!("f{number}"))).unwrap();
    }
    let mut listing = fs::read_dir(root).unwrap();
    let first = listing.next().unwrap().unwrap().file_name();
    for number in (0..2000).filter(|number| number % 3 == 0) {
        fs::rename(
            root.join(format!("f{number}")),
            root.join(format!("g{number}")),
        )
        .unwrap();
    }
    let rest = listing.map(|entry| entry.unwrap().file_name());
    assert_eq!(rest.filter(|name| *name != first).count(), 1999);
    // Eight blocks are cached: the rest is evicted, and downloaded again.
    let big: Vec<u8> = (0..5_000_000_u32)
        .map(|at| (at / 1000).to_le_bytes()[0])
        .collect();
    fs::write(root.join("big"), &big).unwrap();
    let mounted = {
        check(mounted);
        backend.mount("cache=1").unwrap()
    };
    assert!(fs::read(mounted.path().join("big")).unwrap() == big);
    assert_eq!(count(mounted.path(), "cached"), 8);
    check(mounted);
}
