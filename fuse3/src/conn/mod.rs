//! The connection to the kernel that a session has.

pub mod connection;
pub(crate) mod control;
pub(crate) mod daemon;
pub(crate) mod interrupt;
pub(crate) mod lent;
pub(crate) mod options;
pub(crate) mod pipe;
pub(crate) mod request;
pub(crate) mod ring;
pub(crate) mod stats;
pub(crate) mod wake;
