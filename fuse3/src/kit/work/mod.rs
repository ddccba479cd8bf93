//! A bounded queue between handlers and the threads that work for them.

#[cfg(doctest)]
mod misuse;
pub(crate) mod queue;
pub(crate) mod receiver;
pub(crate) mod sender;

use crate::kit::work::{queue::Queue, receiver::WorkReceiver, sender::WorkSender};

/// S3QL's queue of dirty blocks: a bounded queue to threads that work for the file system.
///
/// A thread that waits for room waits for workers, who want the global lock to note what they have done: so what waits
/// takes the proof that the thread does not hold it. Items come out in the order in which they went in. `capacity` is how
/// many are kept; with zero, as with one.
///
/// It ends in three ways. After [`close`](WorkSender::close), and when the last sender is gone, workers get what is in the
/// queue and then `None`. When the last receiver is gone, as when the workers have panicked, senders are told at once, those
/// that wait included, and nothing waits for workers that are not there.
///
/// ```
/// use fuse3::GlobalLock;
/// use fuse3::kit::{KeyedLocks, work_queue};
/// use std::thread;
///
/// #[derive(Default)]
/// struct State {
///     dirty: Vec<u64>,
///     uploaded: Vec<u64>,
/// }
///
/// let lock = GlobalLock::new(State { dirty: vec![1, 2, 3], ..State::default() });
/// let blocks = KeyedLocks::new();
/// let (sender, receiver) = work_queue(2);
///
/// thread::scope(|threads| {
///     for _ in 0..2 {
///         let (lock, receiver) = (&lock, receiver.clone());
///         threads.spawn(move || {
///             lock.unlocked(|proof| {
///                 while let Some(key) = receiver.recv(proof) {
///                     // The upload comes here, without the lock. Then it is noted, and
///                     // the key that the other thread took is released.
///                     let number = *fuse3::kit::OwnedKeyGuard::key(&key);
///                     proof.lock().uploaded.push(number);
///                 }
///             })
///         });
///     }
///     drop(receiver);
///     let mut state = lock.lock().unwrap();
///     while let Some(number) = state.dirty.pop() {
///         state.released(|proof| {
///             let key = blocks.lock(number, proof).into_owned();
///             sender.send(key, proof).expect("the workers are there");
///         });
///     }
///     drop((state, sender));
/// });
/// assert_eq!(lock.into_inner().uploaded.len(), 3);
/// ```
pub fn work_queue<T>(capacity: usize) -> (WorkSender<T>, WorkReceiver<T>) {
    let queue = Queue::new(capacity.max(1));
    (WorkSender::new(&queue), WorkReceiver::new(&queue))
}
