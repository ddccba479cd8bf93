//! Taking the lock, with a time-out and without.

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
        assert_eq!(other.unwrap(), Some(LockError::Busy));
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
                    let error = if timeout.is_zero() {
                        LockError::Busy
                    } else {
                        LockError::TimedOut
                    };
                    assert_eq!(got.err(), Some(error));
                    assert!(waited >= timeout, "{timeout:?}: {waited:?}");
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
    // Of the processor, not of the day: a thread that sleeps uses none, however busy the machine is.
    assert!(used < Duration::from_millis(100), "{used:?} of 500 ms");
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
            let impatient = threads.spawn(|| lock.acquire(Some(Duration::from_millis(300))).err());
            // On a busy machine its time may be up before it is seen.
            let waits = |count| lock.stats().waiters.len() == count || impatient.is_finished();
            until(|| waits(2));
            threads.spawn(|| enter("last"));
            until(|| waits(3));
            assert_eq!(impatient.join().unwrap(), Some(LockError::TimedOut));
            until_waiting(&lock, 2);
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
        let enter = &|number: u64| {
            let mut added = 0;
            for _ in rounds(50_000) {
                let mut state = lock.lock().unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                *state += 1;
                added += 1;
                inside.fetch_sub(1, Ordering::Relaxed);
                match number {
                    0 => {
                        state.yield_(2);
                    }
                    1 => {
                        state.released(|unlocked| *unlocked.lock() += 1);
                        added += 1;
                    }
                    _ => {}
                }
            }
            added
        };
        let added: u64 = thread::scope(|threads| {
            let threads = [0, 1, 2, 3].map(|number| threads.spawn(move || enter(number)));
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });
        let stats = lock.stats();
        assert_eq!(lock.into_inner(), added);
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
