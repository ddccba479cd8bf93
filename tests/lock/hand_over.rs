//! Handing the lock to threads that wait.

use super::*;

#[test]
fn nobody_waits_so_the_lock_is_never_free() {
    within_a_minute(|| {
        let lock = GlobalLock::new(());
        let stop = AtomicBool::new(false);
        let (tries, successes) = (AtomicU64::new(0), AtomicU64::new(0));
        let mut held = lock.lock().unwrap();
        thread::scope(|threads| {
            threads.spawn(|| {
                // It tries and does not wait, so it is not to be served.
                while !stop.load(Ordering::Relaxed) {
                    successes.fetch_add(u64::from(lock.try_lock().is_ok()), Ordering::Relaxed);
                    tries.fetch_add(1, Ordering::Relaxed);
                }
            });
            for _ in rounds(1_000_000) {
                assert_eq!(held.yield_(100), 0);
            }
            until(|| tries.load(Ordering::Relaxed) > 0);
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(successes.into_inner(), 0);
        assert_eq!(lock.stats().acquisitions, 1);
    });
}

#[test]
fn the_order_is_that_of_arrival() {
    within_a_minute(|| {
        let lock = GlobalLock::new(vec!["m"]);
        let mut held = lock.lock().unwrap();
        thread::scope(|threads| {
            for (queued, name) in ["w0", "w1", "w2"].into_iter().enumerate() {
                let lock = &lock;
                threads.spawn(move || lock.lock().unwrap().push(name));
                until_waiting(lock, queued + 1);
            }
            // Three wait, but they have all run when it comes back: one hand-over.
            assert_eq!(held.yield_(1), 1);
            held.push("m");
            assert_eq!(*held, ["m", "w0", "w1", "w2", "m"]);
            assert_eq!(held.yield_(10), 0);
        });
    });
}

#[test]
fn it_is_handed_over_as_often_as_asked_while_somebody_waits() {
    within_a_minute(|| {
        let lock = GlobalLock::new((0, false));
        let mut held = lock.lock().unwrap();
        thread::scope(|threads| {
            threads.spawn(|| {
                let mut other = lock.lock().unwrap();
                while !other.1 {
                    other.0 += 1;
                    // The lock goes back at once, and this thread waits again.
                    assert_eq!(other.yield_(1), 1);
                }
            });
            until_waiting(&lock, 1);
            assert_eq!(held.yield_(0), 0);
            assert_eq!(held.0, 0);
            assert_eq!(held.yield_(1), 1);
            assert_eq!(held.0, 1);
            assert_eq!(held.yield_(3), 3);
            assert_eq!(held.0, 4);
            held.1 = true;
            // It ends instead of yielding, after which nobody waits.
            assert_eq!(held.yield_(usize::MAX), 1);
            assert_eq!(held.0, 4);
        });
    });
}

#[test]
fn d1_many_with_waiters_that_time_out() {
    let (stats, handed_over) = within_a_minute(|| {
        let lock = GlobalLock::new(0u64);
        let stop = AtomicBool::new(false);
        let mut handed_over = 0;
        thread::scope(|threads| {
            for number in 0..4u64 {
                let (lock, stop) = (&lock, &stop);
                threads.spawn(move || {
                    let mut random = number + 1;
                    while !stop.load(Ordering::Relaxed) {
                        random = random.wrapping_mul(6_364_136_223_846_793_005) + 1;
                        let micros = 1 + (random >> 33) % 13;
                        let timeout = (number < 2).then(|| Duration::from_micros(micros));
                        match lock.acquire(timeout) {
                            Ok(mut runs) => *runs += 1,
                            Err(error) => assert_eq!(error, LockError::TimedOut),
                        }
                    }
                });
            }
            let mut runs = lock.lock().unwrap();
            for _ in rounds(100_000) {
                let before = *runs;
                let times = runs.yield_(1);
                // It went to somebody, who ran. And else nobody did.
                assert_eq!(times == 1, *runs > before);
                handed_over += times as u64;
            }
            stop.store(true, Ordering::Relaxed);
        });
        (lock.stats(), handed_over)
    });
    assert!(stats.hand_overs >= handed_over, "{stats}");
    assert!(stats.time_outs > 0, "no waiter timed out:\n{stats}");
    assert!(stats.waiters.is_empty(), "{stats}");
    println!("{stats}");
}

#[test]
fn d6_a_thread_that_takes_the_lock_all_the_time_lets_others_in() {
    within_a_minute(|| {
        let lock = GlobalLock::new(());
        let stop = AtomicBool::new(false);
        thread::scope(|threads| {
            threads.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    drop(lock.lock().unwrap());
                }
            });
            for _ in 0..20 {
                threads.spawn(|| drop(lock.lock().unwrap())).join().unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
}

/// `lock::queue::PASSED_AT_MOST`, which the documentation of `GlobalLock` gives, for sections of the length that it gives.
#[test]
fn d6_a_waiter_gets_the_lock_from_a_thread_that_hardly_lets_go() {
    within_a_minute(|| {
        let lock = GlobalLock::new(());
        let is_in = AtomicBool::new(false);
        thread::scope(|threads| {
            let mut held = Some(lock.lock().unwrap());
            threads.spawn(|| {
                let _held = lock.lock().unwrap();
                is_in.store(true, Ordering::Relaxed);
            });
            until_waiting(&lock, 1);
            let mut rounds = 0;
            while !is_in.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
                drop(held.take());
                held = Some(lock.lock().unwrap());
                rounds += 1;
            }
            assert!(rounds <= 17, "after {rounds} rounds");
        });
    });
}
