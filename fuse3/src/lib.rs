//! libfuse 3's low-level API, safe, with python-llfuse's global lock.
//!
//! A file system implements [`Filesystem`]: one method per operation, each of which *returns* its answer. libfuse's own
//! session loop calls them on its worker threads; what is held meanwhile is a type, [`Filesystem::Lock`]:
//!
//! - **llfuse style**, `Arc<GlobalLock<State>>`: one handler at a time. The [`Context`] derefs to the guard, [`Locked`],
//!   and that to the state. [`released`](Locked::released) gives the lock up around slow work,
//!   [`yield_`](Locked::yield_) hands it to who waits.
//! - **concurrent style**, [`Concurrent`]: no lock, handlers run in parallel.
//! - **deferred**, with either: [`Context::defer`] takes the answer away, to be given later from any thread.
//! - **async**, with the feature `tokio`: `Context::spawn` answers by a future, which an interrupt drops. `Local`, in place of
//!   a lock, is pyfuse3's style: one thread for all futures, whose state needs no lock.
//!
//! # The phases of a session
//!
//! ```text
//! Session::builder(fs, lock) -> Builder --mount(path)--> Session --run()--> End { reason, fs, lock, stats }
//!                               options                  handle()           the file system given back
//!                                                        (fork, daemonize)
//! ```
//!
//! Each step takes the one before, so that none can be done twice or in another order. Dropping a [`Session`] unmounts.
//!
//! ```no_run
//! use fuse3::{Answer, Attr, Context, Errno, FileInfo, Filesystem, GlobalLock, Ino, Session};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! struct Counter;
//!
//! struct State {
//!     asked: u64,
//! }
//!
//! impl Filesystem for Counter {
//!     type Lock = Arc<GlobalLock<State>>;
//!
//!     fn getattr(&self, cx: &mut Context<'_, Self>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
//!         if ino != Ino::ROOT {
//!             return Err(Errno::ENOENT.into());
//!         }
//!         cx.asked += 1; // the state, through the guard
//!         Ok((Attr { size: cx.asked, ..Attr::new(ino, libc::S_IFDIR | 0o755) }, Duration::ZERO))
//!     }
//! }
//!
//! let lock = Arc::new(GlobalLock::new(State { asked: 0 }));
//! let session = Session::builder(Counter, Arc::clone(&lock)).fsname("counter").mount("/mnt")?;
//! let end = session.run()?;
//! println!("{:?} after {} stats", end.reason, lock.lock()?.asked);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Goals
//!
//! Everything that libfuse's low-level API, llfuse, pyfuse3 and fuser do, at the speed of C; with mistakes that are
//! compile errors where types can see them, and clean errors at run time where they cannot. It is no goal to do without
//! the C library, or to hide FUSE's model of inodes and lookup counts.
//!
//! [`coverage`] has each operation and function of libfuse, and where it is here; [`parity`] each name of llfuse and
//! pyfuse3.
//!
//! # Guides
//!
//! - [`guide::global_lock`]: what the lock promises, which of its rules are types, and which are left to you.
//! - [`guide::porting_from_llfuse`]: a small file system before and after, handler by handler.
#![cfg_attr(
    feature = "tokio",
    doc = "- [`guide::porting_from_pyfuse3`]: the same with futures, on one thread."
)]
//! - [`guide::thread_safety`]: handlers without a lock, what the kernel serialises, calls from other threads.
//! - [`guide::signals`]: how a session ends, and what may be called from where.
//! - [`guide::errors`]: what the client sees for each mistake.
//! - [`guide::performance`]: caches, copies, workers, and how to read the lock's figures.
//! - [`guide::c_interop`]: C code that answers, sessions that C has made, who owns what.
//! - [`guide::testing`]: tests without a kernel, and with one.
//!
//! # What goes wrong, and what then
//!
//! | mistake of the file system | the caller gets | besides |
//! |---|---|---|
//! | a handler panics | EIO | [`OnPanic`] |
//! | a [`Reply`] is dropped | EIO | a line in the log |
//! | more bytes than asked for, names or offsets of a listing that cannot be | EIO | a line in the log |
//! | an errno out of 1 to 999 | EIO, by [`Errno::from_raw`] | a line in the log |
//!
//! [`guide::errors`] has them all.
//!
//! Lines go to the [`log`](https://docs.rs/log) crate, libfuse's too; to stderr when the program has set no logger.

mod activity;
mod answer;
mod attr;
mod backing;
mod builder;
mod call;
mod capabilities;
mod cmdline;
mod connection;
mod connoptions;
mod context;
mod control;
mod core;
pub mod coverage;
mod cuse;
mod daemon;
mod data;
mod deferred;
mod dirbuf;
mod errno;
mod file;
mod filelock;
mod filesystem;
mod flags;
mod foreign;
pub mod guide;
mod handle;
mod ino;
mod inodes;
mod interrupt;
mod ioctl;
mod keyed;
mod lent;
mod lock;
mod locking;
mod log;
mod loopconfig;
#[cfg(doctest)]
mod misuse;
mod mount;
mod notify;
mod opened;
mod operation;
mod options;
pub mod parity;
mod piece;
mod pipe;
mod poll;
mod proof;
mod range;
mod rawreply;
mod readbuf;
mod report;
mod request;
mod ring;
mod served;
mod session;
mod setting;
mod signals;
mod statfs;
mod stats;
mod statx;
mod support;
mod table;
#[cfg(feature = "tokio")]
mod tasks;
pub mod testing;
mod turns;
mod wake;
mod work;
mod writedata;
mod xattr;

pub use fuse3_sys as sys;

pub use answer::{Answer, Payload, Unanswered};
pub use attr::{Attr, Entry, SetAttr, SetTime, Timestamp};
pub use backing::{BackingId, SharedBacking};
pub use builder::{Builder, OnPanic};
pub use capabilities::Capabilities;
pub use cmdline::{Command, CommandLine, CommandLineError, print_mount_options, print_version};
pub use connection::{Agreement, Connection};
pub use context::{Caller, Context, Guard, SecurityContext};
pub use cuse::CharDevice;
pub use data::Data;
pub use deferred::{Deferred, Reply};
pub use dirbuf::{Added, DirBuf, Listing};
pub use errno::Errno;
pub use file::{Create, Created, FileInfo};
pub use filelock::{FileLock, Flock, LockKind, LockOwner, SetLock};
pub use filesystem::Filesystem;
pub use flags::{AccessMode, OpenFlags, RenameFlags, XattrFlags};
pub use foreign::ForeignSession;
pub use handle::Handle;
pub use ino::{Fh, Ino};
pub use inodes::InodeTable;
pub use ioctl::{CallerMemory, Ioctl, IoctlCommand, IoctlFlags, IoctlReply};
pub use keyed::{KeyGuard, KeyWait, KeyedLocks, OwnedKeyGuard};
pub use lock::{
    Condvar, GlobalLock, LockError, LockHolder, LockStats, LockUse, LockWaiter, Locked, SubGuard,
    SubLock, Tid, Unlocked, Woken, sync,
};
pub use locking::{Concurrent, Locking, NoLock};
pub use mount::{MountError, Unusable};
pub use notify::{Blocking, Notification, Notifier, NotifyError, Retrieval, Retrieved};
pub use opened::Opened;
pub use operation::Operation;
pub use options::OptionError;
pub use piece::{FileSource, Piece, SharedBytes};
pub use poll::{PollEvents, PollHandle};
pub use proof::NotHolding;
pub use range::{
    Block, Copied, CopyFileRange, CopyFlags, Fallocate, FallocateMode, Offset, Place, Whence,
};
pub use rawreply::RawReply;
pub use readbuf::ReadBuf;
pub use report::{Report, ReportedThread};
pub use served::{Served, Stopped};
pub use session::{End, Reason, Session};
pub use setting::SettingError;
pub use statfs::StatVfs;
pub use stats::SessionStats;
pub use statx::{Statx, StatxAttributes, StatxFlags, StatxMask};
pub use support::{Needs, UnsupportedOperation};
#[cfg(feature = "tokio")]
pub use tasks::{Local, LocalError, LocalState, unblock};
pub use work::{NoMoreWork, Unsent, UnsentReason, WorkReceiver, WorkSender, work_queue};
pub use writedata::WriteData;
pub use xattr::XattrNames;
