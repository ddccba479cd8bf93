//! The values of the API: numbers, flags and structures, without a request and without a session.

pub(crate) mod attr;
pub(crate) mod caller;
pub(crate) mod capabilities;
pub(crate) mod errno;
pub(crate) mod file;
pub mod filelock;
pub(crate) mod flags;
pub(crate) mod ino;
pub mod ioctl;
pub(crate) mod opened;
pub(crate) mod operation;
pub(crate) mod poll;
pub mod range;
#[cfg(feature = "rustix")]
mod rustix;
pub(crate) mod setting;
pub(crate) mod statfs;
pub mod statx;
pub(crate) mod support;
pub(crate) mod xattr;
