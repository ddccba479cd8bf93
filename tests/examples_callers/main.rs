//! What a caller may do through the passthrough examples is what it may do in their source.
//!
//! Each script of calls runs twice: in a directory of the source, and in another one as the mount shows it. Both have to say the
//! same, and to leave the same behind. Only root can act as the users of the scripts: others skip these tests.

#[path = "../common/mount.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod mount;

mod acls;
mod attributes;
mod bits;
mod forgetful;
#[path = "../common/handle.rs"]
mod handle;
mod locks;
#[path = "../common/map.rs"]
mod map;
mod names;
mod numbers;
mod place;
mod reading;
mod umask;
mod user;
mod wide;
