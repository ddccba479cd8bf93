//! Listings of a directory that changes meanwhile.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::Path;

use rustix::fs::Dir;

use crate::mount::Mounted;
use crate::{DEADLINE, on_tmpfs};

/// A listing that goes on while names come and go has each name that stayed, once.
#[test]
fn names_that_stay_are_listed_once() {
    on_tmpfs(&[], |root| {
        for number in 0..2000 {
            fs::write(root.join(format!("stays{number}")), "").unwrap();
            fs::write(root.join(format!("goes{number}")), "").unwrap();
        }
        let mut seen = Vec::new();
        for (number, entry) in fs::read_dir(root).unwrap().enumerate() {
            seen.push(entry.unwrap().file_name().into_string().unwrap());
            if number < 2000 {
                fs::remove_file(root.join(format!("goes{number}"))).unwrap();
                fs::write(root.join(format!("comes{number}")), "").unwrap();
            }
        }
        seen.sort();
        let before = seen.len();
        seen.dedup();
        assert_eq!(seen.len(), before, "a name was listed twice");
        assert_eq!(
            seen.iter().filter(|name| name.starts_with("stays")).count(),
            2000
        );
    });
}

/// Who renames each name that is listed, and back, comes to the end, and has seen all; rewound, the listing has what is new.
fn ends(root: &Path) {
    const FILES: usize = 2000;
    for number in 0..FILES {
        fs::write(root.join(format!("file{number}")), "").unwrap();
    }
    let mut listing = Dir::read_from(File::open(root).unwrap()).unwrap();
    let (mut seen, mut entries) = (HashSet::new(), 0);
    while let Some(entry) = listing.read() {
        let name = entry.unwrap().file_name().to_str().unwrap().to_owned();
        entries += 1;
        assert!(
            entries <= FILES + 2,
            "still listing after {entries} entries"
        );
        if name.starts_with("file") {
            fs::rename(root.join(&name), root.join("other")).unwrap();
            fs::rename(root.join("other"), root.join(&name)).unwrap();
        }
        seen.insert(name);
    }
    assert_eq!(seen.len(), FILES + 2);
    fs::write(root.join("new"), "").unwrap();
    listing.rewind();
    let names = listing.map(|entry| entry.unwrap().file_name().to_owned());
    let names: HashSet<_> = names.collect();
    assert!(names.len() == FILES + 3 && names.contains(c"new"));
}

#[test]
fn a_listing_that_is_followed_by_renames_ends() {
    on_tmpfs(&[], ends);
    on_tmpfs(&["-s"], ends);
}

#[test]
fn so_it_does_in_memfs_ll() {
    if let Some(mounted) = Mounted::new("memfs_ll", &["-f"], DEADLINE) {
        ends(mounted.path());
        assert!(mounted.unmount().status.success());
    }
}
