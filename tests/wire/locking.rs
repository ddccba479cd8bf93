//! What is held when: the lock is a handler's, not a reply's.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use fuse3::{Concurrent, Errno, GlobalLock, Operation, Reply};

use crate::attributes;
use crate::every::{end, recorded};
use crate::harness::{DEADLINE, Wire, until};
use crate::probe::{Probe, await_from, enoent};
use crate::proto;
use crate::recorder::{ENTRY, How, Locked, Style, in_both_styles};

in_both_styles! { replies_are_sent_without_the_lock handlers_run_at_once_or_in_turn }

/// The kernel does not take the reply of one handler, which therefore waits in write(2). Another handler runs meanwhile.
fn replies_are_sent_without_the_lock<L: Style>() {
    for how in [How::Answer, How::Errno(Errno::EBUSY), How::Panic] {
        let (fs, mut wire) = recorded::<L>();
        let stuffed = wire.refuse(true);
        fs.answer(how);
        let first = wire.send(&proto::rmdir(1, b"first"));
        assert_eq!(fs.calls(1), ["rmdir 1 \"first\""]);
        let second = wire.send(&proto::rmdir(1, b"second"));
        assert_eq!(fs.calls(1), ["rmdir 1 \"second\""]);
        wire.accept(stuffed);
        let mut replies = [wire.receive(), wire.receive()];
        replies.sort();
        let expected = |unique| match how {
            How::Answer => proto::reply(unique, &[]),
            How::Errno(errno) => proto::error(unique, errno.raw()),
            _ => proto::error(unique, libc::EIO),
        };
        assert_eq!(replies, [expected(first), expected(second)]);
        end(&fs, wire);
    }
}

/// Two handlers meet, or never do.
fn handlers_run_at_once_or_in_turn<L: Style>() {
    let inside = AtomicUsize::new(0);
    let meeting = (Mutex::new(0), Condvar::new());
    let fs = Probe::<L>::new(move |_, _| {
        let others = inside.fetch_add(1, Ordering::SeqCst);
        if L::LOCKED {
            assert_eq!(others, 0);
            // Time for another one to come in, if it could.
            thread::yield_now();
        } else {
            let (met, came) = &meeting;
            *met.lock().unwrap() += 1;
            came.notify_all();
            let waiting = came.wait_timeout_while(met.lock().unwrap(), DEADLINE, |met| *met < 4);
            assert!(!waiting.unwrap().1.timed_out());
        }
        inside.fetch_sub(1, Ordering::SeqCst);
        enoent()
    });
    let mut wire = Wire::new(fs, L::lock());
    let rounds = if L::LOCKED { 50 } else { 1 };
    for _ in 0..rounds {
        let sent: [_; 4] = std::array::from_fn(|_| wire.send(&proto::lookup(1, b"name")));
        let mut replies: [_; 4] = std::array::from_fn(|_| wire.receive());
        replies.sort();
        let mut expected = sent.map(|unique| proto::error(unique, libc::ENOENT));
        expected.sort();
        assert_eq!(replies, expected);
    }
    assert_eq!(wire.end().stats.panics, 0);
}

/// A lookup whose reply the test has, and which is not going to be taken.
fn reply_that_is_not_taken() -> (Wire<Probe<Locked>>, Reply<fuse3::Entry>) {
    let (sender, receiver) = mpsc::channel();
    let fs = Probe::<Locked>::new(move |cx, _| {
        let (reply, deferred) = cx.defer();
        sender.send(reply).unwrap();
        Err(deferred.into())
    });
    let mut wire = Wire::new(fs, Locked::lock());
    wire.refuse_for_good();
    wire.send(&proto::lookup(1, b"name"));
    let reply = await_from(&receiver);
    (wire, reply)
}

const FORGET: &str = "forget 1234605616436508552 1";

/// What a deferred reply gave out is taken back under the lock: while somebody has it, that waits.
#[test]
fn taking_back_waits_for_the_lock() {
    let (wire, reply) = reply_that_is_not_taken();
    let lock = Arc::clone(&wire.lock);
    let guard = lock.lock().unwrap();
    let replier = thread::spawn(move || reply.send(Ok(ENTRY)));
    let mut waiting = Vec::new();
    until("somebody waits for the lock", || {
        waiting = lock.stats().waiters;
        !waiting.is_empty()
    });
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].operation, Some(Operation::Forget));
    drop(guard);
    replier.join().unwrap();
    assert_eq!(*wire.end().fs.taken_back.lock(), [FORGET]);
}

/// The thread that replies has the lock itself.
#[test]
fn taking_back_for_one_who_has_the_lock() {
    let (wire, reply) = reply_that_is_not_taken();
    let guard = wire.lock.lock().unwrap();
    reply.send(Ok(ENTRY));
    let forgotten = || {
        let mut operations = wire.lock.stats().operations.into_iter();
        operations.any(|used| used.operation == Some(Operation::Forget))
    };
    assert!(!forgotten());
    drop(guard);
    until("it is taken back", forgotten);
    assert_eq!(*wire.end().fs.taken_back.lock(), [FORGET]);
}

/// A worker whose handler has left its guard behind cannot take the lock again. Its callers get an error, and do not wait.
#[test]
fn a_guard_that_was_left_behind() {
    if !crate::one_worker_can_be_had("locking::a_guard_that_was_left_behind") {
        return;
    }
    static OTHER: GlobalLock<()> = GlobalLock::new(());
    let fs = Probe::<Locked>::new(|cx, _| {
        mem::forget(mem::replace(&mut **cx, OTHER.try_lock().unwrap()));
        enoent()
    });
    let mut wire = Wire::with(fs, Locked::lock(), |builder| builder.workers(1));
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    for _ in 0..2 {
        wire.expect_error(&proto::lookup(1, b"name"), Errno::EDEADLK);
        wire.send(&proto::forget(7, 1));
    }
    wire.expect_error(&proto::getattr(1, None), Errno::EDEADLK);
    // The session cannot end in good order: nobody will ever have the lock for `destroy`.
}

/// Without a lock, one handler that takes long stops nobody.
#[test]
fn a_slow_handler_stops_nobody() {
    let (go, goes) = mpsc::channel::<()>();
    let goes = Mutex::new(goes);
    let fs = Probe::<Concurrent>::new(move |_, name| {
        if name == "slow" {
            await_from(&goes.lock().unwrap());
        }
        enoent()
    });
    let mut wire = Wire::new(fs, Concurrent);
    let slow = wire.send(&proto::lookup(1, b"slow"));
    for _ in 0..10 {
        wire.expect_error(&proto::lookup(1, b"quick"), Errno::ENOENT);
    }
    go.send(()).unwrap();
    assert_eq!(wire.receive(), proto::error(slow, libc::ENOENT));
    wire.end();
}

/// With one worker, requests are answered one after the other, in their order.
#[test]
fn one_worker() {
    if !crate::one_worker_can_be_had("locking::one_worker") {
        return;
    }
    let fs = crate::recorder::Recorder::<Locked>::new();
    let mut wire = Wire::with(fs.clone(), fs.lock.clone(), |builder| builder.workers(1));
    let sent: Vec<_> = (0..50)
        .map(|_| wire.send(&proto::getattr(1, None)))
        .collect();
    for unique in sent {
        let attr = attributes::reply();
        assert_eq!(wire.receive(), proto::reply(unique, &attr));
    }
    wire.end();
}
