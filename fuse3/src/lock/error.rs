//! Why the global lock was not obtained.

use std::error::Error;
use std::fmt;

/// Why a thread did not get the [`GlobalLock`](crate::GlobalLock). Its state is unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum LockError {
    /// The calling thread holds the lock. It would wait for itself for ever.
    AlreadyHeld,
    /// Another thread held the lock until the time was up.
    TimedOut,
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LockError::AlreadyHeld => {
                "this thread holds the global lock already: hand its guard on as \
                 `&mut Locked`, or do this inside the guard's `released`"
            }
            LockError::TimedOut => {
                "the global lock was not free in time: `GlobalLock::stats` tells who \
                 holds it and since when"
            }
        })
    }
}

impl Error for LockError {}
