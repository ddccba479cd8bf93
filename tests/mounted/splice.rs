//! Data that libfuse splices where it was asked for, and nothing spliced where it was not.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use fuse3::Capabilities;

use crate::child::{this_test, traced};
use crate::fixture::require_mount;
use crate::real::{Real, SIZE, contents};

const SPLICE: Capabilities = Capabilities::SPLICE_READ
    .union(Capabilities::SPLICE_WRITE)
    .union(Capabilities::SPLICE_MOVE);

/// Writes and reads 128 KiB through the kernel, and compares; how many writes came in a pipe.
fn there_and_back(wants: Capabilities) -> usize {
    let mount = Real::new(wants).mount();
    let path = mount.join("file");
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut there = vec![0; SIZE];
    file.read_exact_at(&mut there, 0).unwrap();
    assert!(there == contents(0));
    file.write_all_at(&contents(1), 0).unwrap();
    file.read_exact_at(&mut there, 0).unwrap();
    assert!(there == contents(1));
    // Fewer than asked for, at the end of the file.
    let mut more = vec![0; 2 * SIZE];
    assert_eq!(file.read_at(&mut more, 100).unwrap(), SIZE - 100);
    assert!(more[..SIZE - 100] == contents(1)[100..]);
    assert_eq!(file.read_at(&mut more, SIZE as u64).unwrap(), 0);
    // Little data come as a slice, in any case.
    file.write_all_at(b"little", 10).unwrap();
    file.read_exact_at(&mut there, 0).unwrap();
    assert_eq!(
        &there[..20],
        [&contents(1)[..10], b"little", &contents(1)[16..20]].concat()
    );
    drop(file);
    let agreement = mount.handle().connection().unwrap();
    assert_eq!(agreement.granted & SPLICE, wants);
    let fs = mount.end().fs;
    let pipes = fs.pipes.load(Ordering::Relaxed);
    assert_eq!(pipes + fs.slices.load(Ordering::Relaxed), 2);
    assert!(fs::read(fs.path()).unwrap() == there);
    pipes
}

/// A write comes in a pipe, when a pipe that is large enough can be had: how many pages the pipes of a user have together is
/// limited (pipe(7), `pipe-user-pages-soft`), so that others' pipes may have to be gone first.
fn write_comes_in_a_pipe(wants: Capabilities) -> bool {
    (0..50).any(|_| {
        let came = there_and_back(wants) == 1;
        if !came {
            thread::sleep(Duration::from_millis(100));
        }
        came
    })
}

#[test]
fn spliced_data_are_the_same() {
    require_mount!(not over io_uring: "nothing is spliced");
    assert!(write_comes_in_a_pipe(SPLICE));
    assert!(write_comes_in_a_pipe(Capabilities::SPLICE_READ));
    assert_eq!(there_and_back(Capabilities::SPLICE_WRITE), 0);
    assert_eq!(there_and_back(Capabilities::empty()), 0);
}

/// Runs the test under strace(1), and returns how many bytes each splice(2) moved.
fn spliced(name: &str, test: impl FnOnce()) -> Option<Vec<u64>> {
    // 123 splice(3, NULL, 4, NULL, 131152, 0) = 131152; or "<unfinished ...>", then "<... splice resumed>) = 131152".
    let log = traced(name, "splice", test)?;
    let results = log.lines().filter_map(|line| line.rsplit_once(" = "));
    Some(
        results
            .filter_map(|(_, moved)| moved.parse().ok())
            .collect(),
    )
}

#[test]
fn strace_shows_splice() {
    require_mount!(not over io_uring: "nothing is spliced");
    let size = SIZE as u64;
    // The write's request from the device, with its header, and its data into the file; the read's reply, with its header.
    let expected = [size + 80, size, size + 16];
    let mut seen = Vec::new();
    // The worker that reads INIT asks for a pipe that is larger than users may have, from libfuse 3.17 on. It is refused and copies
    // from then on, so that another one has to serve the read.
    while seen.len() < 30 {
        let Some(moved) = spliced(this_test!(), || {
            assert!(write_comes_in_a_pipe(SPLICE));
        }) else {
            return;
        };
        if expected.iter().all(|size| moved.contains(size)) {
            return;
        }
        seen.push(moved);
    }
    panic!("{expected:?} are not in {seen:?}");
}

#[test]
fn strace_shows_no_splice() {
    require_mount!();
    let wants = Capabilities::empty();
    if let Some(moved) = spliced(this_test!(), || {
        assert_eq!(there_and_back(wants), 0);
    }) {
        assert_eq!(moved, []);
    }
}
