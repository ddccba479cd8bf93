//! A file system in memory, complete and in llfuse's style: `tmpfs MOUNTPOINT`, and `fusermount3 -u MOUNTPOINT`.
//!
//! One global lock guards one state, [`Inodes`]; handlers run with it held, and need no other. Where to look:
//!
//! | file | |
//! |---|---|
//! | `fs` | the handlers |
//! | `inodes`, `names`, `rename`, `contents`, `listing` | the state, and what can be done to it at once |
//! | `node`, `data`, `directory`, `xattrs`, `space` | what it is made of |
//! | `digest` | slow work with the lock **released**: `getfattr -n user.tmpfs.sha256 FILE` |
//! | `tree` | a long operation that **yields** the lock: `getfattr -n user.tmpfs.tree DIRECTORY` |
//! | `reclaim` | a **background thread** that takes the lock, and waits with it released |
//! | `check`, `report` | whether nothing was lost |
//!
//! SIGINT, SIGTERM and SIGHUP end it, too. It then says what it has done, and fails if its accounts are wrong.

mod check;
mod contents;
mod data;
mod digest;
mod directory;
mod fs;
mod inodes;
mod listing;
mod names;
mod node;
mod options;
mod reclaim;
mod rename;
mod report;
mod space;
mod tree;
mod virtuals;
mod xattrs;

use std::error::Error;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use fuse3::{GlobalLock, Session};

use crate::fs::Tmpfs;
use crate::inodes::Inodes;
use crate::options::{Options, USAGE};
use crate::space::Space;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(what) => {
            eprintln!("tmpfs: {what}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tmpfs: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Mounts, serves, and reports whether everything adds up.
fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    // The root looks like the directory that it is mounted on. If that is not there, `mount` says so.
    let (mode, uid, gid) = std::fs::metadata(&options.mount_point).map_or((0o755, 0, 0), |below| {
        (below.mode(), below.uid(), below.gid())
    });
    let inodes = Inodes::new(Space::new(options.size), mode, uid, gid);
    let lock = Arc::new(GlobalLock::new(inodes));

    let mut builder = Session::builder(Tmpfs::new(Arc::clone(&lock)), Arc::clone(&lock))
        .fsname("tmpfs")
        .subtype("tmpfs")
        .default_permissions()
        .workers(options.workers)
        .debug(options.debug)
        .handle_signals(true);
    for option in &options.mount {
        builder = builder.options(option);
    }
    let session = builder.mount(&options.mount_point)?;
    let start = Instant::now();
    let end = session.run()?;

    let stats = lock.stats();
    let inodes = lock.lock()?;
    Ok(report::print(&end, &stats, &inodes, start.elapsed()).is_empty())
}
