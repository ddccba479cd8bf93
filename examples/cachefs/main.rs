//! A caching file system in front of a slow backend, in llfuse's style: `cachefs BACKEND MOUNTPOINT`.
//!
//! It shows what the global lock is for: everything is one state under one lock, and whatever is slow happens with the lock
//! released. How that is done right is always the same:
//!
//! | | pattern | where |
//! |---|---|---|
//! | **P1** | what is used across a release is pinned, by number, and looked up again afterwards | `fetch`: `Pinned`, `block` |
//! | **P2** | many want one thing: a key, a second look, and one of them fetches it | `fetch`: `download` |
//! | **P3** | a thread that wakes up now and then, and goes through a copy | `commit`: `commit_now_and_then`, `flush` |
//! | **P4** | a bounded queue to workers, who release the keys that others took | `upload` |
//! | **P5** | a long computation that yields | `copy`: `copy_tree` |
//! | **P7** | the end, where threads are waited for that need the lock | `fs`: `destroy` |
//!
//! The backend is a directory of objects, with a delay (`-o delay=MS`), and failures when it is moved away or told to fail
//! (`control`). A file's data are blocks; the object of a block never changes, one that is written to becomes another block
//! (`blocks`). Names and attributes are records, and a commit is an object with those that have changed (`journal`, `record`).
//! A record refers only to blocks that the backend has (`commit`). So after a crash there is the state of some moment, in
//! which everything is that was written and fsynced; and `fsync` is EIO as long as the backend is down, after which it is
//! tried again. There are no hard links, symbolic links and devices: they would show nothing new.
//!
//! When it ends it says whether the state adds up and is what the backend has, and fails if not (`check`).

mod backend;
mod blocks;
mod cache;
mod check;
mod commit;
mod control;
mod copy;
mod fetch;
mod fs;
mod inode;
mod journal;
mod record;
mod state;
mod upload;

use std::fmt::Display;
use std::path::PathBuf;
use std::process::{ExitCode, Termination};
use std::sync::Arc;
use std::time::Duration;

use fuse3::GlobalLock;
use fuse3::kit::KeyedLocks;
use fuse3::lock::Condvar;

use crate::backend::Backend;
use crate::blocks::BLOCK;
use crate::cache::{Cache, Settings};
use crate::fs::Cachefs;

/// Says a line on stderr in one write(2): other threads have lines, too.
fn say(what: impl Display) {
    let line = format!("cachefs: {what}\n");
    eprint!("{line}");
}

/// What was asked for, with `-o`.
struct Options {
    backend: PathBuf,
    delay: u64,
    period: u64,
    cache: usize,
    uploaders: usize,
    yields: bool,
}

fn main() -> ExitCode {
    let options = Options {
        backend: PathBuf::new(),
        delay: 0,
        period: 5000,
        cache: 64,
        uploaders: 4,
        yields: true,
    };
    fuse3::CommandLine::new(options)
        .source("BACKEND", |o, path| o.backend = path)
        .value("delay=MS", "how long the backend takes, 0", |o, ms| {
            o.delay = ms
        })
        .value(
            "commit=MS",
            "how long the commit thread pauses, 5000",
            |o, ms| o.period = ms,
        )
        .value("cache=MIB", "how much is cached, 64", |o, mib| {
            o.cache = mib
        })
        .value("uploaders=N", "how many threads upload, 4", |o, count| {
            o.uploaders = count
        })
        .flag(
            "no_yield",
            "have copies keep the lock, to see what that does",
            |o| o.yields = false,
        )
        .main(|command| {
            let options = &command.options;
            let directory = options.backend.canonicalize();
            let directory = directory.map_err(|error| format!("BACKEND: {error}"))?;
            let backend = Backend::new(directory, Duration::from_millis(options.delay));
            let limit = (options.cache << 20) / BLOCK;
            let lock = Arc::new(GlobalLock::new(journal::load(&backend, limit.max(1))?));
            let cache = Arc::new(Cache {
                lock: Arc::clone(&lock),
                keys: KeyedLocks::new(),
                backend,
                settings: Settings {
                    period: Duration::from_millis(options.period),
                    uploaders: options.uploaders.max(1),
                    yields: options.yields,
                },
                wake: Condvar::new(),
            });
            let fs = Cachefs(Arc::clone(&cache));
            let session = command
                .builder(fs, Arc::clone(&lock))
                .mount(&command.mount_point)?;
            let end = session.daemonize(command.foreground)?.run()?;

            let wrong = cache.check(&*lock.lock()?)?;
            wrong.iter().for_each(|what| println!("accounting: {what}"));
            if wrong.is_empty() {
                println!("accounting: everything adds up");
            }
            Ok(if wrong.is_empty() {
                end.reason.report()
            } else {
                ExitCode::FAILURE
            })
        })
}
