//! What the lock tells about itself.

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
            assert_eq!(refused, Some(LockError::Busy));
            if is_namesake {
                break;
            }
        }
        assert_eq!(lock.stats().holder.unwrap().thread.as_raw(), dead_tid);
    });
}
