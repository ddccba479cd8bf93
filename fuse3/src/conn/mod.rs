//! The connection to the kernel that a session has, and the requests that outlive their handlers.

#[expect(clippy::module_inception, reason = "the noun of the folder")]
pub(crate) mod conn;
pub mod connection;
pub(crate) mod daemon;
pub(crate) mod drain;
pub(crate) mod incoming;
pub(crate) mod interrupt;
pub(crate) mod interruption;
pub(crate) mod libfuse_log;
pub(crate) mod message;
pub(crate) mod options;
pub(crate) mod panics;
pub(crate) mod pending;
pub(crate) mod pipe;
pub(crate) mod request;
pub(crate) mod resent;
pub(crate) mod ring;
pub(crate) mod stats;
pub(crate) mod undo;
pub(crate) mod uring;
pub(crate) mod wake;
mod watch;
