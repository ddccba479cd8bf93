//! Callers that are killed while a handler runs.
//!
//! The kernel tells the handler, and takes its answer all the same: a request that a server has read is waited for. An
//! answer that it does not take is tested over the wire.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fuse3::{GlobalLock, Operation};

use crate::fixture::{DEADLINE, Mount, gone_soon, require_mount, until};
use crate::probe::{Books, Probe};

type Left = (Mount<Probe>, Arc<GlobalLock<Books>>);

/// What is left of a program that does `shell` on the mount, whose first `operation` lasts until the program has been killed.
fn killed(operation: Operation, shell: &str) -> Left {
    gone_soon(|| killed_once(operation, shell)).1
}

/// The same, and how long the program lived after it was killed.
fn killed_once(operation: Operation, shell: &str) -> (Duration, Left) {
    let lock = Arc::new(GlobalLock::new(Books::default()));
    let reached = Arc::new(AtomicBool::new(false));
    let (first, told) = (Arc::clone(&reached), Arc::new(AtomicBool::new(false)));
    let was_told = Arc::clone(&told);
    let probe = Probe::new().on(move |cx, this, _| {
        if this == operation && !first.swap(true, Ordering::SeqCst) {
            let start = Instant::now();
            while !cx.interrupted() {
                assert!(
                    start.elapsed() < DEADLINE,
                    "nobody told of the interruption"
                );
                cx.released(|_| thread::sleep(Duration::from_millis(1)));
            }
            told.store(true, Ordering::SeqCst);
        }
        Ok(())
    });
    let mount = Mount::new(probe.builder_with(Arc::clone(&lock)));
    let mut client = Command::new("sh")
        .args(["-c", shell, "sh"])
        .arg(mount.join("file"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    until(|| reached.load(Ordering::SeqCst));
    let start = Instant::now();
    client.kill().unwrap();
    client.wait().unwrap();
    let took = start.elapsed();
    assert!(was_told.load(Ordering::SeqCst));
    (took, (mount, lock))
}

/// Nothing that was given out is missing: what the kernel took it gives back once the name is gone, and what it did not
/// take has been taken back.
#[track_caller]
fn assert_balanced(mount: &Mount<Probe>, lock: &GlobalLock<Books>, name: &str) {
    fs::remove_file(mount.join(name)).unwrap();
    until(|| {
        let books = lock.lock().unwrap();
        books.open.is_empty() && books.lookups.is_empty()
    });
}

#[test]
fn in_lookup() {
    require_mount!();
    let (mount, lock) = killed(Operation::Lookup, r#"exec cat "$1""#);
    assert_balanced(&mount, &lock, "file");
}

#[test]
fn in_open() {
    require_mount!();
    let (mount, lock) = killed(Operation::Open, r#"exec cat "$1""#);
    assert_balanced(&mount, &lock, "file");
    assert_eq!(lock.lock().unwrap().handles, 1);
}

#[test]
fn in_create() {
    require_mount!();
    // No lookup finds `missing`, so that open(2) becomes CREATE.
    let (mount, lock) = killed(Operation::Create, r#"cd "${1%/*}" && : > missing"#);
    assert_balanced(&mount, &lock, "missing");
    assert_eq!(lock.lock().unwrap().handles, 1);
}

#[test]
fn in_read() {
    require_mount!();
    let (mount, lock) = killed(Operation::Read, r#"exec cat "$1""#);
    assert_balanced(&mount, &lock, "file");
}
