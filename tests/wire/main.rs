//! What goes over the wire, byte by byte, and what handlers are called with: libfuse's own loop, without a kernel.
//!
//! libfuse reads requests from one end of a socket pair and writes replies to it (`mount("/dev/fd/N")`); the tests are the
//! kernel at the other end.

mod attributes;
mod connection;
mod context;
mod cuse;
mod data;
mod deferred;
mod devices;
mod directories;
mod every;
mod filelocks;
mod files;
mod harness;
mod interrupts;
mod keys;
mod local;
mod locker;
mod locking;
mod logger;
mod mistakes;
mod names;
mod newer;
mod notify;
mod poison;
mod probe;
mod ranges;
mod raw;
mod recorder;
mod session;
mod tasks;
mod transfer;
mod waiting;
mod xattrs;

use fuse3::testing::proto;
