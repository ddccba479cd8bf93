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
fn several_keys_are_taken_in_one_order_and_given_back_when_it_is_cancelled() {
    let locks = KeyedLocks::new();
    let held = lock(&locks, 2);
    let mut all = Box::pin(locks.lock_all_async([3, 1, 2, 1]));
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    assert!(all.as_mut().poll(&mut cx).is_pending());
    assert!(locks.is_locked(&1) && !locks.is_locked(&3));
    drop(all);
    assert!(!locks.is_locked(&1));
    assert_eq!(locks.waiters(&2), 0);
    let mut all = Box::pin(locks.lock_all_async([3, 1, 2, 1]));
    assert!(all.as_mut().poll(&mut cx).is_pending());
    drop(held);
    let Poll::Ready(keys) = all.as_mut().poll(&mut cx) else {
        panic!("all keys are free");
    };
    let taken: Vec<u64> = keys.iter().map(|guard| *guard.key()).collect();
    assert_eq!(taken, [1, 2, 3]);
    drop(keys);
    assert!(locks.is_empty());
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
