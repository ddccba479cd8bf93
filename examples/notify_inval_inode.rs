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
#[path = "notify/time.rs"]
mod time;
#[path = "notify/updater.rs"]
mod updater;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use fuse3::GlobalLock;

use crate::clock::{Clock, FILE, NO_TIMEOUT, State};
use crate::options::{Options, command_line};

fn main() -> ExitCode {
    let options = Options {
        no_notify: false,
        update_interval: Duration::from_secs(1),
        timeout: NO_TIMEOUT,
    };
    command_line(options, |options| options).main(|command| {
        let Options {
            no_notify,
            update_interval,
            timeout,
        } = command.options;
        let fs = Clock {
            timeout,
            update_when_forgotten: false,
        };
        let lock = Arc::new(GlobalLock::new(State::new()));
        let builder = command.builder(fs, Arc::clone(&lock));
        let session = builder.mount(&command.mount_point)?;
        let session = session.daemonize(command.foreground)?;
        let notifier = session.handle().notifier();
        let step = move || {
            let Ok(mut state) = lock.lock() else { return };
            state.update();
            if !no_notify && state.lookups > 0 {
                // Queued, so that nobody waits here, with the lock held.
                notifier.inval_inode(FILE, ..);
            }
        };
        Ok(updater::run(session, update_interval, step)?)
    })
}
