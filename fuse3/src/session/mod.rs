//! Sessions: how a file system is mounted, served and ended.
//!
//! - To make one: [`Builder`] has the options, and [`MountError`] and [`OptionError`] say what was wrong with them. [`CharDevice`]
//!   is a character device in place of a mount. The [command line](cmdline) of a program sets a builder up.
//! - To run it: [`Session`]. [`Session::run`] returns an [`End`] with its [`Reason`]; [`Session::serve`] returns [`Served`], and
//!   can go on from [`Stopped`].
//! - To talk to it meanwhile: [`Handle`] ends it from anywhere, and has its [statistics](SessionStats) and a [`Report`] of what each
//!   thread does.
//! - A handler starts another program with [`prepare_child`].
//! - [`Interruption`] says which signals of a caller end what its request waits for.
//! - [`IoUring`] says whether requests come over io_uring.
//! - [`OnPanic`] says what a panic of a handler does to the session.
//! - A session that C code has made is a [`ForeignSession`].

pub(crate) mod builder;
pub(crate) mod child;
pub mod cmdline;
pub(crate) mod device;
pub(crate) mod foreign;
pub(crate) mod fusermount;
pub(crate) mod handle;
pub mod handover;
pub(crate) mod loopconfig;
pub(crate) mod monitor;
pub(crate) mod mount;
pub(crate) mod mountinfo;
pub(crate) mod options;
pub(crate) mod served;
#[expect(clippy::module_inception, reason = "the noun of the folder")]
pub(crate) mod session;
pub(crate) mod signals;
#[cfg(feature = "tokio")]
pub(crate) mod tasks;

pub use crate::conn::interruption::Interruption;
pub use crate::conn::panics::OnPanic;
pub use crate::conn::stats::SessionStats;
pub use crate::conn::uring::IoUring;
pub use crate::dispatch::report::{Report, ReportedThread};
pub use builder::Builder;
pub use child::prepare_child;
pub use device::CharDevice;
pub use foreign::ForeignSession;
pub use handle::Handle;
pub use mount::{MountError, Unusable};
pub use options::OptionError;
pub use served::{Served, Stopped};
pub use session::{End, Reason, Session};
