//! tmpfs_sqlite, kept in a file.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::calls::list;
use crate::mount::Mounted;
use crate::source::Source;
use crate::{DEADLINE, checks, end};

#[test]
fn what_was_written_is_there_again() {
    let folder = Source::new();
    let option = format!("database={}", folder.path().join("db").display());
    let mounted = || Mounted::new("tmpfs_sqlite", &["-o", &option], DEADLINE);
    let Some(first) = mounted() else {
        return;
    };
    let root = first.path();
    checks::all(root, None);
    fs::create_dir(root.join("dir")).unwrap();
    let file = File::create(root.join("dir/file")).unwrap();
    file.write_all_at(b"text", 100_000).unwrap();
    fs::hard_link(root.join("dir/file"), root.join("link")).unwrap();
    let before = file.metadata().unwrap();
    drop(file);
    end(first);

    let Some(second) = mounted() else {
        return;
    };
    let root = second.path();
    assert_eq!(list(root), ["dir", "link"]);
    let again = root.join("dir/file").metadata().unwrap();
    let of = |stat: &fs::Metadata| (stat.ino(), stat.nlink(), stat.mtime_nsec(), stat.len());
    assert_eq!(of(&again), of(&before));
    let mut expected = vec![0; 100_000];
    expected.extend(b"text");
    assert!(fs::read(root.join("link")).unwrap() == expected);
    end(second);
}

/// What was fsynced is there after the program was killed; what had no name is gone.
#[test]
fn killed() {
    let folder = Source::new();
    let option = format!("database={}", folder.path().join("db").display());
    let mounted = || Mounted::new("tmpfs_sqlite", &["-o", &option], DEADLINE);
    let Some(first) = mounted() else {
        return;
    };
    let mut nameless = File::create(first.path().join("nameless")).unwrap();
    nameless.write_all(&[7; 100_000]).unwrap();
    fs::remove_file(first.path().join("nameless")).unwrap();
    let mut file = File::create(first.path().join("file")).unwrap();
    file.write_all(b"synced").unwrap();
    file.sync_all().unwrap();
    // It is killed by the drop, and its mount is taken away.
    drop(first);
    drop((nameless, file));

    let Some(second) = mounted() else {
        return;
    };
    assert_eq!(list(second.path()), ["file"]);
    assert_eq!(fs::read(second.path().join("file")).unwrap(), b"synced");
    let files = crate::calls::statvfs(second.path()).unwrap();
    assert_eq!(files.f_files - files.f_ffree, 2);
    end(second);
}
