use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::kit::work::queue::Queue;
use crate::lock::{clock::Deadline, proof, proof::NotHolding};

/// Where handlers put work: the one end of a [`work_queue`](crate::kit::work_queue). Clones are the same end.
pub struct WorkSender<T> {
    queue: Arc<Queue<T>>,
}

impl<T> WorkSender<T> {
    pub(super) fn new(queue: &Arc<Queue<T>>) -> WorkSender<T> {
        queue.add_sender();
        WorkSender {
            queue: Arc::clone(queue),
        }
    }

    /// Puts an item into the queue, and waits for room as long as there are workers.
    ///
    /// # Errors
    ///
    /// The item, when the queue is closed or all workers have ended.
    ///
    /// # Panics
    ///
    /// If the thread holds a global lock in spite of its proof: one that it took beside it, or another one.
    #[track_caller]
    pub fn send(&self, item: T, proof: &mut impl NotHolding) -> Result<(), Unsent<T>> {
        proof::check(proof, "WorkSender::send");
        self.queue.send(item, Deadline::Never)
    }

    /// Puts an item into the queue, and waits for room at most so long. Zero does not wait.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and when there was no room in time.
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send).
    #[track_caller]
    pub fn send_for(
        &self,
        item: T,
        timeout: Duration,
        proof: &mut impl NotHolding,
    ) -> Result<(), Unsent<T>> {
        proof::check(proof, "WorkSender::send_for");
        self.queue.send(item, Deadline::after(Some(timeout)))
    }

    /// Puts an item into the queue if there is room. Does not wait, and so needs no proof.
    ///
    /// # Errors
    ///
    /// As [`send_for`](Self::send_for).
    pub fn try_send(&self, item: T) -> Result<(), Unsent<T>> {
        self.queue.send(item, Deadline::Now)
    }

    /// Nothing more can be sent, through any sender. Workers get what is in the queue, and then `None`.
    pub fn close(&self) {
        self.queue.close();
    }

    /// How many items nobody has taken yet.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// All items have been taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many receivers there are: workers that have not ended, if each has one.
    pub fn workers(&self) -> usize {
        self.queue.receivers()
    }
}

impl<T> Clone for WorkSender<T> {
    fn clone(&self) -> Self {
        WorkSender::new(&self.queue)
    }
}

impl<T> Drop for WorkSender<T> {
    fn drop(&mut self) {
        self.queue.remove_sender();
    }
}

impl<T> fmt::Debug for WorkSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkSender")
            .field("len", &self.len())
            .field("workers", &self.workers())
            .finish_non_exhaustive()
    }
}

/// What was not sent, given back, and why: the error of [`WorkSender::send`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Unsent<T> {
    /// What was to be sent.
    pub item: T,
    /// Why it was not.
    pub reason: UnsentReason,
}

/// Why an item was not sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum UnsentReason {
    /// The queue was full until the time was up.
    Full,
    /// The queue was closed.
    Closed,
    /// All receivers are gone: the workers have ended, or have panicked.
    NoWorkers,
}

impl fmt::Display for UnsentReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UnsentReason::Full => "the queue of the workers is full",
            UnsentReason::Closed => "the queue of the workers is closed",
            UnsentReason::NoWorkers => "all workers have ended",
        })
    }
}

impl<T> fmt::Display for Unsent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<T> fmt::Debug for Unsent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsent")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl<T> std::error::Error for Unsent<T> {}
