//! Locks by key: per-inode locks, S3QL's `MultiLock`.
//!
//! `table` says who has which key and who is next; `waiter` is one of those, a task, or a thread that waits as a task does.
//! `locks`, `guard` and `wait` put the types around it.

pub(crate) mod guard;
pub(crate) mod locks;
#[cfg(doctest)]
mod misuse;
pub(crate) mod table;
pub(crate) mod wait;
pub(crate) mod waiter;
