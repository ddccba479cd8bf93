//! After a panic that may have broken the state, handlers are not called until somebody has looked at it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fuse3::session::OnPanic;
use fuse3::{Errno, Operation};

use crate::harness::{Wire, until};
use crate::logger::PANIC;
use crate::probe::{Probe, enoent};
use crate::proto::{self, File};
use crate::recorder::{Locked, Style, in_both_styles};

in_both_styles! { requests_are_refused_until_the_poison_is_cleared }

fn requests_are_refused_until_the_poison_is_cleared<L: Style>() {
    let fs = Probe::<L>::new(|_, name| match name.to_str() {
        Some("panic") => panic!("{PANIC}"),
        _ => enoent(),
    });
    let mut wire = Wire::with(fs, L::lock(), |builder| builder.on_panic(OnPanic::Poison));
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    assert!(!wire.handle.is_poisoned());
    wire.expect_error(&proto::lookup(1, b"panic"), Errno::EIO);
    assert!(wire.handle.is_poisoned());
    for _ in 0..2 {
        wire.expect_error(&proto::lookup(1, b"name"), Errno::EIO);
        // It has no handler, and would get ENOSYS.
        wire.expect_error(&proto::getattr(1, None), Errno::EIO);
    }
    // What the kernel has it gives back.
    wire.send(&proto::forget(7, 1));
    wire.expect(&proto::release(7, File::new(3)), &[]);
    wire.has_come(Operation::Forget);
    wire.handle.clear_poison();
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    let end = wire.end();
    let mut taken_back = end.fs.taken_back.lock().clone();
    taken_back.sort();
    assert_eq!(taken_back, ["forget 7 1", "release 7 3"]);
    assert_eq!(end.stats.panics, 1);
}

/// The lock is released by the panic, and somebody waits for it.
#[test]
fn who_waits_for_the_lock_does_not_see_the_broken_state() {
    let called = Arc::new(AtomicUsize::new(0));
    let lock = Locked::lock();
    let fs = {
        let (called, lock) = (Arc::clone(&called), Arc::clone(&lock));
        Probe::<Locked>::new(move |_, _| {
            called.fetch_add(1, Ordering::SeqCst);
            until("three wait", || lock.stats().waiters.len() == 3);
            panic!("{PANIC}");
        })
    };
    let mut wire = Wire::with(fs, lock, |builder| builder.on_panic(OnPanic::Poison));
    let mut sent: Vec<_> = (0..4)
        .map(|_| wire.send(&proto::lookup(1, b"panic")))
        .collect();
    sent.sort_unstable();
    let mut replies: Vec<_> = sent.iter().map(|_| wire.receive()).collect();
    replies.sort();
    let expected = sent.iter().map(|unique| proto::error(*unique, libc::EIO));
    assert!(replies.into_iter().eq(expected));
    assert_eq!(
        called.load(Ordering::SeqCst),
        1,
        "a handler saw the broken state"
    );
    assert_eq!(wire.end().stats.panics, 1);
}
