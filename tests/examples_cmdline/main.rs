//! The examples hello_ll, hello_ll_uds, null and printcap, with the command lines of libfuse's own tests: in the foreground
//! and in the background, as root and as an ordinary user, by themselves and by mount.fuse3(8) and mount(8); and all the other
//! ones that mount, as an ordinary user.

mod background;
mod foreground;
#[path = "../common/fusermount3.rs"]
mod fusermount3;
#[path = "../common/ignored.rs"]
mod ignored;
#[path = "../common/kernel.rs"]
mod kernel;
mod names;
mod place;
#[path = "../common/program.rs"]
mod program;
#[path = "../common/skip.rs"]
mod skip;
mod socket;
mod users;
mod workers;
