//! Answers that are given later: by whom, in what order, and what may go wrong.

use std::panic::panic_any;
use std::sync::mpsc;
use std::thread;

use fuse3::reply::{Deferred, Unanswered};
use fuse3::{Entry, Errno, Reply};
use parking_lot::Mutex;

use crate::harness::Wire;
use crate::logger::PANIC;
use crate::probe::{Probe, await_from, enoent};
use crate::proto;
use crate::recorder::{ENTRY, Style, entry, in_both_styles};

in_both_styles! {
    answered_within_the_handler answered_in_any_order another_requests_deferral another_requests_answer
    deferred_twice panicked_with_the_reply_at_hand
}

/// A handler that sends its reply itself.
fn answered_within_the_handler<L: Style>() {
    let fs = Probe::<L>::new(|cx, _| {
        let (reply, deferred) = cx.defer();
        reply.send(Ok(ENTRY));
        Err(deferred.into())
    });
    let mut wire = Wire::new(fs, L::lock());
    wire.expect(&proto::lookup(1, b"name"), &proto::entry_out(&ENTRY));
    wire.end();
}

/// Many requests are open at once, and several threads answer them, the last one first.
fn answered_in_any_order<L: Style>() {
    let (sender, receiver) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, name| {
        let ino: u64 = name.to_str().unwrap().parse().unwrap();
        let (reply, deferred) = cx.defer();
        sender.send((reply, ino)).unwrap();
        Err(deferred.into())
    });
    let mut wire = Wire::new(fs, L::lock());
    let sent: Vec<_> = (1000..1100_u64)
        .map(|ino| {
            let name = ino.to_string();
            (wire.send(&proto::lookup(1, name.as_bytes())), ino)
        })
        .collect();
    let replies: Vec<_> = sent.iter().map(|_| await_from(&receiver)).collect();
    let replies = Mutex::new(replies);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some((reply, ino)) = replies.lock().pop() else {
                        break;
                    };
                    reply.send(Ok(entry(ino)));
                }
            });
        }
    });
    let mut received: Vec<_> = sent.iter().map(|_| wire.receive()).collect();
    let mut expected: Vec<_> = sent
        .iter()
        .map(|(unique, ino)| proto::reply(*unique, &proto::entry_out(&entry(*ino))))
        .collect();
    received.sort();
    expected.sort();
    assert!(received == expected);
    wire.end();
}

/// A handler that keeps what it is to return, and returns it in the next request.
fn another_requests_deferral<L: Style>() {
    let kept = Mutex::new(None::<Deferred<Entry>>);
    let fs = Probe::<L>::new(move |cx, _| {
        let mut kept = kept.lock();
        if let Some(deferred) = kept.take() {
            return Err(deferred.into());
        }
        let (reply, deferred) = cx.defer();
        *kept = Some(deferred);
        reply.send(Ok(ENTRY));
        enoent()
    });
    let mut wire = Wire::new(fs, L::lock());
    // It has said both; what it deferred counts.
    wire.expect(&proto::lookup(1, b"name"), &proto::entry_out(&ENTRY));
    // It has said nothing about this one.
    wire.expect_error(&proto::lookup(1, b"name"), Errno::EIO);
    wire.end();
}

/// A reply that is sent "it is deferred" has no other.
fn another_requests_answer<L: Style>() {
    let fs = Probe::<L>::new(|cx, _| {
        let (reply, deferred) = cx.defer::<Entry>();
        reply.send(Err(Unanswered::Deferred(deferred)));
        enoent()
    });
    let mut wire = Wire::new(fs, L::lock());
    wire.expect_error(&proto::lookup(1, b"name"), Errno::EIO);
    wire.end();
}

/// The second call panics, since there is nothing to take away any more. The first one's answer counts.
fn deferred_twice<L: Style>() {
    for answered in [true, false] {
        let fs = Probe::<L>::new(move |cx, _| {
            let (reply, _deferred) = cx.defer::<Entry>();
            if answered {
                reply.send(Ok(ENTRY));
            } else {
                drop(reply);
            }
            let (_reply, deferred): (Reply<Entry>, _) = cx.defer();
            Err(deferred.into())
        });
        let mut wire = Wire::new(fs, L::lock());
        if answered {
            wire.expect(&proto::lookup(1, b"name"), &proto::entry_out(&ENTRY));
        } else {
            wire.expect_error(&proto::lookup(1, b"name"), Errno::EIO);
        }
        assert_eq!(wire.end().stats.panics, 1);
    }
}

/// Unwinding drops the reply, which answers.
fn panicked_with_the_reply_at_hand<L: Style>() {
    let fs = Probe::<L>::new(|cx, _| {
        let (_reply, _deferred) = cx.defer::<Entry>();
        panic_any(PANIC)
    });
    let mut wire = Wire::new(fs, L::lock());
    wire.expect_error(&proto::lookup(1, b"name"), Errno::EIO);
    wire.end();
}
