//! The programs that are in part C: their answers byte by byte, over a socket pair in place of /dev/fuse, and mounted.

#[path = "../../../../tests/common/mount.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod mount;

mod catalog;
mod layout;
mod served;
mod visits;
