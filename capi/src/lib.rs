//! The C library `fuse3lock`: [`fuse3::GlobalLock`] and [`fuse3::ForeignSession`] for C programs.
//!
//! `include/fuse3lock.h` is its documentation. What is here is the other side of that border: each function takes an opaque
//! [`Object`], returns a negative errno where it fails, and lets no panic out (`border`). No structure of libfuse is looked
//! into, so that the layout that this library was built with does not matter.

mod border;
mod handler;
mod layout;
mod lock;
mod notify;
mod object;
mod released;
mod session;
mod stats;

pub use handler::{fuse3lock_begun, fuse3lock_enter, fuse3lock_leave};
pub use lock::{fuse3lock_acquire, fuse3lock_held, fuse3lock_release, fuse3lock_yield};
pub use notify::{
    fuse3lock_notify_delete, fuse3lock_notify_flush, fuse3lock_notify_inval_entry,
    fuse3lock_notify_inval_inode, fuse3lock_notify_store,
};
pub use object::{Object, fuse3lock_free, fuse3lock_new, fuse3lock_version};
pub use released::{fuse3lock_released, fuse3lock_released_begin, fuse3lock_released_end};
pub use session::{fuse3lock_run_checked, fuse3lock_terminate};
pub use stats::{fuse3lock_op_stat, fuse3lock_report, fuse3lock_stat};
