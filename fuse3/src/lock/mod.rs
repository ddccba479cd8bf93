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

mod clock;
mod condvar;
mod counters;
mod error;
mod global;
mod guard;
#[cfg(doctest)]
mod misuse;
pub(crate) mod order;
mod queue;
mod raw;
mod sites;
mod sleeper;
mod stats;
mod sub;
pub mod sync;
mod thread;
mod unlocked;

pub(crate) use clock::Deadline;
pub use condvar::{Condvar, Woken};
pub use error::LockError;
pub use global::GlobalLock;
pub use guard::Locked;
pub(crate) use sleeper::{Sleeper, Waking};
pub use stats::{LockHolder, LockStats, LockUse, LockWaiter};
pub use sub::{SubGuard, SubLock};
pub(crate) use thread::ThreadId;
pub use thread::Tid;
pub use unlocked::Unlocked;
