//! The global lock does what llfuse's does, without llfuse's defects.
//!
//! Tests named `d1` to `d6` each show a defect of llfuse's lock, if it is put in.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use fuse3::lock::{Condvar, LockError, SubLock, Unlocked, Woken, sync};
use fuse3::{GlobalLock, Locked, Operation};

use deadline::{message, until, within, within_a_minute};

#[path = "common/deadline.rs"]
mod deadline;

/// How many rounds a test makes. Miri, which looks for data races, is slow.
const fn rounds(count: u64) -> u64 {
    if cfg!(miri) { count / 1000 } else { count }
}

/// Waits until so many threads wait for the lock.
fn until_waiting<S>(lock: &GlobalLock<S>, count: usize) {
    until(|| lock.stats().waiters.len() == count);
}

/// The Linux thread id, read from the kernel.
fn tid() -> u32 {
    let link = std::fs::read_link("/proc/thread-self").expect("/proc is not mounted");
    let name = link.file_name().expect("PID/task/TID").to_string_lossy();
    name.parse().expect("PID/task/TID")
}

mod acquire {
    use super::*;

    /// As a language does in which nothing can be kept between taking and releasing.
    #[test]
    fn a_forgotten_guard_can_be_made_anew() {
        let lock = GlobalLock::new(1);
        let guard = lock.lock_for(Operation::Lookup).unwrap();
        assert_eq!(guard.operation(), Some(Operation::Lookup));
        std::mem::forget(guard);
        assert!(lock.is_held());
        // SAFETY: the thread holds the lock, and the guard before was forgotten.
        let mut again = unsafe { lock.guard_unchecked() };
        *again += 1;
        assert_eq!(again.operation(), Some(Operation::Lookup));
        drop(again);
        assert!(!lock.is_held());
        let guard = lock.lock().unwrap();
        assert_eq!((*guard, guard.operation()), (2, None));
        let stats = lock.stats();
        let lookups = stats
            .operations
            .iter()
            .find(|used| used.operation.is_some());
        assert_eq!(lookups.map(|used| used.count), Some(1));
    }

    #[test]
    fn by_the_holder_is_refused_at_once_and_changes_nothing() {
        within_a_minute(|| {
            let lock = GlobalLock::new(1);
            let mut held = lock.lock().unwrap();
            *held = 2;
            let long = Some(Duration::from_secs(3600));
            assert_eq!(lock.lock().err(), Some(LockError::AlreadyHeld));
            assert_eq!(lock.acquire(long).err(), Some(LockError::AlreadyHeld));
            assert_eq!(lock.try_lock().err(), Some(LockError::AlreadyHeld));
            assert_eq!(lock.unlocked(|_| ()), Err(LockError::AlreadyHeld));
            assert!(lock.is_held());
            assert_eq!(*held, 2);
            let other = thread::scope(|threads| threads.spawn(|| lock.try_lock().err()).join());
            assert_eq!(other.unwrap(), Some(LockError::TimedOut));
            assert_eq!(lock.stats().acquisitions, 1);
            drop(held);
            assert!(!lock.is_held());
            assert_eq!(*lock.lock().unwrap(), 2);
        });
    }

    #[test]
    fn a_free_lock_is_taken_whatever_the_time_out() {
        let lock = GlobalLock::new(());
        let time_outs = [0, 1, 10_000_000].map(Duration::from_nanos);
        for timeout in time_outs.into_iter().chain([Duration::MAX]) {
            assert!(lock.acquire(Some(timeout)).is_ok());
        }
        assert!(lock.acquire(None).is_ok());
        assert_eq!(lock.stats().time_outs, 0);
    }

    #[test]
    fn d3_zero_and_fractions_are_no_time_out_for_ever() {
        within_a_minute(|| {
            let lock = GlobalLock::new(());
            let held = lock.lock().unwrap();
            thread::scope(|threads| {
                threads.spawn(|| {
                    for timeout in [0, 1, 10_000, 10_000_000, 500_000_000, 1_200_000_000] {
                        let timeout = Duration::from_nanos(timeout);
                        let start = Instant::now();
                        let got = lock.acquire(Some(timeout));
                        let waited = start.elapsed();
                        assert_eq!(got.err(), Some(LockError::TimedOut));
                        // The upper bound is for a machine that is busy.
                        let late = timeout + Duration::from_secs(10);
                        assert!(
                            waited >= timeout && waited < late,
                            "{timeout:?}: {waited:?}"
                        );
                    }
                });
            });
            drop(held);
            // Zero did not wait, so it is not counted among the waits in vain.
            assert_eq!(lock.stats().time_outs, 5);
        });
    }

    #[test]
    fn d3_a_time_out_beyond_the_clock_waits_for_ever() {
        within_a_minute(|| {
            for timeout in [
                Duration::MAX,
                Duration::from_secs(i64::MAX as u64),
                Duration::from_secs(1 << 40),
            ] {
                let lock = GlobalLock::new(0);
                let held = lock.lock().unwrap();
                thread::scope(|threads| {
                    let waiter = threads.spawn(|| lock.acquire(Some(timeout)).map(|_| ()));
                    until_waiting(&lock, 1);
                    drop(held);
                    assert_eq!(waiter.join().unwrap(), Ok(()));
                });
            }
        });
    }

    #[test]
    #[cfg_attr(miri, ignore = "it measures the interpreter")]
    fn d4_a_timed_wait_sleeps() {
        let used = within_a_minute(|| {
            let lock = GlobalLock::new(());
            let _held = lock.lock().unwrap();
            thread::scope(|threads| {
                let waiter = threads.spawn(|| {
                    let before = processor_time();
                    let got = lock.acquire(Some(Duration::from_millis(500)));
                    assert_eq!(got.err(), Some(LockError::TimedOut));
                    processor_time() - before
                });
                waiter.join().unwrap()
            })
        });
        assert!(used < Duration::from_millis(10), "{used:?} of 500 ms");
    }

    /// What the calling thread has used of the processor.
    fn processor_time() -> Duration {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `time` is a valid timespec for the kernel to write to.
        let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        assert_eq!(result, 0);
        Duration::new(
            time.tv_sec.try_into().unwrap(),
            time.tv_nsec.try_into().unwrap(),
        )
    }

    #[test]
    fn a_waiter_whose_time_is_up_leaves_the_others_in_their_order() {
        within_a_minute(|| {
            let lock = GlobalLock::new(Vec::new());
            let held = lock.lock().unwrap();
            let enter = |name| lock.lock().unwrap().push(name);
            thread::scope(|threads| {
                threads.spawn(|| enter("first"));
                until_waiting(&lock, 1);
                let impatient =
                    threads.spawn(|| lock.acquire(Some(Duration::from_millis(300))).err());
                until_waiting(&lock, 2);
                threads.spawn(|| enter("last"));
                until_waiting(&lock, 3);
                assert_eq!(impatient.join().unwrap(), Some(LockError::TimedOut));
                assert_eq!(lock.stats().waiters.len(), 2);
                drop(held);
            });
            assert_eq!(*lock.lock().unwrap(), ["first", "last"]);
        });
    }

    #[test]
    fn one_thread_at_a_time_has_the_lock() {
        within_a_minute(|| {
            let lock = GlobalLock::new(0u64);
            let inside = AtomicUsize::new(0);
            thread::scope(|threads| {
                for number in 0..4 {
                    let (lock, inside) = (&lock, &inside);
                    threads.spawn(move || {
                        for _ in 0..rounds(50_000) {
                            let mut state = lock.lock().unwrap();
                            assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                            *state += 1;
                            inside.fetch_sub(1, Ordering::Relaxed);
                            match number {
                                0 => {
                                    state.yield_(2);
                                }
                                1 => state.released(|unlocked| *unlocked.lock() += 1),
                                _ => {}
                            }
                        }
                    });
                }
            });
            let stats = lock.stats();
            assert_eq!(lock.into_inner(), 5 * rounds(50_000));
            assert!(
                stats.holder.is_none() && stats.waiters.is_empty(),
                "{stats}"
            );
        });
    }

    #[test]
    fn a_static_lock_works() {
        static LOCK: GlobalLock<Vec<u32>> = GlobalLock::new(Vec::new());
        within_a_minute(|| {
            let threads: Vec<_> = (0..4)
                .map(|n| thread::spawn(move || LOCK.lock().unwrap().push(n)))
                .collect();
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
            let mut numbers = LOCK.lock().unwrap();
            numbers.sort_unstable();
            assert_eq!(*numbers, [0, 1, 2, 3]);
        });
    }

    #[test]
    fn the_lock_is_shared_between_threads_and_needs_no_sync_state() {
        fn is_send_and_sync<T: Send + Sync>() {}
        is_send_and_sync::<GlobalLock<std::cell::Cell<u32>>>();
        is_send_and_sync::<Condvar>();
        is_send_and_sync::<SubLock<std::cell::Cell<u32>>>();
        is_send_and_sync::<sync::Mutex<std::cell::Cell<u32>>>();
        is_send_and_sync::<LockError>();
    }

    #[test]
    fn the_state_is_reached_without_locking_by_its_owner() {
        let mut lock = GlobalLock::from(1);
        *lock.get_mut() += 1;
        assert_eq!(lock.into_inner(), 2);
        assert_eq!(*GlobalLock::<u32>::default().get_mut(), 0);
    }
}

mod hand_over {
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
                while tries.load(Ordering::Relaxed) < rounds(100_000) {
                    assert_eq!(held.yield_(100), 0);
                }
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
        const HAND_OVERS: u64 = rounds(100_000);
        let (stats, handed_over) = within_a_minute(|| {
            let start = Instant::now();
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
                // So many, or as many as there are in some seconds: how long one takes is up to the machine.
                while handed_over < HAND_OVERS && start.elapsed() < Duration::from_secs(5) {
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
}

mod released {
    use super::*;

    #[test]
    fn the_result_passes_and_the_lock_is_free_inside() {
        within_a_minute(|| {
            let lock = GlobalLock::new(String::from("state"));
            let mut held = lock.lock().unwrap();
            let result = held.released(|_| {
                assert!(!lock.is_held());
                let other = thread::scope(|threads| {
                    threads.spawn(|| lock.lock().unwrap().push('!')).join()
                });
                other.map(|()| "result")
            });
            assert_eq!(result.unwrap(), "result");
            assert!(lock.is_held());
            assert_eq!(*held, "state!");
        });
    }

    #[test]
    fn a_panic_passes_and_the_lock_is_taken_again() {
        within_a_minute(|| {
            let lock = GlobalLock::new(0);
            let mut held = lock.lock().unwrap();
            let panic = catch_unwind(AssertUnwindSafe(|| {
                held.released::<()>(|_| resume_unwind(Box::new("from inside")));
            }));
            assert_eq!(message(&*panic.unwrap_err()), "from inside");
            assert!(lock.is_held());
            *held += 1;
            drop(held);
            assert!(!lock.is_held());
            assert_eq!(*lock.try_lock().unwrap(), 1);
        });
    }

    #[test]
    fn it_is_taken_again_only_when_it_is_free() {
        within_a_minute(|| {
            let lock = GlobalLock::new(0);
            let mut held = lock.lock().unwrap();
            thread::scope(|threads| {
                let other = held.released(|_| {
                    let (inside, is_inside) = mpsc::channel();
                    let lock = &lock;
                    let other = threads.spawn(move || {
                        let mut state = lock.lock().unwrap();
                        inside.send(()).unwrap();
                        until_waiting(lock, 1);
                        *state = 1;
                    });
                    is_inside.recv().unwrap();
                    other
                });
                assert_eq!(*held, 1);
                other.join().unwrap();
            });
        });
    }

    #[test]
    fn six_released_run_together_and_six_held_one_by_one() {
        const WORKERS: usize = 6;
        within_a_minute(|| {
            let lock = GlobalLock::new(0);
            // It opens when all six are in there at the same time, or never.
            let together = Barrier::new(WORKERS);
            let inside = AtomicUsize::new(0);
            let start = Instant::now();
            thread::scope(|threads| {
                for _ in 0..WORKERS {
                    threads.spawn(|| {
                        let mut held = lock.lock().unwrap();
                        held.released(|_| together.wait());
                        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                        thread::sleep(Duration::from_millis(50));
                        *held += 1;
                        inside.fetch_sub(1, Ordering::Relaxed);
                    });
                }
            });
            assert!(start.elapsed() >= Duration::from_millis(300));
            assert_eq!(lock.into_inner(), 6);
        });
    }

    #[test]
    fn the_lock_can_be_taken_inside_through_the_proof() {
        within_a_minute(|| {
            let lock = GlobalLock::new(0);
            let mut held = lock.lock().unwrap();
            held.released(|unlocked| {
                let mut inner = unlocked.lock();
                *inner += 1;
                // Inside of that it can be released again.
                inner.released(|unlocked| {
                    *unlocked.acquire(Some(Duration::ZERO)).unwrap() += 1;
                });
                drop(inner);
                assert!(!lock.is_held());
                *unlocked.lock() += 1;
            });
            assert_eq!(*held, 3);
        });
    }

    #[test]
    fn a_thread_that_does_not_hold_the_lock_gets_the_proof() {
        let lock = GlobalLock::new(0);
        let result = lock.unlocked(|unlocked: &mut Unlocked<'_, i32>| {
            *unlocked.lock() += 1;
            "result"
        });
        assert_eq!(result, Ok("result"));
        assert_eq!(*lock.lock().unwrap(), 1);
    }

    #[test]
    fn taking_it_beside_the_proof_is_noticed() {
        let lock = GlobalLock::new(0);
        lock.unlocked(|unlocked| {
            let beside = lock.lock().unwrap();
            assert_eq!(unlocked.acquire(None).err(), Some(LockError::AlreadyHeld));
            let panic = catch_unwind(AssertUnwindSafe(|| drop(unlocked.lock())));
            assert!(message(&*panic.unwrap_err()).contains("already"));
            drop(beside);
            *unlocked.lock() += 1;
        })
        .unwrap();
        assert_eq!(*lock.lock().unwrap(), 1);
    }

    /// A second guard would be a second mutable reference to the state.
    #[test]
    fn a_guard_moved_out_makes_the_first_one_useless() {
        within_a_minute(|| {
            let lock = GlobalLock::new(0);
            let mut held = lock.lock().unwrap();
            let mut smuggled = None;
            let panic = catch_unwind(AssertUnwindSafe(|| {
                held.released(|_| smuggled = Some(lock.lock().unwrap()));
            }));
            let text = "could not be taken again";
            assert!(message(&*panic.unwrap_err()).contains(text));
            let useless = catch_unwind(AssertUnwindSafe(|| *held += 1));
            assert!(message(&*useless.unwrap_err()).contains(text));
            **smuggled.as_mut().unwrap() = 5;
            drop(held);
            assert!(lock.is_held(), "the useless one released the other's");
            drop(smuggled);
            assert_eq!(*lock.try_lock().unwrap(), 5);
        });
    }

    #[test]
    fn a_guard_moved_out_does_not_hide_a_panic() {
        let lock = GlobalLock::new(0);
        let mut held = lock.lock().unwrap();
        let mut smuggled: Option<Locked<'_, i32>> = None;
        let panic = catch_unwind(AssertUnwindSafe(|| {
            held.released::<()>(|_| {
                smuggled = Some(lock.lock().unwrap());
                resume_unwind(Box::new("from inside"))
            });
        }));
        assert_eq!(message(&*panic.unwrap_err()), "from inside");
        drop(smuggled);
        drop(held);
        assert!(!lock.is_held());
    }
}

mod wait {
    use super::*;

    #[test]
    fn a_hundred_thousand_rounds_of_ping_pong_lose_no_notification() {
        const ROUNDS: u64 = rounds(100_000);
        within(Duration::from_secs(120), || {
            let lock = GlobalLock::new(0);
            let (even, odd) = (Condvar::new(), Condvar::new());
            let play = |parity: u64, mine: &Condvar, other: &Condvar| {
                let mut ball = lock.lock().unwrap();
                while *ball < ROUNDS {
                    while *ball % 2 != parity {
                        assert_eq!(ball.wait(mine, None), Woken::Notified);
                    }
                    *ball += 1;
                    // With the lock held, and without it.
                    if *ball % 4 < 2 {
                        other.notify_one();
                    } else {
                        ball.released(|_| other.notify_one());
                    }
                }
            };
            thread::scope(|threads| {
                threads.spawn(|| play(0, &even, &odd));
                threads.spawn(|| play(1, &odd, &even));
            });
            assert!(*lock.lock().unwrap() >= ROUNDS);
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
                    let notified = (0..rounds(20_000))
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
            assert!(notified > 0);
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
}

mod stats {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "it reads the thread id from /proc")]
    fn they_show_who_holds_and_who_waits_without_the_lock() {
        within_a_minute(|| {
            let lock = GlobalLock::new(());
            let held = lock.lock().unwrap();
            thread::scope(|threads| {
                let mut waiters = Vec::new();
                for queued in 1..=2 {
                    let (send, receive) = mpsc::channel();
                    let lock = &lock;
                    threads.spawn(move || {
                        send.send(tid()).unwrap();
                        drop(lock.lock());
                    });
                    waiters.push(receive.recv().unwrap());
                    until_waiting(lock, queued);
                }
                let pause = Duration::from_millis(30);
                thread::sleep(pause);
                let stats = lock.stats();
                let holder = stats.holder.unwrap();
                assert_eq!(holder.thread.as_raw(), tid());
                assert_eq!(holder.operation, None);
                assert!(holder.held >= pause, "{stats}");
                let seen: Vec<_> = stats.waiters.iter().map(|w| w.thread.as_raw()).collect();
                assert_eq!(seen, waiters);
                assert!(stats.waiters[1].waited >= pause, "{stats}");
                assert!(
                    stats.waiters[0].waited >= stats.waiters[1].waited,
                    "{stats}"
                );
                assert_eq!((stats.acquisitions, stats.hand_overs), (1, 0));
                assert!(stats.operations.is_empty(), "no section has ended");

                let table = stats.to_string();
                let held_by = format!("held by thread {} (no request) for ", tid());
                assert!(table.contains(&held_by), "{table}");
                let first = format!("\n  thread {} (no request) waits ", waiters[0]);
                assert!(table.contains(&first), "{table}");
                assert!(
                    table.ends_with("1 acquisitions, 0 hand-overs, 0 time-outs"),
                    "{table}"
                );
                drop(held);
            });
            let stats = lock.stats();
            assert_eq!((stats.holder, stats.acquisitions), (None, 3));
            let [other] = stats.operations[..] else {
                panic!("{stats}")
            };
            assert_eq!((other.operation, other.count), (None, 3));
            assert!(other.waited_max >= Duration::from_millis(30), "{stats}");
            assert!(other.waited >= other.waited_max, "{stats}");
            assert!(stats.to_string().contains("\nother "), "{stats}");
        });
    }

    /// Of the holder, also when it has taken the lock again, and of a thread that waits. In release builds too.
    #[test]
    fn they_show_where_in_the_code_it_is_taken() {
        within_a_minute(|| {
            let lock = GlobalLock::new(());
            let here = |line: u32| Some((file!(), line));
            let holder = || {
                let site = lock.stats().holder.unwrap().site;
                site.map(|site| (site.file(), site.line()))
            };
            thread::scope(|threads| {
                let mut held = lock.lock().unwrap();
                let taken = line!() - 1;
                assert_eq!(holder(), here(taken));
                // What fails leaves it as it was.
                assert_eq!(lock.try_lock().err(), Some(LockError::AlreadyHeld));
                assert_eq!(holder(), here(taken));
                held.released(|_| assert_eq!(lock.stats().holder, None));
                let released = line!() - 1;
                assert_eq!(holder(), here(released));
                threads.spawn(|| drop(lock.lock().unwrap()));
                let waiting = line!() - 1;
                until_waiting(&lock, 1);
                let stats = lock.stats();
                let site = stats.waiters[0].site;
                let site = site.map(|site| (site.file(), site.line()));
                assert_eq!(site, here(waiting));
                for (what, line) in [(", taken", released), ("s", waiting)] {
                    let shown = format!("{what} at {}:{line}:", file!());
                    assert!(stats.to_string().contains(&shown), "{stats}");
                }
                assert_eq!(held.yield_(1), 1);
                assert_eq!(holder(), here(line!() - 1));
            });
            assert_eq!(lock.acquire(Some(Duration::ZERO)).err(), None);
        });
    }

    #[test]
    #[cfg_attr(miri, ignore = "it reads the thread id from /proc")]
    fn a_forgotten_guard_keeps_the_lock_and_is_shown() {
        within_a_minute(|| {
            let lock = Arc::new(GlobalLock::new(()));
            std::mem::forget(lock.lock());
            assert!(lock.is_held());
            assert_eq!(lock.lock().err(), Some(LockError::AlreadyHeld));
            let other = Arc::clone(&lock);
            let got = thread::spawn(move || other.acquire(Some(Duration::from_millis(5))).err());
            assert_eq!(got.join().unwrap(), Some(LockError::TimedOut));
            assert_eq!(lock.stats().holder.unwrap().thread.as_raw(), tid());
        });
    }

    #[test]
    #[cfg_attr(miri, ignore = "it reads the thread id from /proc")]
    fn d5_a_thread_that_gets_a_dead_holders_id_is_not_the_holder() {
        use std::os::unix::thread::JoinHandleExt;

        within_a_minute(|| {
            let lock = Arc::new(GlobalLock::new(()));
            let forgetful = Arc::clone(&lock);
            let dead = thread::spawn(move || {
                std::mem::forget(forgetful.lock());
                tid()
            });
            let dead_pthread = dead.as_pthread_t();
            let dead_tid = dead.join().unwrap();
            loop {
                let lock = Arc::clone(&lock);
                let newcomer = thread::spawn(move || (lock.is_held(), lock.try_lock().err()));
                let is_namesake = newcomer.as_pthread_t() == dead_pthread;
                let (is_held, refused) = newcomer.join().unwrap();
                assert!(!is_held, "it holds what the dead thread held");
                assert_eq!(refused, Some(LockError::TimedOut));
                if is_namesake {
                    break;
                }
            }
            assert_eq!(lock.stats().holder.unwrap().thread.as_raw(), dead_tid);
        });
    }
}

mod below {
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
    fn threads_under_different_global_locks_wait_for_it() {
        within_a_minute(|| {
            let sub = SubLock::new(0u64);
            thread::scope(|threads| {
                for _ in 0..2 {
                    threads.spawn(|| {
                        let lock = GlobalLock::new(());
                        let held = lock.lock().unwrap();
                        for _ in 0..rounds(50_000) {
                            *sub.lock(&held) += 1;
                        }
                    });
                }
            });
            assert_eq!(sub.into_inner(), 2 * rounds(50_000));
        });
    }
}

mod foreign {
    use super::*;

    #[test]
    fn a_mutex_is_a_mutex() {
        within_a_minute(|| {
            let mut mutex = sync::Mutex::new(0u64);
            thread::scope(|threads| {
                for _ in 0..2 {
                    threads.spawn(|| (0..rounds(50_000)).for_each(|_| *mutex.lock() += 1));
                }
            });
            assert_eq!(*mutex.get_mut(), 2 * rounds(50_000));
            let held = mutex.lock();
            assert!(mutex.try_lock().is_none());
            drop(held);
            assert!(mutex.try_lock().is_some());
            assert_eq!(mutex.into_inner(), 2 * rounds(50_000));
        });
    }

    #[test]
    fn a_release_with_no_mutex_held_is_fine() {
        let (lock, mutex) = (GlobalLock::new(()), sync::Mutex::new(0));
        let mut held = lock.lock().unwrap();
        *mutex.lock() += 1;
        held.released(|_| *mutex.lock() += 1);
        held.yield_(1);
        held.wait(&Condvar::new(), Some(Duration::ZERO));
        assert_eq!(*mutex.lock(), 2);
    }

    #[cfg(debug_assertions)]
    #[test]
    fn a_mutex_held_over_a_release_is_reported_with_both_places() {
        /// The name of a method that releases the lock, a call of it, and the line.
        type Release = (&'static str, fn(&mut Locked<'_, i32>), u32);
        fn released(held: &mut Locked<'_, i32>) {
            held.released(|_| ());
        }
        const RELEASED: u32 = line!() - 2;
        fn yield_(held: &mut Locked<'_, i32>) {
            held.yield_(1);
        }
        const YIELD: u32 = line!() - 2;
        fn wait(held: &mut Locked<'_, i32>) {
            held.wait(&Condvar::new(), Some(Duration::ZERO));
        }
        const WAIT: u32 = line!() - 2;
        let releases: [Release; 3] = [
            ("released", released, RELEASED),
            ("yield_", yield_, YIELD),
            ("wait", wait, WAIT),
        ];

        for (name, release, released_at) in releases {
            for mutex_first in [true, false] {
                // New ones, for which there is no order yet.
                let (lock, mutex) = (GlobalLock::new(7), sync::Mutex::new(()));
                let take = || (mutex.lock(), line!());
                let before = mutex_first.then(take);
                let mut held = lock.lock().unwrap();
                let (foreign, taken_at) = before.unwrap_or_else(take);
                let panic = catch_unwind(AssertUnwindSafe(|| release(&mut held)));
                let panic = panic.unwrap_err();
                let text = message(&*panic);
                let released_at = format!("`{name}` at {}:{released_at}:", file!());
                assert!(text.contains(&released_at), "{released_at}: {text}");
                let taken_at = format!("took at {}:{taken_at}:", file!());
                assert!(text.contains(&taken_at), "{taken_at}: {text}");
                // The lock was not released, and all goes on once the mutex is gone.
                assert!(lock.is_held());
                drop(foreign);
                release(&mut held);
                assert_eq!(*held, 7);
            }
        }
    }

    #[cfg(debug_assertions)]
    #[test]
    fn a_mutex_taken_twice_is_reported() {
        within_a_minute(|| {
            let mutex = sync::Mutex::new(());
            let (_held, line) = (mutex.lock(), line!());
            let panic = catch_unwind(AssertUnwindSafe(|| drop(mutex.lock()))).unwrap_err();
            let text = message(&*panic);
            assert!(text.contains(&format!("{}:{line}:", file!())), "{text}");
        });
    }

    #[cfg(not(debug_assertions))]
    #[test]
    fn in_release_builds_nothing_is_reported() {
        let (lock, mutex) = (GlobalLock::new(()), sync::Mutex::new(()));
        let _foreign = mutex.lock();
        lock.lock().unwrap().released(|_| ());
    }
}
