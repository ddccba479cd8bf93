//! Mutexes that know when the global lock is released.

use super::*;

#[test]
fn a_mutex_is_a_mutex() {
    within_a_minute(|| {
        let mut mutex = sync::Mutex::new(0u64);
        let total = AtomicU64::new(0);
        thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    for _ in rounds(50_000) {
                        *mutex.lock() += 1;
                        total.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let total = total.into_inner();
        assert_eq!(*mutex.get_mut(), total);
        let held = mutex.lock();
        assert!(mutex.try_lock().is_none());
        drop(held);
        assert!(mutex.try_lock().is_some());
        assert_eq!(mutex.into_inner(), total);
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
