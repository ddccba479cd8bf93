//! A file system in memory, complete and in llfuse's style: `tmpfs -f MOUNTPOINT`, and `fusermount3 -u MOUNTPOINT`.
//!
//! One global lock guards one state, [`Inodes`]; handlers run with it held, and need no other. Where to look:
//!
//! | file | |
//! |---|---|
//! | `fs` | the handlers |
//! | `inodes`, `names`, `rename`, `contents`, `listing` | the state, and what can be done to it at once |
//! | `node`, `data`, `directory`, `xattrs`, `acl`, `space` | what it is made of |
//! | `digest` | slow work with the lock **released**: `getfattr -n user.tmpfs.sha256 FILE` |
//! | `tree` | a long operation that **yields** the lock: `getfattr -n user.tmpfs.tree DIRECTORY` |
//! | `computing` | who may have such work done, so that nobody takes all workers |
//! | `reclaim` | a **background thread** that takes the lock, and waits with it released |
//! | `check`, `report` | whether nothing was lost |
//!
//! As with the kernel's tmpfs, and other than with llfuse's `tmpfs.py`, the kernel checks permissions: an ordinary user may not
//! give files away. (`tmpfs_sqlite -o no_default_permissions` is as the original.)
//!
//! SIGINT, SIGTERM and SIGHUP end it, too. It then says what it has done, and fails if its accounts are wrong. Without `-f` it
//! goes to the background once it is mounted, and says nothing.

mod acl;
mod check;
mod computing;
mod contents;
mod data;
mod digest;
mod directory;
mod fs;
mod inodes;
mod listing;
mod names;
mod node;
mod reclaim;
mod rename;
mod report;
mod size;
mod space;
mod tree;
mod virtuals;
mod xattrs;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use fuse3::{CommandLine, GlobalLock};

use crate::fs::Tmpfs;
use crate::inodes::Inodes;
use crate::size::Size;
use crate::space::Space;

struct Options {
    /// What df(1) shows, unless `-o fsname` says otherwise.
    source: PathBuf,
    size: Size,
    /// Reading does not move the time of access.
    noatime: bool,
}

fn main() -> ExitCode {
    let options = Options {
        source: "tmpfs".into(),
        size: Size::half_of_memory(),
        noatime: false,
    };
    CommandLine::new(options)
        .source("source", |options, source| options.source = source)
        .value(
            "size=N[K|M|G]",
            "how much it may hold, half of the memory unless given",
            |options, size| options.size = size,
        )
        .flag(
            "noatime",
            "reading does not move the time of access",
            |options| options.noatime = true,
        )
        .flag(
            "relatime",
            "it does so once after each change and once a day, the default",
            |options| options.noatime = false,
        )
        .main(|command| {
            // The root looks like the directory that it is mounted on. If that is not there, `mount` says so.
            let below = std::fs::metadata(&command.mount_point);
            let (mode, uid, gid) =
                below.map_or((0o755, 0, 0), |of| (of.mode(), of.uid(), of.gid()));
            let mut inodes = Inodes::new(Space::new(command.options.size.bytes()), mode, uid, gid);
            inodes.noatime = command.options.noatime;
            let lock = Arc::new(GlobalLock::new(inodes));
            let mut builder = command
                .builder(Tmpfs::new(Arc::clone(&lock)), Arc::clone(&lock))
                .default_permissions()
                .fsname(command.options.source.display());
            if command.options.noatime {
                builder = builder.option("noatime");
            }
            let session = builder
                .mount(&command.mount_point)?
                .daemonize(command.foreground)?;
            let start = Instant::now();
            let end = session.run()?;

            let stats = lock.stats();
            let inodes = lock.lock()?;
            let wrong = report::print(&end, &stats, &inodes, start.elapsed());
            Ok(if wrong.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        })
}
