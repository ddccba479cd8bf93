//! What is retrieved from the page cache.

use super::*;

in_both_styles! {
    retrieved_queued retrieved_blocking a_retrieval_that_is_lost a_retrieval_that_fails
}

/// Answers a RETRIEVE that has come.
fn give<L: Style>(wire: &Wire<Bare<L>>, unique: u64, offset: u64, data: &[u8]) {
    wire.send_raw(&proto::notify_reply(INO, offset, data).bytes(unique));
}

fn retrieved_queued<L: Style>() {
    let wire = Wire::new(Bare::<L>::new(), L::lock());
    let notifier = wire.handle.notifier();
    let mut first = notifier.retrieve(Ino(INO), 4096, 10_000);
    let second = notifier.retrieve(Ino(INO), 0, 1);
    let (told, callback) = mpsc::channel();
    notifier.retrieve_with(Ino(INO), 5, 6, move |answer| told.send(answer).unwrap());
    assert_eq!(wire.receive(), retrieve(1, INO, 4096, 10_000));
    assert_eq!(wire.receive(), retrieve(2, INO, 0, 1));
    assert_eq!(wire.receive(), retrieve(3, INO, 5, 6));
    assert!(first.take().is_none());
    give(&wire, 3, 5, b"called");
    give(&wire, 2, 0, b"");
    give(&wire, 1, 4096, &[42; 10_000]);
    let third = await_from(&callback).unwrap();
    assert_eq!((third.ino, third.offset), (Ino(INO), 5));
    assert_eq!(third.data, b"called");
    assert_eq!(wait(&wire.lock, second, DEADLINE).unwrap().data, b"");
    let first = wait(&wire.lock, first, DEADLINE).unwrap();
    assert_eq!((first.ino, first.offset), (Ino(INO), 4096));
    assert_eq!(first.data, [42; 10_000]);
    let stats = wire.handle.stats();
    let counted = stats.requests.contains(&(Operation::RetrieveReply, 3));
    assert!(counted, "{stats:?}");
    // One that nobody asked for, or whose asker is gone.
    drop(notifier.retrieve(Ino(INO), 0, 8));
    assert_eq!(wire.receive(), retrieve(4, INO, 0, 8));
    give(&wire, 4, 0, b"for none");
    wire.end();
}

fn retrieved_blocking<L: Style>() {
    let wire = Wire::new(Bare::<L>::new(), L::lock());
    let notifier = wire.handle.notifier();
    let retrieved = thread::scope(|scope| {
        let lock = wire.lock.clone();
        let asking = scope.spawn({
            let notifier = notifier.clone();
            move || lock.blocking(&notifier, |now| now.retrieve(Ino(INO), 8, 16, DEADLINE))
        });
        assert_eq!(wire.receive(), retrieve(1, INO, 8, 16));
        give(&wire, 1, 8, b"what is cached");
        asking.join().unwrap()
    });
    assert_eq!(retrieved.unwrap().data, b"what is cached");
    let none = wire.lock.blocking(&notifier, |now| {
        now.retrieve(Ino(INO), 8, 16, Duration::from_millis(1))
    });
    assert_eq!(none, Err(NotifyError::TimedOut));
    assert_eq!(wire.receive(), retrieve(2, INO, 8, 16));
    wire.end();
}

fn a_retrieval_that_is_lost<L: Style>() {
    let wire = Wire::new(Bare::<L>::new(), L::lock());
    let notifier = wire.handle.notifier();
    let mut sent = notifier.retrieve(Ino(INO), 0, 1);
    let (told, callback) = mpsc::channel();
    notifier.retrieve_with(Ino(INO), 0, 1, move |answer| told.send(answer).unwrap());
    wire.receive();
    wire.receive();
    let waiting = notifier.retrieve(Ino(INO), 0, 1);
    wire.receive();
    // It may begin when `destroy` has the lock already.
    let waiter = thread::spawn(move || {
        Concurrent.unlocked(|proof| waiting.wait(proof, Duration::from_millis(50)))
    });
    wire.end();
    assert_eq!(sent.take(), Some(Err(NotifyError::Ended)));
    assert_eq!(await_from(&callback), Err(NotifyError::Ended));
    let result = waiter.join().unwrap();
    assert!(
        matches!(result, Err(NotifyError::Ended | NotifyError::TimedOut)),
        "{result:?}"
    );
}

fn a_retrieval_that_fails<L: Style>() {
    let wire = Wire::new(Bare::<L>::new(), L::lock());
    wire.refuse_for_good();
    let notifier = wire.handle.notifier();
    let retrieval = notifier.retrieve(Ino(INO), 0, 1);
    let result = wait(&wire.lock, retrieval, DEADLINE);
    assert_eq!(result, Err(NotifyError::Errno(Errno::EPIPE)));
    let result = wire
        .lock
        .blocking(&notifier, |now| now.retrieve(Ino(INO), 0, 1, DEADLINE));
    assert_eq!(result, Err(NotifyError::Errno(Errno::EPIPE)));
    wire.handle.terminate();
    wire.wait().unwrap();
}
