//! A proof that the thread does not hold the lock, given by one that does.

use super::*;
use fuse3::Concurrent;
use fuse3::kit::{KeyedLocks, work_queue};

/// What the panic of `f` says.
fn refusal(f: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).expect_err("it waits under the lock");
    message(&*panic).to_owned()
}

/// In release builds too, where it would deadlock sooner or later.
#[test]
fn one_of_another_lock_or_of_none_is_noticed() {
    within_a_minute(|| {
        let (lock, other) = (GlobalLock::new(()), GlobalLock::new(()));
        let keys = KeyedLocks::new();
        let (sender, receiver) = work_queue(1);
        sender.try_send(1).unwrap();
        let nap = Duration::from_millis(1);
        let held = lock.lock().unwrap();
        let waits: [(&str, &dyn Fn()); 6] = [
            ("KeyedLocks::lock", &|| {
                Concurrent.unlocked(|proof| drop(keys.lock(1, proof)));
            }),
            ("KeyedLocks::lock", &|| {
                other.unlocked(|proof| drop(keys.lock(1, proof))).unwrap();
            }),
            ("KeyedLocks::try_lock_for", &|| {
                Concurrent.unlocked(|proof| drop(keys.try_lock_for(1, nap, proof)));
            }),
            ("WorkSender::send", &|| {
                Concurrent.unlocked(|proof| assert!(sender.send_for(2, nap, proof).is_err()));
            }),
            ("WorkReceiver::recv", &|| {
                Concurrent.unlocked(|proof| assert_eq!(receiver.recv(proof), Some(1)));
            }),
            ("WorkReceiver::recv_for", &|| {
                other
                    .unlocked(|proof| assert!(receiver.recv_for(nap, proof).is_ok()))
                    .unwrap();
            }),
        ];
        for (what, wait) in waits {
            let text = refusal(wait);
            assert!(text.contains(what), "{what}: {text}");
        }
        assert!(keys.is_empty());
        drop(held);
        Concurrent.unlocked(|proof| {
            drop(keys.lock(1, proof));
            assert_eq!(receiver.recv(proof), Some(1));
        });
    });
}

#[test]
fn it_is_true_again_whichever_way_the_lock_was_released() {
    let lock = GlobalLock::new(());
    let keys = KeyedLocks::new();
    let is_taken = || Concurrent.unlocked(|proof| drop(keys.lock(1, proof)));
    let mut held = lock.lock().unwrap();
    held.released(|_| is_taken());
    held.yield_(1);
    assert!(refusal(is_taken).contains("holds"));
    held.wait(&Condvar::new(), Some(Duration::ZERO));
    assert!(refusal(is_taken).contains("holds"));
    // The proof says so of its own lock, too.
    held.released(|proof| {
        let beside = lock.lock().unwrap();
        assert!(refusal(|| drop(keys.lock(1, proof))).contains("holds"));
        drop(beside);
        drop(keys.lock(1, proof));
    });
    drop(held);
    is_taken();
    // One that failed to take it holds nothing.
    let held = lock.lock().unwrap();
    thread::scope(|threads| {
        threads.spawn(|| {
            assert!(lock.try_lock().is_err());
            is_taken();
        });
    });
    drop(held);
    // A guard that was forgotten holds it all the same, and so does one that is made anew.
    std::mem::forget(lock.lock().unwrap());
    assert!(refusal(is_taken).contains("holds"));
    // SAFETY: the thread holds the lock, and the guard before was forgotten.
    drop(unsafe { lock.guard_unchecked() });
    is_taken();
}
