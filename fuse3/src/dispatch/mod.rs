//! From libfuse's slots to the handlers, and back.

pub(crate) mod activity;
mod args;
pub(crate) mod call;
pub mod context;
pub(crate) mod core;
pub(crate) mod filesystem;
pub(crate) mod report;
#[cfg(feature = "tokio")]
pub(crate) mod spawn;
pub(crate) mod table;
pub(crate) mod turns;
