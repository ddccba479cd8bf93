//! For the tests of a file system: calling its handlers without a mount, over a wire, and mounted.
//!
//! Three layers, the lowest that can fail first:
//!
//! | layer | with | what it shows |
//! |---|---|---|
//! | handlers | [`Handlers`] | what a handler answers, with the lock held and nothing else of a session: the logic |
//! | wire | [`Wire`], [`proto`] | requests and replies to the byte, through libfuse and this crate: deferred answers, `init`, limits, errors |
//! | mounted | [`Mount`] | what programs see, through the kernel: caches, permissions, what the kernel does by itself |
//!
//! A [`Peer`] is the wire of a program, whatever it is written in. [`answered`], [`entries`] and [`with_write_data`] take answers
//! apart, and make what handlers are given. [`can_mount`] says whether this machine can mount; a [`Watchdog`] ends a test that hangs.
//!
//! They are there without a feature: they need nothing that the crate does not, and a program that does not use them does not
//! contain them. Whatever is not as a test expects is a panic here.
//!
//! # Stability
//!
//! [`proto`] and [`Peer`] speak the kernel's protocol, and follow the kernel. They are not part of this crate's promise of
//! stability: any release may change them. The rest of this module is.

pub(crate) mod handlers;
pub(crate) mod listed;
pub(crate) mod mount;
pub(crate) mod peer;
pub mod proto;
pub(crate) mod wire;

pub use handlers::{Handlers, answered, with_write_data};
pub use listed::{Listed, entries};
pub use mount::{Mount, MountPoint, Outcome, Watchdog, can_mount, force_unmount, is_mounted};
pub use peer::Peer;
pub use wire::Wire;
