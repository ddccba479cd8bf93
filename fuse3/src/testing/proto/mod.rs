//! The kernel's side of the protocol: include/uapi/linux/fuse.h, written out byte by byte.
//!
//! Requests are functions, named as their `FUSE_*` in lower case, with what the kernel says in them as arguments: for the
//! [`Wire`](super::Wire) to send. The bodies of replies are functions whose names end in `_out`, as those of the structures
//! that they are.
//!
//! This module follows the kernel, and is not part of the crate's promise of stability: any release may change it.

mod constants;
mod devices;
mod files;
mod inodes;
mod replies;
mod request;
mod session;

pub use constants::{fattr, fopen, init, opcode, open_flags};
pub use devices::{
    IoctlIn, Part, bmap, ioctl, ioctl_out, ioctl_retry, notify_poll, poll, poll_out,
};
pub use files::{
    File, LkIn, Place, copy_file_range, copy_file_range_64, create, fallocate, flock, flush, fsync,
    fsyncdir, getlk, lk_out, lseek, open, opendir, read, readdir, readdirplus, release, releasedir,
    setlk, tmpfile, write,
};
pub use inodes::{
    SetattrIn, access, batch_forget, forget, getattr, getxattr, link, listxattr, lookup, mkdir,
    mknod, readlink, removexattr, rename, rename2, rmdir, setattr, setxattr, statfs, statx,
    symlink, syncfs, unlink,
};
pub use replies::{
    attr_out, dirent, direntplus, entry_out, error, number_out, open_out, reply, size_out,
    statfs_out, statx_out,
};
pub use request::{Bytes, CALLER, Request};
pub use session::{
    InitIn, InitOut, cuse_init, cuse_init_out, destroy, init, interrupt, notification, notify_reply,
};
