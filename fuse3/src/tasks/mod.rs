//! The async style (feature `tokio`): futures that answer requests, and what runs them.
//!
//! With any lock, [`Context::spawn`](crate::Context::spawn) answers by a future that runs on the session's own runtime, or on the
//! one of [`Builder::runtime`](crate::Builder::runtime). [`Local`], in place of a lock, is pyfuse3's style: one thread runs all
//! futures, and they share a [`LocalState`] that needs no lock; [`LocalError`] says where it cannot be reached. [`unblock`] runs
//! what blocks on another thread.
//!
//! The guide [`porting_from_pyfuse3`](crate::guide::porting_from_pyfuse3) has a whole file system in this style.

pub(crate) mod cancel;
pub(crate) mod in_flight;
pub(crate) mod local;
pub(crate) mod task;
pub(crate) mod unblock;

pub use local::{Local, LocalError, LocalState};
pub use unblock::unblock;
