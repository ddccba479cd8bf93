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
//! [`guide::coverage`] has each operation and function of libfuse, and where it is here; [`guide::parity`] each name of llfuse and
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
//! | a handler panics | EIO | [`session::OnPanic`] |
//! | a [`Reply`] is dropped | EIO | a line in the log |
//! | more bytes than asked for, names or offsets of a listing that cannot be | EIO | a line in the log |
//! | an errno outside 1 to 511 | EIO, by [`Errno::from_raw`] | a line in the log |
//!
//! [`guide::errors`] has them all.
//!
//! Lines go to the [`log`](https://docs.rs/log) crate, libfuse's too; to stderr when the program has set no logger.

mod base;
mod conn;
mod dispatch;
pub mod guide;
pub mod kit;
pub mod lock;
#[cfg(doctest)]
mod misuse;
pub mod notify;
pub mod reply;
pub mod session;
#[cfg(feature = "tokio")]
pub mod tasks;
pub mod testing;
mod types;

pub use fuse3_sys as sys;

pub use conn::connection;
pub use dispatch::context;
pub use notify::poll;
pub use reply::passthrough;
pub use session::cmdline;
pub use types::{filelock, ioctl, range, statx};

pub use conn::connection::Connection;
pub use dispatch::context::{Caller, Context};
pub use dispatch::filesystem::Filesystem;
pub use lock::{Concurrent, GlobalLock, Locked};
pub use notify::Notifier;
pub use reply::{Answer, Data, DirBuf, Listing, ReadBuf, Reply, WriteData};
pub use session::cmdline::CommandLine;
pub use session::{Builder, End, Handle, MountError, Reason, Session};
pub use types::attr::{Attr, Entry, SetAttr, SetTime, Timestamp};
pub use types::capabilities::Capabilities;
pub use types::errno::Errno;
pub use types::file::{Create, Created, FileInfo, Open};
pub use types::flags::{AccessMode, OpenFlags, RenameFlags, XattrFlags};
pub use types::ino::{Fh, Ino};
pub use types::opened::Opened;
pub use types::operation::Operation;
pub use types::statfs::StatVfs;
pub use types::xattr::XattrNames;
