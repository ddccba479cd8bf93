//! A file system in memory, small and in the concurrent style: `memfs_ll MOUNTPOINT`, as libfuse's example of this name.
//!
//! There is no global lock. Names are guarded by one lock, that lookups share (`tree`), and each inode by its own
//! (`inode`), so that reads and writes of different files never wait for each other. The tmpfs example is the same in
//! llfuse's style, and complete.

mod fs;
mod inode;
mod listings;
mod tree;

use std::process::ExitCode;

use fuse3::{CommandLine, Concurrent};

use crate::fs::{Memfs, Settings};

fn main() -> ExitCode {
    CommandLine::new(Settings::default())
        .flag("null_io", "files have a size, but no contents", |s| {
            s.null_io = true
        })
        .flag("fuse_dio", "pass the page cache by", |s| s.fuse_dio = true)
        .flag(
            "writeback_cache",
            "have writes go to the page cache first",
            |s| s.writeback_cache = true,
        )
        .flag(
            "no_timeout",
            "let the kernel keep names and attributes for ever",
            |s| s.no_timeout = true,
        )
        .main(|command| {
            let fs = Memfs::new(command.options);
            let session = command
                .builder(fs, Concurrent)
                .mount(&command.mount_point)?;
            Ok(session.daemonize(command.foreground)?.run()?.reason)
        })
}
