//! Notifications: what the server tells the kernel without being asked, mostly that what it has cached is out of date.
//!
//! [`Handle::notifier`](crate::Handle::notifier) gives you a [`Notifier`]. What you call on it is queued, waits for nothing, and may
//! be called with the lock held; [`Builder::on_notify_error`](crate::Builder::on_notify_error) is told of a [`Notification`] that
//! failed. [`Notifier::blocking`] gives you a [`Blocking`], which returns when the kernel has done it: it waits for handlers, so it
//! takes the proof that your thread does not hold the lock. [`Retrieval`] and [`Retrieved`] are what the kernel has cached.
//!
//! | here | `fuse_lowlevel_notify_*` | kernel: protocol | the kernel waits for |
//! |---|---|---|---|
//! | `inval_inode` | `inval_inode` | 7.12 | pages that are being read, written or written back |
//! | `inval_attr` | `inval_inode`, offset -1 | 7.12 | nothing |
//! | `inval_entry` | `inval_entry` | 7.12 | what goes on in the directory |
//! | `delete` | `delete` | 7.18 | the same, and in the child |
//! | `expire_entry` | `expire_entry` | 7.38 | what goes on in the directory |
//! | `store` | `store` | 7.15 | the page that is being read or written |
//! | `retrieve` | `retrieve` | 7.15 | nothing |
//! | `increment_epoch` | `increment_epoch` | 7.44 | nothing |
//! | `prune` | `prune` | 7.45 | nothing |
//! | `resend` | (none) | 7.40 | nothing |
//! | [`PollHandle::notify`](crate::poll::PollHandle::notify) | `poll` | 7.11 | nothing |
//!
//! This crate writes them to the session's descriptor itself, except `retrieve`, whose answer libfuse takes, and the wake-up of a
//! poll. So only the kernel decides which of them there are, and not which libfuse between 3.10 and 3.18 is installed. The kernel
//! says which protocol it has when the session begins.

pub(crate) mod blocking;
pub(crate) mod current;
pub(crate) mod error;
pub(crate) mod hub;
pub(crate) mod notification;
pub(crate) mod notifier;
pub mod poll;
pub(crate) mod queue;
pub(crate) mod retrieve;
pub(crate) mod sender;

pub use blocking::Blocking;
pub use error::NotifyError;
pub use notification::Notification;
pub use notifier::Notifier;
pub use retrieve::{Retrieval, Retrieved};
