use super::*;

#[test]
fn a_key_is_one_holder_s_and_other_keys_are_not_its_business() {
    let locks = KeyedLocks::new();
    let one = locks.try_lock(1).unwrap();
    assert!(locks.try_lock(1).is_none());
    let two = locks.try_lock(2).unwrap();
    assert_eq!((*one.key(), *two.key()), (1, 2));
    assert!(locks.is_locked(&1) && !locks.is_locked(&3));
    assert_eq!((locks.len(), locks.is_empty()), (2, false));
    assert!((2..100).contains(&locks.capacity()));
    drop(one);
    assert!(locks.try_lock(1).is_some());
    drop(two);
    assert!(locks.is_empty());
}

#[test]
fn what_is_printed_names_the_key() {
    let locks = KeyedLocks::new();
    let held = locks.try_lock(7).unwrap();
    assert_eq!(format!("{locks:?}"), "KeyedLocks { locked: 1, .. }");
    assert_eq!(format!("{held:?}"), "KeyGuard(7)");
    let mut waits = locks.lock_async(7);
    assert_eq!(format!("{waits:?}"), "KeyWait { queued: false, .. }");
    assert!(ready(&mut waits).is_none());
    assert_eq!(format!("{waits:?}"), "KeyWait { queued: true, .. }");
    assert_eq!(format!("{:?}", held.into_owned()), "OwnedKeyGuard(7)");
}

#[test]
fn a_key_need_be_nothing_but_eq_and_hash() {
    #[derive(PartialEq, Eq, Hash)]
    struct Block {
        ino: u64,
        number: Box<u64>,
    }
    let block = |number| Block {
        ino: 1,
        number: Box::new(number),
    };
    let locks = KeyedLocks::new();
    let held = Concurrent.unlocked(|proof| locks.lock(block(1), proof));
    assert!(locks.try_lock(block(1)).is_none());
    assert!(locks.try_lock(block(2)).is_some());
    assert_eq!(*held.key().number, 1);
}

#[test]
fn those_that_wait_are_served_in_order_and_nobody_passes_them() {
    within_a_minute(|| {
        let locks = KeyedLocks::new();
        let order = Mutex::new(Vec::new());
        let held = lock(&locks, 1);
        thread::scope(|threads| {
            for waiter in 0..8 {
                let (locks, order) = (&locks, &order);
                threads.spawn(move || {
                    let _key = lock(locks, 1);
                    order.lock().unwrap().push(waiter);
                    // Somebody else has it already, or will be given it.
                    thread::yield_now();
                });
                until_waiting(locks, 1, waiter + 1);
            }
            drop(held);
        });
        assert_eq!(order.into_inner().unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(locks.is_empty());
    });
}

#[test]
fn released_with_somebody_waiting_it_is_never_free() {
    let locks = KeyedLocks::new();
    let held = lock(&locks, 1);
    let (mut wait, woken) = queued(&locks, 1);
    drop(held);
    assert_eq!(woken.count(), 1);
    assert!(locks.try_lock(1).is_none(), "the waiter was passed");
    assert!(ready(&mut wait).is_some());
    assert!(locks.is_empty());
}

#[test]
fn time_outs_are_kept_and_leave_nothing() {
    within_a_minute(|| {
        let locks = KeyedLocks::new();
        let held = lock(&locks, 1);
        for timeout in [0, 1, 10_000, 20_000_000, 300_000_000] {
            let timeout = Duration::from_nanos(timeout);
            let start = Instant::now();
            let got = Concurrent.unlocked(|proof| locks.try_lock_for(1, timeout, proof).map(drop));
            let waited = start.elapsed();
            assert_eq!(got, None);
            assert!(waited >= timeout, "{timeout:?}: {waited:?}");
            assert_eq!(locks.waiters(&1), 0);
        }
        drop(held);
        let long = Duration::MAX;
        assert!(Concurrent.unlocked(|proof| locks.try_lock_for(1, long, proof).is_some()));
        assert!(locks.is_empty());
    });
}

#[test]
fn a_time_out_too_long_for_the_clock_waits_for_ever() {
    within_a_minute(|| {
        let locks = KeyedLocks::new();
        let held = lock(&locks, 1);
        thread::scope(|threads| {
            let waiter = threads.spawn(|| {
                let long = Duration::MAX;
                Concurrent.unlocked(|proof| locks.try_lock_for(1, long, proof).is_some())
            });
            until_waiting(&locks, 1, 1);
            drop(held);
            assert!(waiter.join().unwrap());
        });
    });
}

/// D1 of llfuse's lock: the key is given to one whose time is just up.
#[test]
fn d1_a_hand_over_is_not_lost_to_a_time_out() {
    within_a_minute(|| {
        let locks = KeyedLocks::new();
        for round in rounds(2_000) {
            let held = lock(&locks, 1);
            thread::scope(|threads| {
                let timed = threads.spawn(|| {
                    let timeout = Duration::from_micros(60 + round % 60);
                    Concurrent.unlocked(|proof| locks.try_lock_for(1, timeout, proof).is_some())
                });
                let patient = threads.spawn(|| drop(lock(&locks, 1)));
                let start = Instant::now();
                let hold = Duration::from_micros(40 + round % 80);
                while start.elapsed() < hold {
                    std::hint::spin_loop();
                }
                drop(held);
                // Without the rule it is this one that hangs.
                patient.join().unwrap();
                // It has had the key or not: whether its time was up first is up to the machine.
                timed.join().unwrap();
            });
            assert!(locks.is_empty());
        }
    });
}

#[test]
fn any_thread_may_release_an_owned_guard() {
    within_a_minute(|| {
        let locks = KeyedLocks::new();
        let (sender, receiver) = mpsc::channel();
        thread::scope(|threads| {
            threads.spawn(|| {
                let key = Concurrent.unlocked(|proof| locks.lock(1, proof));
                sender.send(key.into_owned()).unwrap();
            });
            let worker = threads.spawn(move || receiver.recv().unwrap());
            let key = worker.join().unwrap();
            assert_eq!(*key.key(), 1);
            assert!(locks.is_locked(&1), "it outlives both threads");
            drop(key);
        });
        assert!(locks.is_empty());
    });
}

#[test]
fn a_panic_releases_the_key() {
    let locks = KeyedLocks::new();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _key = locks.try_lock(1).unwrap();
        panic!("in the middle");
    }));
    assert!(panic.is_err());
    assert!(locks.is_empty());
}

#[test]
fn several_keys_are_taken_in_one_order_and_each_once() {
    within_a_minute(|| {
        let locks = &KeyedLocks::new();
        let keys = Concurrent.unlocked(|proof| locks.lock_all([3, 1, 2, 1], proof));
        let taken: Vec<u64> = keys.iter().map(|guard| *guard.key()).collect();
        assert_eq!(taken, [1, 2, 3]);
        drop(keys);
        let together = &Barrier::new(2);
        thread::scope(|threads| {
            for keys in [[1, 2], [2, 1]] {
                threads.spawn(move || {
                    together.wait();
                    for _ in rounds(2_000) {
                        drop(Concurrent.unlocked(|proof| locks.lock_all(keys, proof)));
                    }
                });
            }
        });
        assert!(locks.is_empty());
    });
}

#[test]
fn no_two_threads_have_one_key_at_once() {
    within_a_minute(|| {
        let locks = KeyedLocks::new();
        let taken: [AtomicBool; 3] = Default::default();
        thread::scope(|threads| {
            for thread in 0..4_u64 {
                let (locks, taken) = (&locks, &taken);
                threads.spawn(move || {
                    for round in rounds(5_000) {
                        let key = (thread + round) % 3;
                        let guard = match round % 4 {
                            0 => locks.try_lock(key).map(|guard| guard.into_owned()),
                            1 => Some(block_on(locks.lock_async(key))),
                            2 => Concurrent.unlocked(|proof| {
                                let timeout = Duration::from_micros(round % 50);
                                let guard = locks.try_lock_for(key, timeout, proof)?;
                                Some(guard.into_owned())
                            }),
                            _ => Some(lock(locks, key)),
                        };
                        if guard.is_some() {
                            let taken = &taken[key as usize];
                            assert!(!taken.swap(true, Ordering::Relaxed), "two have it");
                            assert!(taken.swap(false, Ordering::Relaxed));
                        }
                    }
                });
            }
        });
        assert!(locks.is_empty());
    });
}
