//! A file system in an SQLite database, llfuse's `tmpfs.py` as a program of its own: `tmpfs_sqlite MOUNTPOINT`, and
//! `fusermount3 -u MOUNTPOINT`. Unless `-o database=FILE` says where it is to be kept, it is in memory and gone afterwards.
//!
//! | file | |
//! |---|---|
//! | `fs` | the handlers |
//! | `store` | what the global lock guards: the connection, and what the kernel knows |
//! | `error` | a system call's error, or the database's |
//! | `inodes`, `names`, `rename`, `contents`, `listing` | what can be done to it, each in a transaction |
//! | `check` | whether the database adds up, asked in the end |
//!
//! A connection to SQLite is for one thread at a time, so it is in the state that the global lock guards: any number of
//! workers share it, and no handler can forget to take the lock. (llfuse's has one worker.) Each handler is a transaction: what
//! fails has changed nothing.
//!
//! The kernel checks permissions by mode, owner and group, so that an ordinary user may not give files away, say. The original
//! leaves that out: with `-o no_default_permissions` whoever may use the mount may do everything, too.
//!
//! It stays in the foreground: a connection must not be taken across a fork(2), which going to the background is.
//!
//! libsqlite3 is built with it. Where the distribution's is to be used, set `LIBSQLITE3_SYS_USE_PKG_CONFIG=1` at the build.

mod check;
mod contents;
mod error;
mod fs;
mod inodes;
mod listing;
mod names;
mod rename;
mod store;

use std::fmt::Display;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{ExitCode, Termination};
use std::sync::Arc;

use fuse3::{CommandLine, GlobalLock};

use crate::fs::TmpfsSqlite;
use crate::store::Store;

/// Says a line on stderr in one write(2): other threads have lines, too.
fn complain(what: impl Display) {
    let line = format!("ERROR: {what}\n");
    eprint!("{line}");
}

#[derive(Default)]
struct Options {
    database: Option<PathBuf>,
    debug_fuse: bool,
    /// Who may use the mount may do everything.
    unchecked: bool,
}

fn main() -> ExitCode {
    CommandLine::new(Options::default())
        .path(
            "database=FILE",
            "keep it in this file, not in memory",
            |options, file| options.database = Some(file),
        )
        .flag(
            "--debug-fuse",
            "have libfuse say what it is asked and answers",
            |options| options.debug_fuse = true,
        )
        .flag(
            "no_default_permissions",
            "check no permissions, as the original",
            |options| options.unchecked = true,
        )
        .main(|command| {
            // The root looks like the directory that it is mounted on. If that is not there, `mount` says so.
            let below = std::fs::metadata(&command.mount_point);
            let (mode, uid, gid) =
                below.map_or((0o755, 0, 0), |of| (of.mode(), of.uid(), of.gid()));
            let database = command.options.database.as_deref();
            let store = Store::open(database, mode, uid, gid)?;
            let lock = Arc::new(GlobalLock::new(store));
            let mut builder = command
                .builder(TmpfsSqlite, Arc::clone(&lock))
                .debug(command.debug || command.options.debug_fuse);
            if !command.options.unchecked {
                builder = builder.default_permissions();
            }
            let reason = builder.mount(&command.mount_point)?.run()?.reason;

            let wrong = lock.lock()?.close()?;
            for what in &wrong {
                complain(what);
            }
            Ok(if wrong.is_empty() {
                reason.report()
            } else {
                ExitCode::FAILURE
            })
        })
}
