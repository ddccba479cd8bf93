//! P5: what a long copy does to others, with `yield_` and without.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, StatxFlags};

use crate::{Backend, check, control, endures, say};

/// Files in each directory of the tree.
const FILES: usize = 999;
const CLIENTS: usize = 3;

#[test]
fn an_fstat_does_not_wait_for_a_copy() {
    let backend = Backend::new();
    let Some(mounted) = backend.mount("") else {
        return;
    };
    build(mounted.path());
    let with = measure(mounted.path(), "with");
    check(mounted);
    let mounted = backend.mount("no_yield").unwrap();
    let without = measure(mounted.path(), "without");
    let copied = |path| fs::read_dir(mounted.path().join(path)).unwrap().count();
    assert_eq!(
        (copied("with"), copied("without/d7")),
        (directories(), FILES)
    );
    check(mounted);
    assert!(with.most < without.longest / 4, "{with:?}, {without:?}");
    // Most of the quick ones here are of before the copy and after it, when nobody has the lock. One in each client waits,
    // for all of it; how many are quick meanwhile says how late the copying client was to start and to stop them.
    assert!(without.longest > without.took / 2, "{without:?}");
}

/// Directories in the tree: 20,000 entries in `cargo test`, 100,000 elsewhere.
fn directories() -> usize {
    if endures() { 100 } else { 20 }
}

/// `tree`: made by copying, too.
fn build(root: &Path) {
    let first = root.join("tree/d0");
    fs::create_dir_all(&first).unwrap();
    for number in 0..FILES {
        fs::write(first.join(format!("f{number}")), "some").unwrap();
    }
    for number in 1..directories() {
        control(&first, "copy", &format!("d{number}")).unwrap();
    }
}

/// How long an fstat takes while the tree is copied.
#[derive(Debug)]
struct Waits {
    /// The 99th percentile.
    most: Duration,
    longest: Duration,
    /// The copy itself.
    took: Duration,
}

fn measure(root: &Path, yields: &str) -> Waits {
    let file = File::create(root.join("file")).unwrap();
    let is_over = AtomicBool::new(false);
    let (mut times, took) = thread::scope(|threads| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                threads.spawn(|| {
                    let mut times = Vec::new();
                    while !is_over.load(Ordering::Relaxed) {
                        times.push(fstat(&file));
                    }
                    times
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(50));
        let start = Instant::now();
        control(&root.join("tree"), "copy", yields).unwrap();
        let took = start.elapsed();
        is_over.store(true, Ordering::Relaxed);
        let during = |time: &(Instant, Duration)| time.0 + time.1 > start;
        let times = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap());
        let times: Vec<Duration> = times.filter(during).map(|(_, time)| time).collect();
        (times, took)
    });
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    say(&format!(
        "a copy of {} entries {yields} yield_: {took:.0?}; {} fstats meanwhile: median {:.1?}, 99th percentile {:.1?}, longest {:.1?}",
        directories() * (FILES + 1),
        times.len(),
        at(50),
        at(99),
        at(100)
    ));
    Waits {
        most: at(99),
        longest: at(100),
        took,
    }
}

/// When an fstat(2) began that the kernel may not answer by itself, and how long it took.
fn fstat(file: &File) -> (Instant, Duration) {
    /// `AT_STATX_FORCE_SYNC`.
    const FORCE_SYNC: AtFlags = AtFlags::STATX_FORCE_SYNC;
    let start = Instant::now();
    rustix::fs::statx(
        file,
        "",
        AtFlags::EMPTY_PATH | FORCE_SYNC,
        StatxFlags::BASIC_STATS,
    )
    .unwrap();
    (start, start.elapsed())
}
