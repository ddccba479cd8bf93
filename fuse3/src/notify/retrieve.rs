//! Answers of the kernel to `retrieve`.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::conn::conn::Conn;
use crate::lock::proof::{self, NotHolding};
use crate::notify::error::NotifyError;
use crate::types::ino::Ino;

/// What the page cache had of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retrieved {
    /// The inode.
    pub ino: Ino,
    /// Where in the file `data` begins.
    pub offset: u64,
    /// As much as there was from `offset` on, up to the first page that is not in the cache or the end of the file, but no
    /// more than was asked for and fits one write.
    pub data: Vec<u8>,
}

pub(super) type Answer = Result<Retrieved, NotifyError>;
pub(super) type Taker = Box<dyn FnOnce(Answer) + Send>;

/// A `retrieve` that was queued, and will be answered: by the kernel, or with an error, at the latest when the session ends.
///
/// Dropped, the answer is thrown away.
#[derive(Debug)]
pub struct Retrieval {
    answer: Receiver<Answer>,
    conn: Arc<Conn>,
}

impl Retrieval {
    /// With the taker that hands it the answer.
    pub(super) fn new(conn: &Arc<Conn>) -> (Taker, Self) {
        let (sender, answer) = mpsc::sync_channel(1);
        let conn = Arc::clone(conn);
        // Who dropped the retrieval, or waits no longer, does not want it.
        let taker = Box::new(move |answer| drop(sender.send(answer)));
        (taker, Self { answer, conn })
    }

    /// Waits for the answer.
    ///
    /// The proof is wanted because what was queued before may wait for a handler that waits for the lock.
    ///
    /// # Errors
    ///
    /// [`NotifyError::Deadlock`] immediately when the thread holds a global lock in spite of its proof, and the answer is lost
    /// then; [`NotifyError::TimedOut`], and the answer is lost then; [`NotifyError::Ended`] when the session ends before; what
    /// the kernel said.
    pub fn wait(
        self,
        _proof: &mut impl NotHolding,
        timeout: Duration,
    ) -> Result<Retrieved, NotifyError> {
        if proof::holds_a_lock() {
            return Err(NotifyError::Deadlock);
        }
        self.wait_any(timeout)
    }

    pub(super) fn wait_any(self, timeout: Duration) -> Answer {
        // Workers have to go on taking requests meanwhile, since the answer is one.
        let Some(_hold) = self.conn.hold() else {
            return self.answer.try_recv().unwrap_or(Err(NotifyError::Ended));
        };
        match self.answer.recv_timeout(timeout) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => Err(NotifyError::TimedOut),
            Err(RecvTimeoutError::Disconnected) => Err(NotifyError::Ended),
        }
    }

    /// The answer, if it is there. It is given once.
    pub fn take(&mut self) -> Option<Result<Retrieved, NotifyError>> {
        // Neither of its errors is one here: there is none yet, or it was taken.
        self.answer.try_recv().ok()
    }
}
