//! What waits for the kernel, and the end that waits for it.

use super::*;

/// The thread is in writev(2), where the kernel makes it wait.
fn is_writing(tid: i32) -> bool {
    let call = fs::read_to_string(format!("/proc/self/task/{tid}/syscall"));
    call.is_ok_and(|call| call.starts_with(&format!("{} ", libc::SYS_writev)))
}

/// The session goes on while a notification is on its way, and then ends.
#[test]
fn the_end_waits_for_what_is_on_its_way() {
    let mut wire = Wire::new(Bare::<Concurrent>::new(), Concurrent);
    let stuffed = wire.refuse(true);
    let notifier = wire.handle.notifier();
    let (started, tid) = mpsc::channel();
    let sender = thread::spawn({
        let notifier = notifier.clone();
        move || {
            // SAFETY: no precondition.
            started.send(unsafe { libc::gettid() }).unwrap();
            Concurrent.unlocked(|proof| notifier.blocking(proof).inval_attr(Ino(2)))
        }
    });
    let tid = await_from(&tid);
    until("the notification is on its way", || is_writing(tid));
    wire.handle.terminate();
    let refused = Concurrent.unlocked(|proof| notifier.blocking(proof).inval_attr(Ino(3)));
    assert_eq!(refused, Err(NotifyError::Ended));
    // The loop still serves.
    let unique = wire.send(&proto::forget(2, 1));
    assert!(unique > 0);
    wire.accept(stuffed);
    assert_eq!(wire.receive(), inval_inode(2, -1, 0));
    assert_eq!(sender.join().unwrap(), Ok(()));
    wire.wait().unwrap();
}

/// What would wait for the very handler that sends it panics in debug builds, and says what and where.
#[cfg(debug_assertions)]
#[test]
fn what_would_wait_for_its_own_handler() {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    let shared = Arc::new(OnceLock::<Notifier>::new());
    let (told, said) = mpsc::channel();
    let fs = Probe::<Concurrent>::new({
        let shared = Arc::clone(&shared);
        move |cx, _| {
            let notifier = shared.get().unwrap();
            let mut attempt = |send: &dyn Fn(&Blocking<'_>) -> Result<(), NotifyError>| {
                let sent =
                    AssertUnwindSafe(|| cx.released(|proof| send(&notifier.blocking(proof))));
                let panicked = catch_unwind(sent).err();
                told.send(panicked.map(|what| *what.downcast::<String>().unwrap()))
                    .unwrap();
            };
            attempt(&|now| now.inval_entry(Ino::ROOT, "name"));
            attempt(&|now| now.expire_entry(Ino::ROOT, "name"));
            attempt(&|now| now.delete(Ino::ROOT, Ino(2), "name"));
            attempt(&|now| now.delete(Ino(2), Ino::ROOT, "name"));
            attempt(&|now| now.inval_entry(Ino(2), "name"));
            attempt(&|now| now.inval_inode(Ino::ROOT, ..));
            attempt(&|now| now.store(Ino::ROOT, 0, b""));
            enoent()
        }
    });
    let mut wire = Wire::new(fs, Concurrent);
    shared.set(wire.handle.notifier()).unwrap();
    // Another session's handler, of the same number, is no matter.
    let other = Wire::new(Bare::<Concurrent>::new(), Concurrent);
    let unique = wire.send(&proto::lookup(1, b"name"));
    for what in ["inval_entry", "expire_entry", "delete", "delete"] {
        let message = await_from(&said).expect("a panic");
        assert!(message.contains(what), "{message}");
        assert!(message.contains("lookup of inode 1"), "{message}");
    }
    for _ in 0..3 {
        assert_eq!(await_from(&said), None);
    }
    assert_eq!(wire.receive(), inval_entry(2, b"name", 0));
    assert_eq!(wire.receive(), inval_inode(1, 0, 0));
    assert_eq!(wire.receive(), store(1, 0, b""));
    assert_eq!(wire.receive(), proto::error(unique, libc::ENOENT));
    other.end();
    wire.end();
}
