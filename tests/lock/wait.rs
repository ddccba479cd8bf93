//! Waiting for an event with the lock released.

use super::*;

#[test]
fn many_rounds_of_ping_pong_lose_no_notification() {
    within_a_minute(|| {
        // The ball, and whether the game is over.
        let lock = GlobalLock::new((0, false));
        let (even, odd) = (Condvar::new(), Condvar::new());
        let play = |parity: u64, mine: &Condvar, other: &Condvar| {
            let mut game = lock.lock().unwrap();
            for _ in rounds(50_000) {
                while game.0 % 2 != parity && !game.1 {
                    assert_eq!(game.wait(mine, None), Woken::Notified);
                }
                game.0 += 1;
                // With the lock held, and without it.
                if game.0 % 4 < 2 {
                    other.notify_one();
                } else {
                    game.released(|_| other.notify_one());
                }
            }
            game.1 = true;
            other.notify_one();
        };
        thread::scope(|threads| {
            threads.spawn(|| play(0, &even, &odd));
            threads.spawn(|| play(1, &odd, &even));
        });
        assert!(lock.lock().unwrap().0 > 0);
    });
}

#[test]
fn without_a_notification_the_time_is_up_and_the_lock_is_held() {
    within_a_minute(|| {
        let lock = GlobalLock::new(());
        let condvar = Condvar::new();
        let mut held = lock.lock().unwrap();
        for timeout in [Duration::ZERO, Duration::from_millis(20)] {
            let start = Instant::now();
            assert_eq!(held.wait(&condvar, Some(timeout)), Woken::TimedOut);
            assert!(start.elapsed() >= timeout);
            assert!(lock.is_held());
        }
        // Nobody is left in there.
        assert!(!condvar.notify_one());
        assert_eq!(condvar.notify_all(), 0);
    });
}

#[test]
fn one_notification_is_for_one_thread_and_all_for_all() {
    within_a_minute(|| {
        let lock = GlobalLock::new((0, 0));
        let condvar = Condvar::new();
        thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| {
                    let mut state = lock.lock().unwrap();
                    state.0 += 1;
                    assert_eq!(state.wait(&condvar, None), Woken::Notified);
                    state.1 += 1;
                });
            }
            // A thread that has entered and let go of the lock waits.
            until(|| lock.lock().unwrap().0 == 3);
            assert!(condvar.notify_one());
            until(|| lock.lock().unwrap().1 == 1);
            assert_eq!(condvar.notify_all(), 2);
            until(|| lock.lock().unwrap().1 == 3);
            assert!(!condvar.notify_one());
        });
    });
}

#[test]
fn a_notification_that_meets_the_time_out_is_not_lost() {
    within_a_minute(|| {
        let condvar = Condvar::new();
        let stop = AtomicBool::new(false);
        let (notified, sent) = thread::scope(|threads| {
            let waiter = threads.spawn(|| {
                let lock = GlobalLock::new(());
                let mut held = lock.lock().unwrap();
                let notified = rounds(20_000)
                    .map(|round| Duration::from_micros(round % 7))
                    .filter(|timeout| held.wait(&condvar, Some(*timeout)) == Woken::Notified)
                    .count();
                stop.store(true, Ordering::Relaxed);
                notified
            });
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                sent += usize::from(condvar.notify_one());
            }
            (waiter.join().unwrap(), sent)
        });
        assert_eq!(notified, sent);
    });
}

#[test]
fn the_time_waiting_is_not_held() {
    within_a_minute(|| {
        let lock = GlobalLock::new(());
        let condvar = Condvar::new();
        let start = Instant::now();
        let mut held = lock.lock_for(Operation::Read).unwrap();
        let wait = Instant::now();
        held.wait(&condvar, Some(Duration::from_millis(100)));
        let waited = wait.elapsed();
        drop(held);
        let total = start.elapsed();
        let used = lock.stats().operations[0];
        assert_eq!(used.count, 2);
        // What the call itself needs before and after is held.
        let own = waited - Duration::from_millis(100);
        assert!(used.held <= total - waited + own, "{}", lock.stats());
    });
}
