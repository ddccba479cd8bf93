//! Real mounts, through the kernel: the lock while requests run, the life of a session, bad input.
//!
//! Each mount has a deadline, is unmounted whatever happens, and leaves nothing behind (`fixture`). What changes the whole
//! process, signals above all, runs in a process of its own (`child`). Without the right to mount the tests say so on
//! stderr, loudly, and do nothing.

mod again;
mod alarmed;
mod answers;
mod child;
mod client;
mod cmdline;
mod counts;
mod deferring;
mod effects;
mod ending;
mod enosys;
mod everything;
mod filelocks;
mod fixture;
#[path = "../common/fusermount3.rs"]
mod fusermount3;
mod given;
mod handed;
mod idmapped;
#[path = "../common/ignored.rs"]
mod ignored;
mod in_flight;
mod input;
mod interrupted;
mod kept;
#[path = "../common/kernel.rs"]
mod kernel;
mod killed;
mod leaks;
mod life;
mod lock;
mod names;
mod notify;
mod numbers;
mod observed;
mod operations;
#[path = "../common/other.rs"]
mod other;
mod own;
mod panics;
mod parity;
mod passthrough;
mod patient;
mod probe;
mod real;
mod rings;
mod setting;
mod shown;
mod signals;
#[path = "../common/skip.rs"]
mod skip;
mod spawned;
mod splice;
mod tasks;
#[path = "../common/tempdir.rs"]
mod tempdir;
mod timeouts;
mod tools;
mod uring;
mod workers;
