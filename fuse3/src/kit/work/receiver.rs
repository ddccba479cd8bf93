use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::kit::work::queue::Queue;
use crate::lock::{clock::Deadline, proof, proof::NotHolding};

/// Where workers get their work: the other end of a [`work_queue`](crate::kit::work_queue).
///
/// A clone for each worker; an item goes to one of them. A worker that panics drops its receiver, and
/// [`WorkSender::workers`](crate::kit::WorkSender::workers) is one less.
pub struct WorkReceiver<T> {
    queue: Arc<Queue<T>>,
}

impl<T> WorkReceiver<T> {
    pub(super) fn new(queue: &Arc<Queue<T>>) -> WorkReceiver<T> {
        queue.add_receiver();
        WorkReceiver {
            queue: Arc::clone(queue),
        }
    }

    /// Takes the item that has been in the queue longest, and waits for one. `None` at the end: the queue is closed, or all
    /// senders are gone, and there is nothing left in it.
    ///
    /// # Panics
    ///
    /// If the thread holds a global lock in spite of its proof: one that it took beside it, or another one.
    #[track_caller]
    pub fn recv(&self, proof: &mut impl NotHolding) -> Option<T> {
        proof::check(proof, "WorkReceiver::recv");
        self.queue.receive(Deadline::Never).ok().flatten()
    }

    /// Takes an item, and waits for one at most so long. `Ok(None)` when the time is up.
    ///
    /// # Errors
    ///
    /// At the end, as `None` of [`recv`](Self::recv).
    ///
    /// # Panics
    ///
    /// As [`recv`](Self::recv).
    #[track_caller]
    pub fn recv_for(
        &self,
        timeout: Duration,
        proof: &mut impl NotHolding,
    ) -> Result<Option<T>, NoMoreWork> {
        proof::check(proof, "WorkReceiver::recv_for");
        self.queue.receive(Deadline::after(Some(timeout)))
    }

    /// Nothing more can be sent. Workers get what is in the queue, and then `None`.
    pub fn close(&self) {
        self.queue.close();
    }
}

/// The queue has ended: the error of [`WorkReceiver::recv_for`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NoMoreWork;

impl fmt::Display for NoMoreWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue has ended: it was closed, or nobody can send any more")
    }
}

impl std::error::Error for NoMoreWork {}

impl<T> Clone for WorkReceiver<T> {
    fn clone(&self) -> Self {
        WorkReceiver::new(&self.queue)
    }
}

impl<T> Drop for WorkReceiver<T> {
    fn drop(&mut self) {
        self.queue.remove_receiver();
    }
}

impl<T> fmt::Debug for WorkReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkReceiver")
            .field("len", &self.queue.len())
            .finish_non_exhaustive()
    }
}
