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
