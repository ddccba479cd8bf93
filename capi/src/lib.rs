//! The C library `fuse3lock`: [`fuse3::GlobalLock`] and [`fuse3::session::ForeignSession`] for C programs.
//!
//! `include/fuse3lock.h` is its documentation. What is here is the other side of that border: each function takes an opaque
//! [`Object`], returns a negative errno where it fails, and lets no panic out (`border`). No structure of libfuse is looked
//! into, so that the layout that this library was built with does not matter.
//!
//! The lock goes around each handler in the program, not here: `FUSE3LOCK_OPS` of the header makes a function per slot, which is
//! compiled with the program's own libfuse headers and calls [`fuse3lock_enter`], the handler, [`fuse3lock_leave`]. So a request
//! comes from libfuse's own loop with its `clone_fd`, splicing and io_uring, NULL slots stay NULL, and a libfuse with slots that
//! the header does not know does not compile. The pair costs a handler about 200 instructions when nobody else wants the lock
//! (callgrind, x86-64), and no system call. What else was possible:
//!
//! - a loop of the library's own around `fuse_session_receive_buf()` and `fuse_session_process_buf()`, which has none of that,
//!   needs `struct fuse_buf` (40 bytes up to 3.16, 48 from 3.17), has to find the opcode of a request in a pipe, and would hold
//!   the lock while libfuse decodes;
//! - `fuse_session_custom_io()`, which 3.18.3 is built without and which has no hook after a request;
//! - wrapping the table in the library, which needs its layout and that of all that is in the arguments.

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
    fuse3lock_notify_delete, fuse3lock_notify_expire_entry, fuse3lock_notify_flush,
    fuse3lock_notify_increment_epoch, fuse3lock_notify_inval_entry, fuse3lock_notify_inval_inode,
    fuse3lock_notify_prune, fuse3lock_notify_resend, fuse3lock_notify_store,
};
pub use object::{Object, fuse3lock_free, fuse3lock_new, fuse3lock_version};
pub use released::{fuse3lock_released, fuse3lock_released_begin, fuse3lock_released_end};
pub use session::{fuse3lock_run_checked, fuse3lock_terminate};
pub use stats::{fuse3lock_op_stat, fuse3lock_report, fuse3lock_stat};
