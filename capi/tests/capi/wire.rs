//! tests/watched.c, with this test as its kernel: what is called with the lock held, and what is not.

use std::fs;
use std::process::Command;

use fuse3::Errno;
use fuse3::testing::proto::{self, Bytes, File};

use crate::compiler::program;
use crate::served::Served;

/// The program, up to and including INIT.
fn watched() -> Served {
    let program = program("cc", "-std=gnu11", "tests/watched.c");
    let served = Served::new(Command::new(&program));
    fs::remove_file(program).unwrap();
    served
}

/// Has it end, and asserts that it ended well.
#[track_caller]
fn ends(mut watched: Served) {
    watched.expect_error(&proto::lookup(1, b"end"), Errno::ENOENT);
    let ended = watched.ends();
    assert_eq!(
        (ended.code, &*ended.stdout),
        (Some(0), "ended 0\nagain -16\nother -16\n"),
        "{ended:?}"
    );
}

#[test]
fn forget_comes_with_the_lock_held() {
    let mut watched = watched();
    watched.send(&proto::forget(2, 7));
    assert_eq!(watched.says(), "forget 2 7, held 1\n");
    watched.send(&proto::batch_forget(&[(3, 1), (4, 2)]));
    assert_eq!(watched.says(), "forget 3 1, held 1\n");
    assert_eq!(watched.says(), "forget 4 2, held 1\n");
    ends(watched);
}

/// While the handler of the request has the lock, and goes on having it.
#[test]
fn interrupt_does_not_wait_for_the_lock() {
    let mut watched = watched();
    let unique = watched.send(&proto::read(2, File::new(0), 0, 4096));
    assert_eq!(watched.says(), "reading\n");
    watched.send(&proto::interrupt(unique));
    assert_eq!(watched.says(), "interrupted, held 0\n");
    assert_eq!(watched.receive(), proto::error(unique, libc::EINTR));
    ends(watched);
}

#[test]
fn a_notification_is_sent_that_was_queued_with_the_lock_held() {
    let mut watched = watched();
    let unique = watched.send(&proto::lookup(1, b"notify"));
    let mut messages = [watched.receive(), watched.receive()];
    // FUSE_NOTIFY_INVAL_INODE, of attributes only.
    let body = Bytes::new().u64(2).i64(-1).i64(0);
    let mut expected = [
        proto::error(unique, libc::ENOENT),
        proto::notification(2, &body),
    ];
    messages.sort();
    expected.sort();
    assert_eq!(messages, expected);
    ends(watched);
}

/// Not while it runs, not afterwards, and not with another session.
#[test]
fn a_lock_serves_one_session_once() {
    let mut watched = watched();
    let busy = Errno::from_raw(libc::EBUSY);
    assert_eq!(busy.raw(), 16);
    watched.expect_error(&proto::lookup(1, b"run"), busy);
    watched.expect_error(&proto::lookup(1, b"still there"), Errno::ENOENT);
    ends(watched);
}
