//! Notifications: what is sent, to the byte, in both forms, and what is not.

mod retrievals;
mod waiting;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use fuse3::notify::{Blocking, Notification, NotifyError, Retrieval, Retrieved};
use fuse3::{Concurrent, Errno, GlobalLock, Ino, Notifier, Operation};

use parking_lot::Mutex;

use crate::harness::{DEADLINE, Wire, until};
use crate::logger::PANIC;
use crate::probe::{Probe, await_from, enoent};
use crate::proto::{self, Bytes, InitIn};
use crate::recorder::{Bare, Style, in_both_styles};

in_both_styles! {
    queued blocking before_the_beginning after_the_end from_a_handler
    an_old_kernel names_with_a_nul what_the_kernel_refuses
    a_store_is_a_barrier a_proof_of_another_lock many_from_many_threads a_panicking_callback
    a_callback_that_panics_twice
    what_comes_again
}

/// `enum fuse_notify_code`.
mod code {
    pub(super) const INVAL_INODE: i32 = 2;
    pub(super) const INVAL_ENTRY: i32 = 3;
    pub(super) const STORE: i32 = 4;
    pub(super) const RETRIEVE: i32 = 5;
    pub(super) const DELETE: i32 = 6;
    pub(super) const RESEND: i32 = 7;
    pub(super) const INC_EPOCH: i32 = 8;
    pub(super) const PRUNE: i32 = 9;
}

const NAME: &[u8] = b"na\xffme";
const INO: u64 = 0x1122_3344_5566_7788;

fn name() -> &'static OsStr {
    OsStr::from_bytes(NAME)
}

fn inval_inode(ino: u64, offset: i64, length: i64) -> Vec<u8> {
    let body = Bytes::new().u64(ino).i64(offset).i64(length);
    proto::notification(code::INVAL_INODE, &body)
}

fn inval_entry(parent: u64, name: &[u8], flags: u32) -> Vec<u8> {
    let length = u32::try_from(name.len()).unwrap();
    let body = Bytes::new().u64(parent).u32(length).u32(flags).name(name);
    proto::notification(code::INVAL_ENTRY, &body)
}

fn delete(parent: u64, child: u64, name: &[u8]) -> Vec<u8> {
    let length = u32::try_from(name.len()).unwrap();
    let body = Bytes::new().u64(parent).u64(child).u32(length).u32(0);
    proto::notification(code::DELETE, &body.name(name))
}

fn store(ino: u64, offset: u64, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap();
    let body = Bytes::new().u64(ino).u64(offset).u32(length).u32(0);
    proto::notification(code::STORE, &body.raw(data))
}

fn retrieve(unique: u64, ino: u64, offset: u64, size: u32) -> Vec<u8> {
    let body = Bytes::new().u64(unique).u64(ino).u64(offset);
    proto::notification(code::RETRIEVE, &body.u32(size).u32(0))
}

fn prune(inos: &[u64]) -> Vec<u8> {
    let count = u32::try_from(inos.len()).unwrap();
    let body = Bytes::new().u32(count).u32(0).u64(0);
    let body = inos.iter().fold(body, |body, ino| body.u64(*ino));
    proto::notification(code::PRUNE, &body)
}

fn bare(code: i32) -> Vec<u8> {
    proto::notification(code, &Bytes::new())
}

fn wait<L: Style>(
    lock: &L,
    retrieval: Retrieval,
    timeout: Duration,
) -> Result<Retrieved, NotifyError> {
    assert!(lock.stats().is_none_or(|stats| stats.holder.is_none()));
    Concurrent.unlocked(|proof| retrieval.wait(proof, timeout))
}

fn queued<L: Style>() {
    let mut wire = Wire::new(Bare::<L>::new(), L::lock());
    let notifier = wire.handle.notifier();
    let sent = |bytes: Vec<u8>| assert_eq!(wire.receive(), bytes);
    notifier.inval_inode(Ino(INO), ..);
    sent(inval_inode(INO, 0, 0));
    notifier.inval_inode(Ino(INO), 4096..12288);
    sent(inval_inode(INO, 4096, 8192));
    notifier.inval_inode(Ino(INO), 4096..);
    sent(inval_inode(INO, 4096, 0));
    notifier.inval_attr(Ino(INO));
    sent(inval_inode(INO, -1, 0));
    notifier.inval_entry(Ino::ROOT, name());
    sent(inval_entry(1, NAME, 0));
    notifier.expire_entry(Ino::ROOT, name());
    sent(inval_entry(1, NAME, 1));
    notifier.delete(Ino::ROOT, Ino(INO), name());
    sent(delete(1, INO, NAME));
    notifier.store(Ino(INO), 1 << 40, *b"some bytes");
    sent(store(INO, 1 << 40, b"some bytes"));
    notifier.store(Ino(INO), 0, vec![]);
    sent(store(INO, 0, b""));
    notifier.store(Ino(INO), 3, vec![7; 100_000]);
    sent(store(INO, 3, &[7; 100_000]));
    notifier.increment_epoch();
    sent(bare(code::INC_EPOCH));
    notifier.prune([Ino(2), Ino(INO)]);
    sent(prune(&[2, INO]));
    notifier.prune([]);
    // INIT was all that came so far.
    notifier.resend();
    wire.handle.notifier().flush(DEADLINE).unwrap();
    wire.assert_silent();
    wire.expect_error(&proto::lookup(1, b"any"), Errno::ENOSYS);
    notifier.resend();
    assert_eq!(wire.receive(), bare(code::RESEND));
    wire.end();
}

fn blocking<L: Style>() {
    let mut wire = Wire::new(Bare::<L>::new(), L::lock());
    let notifier = wire.handle.notifier();
    let sent = |send: &dyn Fn(&Blocking<'_>) -> Result<(), NotifyError>, bytes: Vec<u8>| {
        assert_eq!(wire.lock.blocking(&notifier, |now| send(now)), Ok(()));
        assert_eq!(wire.receive(), bytes);
    };
    sent(&|now| now.inval_inode(Ino(INO), ..), inval_inode(INO, 0, 0));
    sent(
        &|now| now.inval_inode(Ino(INO), 4096..=12287),
        inval_inode(INO, 4096, 8192),
    );
    sent(&|now| now.inval_attr(Ino(INO)), inval_inode(INO, -1, 0));
    sent(
        &|now| now.inval_entry(Ino::ROOT, name()),
        inval_entry(1, NAME, 0),
    );
    sent(
        &|now| now.expire_entry(Ino::ROOT, name()),
        inval_entry(1, NAME, 1),
    );
    sent(
        &|now| now.delete(Ino::ROOT, Ino(INO), name()),
        delete(1, INO, NAME),
    );
    sent(
        &|now| now.store(Ino(INO), 7, b"some"),
        store(INO, 7, b"some"),
    );
    sent(&|now| now.store(Ino(INO), 7, b""), store(INO, 7, b""));
    sent(&|now| now.increment_epoch(), bare(code::INC_EPOCH));
    sent(&|now| now.prune([Ino(INO)]), prune(&[INO]));
    let nothing = wire.lock.blocking(&notifier, |now| now.prune([]));
    assert_eq!(nothing, Ok(()));
    let nothing = wire.lock.blocking(&notifier, |now| now.resend());
    assert_eq!(nothing, Ok(()));
    wire.expect_error(&proto::lookup(1, b"any"), Errno::ENOSYS);
    let resent = wire.lock.blocking(&notifier, |now| now.resend());
    assert_eq!((resent, wire.receive()), (Ok(()), bare(code::RESEND)));
    // Offsets are signed for the kernel.
    let far = wire
        .lock
        .blocking(&notifier, |now| now.store(Ino(INO), 1 << 63, b"x"));
    assert_eq!(far, Err(NotifyError::Errno(Errno::EINVAL)));
    wire.end();
}

/// The kernel marks what it sends again, and takes the answer with the mark or without.
fn what_comes_again<L: Style>() {
    const RESENT: u64 = 1 << 63;
    let wire = Wire::new(Probe::<L>::new(|_, _| enoent()), L::lock());
    for unique in [1000, 1000 | RESENT] {
        wire.send_raw(&proto::lookup(1, NAME).bytes(unique));
        assert_eq!(wire.receive(), proto::error(unique, libc::ENOENT));
    }
    wire.end();
}

/// What is queued before INIT is sent after it, and equal ones once.
fn before_the_beginning<L: Style>() {
    let (session, mut wire) = Wire::mount(Bare::<L>::new(), L::lock(), |builder| builder);
    let notifier = wire.handle.notifier();
    let too_early = wire.lock.blocking(&notifier, |now| now.inval_attr(Ino(2)));
    assert_eq!(too_early, Err(NotifyError::NotConnected));
    for _ in 0..1000 {
        notifier.inval_inode(Ino(2), ..);
        notifier.inval_entry(Ino::ROOT, "a");
        notifier.expire_entry(Ino::ROOT, "a");
        notifier.inval_entry(Ino::ROOT, "b");
        notifier.inval_inode(Ino(2), 1..);
    }
    let early = notifier.flush(Duration::from_millis(1));
    assert_eq!(early, Err(NotifyError::TimedOut));
    wire.run(session);
    assert_eq!(
        notifier.flush(Duration::from_millis(1)),
        Err(NotifyError::TimedOut)
    );
    wire.init(InitIn::default());
    assert_eq!(wire.receive(), inval_inode(2, 0, 0));
    assert_eq!(wire.receive(), inval_entry(1, b"a", 0));
    assert_eq!(wire.receive(), inval_entry(1, b"a", 1));
    assert_eq!(wire.receive(), inval_entry(1, b"b", 0));
    assert_eq!(wire.receive(), inval_inode(2, 1, 0));
    notifier.flush(DEADLINE).unwrap();
    wire.assert_silent();
    wire.end();
}

fn after_the_end<L: Style>() {
    let wire = Wire::new(Bare::<L>::new(), L::lock());
    let (notifier, lock) = (wire.handle.notifier(), wire.lock.clone());
    wire.end();
    notifier.inval_inode(Ino(2), ..);
    notifier.store(Ino(2), 0, *b"x");
    assert_eq!(notifier.flush(DEADLINE), Err(NotifyError::Ended));
    let now = lock.blocking(&notifier, |now| now.inval_inode(Ino(2), ..));
    assert_eq!(now, Err(NotifyError::Ended));
    let mut retrieval = notifier.retrieve(Ino(2), 0, 1);
    assert_eq!(retrieval.take(), Some(Err(NotifyError::Ended)));
    let retrieval = notifier.retrieve(Ino(2), 0, 1);
    assert_eq!(wait(&lock, retrieval, DEADLINE), Err(NotifyError::Ended));
    let now = lock.blocking(&notifier, |now| now.retrieve(Ino(2), 0, 1, DEADLINE));
    assert_eq!(now, Err(NotifyError::Ended));
}

/// With the lock held, and more than a socket takes, while nobody reads them.
fn from_a_handler<L: Style>() {
    let shared = Arc::new(OnceLock::<Notifier>::new());
    let fs = Probe::<L>::new({
        let shared = Arc::clone(&shared);
        move |_, _| {
            let notifier = shared.get().unwrap();
            for ino in 0..5000 {
                notifier.inval_inode(Ino(ino), ..);
            }
            if L::LOCKED {
                assert_eq!(notifier.flush(DEADLINE), Err(NotifyError::Deadlock));
            }
            enoent()
        }
    });
    let mut wire = Wire::new(fs, L::lock());
    shared.set(wire.handle.notifier()).unwrap();
    let unique = wire.send(&proto::lookup(1, b"name"));
    let (mut next, mut answered) = (0, false);
    while next < 5000 || !answered {
        let message = wire.receive();
        if message == proto::error(unique, libc::ENOENT) {
            answered = true;
        } else {
            assert_eq!(message, inval_inode(next, 0, 0));
            next += 1;
        }
    }
    wire.end();
}

fn an_old_kernel<L: Style>() {
    let errors = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let told = Arc::clone(&errors);
    let mut wire = Wire::connect(Bare::<L>::new(), L::lock(), |builder| {
        builder.on_notify_error(move |notification, error| {
            told.lock().push((notification.name(), error));
        })
    });
    wire.init(InitIn {
        minor: 37,
        ..InitIn::default()
    });
    let notifier = wire.handle.notifier();
    let lacks = |minor| NotifyError::Unsupported {
        needs: (7, minor),
        has: (7, 37),
    };
    let refused = |send: &dyn Fn(&Blocking<'_>) -> Result<(), NotifyError>, minor| {
        let result = wire.lock.blocking(&notifier, |now| send(now));
        assert_eq!(result, Err(lacks(minor)));
        let error = std::io::Error::from(result.unwrap_err());
        assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
        assert!(
            error.to_string().starts_with("not supported by kernel"),
            "{error}"
        );
    };
    refused(&|now| now.expire_entry(Ino::ROOT, "a"), 38);
    refused(&|now| now.resend(), 40);
    refused(&|now| now.increment_epoch(), 44);
    refused(&|now| now.prune([Ino(2)]), 45);
    notifier.expire_entry(Ino::ROOT, "a");
    notifier.inval_entry(Ino::ROOT, "a");
    notifier.prune([Ino(2)]);
    notifier.flush(DEADLINE).unwrap();
    assert_eq!(wire.receive(), inval_entry(1, b"a", 0));
    assert_eq!(
        *errors.lock(),
        [("expire_entry", lacks(38)), ("prune", lacks(45))]
    );
    wire.end();
}

fn names_with_a_nul<L: Style>() {
    let (told, errors) = mpsc::channel();
    let wire = Wire::with(Bare::<L>::new(), L::lock(), |builder| {
        builder.on_notify_error(move |notification, error| {
            told.send((notification.clone(), error)).unwrap();
        })
    });
    let notifier = wire.handle.notifier();
    notifier.inval_entry(Ino::ROOT, "a\0b");
    let (notification, error) = await_from(&errors);
    assert_eq!(error, NotifyError::Errno(Errno::EINVAL));
    assert!(
        matches!(&notification, Notification::InvalEntry { parent: Ino::ROOT, name } if name == "a\0b"),
        "{notification:?}"
    );
    let now = wire
        .lock
        .blocking(&notifier, |now| now.delete(Ino::ROOT, Ino(2), "\0"));
    assert_eq!(now, Err(NotifyError::Errno(Errno::EINVAL)));
    wire.end();
}

fn what_the_kernel_refuses<L: Style>() {
    let (told, errors) = mpsc::channel();
    let wire = Wire::with(Bare::<L>::new(), L::lock(), |builder| {
        builder.on_notify_error(move |notification, error| {
            told.send((notification.to_string(), error)).unwrap();
        })
    });
    wire.refuse_for_good();
    let notifier = wire.handle.notifier();
    notifier.inval_entry(Ino::ROOT, "a");
    notifier.increment_epoch();
    let epipe = NotifyError::Errno(Errno::EPIPE);
    let first = await_from(&errors);
    assert_eq!(
        first,
        ("inval_entry of \"a\" in directory 1".to_owned(), epipe)
    );
    assert_eq!(await_from(&errors), ("increment_epoch".to_owned(), epipe));
    notifier.flush(DEADLINE).unwrap();
    let now = wire.lock.blocking(&notifier, |now| now.inval_attr(Ino(2)));
    assert_eq!(now, Err(epipe));
    wire.handle.terminate();
    wire.wait().unwrap();
}

/// What is invalidated after a store is not sent before it, since it was queued before, too.
fn a_store_is_a_barrier<L: Style>() {
    let (session, mut wire) = Wire::mount(Bare::<L>::new(), L::lock(), |builder| builder);
    let notifier = wire.handle.notifier();
    notifier.inval_inode(Ino(2), ..);
    notifier.store(Ino(2), 0, *b"a");
    notifier.inval_inode(Ino(2), ..);
    notifier.inval_inode(Ino(2), ..);
    notifier.store(Ino(2), 0, *b"a");
    wire.run(session);
    wire.init(InitIn::default());
    assert_eq!(wire.receive(), inval_inode(2, 0, 0));
    assert_eq!(wire.receive(), store(2, 0, b"a"));
    assert_eq!(wire.receive(), inval_inode(2, 0, 0));
    assert_eq!(wire.receive(), store(2, 0, b"a"));
    notifier.flush(DEADLINE).unwrap();
    wire.end();
}

/// The session's own lock counts, whatever the proof.
fn a_proof_of_another_lock<L: Style>() {
    let shared = Arc::new(OnceLock::<Notifier>::new());
    let fs = Probe::<L>::new({
        let shared = Arc::clone(&shared);
        move |_, _| {
            let notifier = shared.get().unwrap();
            let other = GlobalLock::new(());
            let with_lock = other.unlocked(|proof| notifier.blocking(proof).inval_attr(Ino(9)));
            let without = Concurrent.unlocked(|proof| notifier.blocking(proof).inval_attr(Ino(9)));
            let expected = if L::LOCKED {
                Err(NotifyError::Deadlock)
            } else {
                Ok(())
            };
            assert_eq!(with_lock, Ok(expected));
            assert_eq!(without, expected);
            enoent()
        }
    });
    let mut wire = Wire::new(fs, L::lock());
    shared.set(wire.handle.notifier()).unwrap();
    let unique = wire.send(&proto::lookup(1, b"name"));
    if !L::LOCKED {
        assert_eq!(wire.receive(), inval_inode(9, -1, 0));
        assert_eq!(wire.receive(), inval_inode(9, -1, 0));
    }
    assert_eq!(wire.receive(), proto::error(unique, libc::ENOENT));
    wire.end();
}

/// Each thread's come in its own order, and none is lost.
fn many_from_many_threads<L: Style>() {
    let wire = Wire::new(Bare::<L>::new(), L::lock());
    let notifier = wire.handle.notifier();
    thread::scope(|scope| {
        for high in 0..4_u64 {
            let notifier = notifier.clone();
            scope.spawn(move || {
                for low in 0..500 {
                    notifier.inval_inode(Ino((high << 32) | low), ..);
                }
                notifier.flush(DEADLINE).unwrap();
            });
        }
        let mut next = [0; 4];
        for _ in 0..2000 {
            let message = wire.receive();
            let ino = u64::from_ne_bytes(message[16..24].try_into().unwrap());
            let thread = usize::try_from(ino >> 32).unwrap();
            assert_eq!(ino & 0xffff_ffff, next[thread]);
            next[thread] += 1;
        }
    });
    wire.end();
}

fn a_panicking_callback<L: Style>() {
    let wire = Wire::with(Bare::<L>::new(), L::lock(), |builder| {
        builder.on_notify_error(|_, _| std::panic::panic_any(PANIC))
    });
    let notifier = wire.handle.notifier();
    notifier.inval_entry(Ino::ROOT, "\0");
    notifier.inval_attr(Ino(2));
    assert_eq!(wire.receive(), inval_inode(2, -1, 0));
    notifier.retrieve_with(Ino(2), 0, 1, |_| std::panic::panic_any(PANIC));
    assert_eq!(wire.receive(), retrieve(1, 2, 0, 1));
    wire.send_raw(&proto::notify_reply(2, 0, b"x").bytes(1));
    notifier.inval_attr(Ino(3));
    assert_eq!(wire.receive(), inval_inode(3, -1, 0));
    wire.end();
}

/// What is thrown by a callback, and throws when it is dropped.
fn a_callback_that_panics_twice<L: Style>() {
    struct Throws(mpsc::Sender<()>);
    impl Drop for Throws {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
            std::panic::panic_any(PANIC);
        }
    }
    let (dropped, drops) = mpsc::channel();
    let payload = {
        let dropped = Mutex::new(dropped);
        move || Throws(dropped.lock().clone())
    };
    let payload = Arc::new(payload);
    let thrown = Arc::clone(&payload);
    let wire = Wire::with(Bare::<L>::new(), L::lock(), |builder| {
        builder.on_notify_error(move |_, _| std::panic::resume_unwind(Box::new(thrown())))
    });
    let notifier = wire.handle.notifier();
    notifier.inval_entry(Ino::ROOT, "\0");
    await_from(&drops);
    // The thread that tells is still there, and so is the worker that reads the answer.
    notifier.retrieve_with(Ino(2), 0, 1, move |_| {
        std::panic::resume_unwind(Box::new(payload()))
    });
    assert_eq!(wire.receive(), retrieve(1, 2, 0, 1));
    wire.send_raw(&proto::notify_reply(2, 0, b"x").bytes(1));
    await_from(&drops);
    notifier.inval_attr(Ino(3));
    assert_eq!(wire.receive(), inval_inode(3, -1, 0));
    wire.end();
}

/// 100,000 from one handler, under the lock, are queued in no time, and sent once each.
#[test]
fn a_hundred_thousand_do_not_block() {
    let shared = Arc::new(OnceLock::<Notifier>::new());
    let (told, took) = mpsc::channel();
    let fs = Probe::<crate::recorder::Locked>::new({
        let shared = Arc::clone(&shared);
        move |_, _| {
            let notifier = shared.get().unwrap();
            for number in 0..100_000 {
                notifier.inval_entry(Ino::ROOT, number.to_string());
            }
            told.send(()).unwrap();
            enoent()
        }
    });
    let mut wire = Wire::new(fs, Style::lock());
    shared.set(wire.handle.notifier()).unwrap();
    let unique = wire.send(&proto::lookup(1, b"name"));
    // Nobody has taken one of them.
    await_from(&took);
    let (mut next, mut answered) = (0, false);
    while next < 100_000 || !answered {
        let message = wire.receive();
        if message == proto::error(unique, libc::ENOENT) {
            answered = true;
        } else {
            assert_eq!(message, inval_entry(1, next.to_string().as_bytes(), 0));
            next += 1;
        }
    }
    wire.end();
}
