//! A file system in memory, complete and in llfuse's style: `tmpfs -f MOUNTPOINT`, and `fusermount3 -u MOUNTPOINT`.
//!
//! One global lock guards one state, [`Inodes`]; handlers run with it held, and need no other. Where to look:
//!
//! | file | |
//! |---|---|
//! | `fs` | the handlers |
//! | `inodes`, `names`, `rename`, `contents`, `listing` | the state, and what can be done to it at once |
//! | `node`, `data`, `runs`, `directory`, `xattrs`, `acl`, `space` | what it is made of |
//! | `store` | the memory that the bytes of files are in |
//! | `state`, `form` | how the next program gets all this |
//! | `digest` | slow work with the lock **released**: `getfattr -n user.tmpfs.sha256 FILE` |
//! | `tree` | a long operation that **yields** the lock: `getfattr -n user.tmpfs.tree DIRECTORY` |
//! | `computing` | who may have such work done, so that nobody takes all workers |
//! | `reclaim` | a **background thread** that takes the lock, and waits with it released |
//! | `check`, `report` | whether nothing was lost |
//!
//! As with the kernel's tmpfs, and other than with llfuse's `tmpfs.py`, the kernel checks permissions: an ordinary user may not
//! give files away. (`tmpfs_sqlite -o no_default_permissions` is as the original.)
//!
//! SIGINT and SIGTERM end it, too. It then says what it has done, and fails if its accounts are wrong. Without `-f` it goes to the
//! background once it is mounted, and says nothing.
//!
//! After SIGHUP the program that is now at this one's path goes on, as its new version, say. Clients notice a pause, which does not
//! grow with what is in the files: that stays where it is, in memory that the next program gets. If that one does not understand
//! the rest, this one goes on.

#[path = "../upgrade/mod.rs"]
mod upgrade;

mod acl;
mod check;
mod computing;
mod contents;
mod data;
mod digest;
mod directory;
mod form;
mod fs;
mod inodes;
mod listing;
mod names;
mod node;
mod reclaim;
mod rename;
mod report;
mod runs;
mod size;
mod space;
mod state;
mod store;
mod tree;
mod virtuals;
mod xattrs;

use std::error::Error;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use fuse3::handover::Handover;
use fuse3::session::cmdline::Command;
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
    let mut handover = match upgrade::handover() {
        Ok(handover) => handover,
        Err(error) => return failed(&error),
    };
    let options = Options {
        source: "tmpfs".into(),
        size: Size::half_of_memory(),
        noatime: false,
    };
    let status = CommandLine::new(options)
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
        .main(|command| serve(&command, handover.take()));
    if let Some(handover) = handover {
        // What is wrong with the arguments has been said.
        return failed(&give_back(handover));
    }
    status
}

/// Has the program before go on, which has been replaced by this one. Returns only where there is none.
fn give_back(handover: Handover) -> io::Error {
    match upgrade::keeper() {
        Ok(keeper) => handover.give_back(keeper.as_ref()),
        Err(error) => error,
    }
}

fn failed(error: &dyn Error) -> ExitCode {
    // One write(2).
    let line = format!("tmpfs: {error}\n");
    eprint!("{line}");
    ExitCode::FAILURE
}

fn serve(
    command: &Command<Options>,
    handover: Option<Handover>,
) -> Result<ExitCode, Box<dyn Error>> {
    let is_upgrade = handover.is_some();
    let (mut inodes, handover) = match handover {
        None => (empty(command)?, None),
        Some(handover) => match Inodes::from_baggage(handover.baggage()) {
            Ok(inodes) => (inodes, Some(handover)),
            Err(error) => {
                failed(&error);
                return Err(give_back(handover).into());
            }
        },
    };
    inodes.noatime = command.options.noatime;
    let lock = Arc::new(GlobalLock::new(inodes));
    let mut builder = command
        .builder(Tmpfs::new(Arc::clone(&lock)), Arc::clone(&lock))
        .default_permissions()
        .fsname(command.options.source.display());
    if command.options.noatime {
        builder = builder.option("noatime");
    }
    let session = upgrade::mount(builder, handover, upgrade::keeper()?, &command.mount_point)?
        // The program before is in the background already, if this one is to be.
        .daemonize(command.foreground || is_upgrade)?;
    let start = Instant::now();
    let end = upgrade::run(session, |_, lock| {
        lock.lock().map_err(io::Error::other)?.baggage()
    })?;

    let stats = lock.stats();
    let inodes = lock.lock()?;
    let wrong = report::print(&end, &stats, &inodes, start.elapsed());
    Ok(if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A file system whose root looks like the directory that it is mounted on. If that is not there, `mount` says so.
fn empty(command: &Command<Options>) -> io::Result<Inodes> {
    let below = std::fs::metadata(&command.mount_point);
    let (mode, uid, gid) = below.map_or((0o755, 0, 0), |of| (of.mode(), of.uid(), of.gid()));
    Inodes::new(Space::new(command.options.size.bytes()), mode, uid, gid)
}
