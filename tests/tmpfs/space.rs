//! What takes space, and what does not: fallocate(2), holes, and whatever else a user can make it hold.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};

use crate::beside::{as_user, beside, said};
use crate::calls::statvfs;

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
