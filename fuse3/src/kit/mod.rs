//! What a file system may use beside the library proper: a table of inodes, locks by key, a queue of work.

pub(crate) mod inodes;
pub(crate) mod keyed;
pub(crate) mod work;

pub use inodes::table::InodeTable;
pub use keyed::guard::{KeyGuard, OwnedKeyGuard};
pub use keyed::locks::KeyedLocks;
pub use keyed::wait::KeyWait;
pub use work::receiver::{NoMoreWork, WorkReceiver};
pub use work::sender::WorkSender;
pub use work::unsent::{Unsent, UnsentReason};
pub use work::work_queue;
