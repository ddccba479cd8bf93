//! Who is told of the threads and requests of a session: tracing, metrics, and threads that have to be registered somewhere.
//!
//! An [`Observer`] is given to [`Builder::observe`](crate::Builder::observe). It is told of each worker's start and end, and of
//! each request's: [`Observed`] says what came, and [`Outcome`] how it was answered and how long that took.
//!
//! A library that wants each thread that uses it to be registered, as liburcu does:
//!
//! ```
//! use fuse3::observe::Observer;
//! # fn rcu_register_thread() {}
//! # fn rcu_unregister_thread() {}
//!
//! struct Rcu;
//!
//! impl Observer for Rcu {
//!     fn worker_started(&self) {
//!         rcu_register_thread();
//!     }
//!
//!     fn worker_ended(&self) {
//!         rcu_unregister_thread();
//!     }
//! }
//! ```
//!
//! Two of them come with the library: [`Histograms`] measures how long requests take, and `TracingObserver` (feature `tracing`)
//! makes a span for each.
//!
//! A session without an observer does not pay for it: what few sessions have is looked for in one place.

pub(crate) mod histograms;
pub(crate) mod latency;
pub(crate) mod observer;
pub(crate) mod observers;
pub(crate) mod record;
#[cfg(feature = "tracing")]
pub(crate) mod tracing;

pub use histograms::Histograms;
pub use latency::Latency;
pub use observer::{Observed, Observer, Outcome};
#[cfg(feature = "tracing")]
pub use tracing::TracingObserver;
