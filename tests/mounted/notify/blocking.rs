//! What waits for the kernel, which waits for a handler.

use super::*;

/// llfuse: the queue takes 1,000, and the next one waits, with the lock held, for a thread that waits for this very lookup.
#[test]
fn a_hundred_thousand_from_a_lookup_do_not_block() {
    require_mount!();
    let shared = Arc::new(OnceLock::<Notifier>::new());
    let builder = Cached::builder({
        let shared = Arc::clone(&shared);
        move |_, operation, name| {
            if operation == Operation::Lookup && name == "trigger" {
                let notifier = shared.get().unwrap();
                for number in 0..100_000 {
                    notifier.inval_entry(Ino::ROOT, format!("f{number}"));
                }
            }
        }
    });
    let mount = Mount::new(builder);
    let notifier = mount.handle().notifier();
    shared.set(notifier.clone()).unwrap();
    // Some of them are known to the kernel, the last one too.
    for number in [0, 500, 50_000, 99_999] {
        fs::metadata(mount.join(format!("f{number}"))).unwrap();
    }
    // One that blocks does so until the mount is given up.
    fs::metadata(mount.join("trigger")).unwrap();
    notifier.flush(DEADLINE).unwrap();
    let again = mount.causes(Operation::Lookup, || {
        fs::metadata(mount.join("f99999")).unwrap()
    });
    assert_eq!(again, 1);
    mount.end();
}

/// llfuse: the store waits for the page, with the lock held, which the read that has the page waits for.
#[test]
fn a_store_of_a_page_that_is_being_read() {
    require_mount!(not over io_uring: "each processor has one worker");
    let shared = Arc::new(OnceLock::<Notifier>::new());
    let (told, stored) = mpsc::channel();
    let lock = Arc::new(GlobalLock::new(()));
    let fs = Cached::new({
        let (shared, lock) = (Arc::clone(&shared), Arc::clone(&lock));
        move |cx, operation, name| {
            if operation != Operation::Lookup || name != "trigger" {
                return;
            }
            // A read of the page has come, and waits for the lock that is held here.
            until(|| {
                let waiters = lock.stats().waiters;
                waiters
                    .iter()
                    .any(|waiter| waiter.operation == Some(Operation::Read))
            });
            let notifier = shared.get().unwrap();
            let page = [b'b'; PAGE];
            let result = cx.released(|proof| notifier.blocking(proof).store(Ino(2), 0, &page));
            told.send(result).unwrap();
        }
    });
    let mount = Mount::new(Session::builder(fs, Arc::clone(&lock)));
    shared.set(mount.handle().notifier()).unwrap();
    let file = File::open(mount.join("file")).unwrap();
    let trigger = thread::spawn({
        let path = mount.join("trigger");
        move || fs::metadata(path).map(|_| ())
    });
    until(|| lock.stats().holder.is_some());
    let mut page = [0; PAGE];
    file.read_exact_at(&mut page, 0).unwrap();
    assert_eq!(stored.recv_timeout(DEADLINE).unwrap(), Ok(()));
    trigger.join().unwrap().unwrap();
    file.read_exact_at(&mut page, 0).unwrap();
    assert_eq!(page, [b'b'; PAGE]);
    drop(file);
    mount.end();
}

/// A queued notification waits for a lookup that is never answered, and the session ends all the same.
#[test]
fn the_end_does_not_wait_for_what_waits_for_ever() {
    require_mount!(not over io_uring: "the kernel sends nothing again");
    if !kernel_has("resend", 40) {
        return;
    }
    let kept = Arc::new(Mutex::new(Vec::new()));
    let mut mount = Mount::new(Deferring::builder(Arc::clone(&kept)));
    let path = mount.join("file");
    let client = thread::spawn(move || fs::metadata(path));
    until(|| kept.lock().unwrap().len() == 1);
    let notifier = mount.handle().notifier();
    notifier.inval_entry(Ino::ROOT, "other");
    let waits = notifier.flush(Duration::from_millis(100));
    assert_eq!(waits, Err(NotifyError::TimedOut));
    let (took, ()) = timed(|| {
        mount.handle().terminate();
        mount.ended();
    });
    assert!(took < DEADLINE / 2, "{took:?}");
    assert!(client.join().unwrap().is_err());
    assert_eq!(notifier.flush(DEADLINE), Err(NotifyError::Ended));
    drop(kept);
}

/// The same, where nothing is deferred: a client's request came when nobody served any more.
#[test]
fn a_blocking_one_lets_the_session_serve_until_it_is_done() {
    require_mount!(not over io_uring: "answers at the end are lost with the ring");
    let gate = Arc::new(AtomicBool::new(false));
    let builder = Cached::builder({
        let gate = Arc::clone(&gate);
        move |cx, operation, name| {
            if operation == Operation::Lookup && name == "slow" {
                cx.released(|_| until(|| gate.load(Ordering::SeqCst)));
            }
        }
    });
    let mut mount = Mount::new(builder);
    let slow = thread::spawn({
        let path = mount.join("slow");
        move || fs::metadata(path).map(|_| ())
    });
    until(|| mount.count(Operation::Lookup) == 1);
    let notifier = mount.handle().notifier();
    let (started, tid) = mpsc::channel();
    let sender = thread::spawn(move || {
        // SAFETY: no precondition.
        started.send(unsafe { libc::gettid() }).unwrap();
        let lock = GlobalLock::new(());
        lock.unlocked(|proof| notifier.blocking(proof).inval_entry(Ino::ROOT, "other"))
    });
    let tid = tid.recv().unwrap();
    until(|| is_writing(tid));
    mount.handle().terminate();
    // It still answers: nothing of this needs the directory that is locked.
    let asked = mount.causes(Operation::Getattr, || fs::metadata(mount.path()).unwrap());
    assert_eq!(asked, 1);
    gate.store(true, Ordering::SeqCst);
    let sent = sender.join().unwrap().unwrap();
    assert_eq!(sent, Err(NotifyError::Errno(Errno::ENOENT)));
    slow.join().unwrap().unwrap();
    mount.ended();
}

/// The thread is in writev(2), where the kernel makes it wait.
fn is_writing(tid: i32) -> bool {
    let call = fs::read_to_string(format!("/proc/self/task/{tid}/syscall"));
    call.is_ok_and(|call| call.starts_with(&format!("{} ", libc::SYS_writev)))
}
