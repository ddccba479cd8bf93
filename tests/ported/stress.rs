//! Many clients that change the same few names at once, for the accounts of names, links and open files.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::calls::{self, list};
use crate::mount::{Mounted, within};
use crate::source::Source;
use crate::{DEADLINE, WRITEBACK, end};

const CLIENTS: u64 = 6;
const TURNS: u32 = 400;
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Numbers that look random, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    /// A path of one to three names.
    fn path(&mut self, root: &Path) -> PathBuf {
        let depth = 1 + self.below(3);
        let names = (0..depth).map(|_| NAMES[self.below(NAMES.len())]);
        names.fold(root.to_owned(), |path, name| path.join(name))
    }
}

/// What one client does. Most of it fails, since others do the same: what must not fail is what is open.
fn client(root: &Path, number: u64) {
    let mut random = Random(number);
    for _ in 0..TURNS {
        let (one, other) = (random.path(root), random.path(root));
        // Whether it worked depends on the others.
        let _ = match random.below(9) {
            0 | 1 => fs::create_dir(&one),
            2 => fs::remove_dir(&one),
            3 => fs::remove_file(&one),
            4 => fs::rename(&one, &other),
            5 => calls::rename(&one, &other, libc::RENAME_EXCHANGE),
            6 => fs::hard_link(&one, &other),
            7 => one.symlink_metadata().map(drop),
            _ => File::create(&one).map(|mut file| {
                file.write_all(b"text").unwrap();
                assert!(file.metadata().unwrap().is_file());
            }),
        };
    }
}

/// All paths below, with inode, links and size.
fn tree(dir: &Path, below: &Path, all: &mut Vec<(PathBuf, u64, u64, u64)>) {
    for name in list(dir) {
        let (path, below) = (dir.join(&name), below.join(&name));
        let stat = path.symlink_metadata().unwrap();
        let size = if stat.is_file() { stat.len() } else { 0 };
        all.push((below.clone(), stat.ino(), stat.nlink(), size));
        if stat.is_dir() {
            tree(&path, &below, all);
        }
    }
}

fn on(example: &str, arguments: &[&str], source: Option<&Source>) {
    let Some(mounted) = Mounted::new(example, arguments, DEADLINE) else {
        return;
    };
    let root = mounted.path();
    thread::scope(|scope| {
        for number in 1..=CLIENTS {
            scope.spawn(move || client(root, number));
        }
    });
    let mut seen = Vec::new();
    tree(root, Path::new(""), &mut seen);
    assert!(!seen.is_empty());
    if let Some(source) = source {
        let mut there = Vec::new();
        tree(source.path(), Path::new(""), &mut there);
        assert_eq!(seen, there);
    }
    for name in list(root) {
        let path = root.join(name);
        let removed = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        removed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    if let Some(source) = source {
        let closed = || source.opened_by(mounted.id()) == [source.path()];
        let closed = within(Duration::from_secs(20), closed);
        assert!(closed, "{:?}", source.opened_by(mounted.id()));
    }
    end(mounted);
}

#[test]
fn names() {
    on("tmpfs_sqlite", &["-o", "max_threads=30"], None);
    for options in [
        &["-o", "max_threads=30,timeout=0"][..],
        &["--async", "-o", "timeout=0"],
        &[WRITEBACK, "-o", "max_threads=30,timeout=0"],
        &[WRITEBACK, "--async", "-o", "timeout=0"],
        &[],
    ] {
        let source = Source::new();
        let arguments = [options, &[source.str()]].concat();
        on("passthroughfs", &arguments, Some(&source));
    }
}
