//! Locks below the global one.

use super::*;

#[test]
fn a_sub_lock_is_held_under_the_global_lock() {
    let lock = GlobalLock::new(());
    let mut sub = SubLock::new(1);
    let mut held = lock.lock().unwrap();
    {
        let mut value = sub.lock(&held);
        *value += 1;
        let again = catch_unwind(AssertUnwindSafe(|| drop(sub.lock(&held))));
        assert!(message(&*again.unwrap_err()).contains("SubLock already"));
    }
    held.released(|_| ());
    assert_eq!(*sub.lock(&held), 2);
    drop(held);
    *sub.get_mut() += 1;
    assert_eq!(sub.into_inner(), 3);
}

#[test]
fn a_guard_that_lost_its_lock_takes_no_sub_lock() {
    let lock = GlobalLock::new(());
    let sub = SubLock::new(1);
    let mut held = lock.lock().unwrap();
    let mut smuggled = None;
    let released = catch_unwind(AssertUnwindSafe(|| {
        held.released(|_| smuggled = Some(lock.lock().unwrap()));
    }));
    assert!(message(&*released.unwrap_err()).contains("could not be taken again"));
    drop(smuggled);
    let panic = catch_unwind(AssertUnwindSafe(|| drop(sub.lock(&held))));
    assert!(message(&*panic.unwrap_err()).contains("could not be taken again"));
}

#[test]
fn threads_under_different_global_locks_wait_for_it() {
    within_a_minute(|| {
        let sub = SubLock::new(0u64);
        let total = AtomicU64::new(0);
        thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    let lock = GlobalLock::new(());
                    let held = lock.lock().unwrap();
                    let mut added = 0;
                    for _ in rounds(50_000) {
                        *sub.lock(&held) += 1;
                        added += 1;
                    }
                    total.fetch_add(added, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(sub.into_inner(), total.into_inner());
    });
}

#[test]
fn guards_print_what_they_guard() {
    let lock = GlobalLock::new(5);
    let free = "GlobalLock { stats: LockStats { holder: None, waiters: []";
    assert!(format!("{lock:?}").starts_with(free));
    let proof = lock.unlocked(|proof| format!("{proof:?}"));
    assert_eq!(proof.unwrap(), "Unlocked { .. }");
    let held = lock.lock().unwrap();
    assert_eq!(format!("{held:?}"), "Locked(5)");
    let below = SubLock::new(6);
    assert_eq!(format!("{:?}", below.lock(&held)), "SubGuard(6)");
    let mutex = sync::Mutex::new(7);
    assert_eq!(format!("{mutex:?}"), "Mutex { data: 7 }");
    assert_eq!(format!("{:?}", mutex.lock()), "7");
}
