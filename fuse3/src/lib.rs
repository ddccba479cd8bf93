//! libfuse 3's low-level API, safe, with python-llfuse's global lock.

mod answer;
mod attr;
mod builder;
mod call;
mod connection;
mod context;
mod control;
mod core;
mod deferred;
mod dirbuf;
mod errno;
mod file;
mod filesystem;
mod flags;
mod handle;
mod ino;
mod lock;
mod locking;
mod log;
#[cfg(doctest)]
mod misuse;
mod mount;
mod operation;
mod options;
mod readbuf;
mod request;
mod session;
mod signals;
mod statfs;
mod stats;
mod table;
mod wake;
mod xattr;

pub use fuse3_sys as sys;

pub use answer::{Answer, Payload, Unanswered};
pub use attr::{Attr, Entry, SetAttr, SetTime, Timestamp};
pub use builder::{Builder, OnPanic};
pub use connection::{Capabilities, Connection, Unsupported};
pub use context::{Caller, Context, Guard};
pub use deferred::{Deferred, Reply};
pub use dirbuf::{Added, DirBuf, Listing};
pub use errno::Errno;
pub use file::{Create, Created, FileInfo, Opened};
pub use filesystem::Filesystem;
pub use flags::{AccessMode, OpenFlags, RenameFlags, XattrFlags};
pub use handle::Handle;
pub use ino::{Fh, Ino};
pub use lock::{
    Condvar, GlobalLock, LockError, LockHolder, LockStats, LockUse, LockWaiter, Locked, SubGuard,
    SubLock, Tid, Unlocked, Woken, sync,
};
pub use locking::{Concurrent, Locking, NoLock};
pub use mount::{MountError, Unusable};
pub use operation::Operation;
pub use options::OptionError;
pub use readbuf::{Data, ReadBuf};
pub use session::{End, Reason, Session};
pub use statfs::StatVfs;
pub use stats::SessionStats;
pub use xattr::XattrNames;
