//! Sessions: how one is made, runs and ends.

pub(crate) mod builder;
pub mod cmdline;
pub(crate) mod device;
pub(crate) mod foreign;
pub(crate) mod handle;
pub(crate) mod loopconfig;
pub(crate) mod mount;
pub(crate) mod options;
pub(crate) mod served;
#[expect(clippy::module_inception, reason = "the noun of the folder")]
pub(crate) mod session;
pub(crate) mod signals;
#[cfg(feature = "tokio")]
pub(crate) mod tasks;

pub use crate::conn::panics::OnPanic;
pub use crate::conn::stats::SessionStats;
pub use crate::dispatch::report::{Report, ReportedThread};
pub use builder::Builder;
pub use device::CharDevice;
pub use foreign::ForeignSession;
pub use handle::Handle;
pub use mount::{MountError, Unusable};
pub use options::OptionError;
pub use served::{Served, Stopped};
pub use session::{End, Reason, Session};
