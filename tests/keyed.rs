//! Keyed locks: in order, for threads and tasks, with nothing left of keys that nobody has.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use fuse3::kit::{KeyWait, KeyedLocks, OwnedKeyGuard};
use fuse3::{Concurrent, GlobalLock};

use deadline::{message, until, within_a_minute};

#[path = "common/deadline.rs"]
mod deadline;

/// Takes a key on a thread of the test, which holds no global lock.
fn lock(locks: &KeyedLocks<u64>, key: u64) -> OwnedKeyGuard<u64> {
    Concurrent.unlocked(|proof| locks.lock(key, proof).into_owned())
}

fn until_waiting(locks: &KeyedLocks<u64>, key: u64, count: usize) {
    until(|| locks.waiters(&key) == count);
}

/// A waker that counts.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Woken {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll(wait: &mut KeyWait<u64>, woken: &Arc<Woken>) -> Poll<OwnedKeyGuard<u64>> {
    let waker = Waker::from(Arc::clone(woken));
    Pin::new(wait).poll(&mut Context::from_waker(&waker))
}

/// A wait that is in the queue, and what tells that it was woken.
fn queued(locks: &KeyedLocks<u64>, key: u64) -> (KeyWait<u64>, Arc<Woken>) {
    let woken = Arc::new(Woken::default());
    let mut wait = locks.lock_async(key);
    assert!(poll(&mut wait, &woken).is_pending());
    (wait, woken)
}

fn ready(wait: &mut KeyWait<u64>) -> Option<OwnedKeyGuard<u64>> {
    match poll(wait, &Arc::default()) {
        Poll::Ready(guard) => Some(guard),
        Poll::Pending => None,
    }
}

struct Unparks(thread::Thread);

impl Wake for Unparks {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest executor there is.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    let waker = Waker::from(Arc::new(Unparks(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// So many rounds, or as many as there are in some seconds: how long one takes is up to the machine.
fn rounds(count: u64) -> impl Iterator<Item = u64> {
    let start = Instant::now();
    (0..count).take_while(move |_| start.elapsed() < Duration::from_secs(5))
}

mod threads {
    use super::*;

    #[test]
    fn a_key_is_one_holder_s_and_other_keys_are_not_its_business() {
        let locks = KeyedLocks::new();
        let one = locks.try_lock(1).unwrap();
        assert!(locks.try_lock(1).is_none());
        let two = locks.try_lock(2).unwrap();
        assert_eq!((*one.key(), *two.key()), (1, 2));
        assert!(locks.is_locked(&1) && !locks.is_locked(&3));
        assert_eq!(locks.len(), 2);
        drop(one);
        assert!(locks.try_lock(1).is_some());
        drop(two);
        assert!(locks.is_empty());
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
                let got =
                    Concurrent.unlocked(|proof| locks.try_lock_for(1, timeout, proof).map(drop));
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
}

mod tasks {
    use super::*;

    /// A waker that panics when it is cloned, from the second time on.
    fn fragile(clones: &'static AtomicUsize) -> Waker {
        use std::task::{RawWaker, RawWakerVTable};
        static TABLE: RawWakerVTable = RawWakerVTable::new(
            |data| {
                // SAFETY: `data` came from the `&'static AtomicUsize` below.
                let clones = unsafe { &*data.cast::<AtomicUsize>() };
                assert!(clones.fetch_add(1, Ordering::Relaxed) < 1, "no more clones");
                RawWaker::new(data, &TABLE)
            },
            |_| {},
            |_| {},
            |_| {},
        );
        let raw = RawWaker::new(std::ptr::from_ref(clones).cast(), &TABLE);
        // SAFETY: the functions keep the contract: the data is static, and nothing is owned.
        unsafe { Waker::from_raw(raw) }
    }

    #[test]
    fn a_waker_that_panics_when_it_is_cloned_costs_no_key() {
        static CLONES: AtomicUsize = AtomicUsize::new(0);
        let keys = KeyedLocks::new();
        let waker = fragile(&CLONES);
        let mut cx = Context::from_waker(&waker);
        let held = keys.try_lock(1).unwrap();
        let mut wait = keys.lock_async(1);
        assert!(Pin::new(&mut wait).poll(&mut cx).is_pending());
        drop(held);
        // It has been given the key, and fails to take it.
        let panic = catch_unwind(AssertUnwindSafe(|| {
            Pin::new(&mut wait).poll(&mut cx).is_ready()
        }));
        assert!(message(&*panic.unwrap_err()).contains("no more clones"));
        assert!(keys.is_locked(&1));
        drop(wait);
        assert!(keys.is_empty(), "the key is lost");
        // Nor does one that fails to queue.
        let mut wait = keys.lock_async(1);
        let panic = catch_unwind(AssertUnwindSafe(|| {
            Pin::new(&mut wait).poll(&mut cx).is_ready()
        }));
        assert!(panic.is_err());
        drop(wait);
        assert!(keys.is_empty());
    }

    #[test]
    fn a_free_key_is_there_at_the_first_poll() {
        let locks = KeyedLocks::new();
        let key = block_on(locks.lock_async(1));
        assert!(locks.try_lock(1).is_none());
        drop(key);
        assert!(locks.is_empty());
    }

    #[test]
    fn nothing_queues_before_it_is_polled() {
        let locks = KeyedLocks::new();
        let held = lock(&locks, 1);
        drop(locks.lock_async(1));
        assert_eq!(locks.waiters(&1), 0);
        drop(held);
    }

    #[test]
    fn tasks_and_threads_are_in_one_queue() {
        within_a_minute(|| {
            let locks = KeyedLocks::new();
            let held = lock(&locks, 1);
            let (mut first, _) = queued(&locks, 1);
            thread::scope(|threads| {
                let second = threads.spawn(|| lock(&locks, 1));
                until_waiting(&locks, 1, 2);
                let (mut third, _) = queued(&locks, 1);
                drop(held);
                assert!(ready(&mut third).is_none());
                assert_eq!(locks.waiters(&1), 2);
                let key = ready(&mut first).expect("the first is served first");
                assert!(!second.is_finished());
                drop(key);
                let key = second.join().unwrap();
                assert!(ready(&mut third).is_none());
                drop(key);
                assert!(ready(&mut third).is_some());
            });
            assert!(locks.is_empty());
        });
    }

    #[test]
    fn the_waker_of_the_last_poll_is_woken_and_the_others_are_dropped() {
        let locks = KeyedLocks::new();
        let held = lock(&locks, 1);
        let (mut wait, before) = queued(&locks, 1);
        let now = Arc::new(Woken::default());
        assert!(poll(&mut wait, &now).is_pending());
        assert_eq!(Arc::strong_count(&before), 1);
        drop(held);
        assert_eq!((before.count(), now.count()), (0, 1));
        assert_eq!(Arc::strong_count(&now), 1, "a waker was kept");
    }

    #[test]
    fn a_cancelled_wait_leaves_nothing() {
        let locks = KeyedLocks::new();
        let held = lock(&locks, 1);
        let (wait, woken) = queued(&locks, 1);
        let (mut next, _) = queued(&locks, 1);
        drop(wait);
        assert_eq!(Arc::strong_count(&woken), 1, "its waker was kept");
        assert_eq!(locks.waiters(&1), 1);
        drop(held);
        assert_eq!(woken.count(), 0);
        assert!(ready(&mut next).is_some());
        assert!(locks.is_empty());
    }

    /// D1 of llfuse's lock: one that was given the key and goes away at the same moment passes it on.
    #[test]
    fn d1_a_key_given_to_a_cancelled_wait_goes_to_the_next() {
        let locks = KeyedLocks::new();
        let held = lock(&locks, 1);
        let (wait, woken) = queued(&locks, 1);
        let (mut next, next_woken) = queued(&locks, 1);
        drop(held);
        assert_eq!((woken.count(), next_woken.count()), (1, 0));
        drop(wait);
        assert_eq!(next_woken.count(), 1, "the hand-over was lost");
        assert!(ready(&mut next).is_some());
        assert!(locks.is_empty());
    }

    #[test]
    fn d1_the_last_one_cancelled_with_the_key_leaves_it_free() {
        let locks = KeyedLocks::new();
        let held = lock(&locks, 1);
        let (wait, _) = queued(&locks, 1);
        drop(held);
        assert!(locks.is_locked(&1));
        drop(wait);
        assert!(locks.is_empty());
    }

    /// The same with two threads, at all moments.
    #[test]
    fn d1_cancelled_while_it_is_given_the_key() {
        within_a_minute(|| {
            let locks = KeyedLocks::new();
            let (mut given, mut left) = (0, 0);
            for _ in 0..5_000 {
                let held = lock(&locks, 1);
                let (wait, woken) = queued(&locks, 1);
                let (mut next, _) = queued(&locks, 1);
                let together = Barrier::new(2);
                thread::scope(|threads| {
                    threads.spawn(|| {
                        together.wait();
                        drop(held);
                    });
                    together.wait();
                    drop(wait);
                });
                match woken.count() {
                    0 => left += 1,
                    _ => given += 1,
                }
                drop(ready(&mut next).expect("the hand-over was lost"));
                assert!(locks.is_empty());
            }
            assert!(left + given == 5_000);
        });
    }

    #[test]
    fn many_that_are_cancelled_are_not_searched_for_among_each_other() {
        within_a_minute(|| {
            let locks = KeyedLocks::new();
            let held = lock(&locks, 1);
            let waits: Vec<_> = (0..100_000).map(|_| queued(&locks, 1)).collect();
            let (mut next, _) = queued(&locks, 1);
            let woken: Vec<_> = waits.iter().map(|(_, woken)| Arc::clone(woken)).collect();
            // The last first, which is the worst order for a search from the front.
            waits.into_iter().rev().for_each(drop);
            assert_eq!(locks.waiters(&1), 1);
            assert!(woken.iter().all(|woken| Arc::strong_count(woken) == 1));
            drop(held);
            assert!(ready(&mut next).is_some());
            assert!(locks.is_empty());
        });
    }

    #[test]
    fn a_guard_is_released_by_another_task() {
        let locks = KeyedLocks::new();
        let (sender, receiver) = mpsc::channel();
        block_on(async {
            let key = locks.lock_async(1).await;
            sender.send(key).unwrap();
        });
        let (mut next, woken) = queued(&locks, 1);
        block_on(async { drop(receiver.recv().unwrap()) });
        assert_eq!(woken.count(), 1);
        assert!(ready(&mut next).is_some());
    }

    #[test]
    fn a_waker_may_do_anything() {
        /// Takes a key of the same locks, and drops waits for it.
        struct Meddles(KeyedLocks<u64>, Mutex<Option<KeyWait<u64>>>);

        impl Wake for Meddles {
            fn wake(self: Arc<Self>) {
                assert!(self.0.try_lock(1).is_none());
                drop(self.0.try_lock(2).unwrap());
                drop(self.1.lock().unwrap().take());
            }
        }

        within_a_minute(|| {
            let locks = KeyedLocks::new();
            let held = lock(&locks, 1);
            let mut wait = locks.lock_async(1);
            let meddler = Arc::new(Meddles(locks.clone(), Mutex::new(None)));
            let waker = Waker::from(Arc::clone(&meddler));
            let polled = Pin::new(&mut wait).poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
            let (other, _) = queued(&locks, 1);
            *meddler.1.lock().unwrap() = Some(other);
            drop(held);
            assert!(meddler.1.lock().unwrap().is_none(), "it was not woken");
            assert_eq!(locks.waiters(&1), 0);
            assert!(ready(&mut wait).is_some());
            assert!(locks.is_empty());
        });
    }

    #[test]
    fn polled_again_after_it_was_ready_it_panics_and_takes_nothing() {
        let locks = KeyedLocks::new();
        let mut wait = locks.lock_async(1);
        drop(ready(&mut wait));
        let panic = catch_unwind(AssertUnwindSafe(|| ready(&mut wait))).unwrap_err();
        assert!(message(&*panic).contains("after it was ready"));
        assert!(locks.is_empty());
    }
}

mod order {
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
}
