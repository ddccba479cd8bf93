//! What goes over the wire, byte by byte, and what handlers are called with: libfuse's own loop, without a kernel.
//!
//! libfuse reads requests from one end of a socket pair and writes replies to it (`Builder::mount_fd`); the tests are the
//! kernel at the other end.

mod attributes;
mod child;
mod connection;
mod context;
mod cuse;
mod data;
mod deferred;
mod devices;
mod directories;
mod dying;
mod every;
mod filelocks;
mod files;
mod harness;
mod interrupts;
mod keys;
mod killpriv;
mod local;
mod locker;
mod locking;
mod logger;
mod mistakes;
mod monitor;
mod names;
mod newer;
mod notify;
mod observe;
mod outbox;
mod poison;
mod probe;
mod ranges;
mod raw;
mod recorder;
mod resent;
mod session;
mod spans;
mod tasks;
#[path = "../common/tempdir.rs"]
mod tempdir;
mod told;
mod transfer;
mod uinput;
mod waiting;
mod waits;
mod xattrs;

#[path = "../common/skip.rs"]
mod skip;

use fuse3::testing::proto;

/// Whether a session can be had of one worker alone. Where not, it says that the test is skipped.
fn one_worker_can_be_had(test: &str) -> bool {
    if !fuse3::sys::LIMITS_THREADS {
        skip::skip(test, "libfuse before 3.12 has no limit of its threads");
    }
    fuse3::sys::LIMITS_THREADS
}
