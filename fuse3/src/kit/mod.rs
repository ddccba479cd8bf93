//! Building blocks that many file systems need and that work with any lock.
//!
//! - [`InodeTable`] counts the lookups, names and open files of inodes, and says when the last of an inode is gone.
//! - [`KeyedLocks`] has a lock for each key that somebody wants, first come first served: for inodes, names, blocks. A thread
//!   gets a [`KeyGuard`], a future waits by a [`KeyWait`].
//! - [`work_queue`] is a bounded queue to worker threads: [`WorkSender`] waits only while the global lock is not held.
//!
//! None of them is needed by the rest of the crate, and all of them can be used without a session.

pub(crate) mod inodes;
pub(crate) mod keyed;
pub(crate) mod work;

pub use inodes::table::InodeTable;
pub use keyed::guard::{KeyGuard, OwnedKeyGuard};
pub use keyed::locks::KeyedLocks;
pub use keyed::wait::KeyWait;
pub use work::receiver::{NoMoreWork, WorkReceiver};
pub use work::sender::{Unsent, UnsentReason, WorkSender};
pub use work::work_queue;
