//! File handles: what name_to_handle_at(2) says of a file, and who may be behind it later.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::calls::{errno, statvfs};
use crate::handle::{Handle, forget};
use crate::mount::{Mounted, is_root, skip, within};
use crate::{DEADLINE, PATIENCE, left};

/// Only root may open by a handle.
fn by_root() -> bool {
    if !is_root() {
        skip::skip("file handles", "only root opens by them");
    }
    is_root()
}

#[test]
fn a_handle_does_not_outlive_the_file_system() {
    if !by_root() {
        return;
    }
    for example in ["tmpfs", "memfs_ll"] {
        let mounted = || Mounted::new(example, &["-f"], DEADLINE);
        let Some(first) = mounted() else {
            return;
        };
        fs::write(first.path().join("a"), "of a").unwrap();
        let number = fs::metadata(first.path().join("a")).unwrap().ino();
        let mut handle = Handle::of(&first.path().join("a")).unwrap();
        assert!(handle.open(first.path()).is_ok());
        assert!(first.unmount().status.success());

        let second = mounted().unwrap();
        fs::write(second.path().join("b"), "of b").unwrap();
        let again = fs::metadata(second.path().join("b")).unwrap().ino();
        assert_eq!(number, again, "another number shows nothing");
        assert_eq!(errno(handle.open(second.path())), libc::ESTALE, "{example}");
        assert!(second.unmount().status.success());
    }
}

/// What the kernel has forgotten meanwhile it asks for.
#[test]
fn a_handle_leads_to_what_has_a_name() {
    if !by_root() {
        return;
    }
    // How many inodes there are is said by each in its own way.
    let of_tmpfs = |root: &Path| left(root) == "3 inodes, 0 nameless, 1 lookups, 0 open, 1 blocks";
    let of_memfs = |root: &Path| statvfs(root).unwrap().f_files == 3;
    let all = [
        ("tmpfs", &of_tmpfs as &dyn Fn(&Path) -> bool),
        ("memfs_ll", &of_memfs),
    ];
    for (example, is_forgotten) in all {
        let Some(mounted) = Mounted::new(example, &["-f"], DEADLINE) else {
            return;
        };
        leads_to_what_has_a_name(mounted, is_forgotten);
    }
}

fn leads_to_what_has_a_name(mounted: Mounted, is_forgotten: &dyn Fn(&Path) -> bool) {
    let root = mounted.path();
    fs::create_dir(root.join("directory")).unwrap();
    let [file, gone, directory] =
        ["directory/file", "gone", "directory"].map(|name| root.join(name));
    fs::write(&file, "text").unwrap();
    fs::write(&gone, "text").unwrap();
    let mut handles = [&file, &gone, &directory].map(|path| Handle::of(path).unwrap());
    fs::remove_file(&gone).unwrap();
    let forgotten = || {
        forget(root);
        is_forgotten(root)
    };
    assert!(within(PATIENCE, forgotten), "they are known yet");
    let [file, gone, directory] = &mut handles;
    let mut text = String::new();
    file.open(root).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "text");
    assert_eq!(errno(gone.open(root)), libc::ESTALE);
    assert!(directory.open(root).unwrap().metadata().unwrap().is_dir());
    // The kernel has asked for "..", and does not forget the root.
    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
}
