//! One file that always contains the current time, and a kernel that is told when what it has cached is out of date:
//! `notify_inval_inode [options] MOUNTPOINT`.
//!
//! The same options, file and exit status as libfuse's notify_inval_inode.c. With `--no-notify` the file never seems to
//! change:
//!
//! ```text
//! $ notify_inval_inode --update-interval=1 mnt
//! $ for i in 1 2 3; do cat mnt/current_time; sleep 1; done
//! The current time is 15:58:40
//! The current time is 15:58:41
//! The current time is 15:58:42
//! ```

#[path = "notify/clock.rs"]
mod clock;
#[path = "notify/options.rs"]
mod options;
#[path = "notify/program.rs"]
mod program;
#[path = "notify/time.rs"]
mod time;
#[path = "notify/updater.rs"]
mod updater;

use std::process::ExitCode;

use crate::clock::FILE;

fn main() -> ExitCode {
    program::main(false, |served| {
        let Ok(mut state) = served.lock.lock() else {
            return;
        };
        state.update();
        if !served.no_notify && state.lookups > 0 {
            // Queued, so that nobody waits here, with the lock held.
            served.handle.notifier().inval_inode(FILE, ..);
        }
    })
}
