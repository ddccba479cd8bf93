//! One file that contains the time at which the kernel has last forgotten it, and a kernel that is told to:
//! `notify_prune [options] MOUNTPOINT`.
//!
//! The same options, file and exit status as libfuse's notify_prune.c. It needs Linux 6.18. With `--no-notify` the file never
//! seems to change:
//!
//! ```text
//! $ notify_prune --update-interval=1 mnt
//! $ for i in 1 2 3; do cat mnt/current_time; sleep 1; done
//! The current time is 15:30:20
//! The current time is 15:30:24
//! The current time is 15:30:25
//! ```

#[path = "notify/clock.rs"]
mod clock;
#[path = "notify/gone.rs"]
mod gone;
#[path = "notify/options.rs"]
mod options;
#[path = "notify/program.rs"]
mod program;
#[path = "notify/supported.rs"]
mod supported;
#[path = "notify/time.rs"]
mod time;
#[path = "notify/updater.rs"]
mod updater;

use std::process::ExitCode;

use crate::clock::FILE;

fn main() -> ExitCode {
    program::main(true, |served| {
        let known = served.lock.lock().is_ok_and(|state| state.lookups > 0);
        if served.no_notify || !known {
            return;
        }
        let notifier = served.handle.notifier();
        let pruned = served
            .lock
            .unlocked(|proof| notifier.blocking(proof).prune([FILE]));
        supported::check(
            pruned.expect("this thread has no lock"),
            "fuse_lowlevel_notify_prune",
            &served.handle,
        );
    })
}
