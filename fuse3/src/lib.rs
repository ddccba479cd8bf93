//! File systems in Rust on libfuse 3: its low-level API, safe, with python-llfuse's global lock.
//!
//! You implement [`Filesystem`], with one method for each operation of the kernel. A method *returns* its answer, and the
//! library sends it. libfuse's own session loop calls the methods on its worker threads.
//!
//! ```no_run
//! use fuse3::{Answer, Attr, Concurrent, Context, Errno, FileInfo, Filesystem, Ino, Session};
//! use std::time::Duration;
//!
//! struct Empty;
//! type Cx<'a> = Context<'a, Empty>;
//!
//! impl Filesystem for Empty {
//!     type Lock = Concurrent;
//!
//!     fn getattr(
//!         &self, _: &mut Cx, ino: Ino, _: Option<&FileInfo>,
//!     ) -> Answer<(Attr, Duration)> {
//!         if ino != Ino::ROOT {
//!             return Err(Errno::ENOENT.into());
//!         }
//!         Ok((Attr::new(ino, libc::S_IFDIR | 0o755), Duration::from_secs(1)))
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     Session::builder(Empty, Concurrent).fsname("empty").mount("/mnt")?.run()?;
//!     Ok(())
//! }
//! ```
//!
//! This is an empty directory until somebody unmounts it. The package is `fuse3-lowlevel`, the crate is `fuse3`. Whole file
//! systems stand in the folder `examples` of the repository: begin with `hello`, and go on to `tmpfs`.
//!
//! # Four styles
//!
//! [`Filesystem::Lock`] says what is held while a handler runs, and so how you protect your state.
//!
//! | style | `type Lock` | how it works |
//! |---|---|---|
//! | llfuse's | [`Arc<GlobalLock<State>>`](GlobalLock) | One handler runs at a time. The [`Context`] derefs to the guard, [`Locked`], and the guard to your state. [`released`](Locked::released) gives the lock up around slow work, [`yield_`](Locked::yield_) hands it to a waiting thread. |
//! | concurrent | [`Concurrent`] | Handlers run in parallel, and you lock what you share. |
//! | deferred | either | [`Context::defer`] takes the answer away from the handler. Any thread may give it later, by [`Reply::send`]. |
#![cfg_attr(
    feature = "tokio",
    doc = "| async | either, or [`Local`](tasks::Local) | [`Context::spawn`] answers by a future, which is dropped when its caller is killed. `Local` is pyfuse3's style: one thread runs all futures, and their state needs no lock. |"
)]
#![cfg_attr(
    not(feature = "tokio"),
    doc = "| async | either, or `Local` | With the feature `tokio`, `Context::spawn` answers by a future. |"
)]
//!
//! # The phases of a session
//!
//! ```text
//! Session::builder(fs, lock) ─> Builder ─mount(path)─> Session ─run()─> End
//!                               options                handle()         reason, stats,
//!                                                      daemonize()      fs, lock
//! ```
//!
//! Each step consumes the one before, so that none is done twice or in another order. [`Handle`] ends the session from any
//! thread, and from signal handlers. A dropped [`Session`] unmounts. [`Session::run`] returns when the file system is
//! unmounted, when the session is told to end, or when a handler has panicked.
//!
//! # Where things are
//!
//! The names that nearly every file system needs stand at the root. Each of the others is in the module of its topic.
//!
//! | module | what you find there |
//! |---|---|
//! | [the root](#traits) | [`Filesystem`], [`Context`], [`Session`], [`Builder`], [`Answer`], [`Errno`], [`Ino`], [`Attr`], [`Entry`], [`ReadBuf`], [`DirBuf`] |
//! | [`lock`] | the rest of the global lock: its errors, statistics, condition variable, and locks below it |
//! | [`reply`] | the rest of what answers are made of: pieces, listings, deferred and raw answers |
//! | [`session`] | what a session may be told and says: panics, statistics, reports, character devices, sessions of C |
//! | [`handover`] | passing a mount on to the next version of the program, and keeping it through crashes |
//! | [`cmdline`] | the command line of a file system: libfuse's options and your own |
//! | [`notify`] | telling the kernel that what it has cached is out of date |
//! | [`observe`] | who is told of the threads and requests of a session: tracing, metrics |
//! | [`kit`] | building blocks: a table of inodes, locks by key, a work queue |
//! | [`context`], [`connection`] | who asks, and what kernel and file system agree on in [`init`](Filesystem::init) |
//! | [`filelock`], [`ioctl`], [`poll`], [`range`], [`statx`] | operations that have values of their own |
//! | [`passthrough`] | files that the kernel reads and writes by itself |
#![cfg_attr(
    feature = "tokio",
    doc = "| [`tasks`] | the async style (feature `tokio`) |"
)]
//! | [`testing`] | tests of your handlers: without a mount, over a wire, and mounted |
//! | [`guide`] | the guides, see below |
//! | `sys` | the raw bindings, [`fuse3-sys`](https://docs.rs/fuse3-sys) |
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
//! - [`guide::capabilities`]: who turns each one on, and what your handlers then have to do.
//! - [`guide::upgrades`]: a mount that outlives its server, through upgrades and crashes.
//! - [`guide::errors`]: what the client sees for each mistake.
//! - [`guide::performance`]: caches, copies, workers, and how to read the lock's figures.
//! - [`guide::c_interop`]: C code that answers, sessions that C has made, who owns what.
//! - [`guide::testing`]: tests without a kernel, and with one.
//! - [`guide::coverage`] and [`guide::parity`]: where each function of libfuse is, and each name of llfuse and pyfuse3.
//!
//! # What goes wrong, and what then
//!
//! A mistake of the file system reaches the client as an error, and the log with the reason. Only a panic ends the session.
//!
//! | mistake | the client gets | then |
//! |---|---|---|
//! | a handler panics | EIO | the session ends, unless [`OnPanic`](session::OnPanic) says otherwise |
//! | a [`Reply`] is dropped without an answer | EIO | |
//! | more bytes than were asked for, or an impossible name or offset in a listing | EIO | what the answer gave out is taken back |
//! | an errno outside 1 to 511, the only ones that the kernel takes | EIO, by [`Errno::from_raw`] | |
//! | the client is gone, and the kernel does not take the answer | | `forget` or `release` is called for what the answer gave out |
//!
//! [`guide::errors`] has them all. Lines go to the [`log`](https://docs.rs/log) crate, libfuse's too, and to stderr when the
//! program has set no logger.
//!
//! # Goals and non-goals
//!
//! - Everything that libfuse's low-level API, llfuse, pyfuse3 and fuser can do, at the speed of C.
//! - Mistakes are compile errors where types can see them, and clean errors at run time where they cannot.
//! - The same program works with libfuse 3.10 to 3.18. What a libfuse or kernel lacks has an error that names it.
//! - It is no goal to do without the C library, or to hide FUSE's model of inodes and lookup counts.
//! - macOS and the BSDs are untested.
//!
//! The kernel's protocol in [`testing::proto`] and [`testing::Peer`] is not part of the promise of stability: it follows the
//! kernel, and may change in any release.

mod base;
mod conn;
mod dispatch;
pub mod guide;
pub mod kit;
pub mod lock;
#[cfg(doctest)]
mod misuse;
pub mod notify;
pub mod observe;
pub mod reply;
pub mod session;
#[cfg(feature = "tokio")]
pub mod tasks;
pub mod testing;
mod types;

pub use fuse3_sys as sys;

pub use conn::connection;
pub use dispatch::context;
#[doc(inline)]
pub use notify::poll;
#[doc(inline)]
pub use reply::passthrough;
#[doc(inline)]
pub use session::{cmdline, handover};
pub use types::{filelock, ioctl, range, statx};

pub use conn::connection::Connection;
pub use dispatch::context::{Caller, Context};
pub use dispatch::filesystem::Filesystem;
#[doc(inline)]
pub use lock::{Concurrent, GlobalLock, Locked};
#[doc(inline)]
pub use notify::Notifier;
#[doc(inline)]
pub use reply::{Answer, Data, DirBuf, Listing, ReadBuf, Reply, WriteData};
#[doc(inline)]
pub use session::cmdline::CommandLine;
#[doc(inline)]
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
