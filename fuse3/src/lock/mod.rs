//! The global lock of llfuse, and locks that are used with it.
//!
//! [`GlobalLock`] owns the state of a file system. Its guard, [`Locked`], is the only way to the state; [`Unlocked`] is what is
//! left of it while it is [released](Locked::released), and the proof ([`NotHolding`]) that your thread does not hold the lock.
//! [`Locking`] is what a file system may have for a lock: `Arc<GlobalLock<State>>`, or [`Concurrent`] for none.
//!
//! - To wait: [`Condvar`], with [`Locked::wait`] and [`Context::wait_while`](crate::Context::wait_while).
//! - To lock something else besides: [`SubLock`] below the global lock, [`sync::Mutex`] beside it, and
//!   [`KeyedLocks`](crate::kit::KeyedLocks) above it.
//! - To see who holds it, who waits, and for how long: [`LockStats`].
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
//! The guide [`global_lock`](crate::guide::global_lock) says what the lock promises.

pub(crate) mod clock;
pub(crate) mod condvar;
pub(crate) mod counters;
pub(crate) mod error;
pub(crate) mod global;
pub(crate) mod guard;
pub(crate) mod held;
pub(crate) mod locking;
pub(crate) mod meter;
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
