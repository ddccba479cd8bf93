//! What passthrough_ll and passthrough_hp have in common, which is nearly everything: a file system that is another
//! directory, the *source*.
//!
//! | file | |
//! |---|---|
//! | `fs` | the handlers |
//! | `settings` | in what the two differ |
//! | `inodes` | the table of what the kernel knows |
//! | `inode` | a file of the source, and what can be done to it |
//! | `identity` | which file it is, when numbers are given again |
//! | `seek` | holes |
//! | `handles`, `file` | what is open |
//! | `waiting` | who waits for a lock |
//! | `caller` | acting for who asks |
//! | `attributes` | the extended attributes that not everybody sees |

mod attributes;
mod caller;
mod file;
mod fs;
mod handles;
#[expect(dead_code, reason = "passthroughfs uses the rest")]
mod identity;
mod inode;
mod inodes;
mod seek;
mod settings;
mod waiting;

use std::io;

use rustix::fs::Mode;
use rustix::process::{Resource, getrlimit, setrlimit, umask};

pub(crate) use fs::Passthrough;
pub(crate) use settings::Settings;

/// What concerns the whole process, and is done before there are threads.
///
/// # Errors
///
/// EPERM, where root may not do what root can.
pub(crate) fn prepare() -> io::Result<()> {
    // The caller's is applied to each new file (`caller::mode_of_new`).
    umask(Mode::empty());
    // One descriptor for each inode that the kernel knows: more than most programs need.
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    caller::prepare()
}
