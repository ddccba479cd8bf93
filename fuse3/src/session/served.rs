use std::fmt;

use crate::dispatch::filesystem::Filesystem;
use crate::session::session::{End, Reason, Session};

/// What became of a session that [served](Session::serve).
#[must_use = "a session that stopped is unmounted when it is dropped"]
#[derive(Debug)]
pub enum Served<F: Filesystem> {
    /// It is over: unmounted, or the connection is gone.
    Ended(End<F>),
    /// It was told to stop, and is mounted yet.
    Stopped(Stopped<F>),
}

/// A session that was told to stop and is mounted yet: it can serve again, or be closed.
///
/// Dropped, it is unmounted.
pub struct Stopped<F: Filesystem> {
    pub(crate) session: Box<Session<F>>,
    pub(crate) reason: Reason,
}

impl<F: Filesystem> Stopped<F> {
    /// Why it stopped: [`Reason::Terminated`] or [`Reason::Signal`], which llfuse's `main` returns.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// It was this signal.
    pub fn is_signal(&self, signal: i32) -> bool {
        self.reason == Reason::Signal(signal)
    }

    /// The session, to serve again.
    pub fn again(self) -> Session<F> {
        *self.session
    }

    /// llfuse's `close()`: unmounts, and gives the file system back.
    ///
    /// [`Session::keep_mounted`] before it is `close(unmount=False)`. The reason of the [`End`] is why the session stopped.
    ///
    /// # Panics
    ///
    /// As [`Session::close`].
    pub fn close(self) -> End<F> {
        End {
            reason: self.reason,
            ..self.session.close()
        }
    }
}

impl<F: Filesystem> fmt::Debug for Stopped<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopped")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}
