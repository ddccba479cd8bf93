use std::error::Error;
use std::fmt;

/// What was not sent, given back, and why: the error of [`WorkSender::send`](crate::kit::WorkSender::send).
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

impl<T> Error for Unsent<T> {}
