//! The global lock of llfuse.
//!
//! | llfuse | here |
//! |---|---|
//! | `with lock:` | [`GlobalLock::lock`] |
//! | `lock.acquire(timeout)` | [`GlobalLock::acquire`], [`GlobalLock::try_lock`] |
//! | `lock.release()` | dropping [`Locked`] |
//! | `with lock_released:` | [`Locked::released`] |
//! | `lock.yield_(count)` | [`Locked::yield_`] |
//! | (an event, waited for in `lock_released`) | [`Locked::wait`] |
//! | (none) | [`GlobalLock::stats`] |
//!
//! `raw` is the lock proper; it knows nothing of the state. `global`, `guard`
//! and `unlocked` put the state and the types around it.

pub(crate) mod clock;
pub(crate) mod condvar;
pub(crate) mod counters;
pub(crate) mod error;
pub(crate) mod global;
pub(crate) mod guard;
pub(crate) mod held;
pub(crate) mod locking;
#[cfg(doctest)]
mod misuse;
pub(crate) mod order;
pub(crate) mod proof;
pub(crate) mod queue;
pub(crate) mod raw;
pub(crate) mod site;
pub(crate) mod sleeper;
pub(crate) mod stats;
pub(crate) mod stopwatch;
pub(crate) mod sub;
pub mod sync;
pub(crate) mod thread;
pub(crate) mod unlocked;

pub use condvar::{Condvar, Woken};
pub use error::LockError;
pub use global::GlobalLock;
pub use guard::Locked;
pub use locking::{Concurrent, Locking, NoLock};
pub use proof::NotHolding;
pub use stats::{LockHolder, LockStats, LockUse, LockWaiter};
pub use sub::{SubGuard, SubLock};
pub use thread::Tid;
pub use unlocked::Unlocked;
