//! The async style: futures that answer requests, and what runs them.

pub(crate) mod cancel;
pub(crate) mod in_flight;
pub(crate) mod local;
pub(crate) mod task;
pub(crate) mod unblock;

pub use local::{Local, LocalError, LocalState};
pub use unblock::unblock;
