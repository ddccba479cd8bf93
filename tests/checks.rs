//! What no type sees is found while debug builds run, and the message names both places.
#![cfg(debug_assertions)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use fuse3::kit::{KeyedLocks, work_queue};
use fuse3::lock::{Condvar, LockError, sync};
use fuse3::{Concurrent, GlobalLock};

use deadline::{message, until, within_a_minute};

#[path = "common/deadline.rs"]
mod deadline;

/// What the panic of `f` says.
fn panics<R>(f: impl FnOnce() -> R) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(f)) else {
        panic!("it did not panic");
    };
    message(&*panic).to_owned()
}

/// That the text names these lines of this file, in this order.
fn names(text: &str, lines: &[u32]) {
    let mut rest = text;
    for line in lines {
        let place = format!("{}:{line}:", file!());
        let at = rest
            .find(&place)
            .unwrap_or_else(|| panic!("{place} is missing: {text}"));
        rest = &rest[at + place.len()..];
    }
}

mod order {
    use super::*;

    #[test]
    fn two_mutexes_taken_in_two_orders_are_told_of_without_a_second_thread() {
        let (a, b) = (sync::Mutex::new(()), sync::Mutex::new(()));
        let (held_at, waited_at);
        {
            let _a = a.lock();
            held_at = line!() - 1;
            let _b = b.lock();
            waited_at = line!() - 1;
        }
        let (now_held_at, now_waited_at) = (line!() + 2, line!() + 3);
        let text = panics(|| {
            let _b = b.lock();
            let _a = a.lock();
        });
        assert!(text.starts_with("lock-order inversion"), "{text}");
        names(&text, &[now_waited_at, now_held_at, waited_at, held_at]);
        // Nothing is held any more, and the right order is still right.
        let _a = a.lock();
        let _b = b.lock();
    }

    /// Arvados: its collection's lock was held from inside `lock_released`, and then llfuse's taken.
    #[test]
    fn a_mutex_below_the_global_lock_is_not_taken_above_it() {
        let (global, mutex) = (GlobalLock::new(()), sync::Mutex::new(()));
        let mut fs = global.lock().unwrap();
        drop(mutex.lock());
        let below = line!() - 1;
        let now = line!() + 4;
        let text = panics(|| {
            fs.released(|proof| {
                let _mutex = mutex.lock();
                drop(proof.lock());
            });
        });
        assert!(text.contains("lock-order inversion"), "{text}");
        names(&text, &[now, now - 1, below]);
        // The guard has its lock again, as after any panic.
        assert!(global.is_held());
        drop(fs);
        assert!(global.try_lock().is_ok());
    }

    #[test]
    fn a_mutex_taken_while_the_lock_is_released_is_not_kept_until_it_is_taken_again() {
        let (global, mutex) = (GlobalLock::new(()), sync::Mutex::new(()));
        let mut fs = global.lock().unwrap();
        drop(mutex.lock());
        let below = line!() - 1;
        let mut kept = None;
        let released_at = line!() + 1;
        let text = panics(|| fs.released(|_| kept = Some(mutex.lock())));
        assert!(text.contains("lock-order inversion"), "{text}");
        names(&text, &[released_at, released_at, below]);
        drop(kept);
        assert!(global.is_held());
    }

    #[test]
    fn a_key_that_is_kept_over_a_yield_is_above_the_lock() {
        let (global, mutex, keys) = (GlobalLock::new(()), sync::Mutex::new(()), KeyedLocks::new());
        {
            let _fs = global.lock().unwrap();
            drop(mutex.lock());
        }
        {
            let _mutex = mutex.lock();
            Concurrent.unlocked(|proof| drop(keys.lock(1, proof)));
        }
        // By way of the mutex the keys are below the lock, which is waited for with one of them held.
        let mut fs = global.lock().unwrap();
        let _key = keys.try_lock(1).unwrap();
        let yielded_at = line!() + 1;
        let text = panics(|| fs.yield_(1));
        assert!(text.contains("lock-order inversion"), "{text}");
        names(&text, &[yielded_at]);
        assert!(global.is_held());
    }

    #[test]
    fn a_key_and_a_mutex_have_one_order() {
        let (keys, mutex) = (KeyedLocks::new(), sync::Mutex::new(()));
        {
            let _key = keys.try_lock(1).unwrap();
            drop(mutex.lock());
        }
        let text = panics(|| {
            let _mutex = mutex.lock();
            // Another key of the same locks.
            Concurrent.unlocked(|proof| drop(keys.lock(2, proof)));
        });
        assert!(
            text.contains("the key of KeyedLocks while it holds the mutex"),
            "{text}"
        );
        assert!(keys.is_empty());
    }

    #[test]
    fn the_keys_of_two_tables_have_one_order() {
        let (inodes, blocks) = (KeyedLocks::new(), KeyedLocks::new());
        let both = |first: &KeyedLocks<u64>, second: &KeyedLocks<u64>| {
            Concurrent.unlocked(|proof| {
                let _first = first.lock(1, proof);
                let _second = second.lock(1, proof);
            });
        };
        both(&inodes, &blocks);
        both(&inodes, &blocks);
        assert!(panics(|| both(&blocks, &inodes)).contains("lock-order inversion"));
        assert!(inodes.is_empty() && blocks.is_empty());
    }

    #[test]
    fn a_circle_of_three_is_told_of_with_all_its_places() {
        let [a, b, c] = [1, 2, 3].map(sync::Mutex::new);
        let both = |first: &sync::Mutex<_>, second: &sync::Mutex<_>| {
            let _first = first.lock();
            let _second = second.lock();
        };
        let taken_at = line!() - 3;
        both(&a, &b);
        both(&b, &c);
        let text = panics(|| both(&c, &a));
        let waited_at = taken_at + 1;
        names(
            &text,
            &[
                waited_at, taken_at, waited_at, taken_at, waited_at, taken_at,
            ],
        );
    }

    #[test]
    fn what_was_tried_was_not_waited_for() {
        let (a, b) = (sync::Mutex::new(()), sync::Mutex::new(()));
        {
            let _a = a.lock();
            let _b = b.try_lock().unwrap();
        }
        let _b = b.lock();
        let _a = a.lock();
    }

    #[test]
    fn a_new_lock_has_no_order_whatever_was_at_its_address() {
        let (global, order) = (GlobalLock::new(()), [true, false]);
        for mutex_first in order {
            let mutex = Box::new(sync::Mutex::new(()));
            if mutex_first {
                let _mutex = mutex.lock();
                drop(global.lock());
            } else {
                let _global = global.lock();
                drop(mutex.lock());
            }
        }
    }

    #[test]
    fn a_key_above_the_global_lock_is_in_order() {
        within_a_minute(|| {
            let (global, keys) = (GlobalLock::new(0), KeyedLocks::new());
            for _ in 0..2 {
                let mut fs = global.lock().unwrap();
                let key = fs.released(|proof| keys.lock(1, proof));
                *fs += 1;
                fs.yield_(1);
                // Under the global lock a key may be tried.
                let tried = keys.try_lock(2).unwrap();
                fs.wait(&Condvar::new(), Some(Duration::ZERO));
                drop((fs, key, tried));
            }
        });
    }

    #[test]
    fn a_key_that_went_to_another_thread_is_not_this_one_s() {
        within_a_minute(|| {
            let keys = KeyedLocks::new();
            let key = keys.try_lock(1).unwrap().into_owned();
            thread::scope(|threads| {
                let keys = &keys;
                threads.spawn(move || {
                    until(|| keys.waiters(&1) == 1);
                    drop(key);
                });
                // This thread took it, and waits for the other to release it.
                Concurrent.unlocked(|proof| drop(keys.lock(1, proof)));
            });
        });
    }

    #[test]
    fn a_key_that_the_thread_has_is_not_waited_for() {
        let keys = KeyedLocks::new();
        let _key = keys.try_lock(1).unwrap();
        let taken_at = line!() - 1;
        let text = panics(|| Concurrent.unlocked(|proof| drop(keys.lock(1, proof))));
        assert!(text.contains("it would wait for itself"), "{text}");
        names(&text, &[taken_at]);
        // Another one of the same table is its own business.
        Concurrent.unlocked(|proof| drop(keys.lock(2, proof)));
    }

    #[test]
    fn during_a_panic_nothing_is_checked() {
        struct Inverts<'m>(&'m sync::Mutex<()>, &'m sync::Mutex<()>);
        impl Drop for Inverts<'_> {
            fn drop(&mut self) {
                let _second = self.1.lock();
                drop(self.0.lock());
            }
        }
        let (a, b) = (sync::Mutex::new(()), sync::Mutex::new(()));
        {
            let _a = a.lock();
            drop(b.lock());
        }
        let text = panics(|| {
            let _inverts = Inverts(&a, &b);
            panic!("the first");
        });
        assert_eq!(text, "the first");
    }
}

mod sessions {
    use super::*;

    #[test]
    fn a_thread_holds_the_lock_of_one_session_at_a_time() {
        let (one, other) = (GlobalLock::new(()), GlobalLock::new(()));
        let _held = one.lock().unwrap();
        let taken_at = line!() - 1;
        let text = panics(|| drop(other.lock()));
        let waited_at = line!() - 1;
        assert!(text.contains("one at a time"), "{text}");
        names(&text, &[waited_at, taken_at]);
        assert!(other.try_lock().is_ok(), "a try waits for nobody");
    }

    #[test]
    fn the_proof_of_another_session_s_lock_is_none() {
        let (one, other, keys) = (GlobalLock::new(()), GlobalLock::new(()), KeyedLocks::new());
        let (sender, receiver) = work_queue(1);
        let _held = one.lock().unwrap();
        let taken_at = line!() - 1;
        let waits: [&dyn Fn(); 3] = [
            &|| other.unlocked(|proof| drop(keys.lock(1, proof))).unwrap(),
            &|| {
                other
                    .unlocked(|proof| sender.send(1, proof).unwrap())
                    .unwrap()
            },
            &|| Concurrent.unlocked(|proof| assert!(receiver.recv(proof).is_none())),
        ];
        for wait in waits {
            names(&panics(wait), &[taken_at]);
        }
    }
}

mod invariant {
    use super::*;

    fn even(state: &i32) {
        assert!(state % 2 == 0, "{state} is odd");
    }

    #[test]
    fn it_is_checked_before_each_release() {
        let lock = GlobalLock::new(0).debug_invariant(even);
        let mut held = lock.lock().unwrap();
        *held = 2;
        held.yield_(1);
        held.released(|_| ());
        held.wait(&Condvar::new(), Some(Duration::ZERO));
        *held = 3;
        let was_released = AtomicBool::new(false);
        assert_eq!(panics(|| held.yield_(1)), "3 is odd");
        assert_eq!(
            panics(|| held.released(|_| was_released.store(true, Ordering::Relaxed))),
            "3 is odd"
        );
        assert!(!was_released.into_inner());
        let none = Some(Duration::ZERO);
        assert_eq!(panics(|| held.wait(&Condvar::new(), none)), "3 is odd");
        assert!(lock.is_held(), "it panics before the release");
        *held = 4;
        held.yield_(1);
    }

    #[test]
    fn it_is_checked_while_the_lock_is_held() {
        static LOCK: GlobalLock<u32> = GlobalLock::new(0).debug_invariant(|_| {
            assert!(LOCK.is_held(), "it is released already");
            CHECKS.fetch_add(1, Ordering::Relaxed);
        });
        static CHECKS: AtomicU32 = AtomicU32::new(0);
        let mut held = LOCK.lock().unwrap();
        held.released(|_| ());
        held.yield_(1);
        held.wait(&Condvar::new(), Some(Duration::ZERO));
        drop(held);
        assert_eq!(CHECKS.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn at_the_end_of_a_section_too_and_the_lock_is_released_all_the_same() {
        let lock = GlobalLock::new(0).debug_invariant(even);
        assert_eq!(panics(|| *lock.lock().unwrap() = 5), "5 is odd");
        assert!(!lock.is_held());
        let mut held = lock.try_lock().unwrap();
        assert_eq!(*held, 5);
        *held = 6;
    }

    #[test]
    fn not_during_another_panic() {
        let lock = GlobalLock::new(0).debug_invariant(even);
        let text = panics(|| {
            *lock.lock().unwrap() = 7;
            unreachable!("dropped before");
        });
        assert_eq!(text, "7 is odd");
        let text = panics(|| {
            let mut held = lock.lock().unwrap();
            *held = 9;
            panic!("the first");
        });
        assert_eq!(text, "the first");
        *lock.lock().unwrap() = 0;
    }
}

mod forgotten {
    use super::*;
    use crate::lines::{collect, of_end};

    #[test]
    fn a_thread_that_ends_with_the_lock_held_is_told_of() {
        within_a_minute(|| {
            collect();
            let (lock, keys) = (GlobalLock::new(()), KeyedLocks::new());
            let (tid, at) = thread::scope(|threads| {
                let ends = threads.spawn(|| {
                    std::mem::forget(lock.lock().unwrap());
                    let at = line!() - 1;
                    // The same thread is told so, at once.
                    assert_eq!(lock.lock().err(), Some(LockError::AlreadyHeld));
                    let tid = lock.stats().holder.map(|holder| holder.thread);
                    std::mem::forget(keys.try_lock(1).unwrap());
                    (tid.expect("it is held"), at)
                });
                ends.join().unwrap()
            });
            let lines = of_end(tid);
            assert_eq!(lines.len(), 2, "{lines:?}");
            let expected = format!(
                "thread {tid} ended while it held the global lock that it took at {}:{at}:",
                file!()
            );
            assert!(lines[0].starts_with(&expected), "{lines:?}");
            assert!(lines[1].contains("held the key of KeyedLocks"), "{lines:?}");
            // Nobody else takes the newcomer for the holder.
            let other = thread::scope(|threads| threads.spawn(|| lock.try_lock().err()).join());
            assert_eq!(other.unwrap(), Some(LockError::Busy));
        });
    }

    #[test]
    fn a_thread_that_ends_without_is_not() {
        collect();
        let (lock, keys) = (GlobalLock::new(()), KeyedLocks::new());
        let tid = thread::scope(|threads| {
            let ends = threads.spawn(|| {
                let held = lock.lock().unwrap();
                let tid = lock.stats().holder.map(|holder| holder.thread);
                drop(held);
                drop(keys.try_lock(1));
                // Who has it releases it.
                std::mem::forget(keys.try_lock(2).unwrap().into_owned());
                tid.expect("it was held")
            });
            ends.join().unwrap()
        });
        assert_eq!(of_end(tid), [""; 0]);
    }
}

/// What the library logs.
mod lines {
    use std::sync::{Mutex, Once};

    static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

    struct Logger;

    impl log::Log for Logger {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            LINES.lock().unwrap().push(record.args().to_string());
        }

        fn flush(&self) {}
    }

    pub(crate) fn collect() {
        static SET: Once = Once::new();
        SET.call_once(|| {
            log::set_logger(&Logger).unwrap();
            log::set_max_level(log::LevelFilter::Info);
        });
    }

    /// What was said of the end of a thread.
    pub(crate) fn of_end(thread: fuse3::lock::Tid) -> Vec<String> {
        let start = format!("thread {thread} ended ");
        let mut lines = LINES.lock().unwrap().clone();
        lines.retain(|line| line.starts_with(&start));
        lines
    }
}
