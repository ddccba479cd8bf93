//! Locks by key: per-inode locks, S3QL's `MultiLock`.
//!
//! `table` says who has which key and who is next; `waiter` is one of those, a thread or a task. `locks`, `guard` and
//! `wait` put the types around it.

mod guard;
mod locks;
#[cfg(doctest)]
mod misuse;
mod table;
mod wait;
mod waiter;

pub use guard::{KeyGuard, OwnedKeyGuard};
pub use locks::KeyedLocks;
pub use wait::KeyWait;
