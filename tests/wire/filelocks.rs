//! Locks on files: `getlk`, `setlk`, `flock`.

use fuse3::filelock::{FileLock, LockKind};
use fuse3::{Capabilities, Concurrent, Errno, Operation};

use crate::every::{Case, end, recorded};
use crate::harness::Wire;
use crate::locker::Locker;
use crate::mistakes::mistake;
use crate::proto::{self, InitIn, LkIn, init};
use crate::recorder::{Recorder, Style, in_both_styles};

const READ: u32 = 0;
const WRITE: u32 = 1;
const UNLOCK: u32 = 2;
/// `OFFSET_MAX`.
const END: u64 = 0x7fff_ffff_ffff_ffff;

const LOCK: LkIn = LkIn {
    fh: 0xdddd_0000_0000_000d,
    owner: 0x7777_0000_0000_0007,
    start: 0x1_0000_0001,
    end: 0x2_0000_0002,
    kind: WRITE,
    pid: 4712,
};
const SHOWN: &str = "fh=0xdddd00000000000d owner=0x7777000000000007";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            Operation::Getlk,
            proto::getlk(50, LOCK),
            &format!(
                "getlk 50 {SHOWN} Write 0x100000001..=0x200000002 pid=4712 for 0x7777000000000007"
            ),
            proto::lk_out(0x1_0000_0002, 0x2_0000_0003, READ, 815),
        ),
        Case::new(
            Operation::Setlk,
            proto::setlk(51, LOCK, false),
            &format!(
                "setlk 51 {SHOWN} Write 0x100000001..=0x200000002 pid=4712 for 0x7777000000000007"
            ),
            vec![],
        ),
        Case::new(
            Operation::Setlk,
            proto::setlk(51, LkIn { kind: READ, ..LOCK }, true),
            &format!(
                "setlk 51 {SHOWN} Read 0x100000001..=0x200000002 pid=4712 for 0x7777000000000007 wait"
            ),
            vec![],
        ),
        Case::new(
            Operation::Flock,
            proto::flock(52, LOCK, false),
            &format!("flock 52 {SHOWN} Write for 0x7777000000000007"),
            vec![],
        ),
        Case::new(
            Operation::Flock,
            proto::flock(52, LkIn { kind: READ, ..LOCK }, true),
            &format!("flock 52 {SHOWN} Read wait for 0x7777000000000007"),
            vec![],
        ),
    ]
}

#[test]
fn every_kind_and_range() {
    let (fs, mut wire) = recorded::<Concurrent>();
    for (kind, shown) in [(READ, "Read"), (WRITE, "Write"), (UNLOCK, "Unlock")] {
        for (start, end) in [(0, 0), (0, END), (END, END), (7, END - 1)] {
            let lock = LkIn {
                start,
                end,
                kind,
                ..LkIn::default()
            };
            wire.expect(&proto::setlk(51, lock, false), &[]);
            let call = format!("setlk 51 fh=0x0 {shown} {start:#x}..={end:#x}");
            assert_eq!(fs.further_calls(), [call]);
        }
        for (wait, waits) in [(false, ""), (true, " wait")] {
            let lock = LkIn {
                kind,
                ..LkIn::default()
            };
            wire.expect(&proto::flock(52, lock, wait), &[]);
            let call = format!("flock 52 fh=0x0 {shown}{waits} for 0x0");
            assert_eq!(fs.further_calls(), [call]);
        }
    }
    end(&fs, wire);
}

/// The kernel sends none; no handler sees them.
#[test]
fn kinds_that_are_none() {
    let (fs, mut wire) = recorded::<Concurrent>();
    for kind in [3, 4, 0xffff] {
        let lock = LkIn { kind, ..LOCK };
        for request in [
            proto::getlk(50, lock),
            proto::setlk(50, lock, false),
            proto::setlk(50, lock, true),
            proto::flock(50, lock, false),
            proto::flock(50, lock, true),
        ] {
            wire.expect_error(&request, Errno::EINVAL);
        }
    }
    fs.assert_log(&[]);
    end(&fs, wire);
}

/// Whatever the numbers are, they come through as they were sent: nothing overflows.
#[test]
fn ranges_that_are_none() {
    let (fs, mut wire) = recorded::<Concurrent>();
    for (start, end) in [
        (0, u64::MAX - 1),
        (u64::MAX, 5),
        (1 << 63, END - 1),
        (9, 3),
        (u64::MAX - 1, u64::MAX),
    ] {
        let lock = LkIn {
            start,
            end,
            ..LkIn::default()
        };
        wire.expect(&proto::setlk(51, lock, false), &[]);
        let call = format!("setlk 51 fh=0x0 Read {start:#x}..={end:#x}");
        assert_eq!(fs.further_calls(), [call]);
    }
    end(&fs, wire);
}

#[test]
fn what_is_in_the_way() {
    let (fs, mut wire) = recorded::<Concurrent>();
    let lock = |kind, start, end| Some(FileLock::new(kind, start, end).pid(-1));
    for (lock, reply) in [
        (None, proto::lk_out(0, 0, UNLOCK, 0)),
        (
            lock(LockKind::Unlock, 5, 9),
            proto::lk_out(0, 0, UNLOCK, u32::MAX),
        ),
        (
            lock(LockKind::Write, 0, 0),
            proto::lk_out(0, 0, WRITE, u32::MAX),
        ),
        (
            lock(LockKind::Read, 0, FileLock::END),
            proto::lk_out(0, END, READ, u32::MAX),
        ),
        (
            lock(LockKind::Write, END, END),
            proto::lk_out(END, END, WRITE, u32::MAX),
        ),
    ] {
        fs.values().lock = lock;
        wire.expect(&proto::getlk(50, LOCK), &reply);
        fs.further_calls();
    }
    end(&fs, wire);
}

/// The kernel answers EIO by itself to these.
#[test]
fn locks_that_cannot_be() {
    for (start, end) in [(9, 8), (0, END + 1), (u64::MAX, u64::MAX)] {
        mistake(
            &proto::getlk(50, LOCK),
            |to| to.lock = Some(FileLock::new(LockKind::Write, start, end)),
            &format!("getlk gave a lock from byte {start} to {end}"),
            &[],
        );
    }
}

/// There are slots, but the kernel looks after locks by itself unless it is asked not to.
#[test]
fn only_when_asked_for() {
    for (wants, posix, flock) in [
        (Capabilities::empty(), false, false),
        (Capabilities::POSIX_LOCKS, true, false),
        (Capabilities::FLOCK_LOCKS, false, true),
        (
            Capabilities::POSIX_LOCKS.union(Capabilities::FLOCK_LOCKS),
            true,
            true,
        ),
    ] {
        let fs = Recorder::<Concurrent>::new();
        *fs.wants.lock() = wants;
        let mut wire = Wire::connect(fs.clone(), Concurrent, |builder| builder);
        let flags = wire.init(InitIn::default()).flags;
        assert_eq!(flags & init::POSIX_LOCKS != 0, posix, "{wants:?}");
        assert_eq!(flags & init::FLOCK_LOCKS != 0, flock, "{wants:?}");
        assert_eq!(fs.calls(1), ["init"]);
        end(&fs, wire);
    }
}

in_both_styles! { a_lock_that_is_waited_for }

/// F_SETLKW by one, while another has the lock: there is one worker, which goes on, and the unlock is the answer.
fn a_lock_that_is_waited_for<L: Style>() {
    let fs = Locker::<L>::new();
    let mut wire = Wire::with(fs, L::lock(), |builder| builder.workers(1));
    let lock = |owner, kind| LkIn {
        owner,
        kind,
        start: 0,
        end: END,
        ..LkIn::default()
    };
    wire.expect(&proto::setlk(2, lock(1, WRITE), true), &[]);
    wire.expect_error(&proto::setlk(2, lock(2, READ), false), Errno::EAGAIN);
    let waiting = wire.send(&proto::setlk(2, lock(2, READ), true));
    wire.expect(
        &proto::getlk(2, lock(3, READ)),
        &proto::lk_out(0, END, WRITE, 0),
    );
    let unlock = wire.send(&proto::setlk(2, lock(1, UNLOCK), false));
    let mut replies = [wire.receive(), wire.receive()];
    let mut expected = [waiting, unlock].map(|unique| proto::reply(unique, &[]));
    replies.sort();
    expected.sort();
    assert_eq!(replies, expected);
    wire.expect_error(&proto::setlk(2, lock(1, WRITE), false), Errno::EAGAIN);
    wire.end();
}
