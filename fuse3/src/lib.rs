//! libfuse 3's low-level API, safe, with python-llfuse's global lock.

mod lock;
mod operation;

pub use lock::{
    Condvar, GlobalLock, LockError, LockHolder, LockStats, LockUse, LockWaiter, Locked, SubGuard,
    SubLock, Tid, Unlocked, Woken, sync,
};
pub use operation::Operation;
