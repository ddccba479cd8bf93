use super::*;

/// A `Hash` that is equal for all is legal, if slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SameHash(u32);

impl std::hash::Hash for SameHash {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

#[test]
fn two_keys_of_one_hash_are_two_keys() {
    within_a_minute(|| {
        let keys = KeyedLocks::new();
        Concurrent.unlocked(|proof| {
            let one = keys.lock(SameHash(1), proof);
            let two = keys.lock(SameHash(2), proof);
            assert_eq!((one.key(), two.key()), (&SameHash(1), &SameHash(2)));
            assert!(keys.try_lock(SameHash(1)).is_none());
            drop(one);
            assert!(!keys.is_locked(&SameHash(1)) && keys.is_locked(&SameHash(2)));
        });
    });
}

#[test]
fn a_key_is_kept_while_the_global_lock_is_taken_and_released() {
    within_a_minute(|| {
        let global = GlobalLock::new(0);
        let locks = KeyedLocks::new();
        let mut fs = global.lock().unwrap();
        let key = fs.released(|proof| locks.lock(1, proof));
        *fs += 1;
        fs.yield_(1);
        fs.released(|proof| assert_eq!(*proof.lock(), 1));
        assert!(locks.is_locked(&1));
        drop(key);
        assert!(locks.is_empty());
    });
}

#[test]
fn a_try_is_allowed_under_the_global_lock() {
    let global = GlobalLock::new(());
    let locks = KeyedLocks::new();
    let held = global.lock().unwrap();
    let key = locks.try_lock(1).unwrap();
    drop(held);
    drop(key);
}

/// No type sees a lock that is taken beside the proof.
#[test]
fn waiting_with_the_lock_taken_beside_the_proof_panics() {
    let global = GlobalLock::new(());
    let locks = KeyedLocks::new();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let told = global.unlocked(|proof| {
            let _beside = global.lock().unwrap();
            drop(locks.lock(1, proof));
        });
        told.unwrap();
    }))
    .unwrap_err();
    assert!(
        message(&*panic).contains("KeyedLocks::lock"),
        "{}",
        message(&*panic)
    );
    assert!(locks.is_empty());
    assert!(!global.is_held());
}

/// One has the key and wants the global lock; the other has the global lock and wants the key.
#[test]
fn with_the_proof_key_and_global_lock_do_not_deadlock() {
    within_a_minute(|| {
        let global = GlobalLock::new(0);
        let locks = KeyedLocks::new();
        let entered = AtomicUsize::new(0);
        thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in rounds(500) {
                        let mut fs = global.lock().unwrap();
                        let key = fs.released(|proof| locks.lock(1, proof));
                        *fs += 1;
                        drop(fs);
                        drop(key);
                        entered.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(*global.lock().unwrap(), entered.into_inner());
        assert!(locks.is_empty());
    });
}
