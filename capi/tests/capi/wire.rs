//! tests/watched.c, with this test as its kernel: what is called with the lock held, and what is not.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use fuse3::Errno;
use fuse3::testing::proto::{self, Bytes, File, InitIn};

use crate::compiler::program;
use crate::served::Served;

fn compiled() -> PathBuf {
    program("cc", "-std=gnu11", "tests/watched.c")
}

/// The program, up to and including INIT.
fn watched() -> Served {
    let program = compiled();
    let served = Served::new(Command::new(&program));
    fs::remove_file(program).unwrap();
    served
}

/// Has it end, and asserts that it ended well.
#[track_caller]
fn ends(mut watched: Served) {
    watched.expect_error(&proto::lookup(1, b"end"), Errno::ENOENT);
    has_ended(watched);
}

#[track_caller]
fn has_ended(watched: Served) {
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
#[track_caller]
fn interrupted(offset: u64, said: &str) {
    let mut watched = watched();
    let unique = watched.send(&proto::read(2, File::new(0), offset, 4096));
    assert_eq!(watched.says(), "reading\n");
    watched.send(&proto::interrupt(unique));
    assert_eq!(watched.says(), said);
    assert_eq!(watched.receive(), proto::error(unique, libc::EINTR));
    ends(watched);
}

#[test]
fn interrupt_does_not_wait_for_the_lock() {
    interrupted(0, "interrupted, held 0\n");
}

#[test]
fn an_interrupt_that_has_come_is_told_in_the_handler() {
    interrupted(1, "interrupted, held 1\n");
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
        proto::notification(code::INVAL_INODE, &body),
    ];
    messages.sort();
    expected.sort();
    assert_eq!(messages, expected);
    ends(watched);
}

/// With the lock held. A thread waits until they are sent.
#[test]
fn notifications_say_what_c_gave() {
    let mut watched = watched();
    let unique = watched.send(&proto::lookup(1, b"older"));
    assert_eq!(watched.says(), "older 0 0 0 0\n");
    let mut messages: Vec<_> = (0..5).map(|_| watched.receive()).collect();
    let answer = proto::error(unique, libc::ENOENT);
    let at = messages.iter().position(|message| *message == answer);
    messages.remove(at.expect("an answer"));
    let inode = Bytes::new().u64(2).i64(4096).i64(512);
    let entry = Bytes::new().u64(1).u32(4).u32(0).name(b"file");
    let delete = Bytes::new().u64(1).u64(2).u32(4).u32(0).name(b"file");
    let store = Bytes::new().u64(2).u64(7).u32(5).u32(0).raw(b"bytes");
    let expected = [
        proto::notification(code::INVAL_INODE, &inode),
        proto::notification(code::INVAL_ENTRY, &entry),
        proto::notification(code::DELETE, &delete),
        proto::notification(code::STORE, &store),
    ];
    assert_eq!(messages, expected);
    watched.expect_error(&proto::lookup(1, b"flush"), Errno::ENOENT);
    assert_eq!(watched.says(), "flushed 0\n");
    ends(watched);
}

/// `enum fuse_notify_code`.
mod code {
    pub(super) const INVAL_INODE: i32 = 2;
    pub(super) const INVAL_ENTRY: i32 = 3;
    pub(super) const STORE: i32 = 4;
    pub(super) const DELETE: i32 = 6;
    pub(super) const RESEND: i32 = 7;
    pub(super) const INC_EPOCH: i32 = 8;
    pub(super) const PRUNE: i32 = 9;
}

/// Each from the protocol on that has it. Which kernel it is is told by INIT.
#[test]
fn what_an_older_kernel_does_not_have_is_refused() {
    let expire = Bytes::new().u64(1).u32(4).u32(1).name(b"file");
    let prune = Bytes::new().u32(2).u32(0).u64(0).u64(2).u64(3);
    let all = [
        proto::notification(code::INVAL_ENTRY, &expire),
        proto::notification(code::RESEND, &Bytes::new()),
        proto::notification(code::INC_EPOCH, &Bytes::new()),
        proto::notification(code::PRUNE, &prune),
    ];
    assert_eq!(libc::ENOSYS, 38);
    let program = compiled();
    for (minor, sent, said) in [
        (37, 0, "newer -38 -38 -38 -38\n"),
        (38, 1, "newer 0 -38 -38 -38\n"),
        (40, 2, "newer 0 0 -38 -38\n"),
        (44, 3, "newer 0 0 0 -38\n"),
        (45, 4, "newer 0 0 0 0\n"),
    ] {
        let mut watched = Served::start(Command::new(&program));
        watched.init(InitIn {
            minor,
            ..InitIn::default()
        });
        let unique = watched.send(&proto::lookup(1, b"newer"));
        assert_eq!(watched.says(), said, "7.{minor}");
        let mut messages: Vec<_> = (0..=sent).map(|_| watched.receive()).collect();
        let answer = proto::error(unique, libc::ENOENT);
        let at = messages.iter().position(|message| *message == answer);
        messages.remove(at.expect("an answer"));
        assert_eq!(messages, all[..sent], "7.{minor}");
        ends(watched);
    }
    fs::remove_file(program).unwrap();
}

#[test]
fn it_is_not_freed_while_its_session_runs() {
    let mut watched = watched();
    let busy = Errno::from_raw(libc::EBUSY);
    watched.expect_error(&proto::lookup(1, b"free"), busy);
    ends(watched);
}

#[test]
fn it_ends_when_it_was_told_to_before_it_ran() {
    let program = compiled();
    let mut command = Command::new(&program);
    command.arg("early");
    has_ended(Served::start(command));
    fs::remove_file(program).unwrap();
}

#[test]
fn any_thread_ends_it() {
    let mut watched = watched();
    watched.expect_error(&proto::lookup(1, b"thread"), Errno::ENOENT);
    has_ended(watched);
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
