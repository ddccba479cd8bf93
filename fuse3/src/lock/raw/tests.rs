//! What needs a look inside: the exact bound, and wake-ups at the wrong moment.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use crate::lock::global::GlobalLock;
use crate::lock::queue::{PASSED_AT_MOST, WAITS_AT_LEAST};

/// Ends the test with a panic if `f` takes longer than a minute.
fn within_a_minute<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, result) = mpsc::channel();
    let worker = thread::spawn(move || {
        let _alive = done;
        f()
    });
    match result.recv_timeout(Duration::from_secs(60)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("deadline: it hangs"),
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        },
    }
}

fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

fn nobody() -> Claim {
    Claim {
        thread: ThreadId::current(),
        operation: None,
        place: None,
    }
}

/// Waits until a thread that has waited from the clock's start has waited for long enough.
fn until_long_after_the_start() {
    until(|| clock::now() > WAITS_AT_LEAST);
}

/// Queues a waiter that no thread sleeps on, so that nothing runs by chance.
fn queue_nobody(raw: &RawLock) -> Arc<Waiter> {
    queue_nobody_since(raw, 0)
}

fn queue_nobody_since(raw: &RawLock, since: u64) -> Arc<Waiter> {
    let waiter = Arc::<Waiter>::default();
    let mut queue = raw.queue();
    assert!(raw.announce_waiter(), "the lock is free");
    queue.entries.push_back(Entry {
        waiter: Arc::clone(&waiter),
        claim: nobody(),
        since,
        passed: 0,
    });
    waiter
}

/// Releases and takes the lock until `waiter` has it instead. Tells how often
/// it was passed.
fn pass(raw: &RawLock, waiter: &Waiter) -> u32 {
    for passed in 0.. {
        raw.release();
        if waiter.is_granted() {
            return passed;
        }
        assert!(passed < 10 * PASSED_AT_MOST, "passed {passed} times");
        assert_eq!(raw.acquire(None, Some(Duration::ZERO), None), Ok(()));
    }
    unreachable!()
}

#[test]
fn a_place_in_the_queue() {
    assert!(Arc::ptr_eq(&Waiter::current(), &Waiter::current()));
    let raw = RawLock::new();
    assert_eq!(raw.acquire(None, None, None), Ok(()));
    let [first, second] = [(); 2].map(|()| queue_nobody(&raw));
    let mut queue = raw.queue();
    assert!(queue.is_first(&first) && !queue.is_first(&second));
    let entry = &mut queue.entries[0];
    // They passed the one before, until a release has seen this one.
    entry.set_passed(3);
    assert_eq!((entry.passed, entry.pass()), (0, 1));
    entry.set_passed(3);
    assert_eq!((entry.passed, entry.pass()), (3, 4));
}

#[test]
fn who_spins_takes_a_lock_that_is_free() {
    let raw = RawLock::new();
    assert!(raw.spin());
    assert!(!raw.spin() && !raw.try_take());
    let _first = queue_nobody(&raw);
    assert!(!raw.spin());
}

#[test]
fn d6_a_waiter_is_passed_as_often_as_the_bound_says_and_no_more() {
    until_long_after_the_start();
    let raw = RawLock::new();
    raw.acquire(None, None, None).unwrap();
    let first = queue_nobody(&raw);
    let second = queue_nobody(&raw);
    assert_eq!(pass(&raw, &first), PASSED_AT_MOST);
    assert!(!second.is_granted());

    // The first has it now, and the second is first.
    assert_eq!(pass(&raw, &second), PASSED_AT_MOST);
    assert_eq!(raw.queue().hand_overs, 2);

    // Nobody waits any more: the word says so.
    raw.release();
    assert_eq!(raw.word.load(Relaxed), 0);
}

/// The first has looked at the lock in between, found it held, and sleeps again.
#[test]
fn d6_the_bound_holds_for_a_waiter_that_has_looked_at_the_lock() {
    until_long_after_the_start();
    for before in 1..PASSED_AT_MOST {
        let raw = RawLock::new();
        assert_eq!(raw.acquire(None, None, None), Ok(()));
        let waiter = queue_nobody(&raw);
        for _ in 0..before {
            raw.release();
            assert_eq!(raw.acquire(None, Some(Duration::ZERO), None), Ok(()));
        }
        raw.word.fetch_and(!WOKEN, Relaxed);
        assert_eq!(before + pass(&raw, &waiter), PASSED_AT_MOST);
    }
}

#[test]
fn a_hand_over_shows_the_new_holder_and_leaves_no_sign_of_an_empty_queue() {
    until_long_after_the_start();
    let raw = RawLock::new();
    raw.acquire(None, None, None).unwrap();
    let first = queue_nobody(&raw);
    let last = queue_nobody(&raw);
    for (waiter, word) in [(first, LOCKED | QUEUED), (last, LOCKED)] {
        let place = Some(std::panic::Location::caller());
        raw.queue().entries[0].claim.place = place;
        raw.queue().entries[0].claim.operation = Some(Operation::Rename);
        pass(&raw, &waiter);
        assert_eq!(raw.word.load(Relaxed), word);
        let (holder, since) = raw.holder().expect("it was handed over");
        assert_eq!(holder.thread, ThreadId::current());
        assert_eq!(holder.operation, Some(Operation::Rename));
        assert_eq!(holder.place, place);
        assert!(since.is_some());
    }
}

#[test]
fn a_wait_is_no_longer_than_it_was() {
    within_a_minute(|| {
        let raw = RawLock::new();
        let other = Operation::Getattr;
        let start = Instant::now();
        raw.acquire(None, None, None).unwrap();
        thread::scope(|threads| {
            threads.spawn(|| {
                raw.acquire(Some(other), None, None).unwrap();
                raw.release();
            });
            until(|| raw.queue().entries.len() == 1);
            thread::sleep(Duration::from_millis(2));
            // By the yielder's wait and by the other's.
            assert_eq!(raw.yield_(1, None), 1);
            raw.release();
        });
        let total = u64::try_from(start.elapsed().as_nanos()).unwrap();
        for operation in [None, Some(other)] {
            let counters = &raw.sections[slot(operation)];
            let waited = counters.waited.load(Relaxed);
            assert!(waited > 0 && waited <= total, "{waited} of {total}");
            assert_eq!(waited, counters.waited_max.load(Relaxed));
        }
        let counters = &raw.sections[slot(Some(other))];
        assert!(counters.waited.load(Relaxed) >= 2_000_000, "{counters:?}");
    });
}

#[test]
fn d6_what_happened_before_a_waiter_was_first_does_not_count() {
    until_long_after_the_start();
    let raw = RawLock::new();
    raw.acquire(None, None, None).unwrap();
    let first = queue_nobody(&raw);
    for _ in 0..PASSED_AT_MOST / 2 {
        raw.release();
        assert_eq!(raw.acquire(None, Some(Duration::ZERO), None), Ok(()));
    }
    let second = queue_nobody(&raw);
    // The first one's time is up.
    raw.leave(&mut raw.queue(), &first);
    assert_eq!(pass(&raw, &second), PASSED_AT_MOST);
}

#[test]
fn a_waiter_that_has_not_waited_for_long_is_not_handed_the_lock() {
    let raw = RawLock::new();
    raw.acquire(None, None, None).unwrap();
    // By this test's clock it will queue in 584 years.
    let waiter = queue_nobody_since(&raw, u64::MAX);
    for _ in 0..10 * PASSED_AT_MOST {
        raw.release();
        assert!(!waiter.is_granted());
        assert_eq!(raw.acquire(None, Some(Duration::ZERO), None), Ok(()));
    }
    assert_eq!(raw.queue().hand_overs, 0);
}

#[test]
fn a_release_wakes_the_first_once_until_it_has_run() {
    let raw = RawLock::new();
    raw.acquire(None, None, None).unwrap();
    queue_nobody(&raw);
    for _ in 0..3 {
        raw.release();
        assert_eq!(raw.word.load(Relaxed), QUEUED | WOKEN);
        assert_eq!(raw.acquire(None, Some(Duration::ZERO), None), Ok(()));
    }
}

#[test]
fn a_first_that_was_passed_is_woken_again() {
    within_a_minute(|| {
        let raw = RawLock::new();
        raw.acquire(None, None, None).unwrap();
        thread::scope(|threads| {
            let waiter = threads.spawn(|| raw.acquire(None, None, None));
            until(|| raw.queue().entries.len() == 1);
            // As after a release and an acquisition before it could run.
            let queue = raw.queue();
            raw.word.store(LOCKED | QUEUED | WOKEN, Relaxed);
            queue.entries[0].waiter.wake();
            drop(queue);
            until(|| raw.word.load(Relaxed) == LOCKED | QUEUED);
            raw.release();
            assert_eq!(waiter.join().unwrap(), Ok(()));
        });
    });
}

/// A thread waits for the lock until its time is up, and meanwhile something
/// happens to the lock that the thread is not woken for, so that its time is up
/// first, however busy the machine is. Tells what the thread got.
fn late_waiter(meanwhile: fn(&RawLock, &mut Queue)) -> Result<(), LockError> {
    within_a_minute(move || {
        let mut timeout = Duration::from_millis(20);
        loop {
            match try_late_waiter(timeout, meanwhile) {
                Some(result) => return result,
                None => timeout *= 2,
            }
        }
    })
}

/// `None` if its time was up before it was seen.
fn try_late_waiter(
    timeout: Duration,
    meanwhile: fn(&RawLock, &mut Queue),
) -> Option<Result<(), LockError>> {
    let raw = RawLock::new();
    raw.acquire(None, None, None).unwrap();
    thread::scope(|threads| {
        let waiter = threads.spawn(|| raw.acquire(None, Some(timeout), None));
        until(|| raw.queue().entries.len() == 1 || waiter.is_finished());
        let mut queue = raw.queue();
        if queue.entries.is_empty() {
            return None;
        }
        meanwhile(&raw, &mut queue);
        drop(queue);
        let result = waiter.join().unwrap();
        assert!(raw.queue().entries.is_empty(), "its entry is left");
        assert_eq!(raw.word.load(Relaxed), LOCKED);
        assert_eq!(raw.queue().time_outs, u64::from(result.is_err()));
        Some(result)
    })
}

#[test]
fn d1_a_waiter_that_is_handed_the_lock_when_its_time_is_up_has_it() {
    let got = late_waiter(|raw, queue| {
        raw.end();
        drop(raw.grant_to_head(queue));
    });
    assert_eq!(got, Ok(()));
}

#[test]
fn d1_a_waiter_whose_time_is_up_takes_a_lock_that_is_free() {
    let got = late_waiter(|raw, _| {
        raw.end();
        raw.word.store(QUEUED | WOKEN, Release);
    });
    assert_eq!(got, Ok(()));
}

#[test]
fn a_waiter_whose_time_is_up_leaves_a_lock_that_is_held() {
    assert_eq!(late_waiter(|_, _| {}), Err(LockError::TimedOut));
}

#[test]
fn d2_a_spurious_wake_up_ends_no_yield() {
    within_a_minute(|| {
        let raw = RawLock::new();
        let [got_it, let_go, is_back] = [const { AtomicBool::new(false) }; 3];
        raw.acquire(None, None, None).unwrap();
        thread::scope(|threads| {
            threads.spawn(|| {
                raw.acquire(None, None, None).unwrap();
                got_it.store(true, Ordering::SeqCst);
                until(|| let_go.load(Ordering::SeqCst));
                assert!(!is_back.load(Ordering::SeqCst), "both have the lock");
                raw.release();
            });
            until(|| raw.queue().entries.len() == 1);
            threads.spawn(|| {
                until(|| got_it.load(Ordering::SeqCst));
                for _ in 0..100 {
                    let queue = raw.queue();
                    assert_eq!(queue.entries.len(), 1, "the yielder left the queue");
                    let waiter = Arc::clone(&queue.entries[0].waiter);
                    drop(queue);
                    waiter.wake();
                    // Time to do the wrong thing in.
                    thread::sleep(Duration::from_micros(200));
                }
                let_go.store(true, Ordering::SeqCst);
            });
            assert_eq!(raw.yield_(1, None), 1);
            is_back.store(true, Ordering::SeqCst);
            assert!(raw.is_held());
            assert!(
                let_go.load(Ordering::SeqCst),
                "back before the other let go"
            );
            raw.release();
        });
    });
}

#[test]
fn a_notification_that_comes_late_wakes_nobody_wrongly() {
    within_a_minute(|| {
        let (first, second) = (RawLock::new(), RawLock::new());
        first.acquire(None, None, None).unwrap();
        second.acquire(None, None, None).unwrap();
        thread::scope(|threads| {
            let (send, receive) = mpsc::channel();
            let (first, second) = (&first, &second);
            let waiter = threads.spawn(move || {
                send.send(Waiter::current()).unwrap();
                let timeout = Some(Duration::from_millis(20));
                assert_eq!(first.acquire(None, timeout, None), Err(LockError::TimedOut));
                second.acquire(None, None, None)
            });
            let sleeper = receive.recv().unwrap();
            until(|| second.queue().entries.len() == 1);
            // As if `first` had chosen it just before it left.
            for _ in 0..100 {
                sleeper.wake();
                thread::yield_now();
            }
            assert_eq!(second.queue().entries.len(), 1);
            second.release();
            assert_eq!(waiter.join().unwrap(), Ok(()));
        });
    });
}

#[test]
fn a_request_is_counted_under_its_operation_without_the_time_released() {
    let lock = GlobalLock::new(());
    let nap = Duration::from_millis(10);
    let start = Instant::now();
    let mut released = Duration::ZERO;
    let mut request = lock.lock_for(Operation::CopyFileRange).unwrap();
    let holder = lock.stats().holder.unwrap();
    assert_eq!(holder.operation, Some(Operation::CopyFileRange));
    thread::sleep(nap);
    request.released(|_| {
        let start = Instant::now();
        thread::sleep(nap);
        released = start.elapsed();
    });
    let holder = lock.stats().holder.unwrap();
    assert_eq!(holder.operation, Some(Operation::CopyFileRange));
    thread::sleep(nap);
    drop(request);
    let total = start.elapsed();

    let stats = lock.stats();
    assert_eq!(stats.acquisitions, 2);
    assert_eq!(stats.operations.len(), 1, "{stats}");
    let used = stats.operations[0];
    assert_eq!(used.operation, Some(Operation::CopyFileRange));
    assert_eq!(used.count, 2);
    assert!(used.held >= 2 * nap, "{stats}");
    assert!(used.held <= total - released, "{stats}");
    assert!(
        used.held_max >= nap && used.held_max <= used.held - nap,
        "{stats}"
    );
    assert_eq!(used.waited, Duration::ZERO);
}

#[test]
fn yield_ends_the_held_time_and_keeps_the_operation() {
    within_a_minute(|| {
        let lock = GlobalLock::new(());
        let nap = Duration::from_millis(20);
        let mut request = lock.lock_for(Operation::Rename).unwrap();
        thread::scope(|threads| {
            threads.spawn(|| {
                let _request = lock.lock_for(Operation::Getattr).unwrap();
                thread::sleep(nap);
            });
            until(|| lock.stats().waiters.len() == 1);
            let waiter = lock.stats().waiters[0];
            assert_eq!(waiter.operation, Some(Operation::Getattr));
            let start = Instant::now();
            assert_eq!(request.yield_(1), 1);
            let away = start.elapsed();
            let holder = lock.stats().holder.unwrap();
            assert_eq!(holder.operation, Some(Operation::Rename));
            assert!(holder.held <= start.elapsed());
            drop(request);

            let stats = lock.stats();
            assert_eq!(stats.hand_overs, 1);
            let [getattr, rename] = stats.operations[..] else {
                panic!("{stats}")
            };
            assert_eq!(getattr.operation, Some(Operation::Getattr));
            assert_eq!(getattr.count, 1);
            assert!(getattr.held >= nap, "{stats}");
            assert!(getattr.waited > Duration::ZERO, "{stats}");
            assert_eq!(getattr.waited, getattr.waited_max);
            assert_eq!(rename.operation, Some(Operation::Rename));
            assert_eq!(rename.count, 2);
            assert!(rename.waited >= nap && rename.waited <= away, "{stats}");
            let table = stats.to_string();
            assert!(
                table.starts_with("global lock: free; 0 waiting\n"),
                "{table}"
            );
            assert!(table.contains("\ngetattr "), "{table}");
        });
    });
}

#[test]
fn few_sections_of_application_threads_are_timed() {
    let lock = GlobalLock::new(());
    let nap = Duration::from_millis(10);
    let held = lock.lock().unwrap();
    thread::sleep(nap);
    assert!(lock.stats().holder.unwrap().held >= nap, "the first is");
    drop(held);
    let first = lock.stats().operations[0];
    assert_eq!((first.operation, first.count, first.timed), (None, 1, 1));
    assert!(first.held >= nap && first.held == first.held_max);
    for _ in 1..10_000 {
        drop(lock.lock().unwrap());
    }
    let all = lock.stats().operations[0];
    assert_eq!(all.count, 10_000);
    assert!((10..2_000).contains(&all.timed), "{all:?}");
    assert!(all.held_max >= nap);
}

#[test]
fn a_section_that_a_thread_waits_for_is_timed_for_as_long_as_it_waits() {
    within_a_minute(|| {
        let lock = GlobalLock::new(());
        drop(lock.lock().unwrap());
        let nap = Duration::from_millis(10);
        thread::scope(|threads| {
            // The second section of a lock is not among those that are timed anyway, as a rule.
            let held = lock.lock().unwrap();
            threads.spawn(|| drop(lock.lock().unwrap()));
            until(|| lock.stats().waiters.len() == 1);
            thread::sleep(nap);
            assert!(lock.stats().holder.unwrap().held >= nap);
            drop(held);
        });
        assert!(lock.stats().operations[0].held_max >= nap);
    });
}

#[test]
fn a_section_that_was_handed_on_is_timed_while_another_thread_waits() {
    within_a_minute(|| {
        let raw = &RawLock::new();
        thread::scope(|threads| {
            threads.spawn(|| {
                assert_eq!(raw.acquire(None, None, None), Ok(()));
                // By itself the next section is not timed.
                raw.stopwatch.start(126, false, 0);
                queue_nobody(raw);
                assert_eq!(raw.yield_(1, None), 1);
                raw.release();
            });
            until(|| raw.queue().hand_overs == 1 && raw.stopwatch.is_running());
            raw.release();
        });
    });
}

#[test]
fn the_lock_can_be_waited_for_while_thread_locals_are_destroyed() {
    static LOCK: GlobalLock<u32> = GlobalLock::new(0);

    struct AtTheEnd;
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            *LOCK.lock().unwrap() += 1;
        }
    }
    thread_local! {
        static AT_THE_END: AtTheEnd = const { AtTheEnd };
    }

    within_a_minute(|| {
        let held = LOCK.lock().unwrap();
        let threads: Vec<_> = [true, false]
            .into_iter()
            .map(|first| {
                // Destructors run in the reverse order of first use, or not; one
                // of the two ways finds the waiter gone.
                thread::spawn(move || {
                    if first {
                        AT_THE_END.with(|_| ());
                    }
                    drop(Waiter::current());
                    AT_THE_END.with(|_| ());
                })
            })
            .collect();
        until(|| LOCK.stats().waiters.len() == 2);
        drop(held);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*LOCK.lock().unwrap(), 2);
    });
}
