//! Running without the lock, and taking it again.

use super::*;

#[test]
fn the_result_passes_and_the_lock_is_free_inside() {
    within_a_minute(|| {
        let lock = GlobalLock::new(String::from("state"));
        let mut held = lock.lock().unwrap();
        let result = held.released(|_| {
            assert!(!lock.is_held());
            let other =
                thread::scope(|threads| threads.spawn(|| lock.lock().unwrap().push('!')).join());
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
