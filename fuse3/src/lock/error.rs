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
    /// Another thread holds the lock, and this was an attempt that does not wait: [`try_lock`](crate::GlobalLock::try_lock),
    /// or a time-out of zero.
    Busy,
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LockError::AlreadyHeld => {
                "this thread holds the global lock already: hand its guard on as \
                 `&mut Locked`, or do this inside the guard's `released`"
            }
            LockError::Busy => {
                "another thread holds the global lock: `GlobalLock::stats` tells which"
            }
            LockError::TimedOut => {
                "the global lock was not free in time: `GlobalLock::stats` tells who \
                 holds it and since when"
            }
        })
    }
}

impl Error for LockError {}
