//! What takes space, and what does not: fallocate(2), holes, and whatever else a user can make it hold.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};

use crate::beside::{as_user, beside, said};
use crate::calls::{errno, removexattr, setxattr, statvfs};
use crate::mount::{Mounted, within};
use crate::{DEADLINE, PATIENCE};

const KEEP: FallocateFlags = FallocateFlags::KEEP_SIZE;
const GROW: FallocateFlags = FallocateFlags::empty();
const PUNCH: FallocateFlags = KEEP.union(FallocateFlags::PUNCH_HOLE);

fn open(path: &Path) -> File {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).unwrap()
}

/// Size, blocks, what is in the first pages, and what is free.
fn shape(file: &File, root: &Path) -> String {
    let stat = file.metadata().unwrap();
    let mut bytes = vec![0; 40_000];
    let len = file.read_at(&mut bytes, 0).unwrap();
    let sum = bytes[..len]
        .iter()
        .map(|byte| u64::from(*byte))
        .sum::<u64>();
    let free = statvfs(root).unwrap().f_bfree;
    format!(
        "{} bytes, {} blocks, sum {sum}, {free} free",
        stat.len(),
        stat.blocks()
    )
}

#[test]
fn space_is_set_aside_and_given_back() {
    beside("size=1M", |root| {
        let mut answers = Vec::new();
        let file = open(&root.join("file"));
        file.write_all_at(&[1; 10_000], 100).unwrap();
        for (mode, offset, len) in [
            (KEEP, 0, 40_000),
            (GROW, 20_000, 10_000),
            (PUNCH, 50, 100),
            (PUNCH, 4000, 200),
            (PUNCH, 4096, 4096),
            (PUNCH, 0, 50_000),
            (GROW, 0, 1),
            (GROW, 0, 0),
            (KEEP, 900_000, 100_000),
            (GROW, 0, 2 << 20),
            (KEEP, 500_000, 1 << 20),
            (GROW, u64::MAX >> 1, 1),
            (PUNCH, 900_000, 100_000),
            (FallocateFlags::PUNCH_HOLE, 0, 4096),
            (FallocateFlags::ZERO_RANGE, 0, 4096),
            (FallocateFlags::ZERO_RANGE | KEEP, 0, 4096),
            (FallocateFlags::COLLAPSE_RANGE, 0, 4096),
            (FallocateFlags::INSERT_RANGE, 0, 4096),
        ] {
            let result = fallocate(&file, mode, offset, len);
            let shape = said(result, |()| shape(&file, root));
            answers.push(format!("{mode:?} {offset}+{len}: {shape}"));
            file.write_all_at(&[1; 10_000], 100).unwrap();
        }
        // Cut where it ends, it loses what was set aside behind its end, and made longer it keeps it.
        for len in [30_000, 60_000, 60_000, 5] {
            fallocate(&file, KEEP, 0, 200_000).unwrap();
            file.set_len(len).unwrap();
            answers.push(format!("cut to {len}: {}", shape(&file, root)));
        }
        let directory = File::open(root).unwrap();
        let result = fallocate(&directory, GROW, 0, 1);
        answers.push(said(result, |()| "allocated".to_owned()));
        answers
    });
}

#[test]
fn setting_space_aside_counts_as_a_change() {
    beside("", |root| {
        let mut answers = Vec::new();
        fs::set_permissions(root, Permissions::from_mode(0o777)).unwrap();
        for mode in [GROW, KEEP, PUNCH] {
            let path = root.join("file");
            let file = open(&path);
            file.write_all_at(&[1; 10_000], 0).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o6777)).unwrap();
            let times = || {
                let stat = path.metadata().unwrap();
                (stat.mtime_nsec(), stat.ctime_nsec())
            };
            let before = times();
            std::thread::sleep(std::time::Duration::from_millis(20));
            let result = as_user(1234, &[1234], 0, || fallocate(open(&path), mode, 0, 20_000));
            let after = times();
            answers.push(format!(
                "{mode:?}: {}, mode {:o}, mtime moved {}, ctime moved {}",
                said(result, |()| "done".to_owned()),
                path.metadata().unwrap().mode(),
                before.0 != after.0,
                before.1 != after.1,
            ));
            fs::remove_file(&path).unwrap();
        }
        answers
    });
}

#[test]
fn data_and_holes_are_found() {
    beside("", |root| {
        let file = open(&root.join("file"));
        file.write_all_at(b"begin", 5000).unwrap();
        file.write_all_at(&[1; 20_000], 100_000).unwrap();
        file.set_len(1 << 40).unwrap();
        file.write_all_at(b"end", (1 << 40) + 5).unwrap();
        fallocate(&file, KEEP, 0, 50_000).unwrap();
        fallocate(&file, PUNCH, 106_496, 8192).unwrap();
        let places = [0, 1, 4095, 4096, 5000, 8191, 8192, 60_000, 98_304, 100_000];
        let more = [
            106_495, 106_496, 114_687, 114_688, 119_999, 120_000, 122_880,
        ];
        let end = (1 << 40) + 8;
        let last = [1 << 40, end - 1, end, end + 1, u64::MAX >> 1];
        let mut answers = Vec::new();
        for at in places.into_iter().chain(more).chain(last) {
            for whence in [SeekFrom::Data(at), SeekFrom::Hole(at)] {
                let found = said(seek(&file, whence), |at| at.to_string());
                answers.push(format!("{whence:?}: {found}"));
            }
        }
        answers
    });
}

/// How many KiB the process of `mounted` has in memory.
fn memory(mounted: &Mounted) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", mounted.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}

/// Attributes and names take space, too, until there is none left.
#[test]
fn what_a_user_can_make_it_hold_is_bounded() {
    let Some(mounted) = Mounted::new("tmpfs", &["-f", "-o", "size=8M"], DEADLINE) else {
        return;
    };
    let root = mounted.path();
    let file = root.join("file");
    fs::write(&file, "").unwrap();
    let empty = statvfs(root).unwrap().f_ffree;
    let before = memory(&mounted);
    let until_full = |make: &dyn Fn(usize) -> std::io::Result<()>| {
        let made = (0..50_000)
            .take_while(|number| make(*number).is_ok())
            .count();
        assert_eq!(errno(make(made)), libc::ENOSPC, "after {made}");
        made
    };
    let large = vec![7; 65_536];
    let set = |number| setxattr(&file, &format!("user.{number}"), &large, 0);
    let attributes = until_full(&set);
    assert!(attributes <= 32, "{attributes}");
    assert!(statvfs(root).unwrap().f_ffree < 64);
    // What is there can be replaced once something else is gone.
    assert_eq!(errno(setxattr(&file, "user.0", &large, 0)), libc::ENOSPC);
    removexattr(&file, "user.1").unwrap();
    setxattr(&file, "user.0", &large, 0).unwrap();
    (2..attributes).for_each(|number| removexattr(&file, &format!("user.{number}")).unwrap());
    removexattr(&file, "user.0").unwrap();
    assert_eq!(statvfs(root).unwrap().f_ffree, empty);

    let name = |number: usize| root.join(format!("{number:0250}"));
    let links = until_full(&|number| fs::hard_link(&file, name(number)));
    assert_eq!(links as u64, empty);
    (0..links).for_each(|number| fs::remove_file(name(number)).unwrap());
    let target = "x".repeat(4000);
    let symlinks = until_full(&|number| std::os::unix::fs::symlink(&target, name(number)));
    assert!(symlinks < 500, "{symlinks}");
    let grown = memory(&mounted).saturating_sub(before);
    assert!(grown < 10 << 10, "{grown} KiB");
    (0..symlinks).for_each(|number| fs::remove_file(name(number)).unwrap());
    let freed = || statvfs(root).unwrap().f_ffree == empty;
    assert!(within(PATIENCE, freed));
    assert!(mounted.unmount().status.success());
}

/// The kernel's counts each inode and each further name as one.
#[test]
fn names_count_as_in_the_kernel_s() {
    beside("size=8M", |root| {
        // How many there may be in all is the kernel's own affair: half as many as the memory has pages.
        let all = statvfs(root).unwrap().f_files;
        let free = || all - statvfs(root).unwrap().f_ffree;
        let mut answers = vec![free().to_string()];
        fs::write(root.join("file"), "").unwrap();
        answers.push(free().to_string());
        fs::hard_link(root.join("file"), root.join("link")).unwrap();
        fs::create_dir(root.join("directory")).unwrap();
        answers.push(free().to_string());
        fs::remove_file(root.join("file")).unwrap();
        answers.push(free().to_string());
        fs::remove_dir(root.join("directory")).unwrap();
        answers
    });
}
