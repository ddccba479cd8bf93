//! A mount that outlives its server: live upgrades, and crashes that clients do not notice.
//!
//! The connection of a FUSE file system is a descriptor, and lasts for as long as some process has it. This module passes it on, with
//! all that the next process has to know. Clients notice a pause: what they ask meanwhile waits in the kernel.
//!
//! - An upgrade: a session that [was told to stop](crate::Session::serve) is [handed over](crate::session::Stopped::hand_over) to a
//!   process that this one has [started](spawn), or that it has a socket to; or the program is replaced by
//!   [`exec`](crate::session::Stopped::exec).
//! - The successor finds a [`Handover`], builds its file system from the [`Baggage`], and [takes over](crate::Builder::take_over).
//! - A crash: a [`Keeper`] has the descriptor from the beginning, and [`supervise`] is one that restarts the server.
//!
//! [The guide](crate::guide::upgrades) has examples, and says what a file system has to hand over.

pub(crate) mod agreed;
pub(crate) mod error;
mod executable;
pub(crate) mod give;
pub(crate) mod inherit;
pub(crate) mod keeper;
pub(crate) mod passing;
pub(crate) mod record;
pub(crate) mod supervise;
#[cfg(feature = "systemd")]
mod systemd;
pub(crate) mod take;
pub(crate) mod value;

pub use error::HandoverError;
pub use give::NotHandedOver;
pub use inherit::spawn;
pub use keeper::Keeper;
pub use supervise::{Restarts, supervise};
pub use take::NotTakenOver;
pub use value::{Baggage, Handover};
