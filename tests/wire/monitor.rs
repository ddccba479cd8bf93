//! The socket that tells what a session does.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::sync::mpsc;

use fuse3::{Concurrent, Errno, GlobalLock, Ino, MountError, Operation, Session};

use crate::harness::{DEADLINE, Wire, until};
use crate::probe::{Probe, await_from, enoent};
use crate::proto;
use crate::recorder::{Bare, Locked, Style};
use crate::tempdir::TempDir;

/// What the socket says.
fn snapshot(path: &Path) -> String {
    let mut client = UnixStream::connect(path).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("fuse3-monitor 1\n"), "{text}");
    assert!(text.ends_with("\nend\n"), "{text}");
    text
}

/// The columns of the lines that begin with this word.
fn lines<'t>(text: &'t str, word: &str) -> Vec<Vec<&'t str>> {
    let columns = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    columns.filter(|columns| columns[0] == word).collect()
}

#[test]
fn it_tells_what_has_been_done_and_is_removed() {
    let dir = TempDir::new();
    let path = dir.path().join("socket");
    let fs = Probe::<Concurrent>::new(|_, _| enoent());
    let mut wire = Wire::with(fs, Concurrent, |builder| builder.monitor(&path));
    let metadata = fs::symlink_metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    for _ in 0..3 {
        wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    }
    let mut text = String::new();
    // An answer is sent before it is counted.
    until("all have been counted", || {
        text = snapshot(&path);
        lines(&text, "operation").iter().any(|it| it[2] == "3")
    });
    let operations = lines(&text, "operation");
    assert_eq!(operations.len(), 1, "{text}");
    assert_eq!(operations[0][..4], ["operation", "lookup", "3", "3"]);
    assert_eq!(operations[0].len(), 8);
    assert_eq!(lines(&text, "pid")[0][1], process::id().to_string());
    assert!(lines(&text, "mount")[0][1].starts_with("/dev/fd/"));
    assert!(lines(&text, "workers")[0][1].parse::<usize>().unwrap() >= 1);
    assert_eq!(lines(&text, "notifications"), [["notifications", "0"]]);
    // There is no lock.
    for word in ["lock", "holder", "waiter", "request"] {
        assert!(lines(&text, word).is_empty(), "{text}");
    }
    let end = wire.end();
    assert_eq!(end.stats.latencies.len(), 1);
    assert!(!path.exists());
}

/// All workers wait for the lock, which a thread of the application has.
#[test]
fn it_tells_who_holds_the_lock_and_who_waits() {
    let dir = TempDir::new();
    let path = dir.path().join("socket");
    let fs = Probe::<Locked>::new(|_, _| enoent());
    let lock = Locked::lock();
    let mut wire = Wire::with(fs, Arc::clone(&lock), |builder| {
        builder
            .workers(1)
            .option(format!("monitor={}", path.display()))
    });
    let guard = GlobalLock::lock(&lock).unwrap();
    let taken_at = line!() - 1;
    let unique = wire.send(&proto::lookup(5, b"name"));
    until("the handler waits", || !lock.stats().waiters.is_empty());
    let text = snapshot(&path);
    let requests = lines(&text, "request");
    assert_eq!(requests.len(), 1, "{text}");
    assert_eq!(requests[0][2..4], ["lookup", "5"]);
    let holder = &lines(&text, "holder")[0];
    assert_eq!(holder[2], "-");
    assert!(
        holder[4].ends_with(&format!("wire/monitor.rs:{taken_at}:17")),
        "{text}"
    );
    let waiter = &lines(&text, "waiter")[0];
    assert_eq!((waiter[1], waiter[2]), (requests[0][1], "lookup"));
    assert_eq!(lines(&text, "lock")[0].len(), 4);
    drop(guard);
    assert_eq!(wire.receive(), proto::error(unique, libc::ENOENT));
    wire.end();
}

#[test]
fn it_tells_how_many_notifications_are_queued() {
    let dir = TempDir::new();
    let path = dir.path().join("socket");
    let (session, wire) = Wire::mount(Bare::<Concurrent>::new(), Concurrent, |builder| {
        builder.monitor(&path)
    });
    let notifier = session.handle().notifier();
    for ino in 2..5 {
        notifier.inval_inode(Ino(ino), ..);
    }
    let mut wire = wire;
    // The kernel has not sent INIT: they wait.
    wire.run(session);
    let text = snapshot(&path);
    assert_eq!(lines(&text, "notifications"), [["notifications", "3"]]);
    // How the session ends is not at issue.
    drop(wire.close());
    assert!(!path.exists());
}

#[test]
fn what_a_program_has_left_behind_is_replaced() {
    let dir = TempDir::new();
    let path = dir.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let wire = Wire::with(Bare::<Concurrent>::new(), Concurrent, |builder| {
        builder.monitor(&path)
    });
    let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    snapshot(&path);
    wire.end();
}

#[test]
fn what_somebody_serves_is_left_alone() {
    let dir = TempDir::new();
    let path = dir.path().join("socket");
    let served = UnixListener::bind(&path).unwrap();
    let refused = |path: &Path| {
        let (_kernel, server) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let builder = Session::builder(Bare::<Concurrent>::new(), Concurrent);
        match builder.monitor(path).mount_fd(server) {
            Err(MountError::Monitor(refused, error)) => {
                assert_eq!(refused, path);
                error.kind()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(&path), ErrorKind::AddrInUse);
    assert!(path.exists());
    drop(served);
    let file = dir.path().join("file");
    fs::write(&file, "contents").unwrap();
    assert_eq!(refused(&file), ErrorKind::AddrInUse);
    assert_eq!(fs::read(&file).unwrap(), b"contents");
    let long = dir.path().join("x".repeat(200));
    assert_eq!(refused(&long), ErrorKind::InvalidInput);
    assert_eq!(
        refused(&dir.path().join("not there/socket")),
        ErrorKind::NotFound
    );
}

/// One that somebody else has put there meanwhile is not removed.
#[test]
fn another_socket_in_its_place_stays() {
    let dir = TempDir::new();
    let path = dir.path().join("socket");
    let wire = Wire::with(Bare::<Concurrent>::new(), Concurrent, |builder| {
        builder.monitor(&path)
    });
    fs::rename(&path, dir.path().join("moved")).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    wire.end();
    assert!(path.exists());
}

/// A client that neither reads nor goes away.
#[test]
fn a_client_that_does_not_read_keeps_nobody_waiting() {
    let dir = TempDir::new();
    let path = dir.path().join("socket");
    let wire = Wire::with(Bare::<Concurrent>::new(), Concurrent, |builder| {
        builder.monitor(&path)
    });
    let _lazy: Vec<_> = (0..5)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    snapshot(&path);
    drop(UnixStream::connect(&path).unwrap());
    snapshot(&path);
    wire.end();
}

/// A report is not to be had by setxattr(2) unless that was asked for, too.
#[test]
fn it_does_not_turn_stacktrace_on() {
    let dir = TempDir::new();
    let path = dir.path().join("socket");
    let mut wire = Wire::with(Bare::<Concurrent>::new(), Concurrent, |builder| {
        builder.monitor(&path)
    });
    let request = proto::setxattr(1, b"fuse_stacktrace", b"1", 0);
    wire.expect_error(&request, Errno::ENOSYS);
    wire.end();
}

/// Requests of an operation that is under way are shown, and no others.
#[test]
fn it_tells_what_is_under_way() {
    let dir = TempDir::new();
    let path = dir.path().join("socket");
    let (come, has_come) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let may_go = parking_lot::Mutex::new(may_go);
    let fs = Probe::<Concurrent>::new(move |_, _| {
        come.send(()).unwrap();
        await_from(&may_go.lock());
        enoent()
    });
    let mut wire = Wire::with(fs, Concurrent, |builder| builder.monitor(&path));
    let unique = wire.send(&proto::lookup(7, b"name"));
    await_from(&has_come);
    let text = snapshot(&path);
    assert_eq!(lines(&text, "request")[0][2..4], ["lookup", "7"]);
    assert!(lines(&text, "operation").is_empty(), "{text}");
    go.send(()).unwrap();
    assert_eq!(wire.receive(), proto::error(unique, libc::ENOENT));
    until("it is not shown any more", || {
        lines(&snapshot(&path), "request").is_empty()
    });
    let handle = wire.handle.clone();
    assert_eq!(wire.end().stats.latencies[0].operation, Operation::Lookup);
    assert_eq!(handle.stats().latencies.len(), 1);
}
