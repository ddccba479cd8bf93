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
#[path = "notify/time.rs"]
mod time;
#[path = "notify/updater.rs"]
mod updater;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use fuse3::GlobalLock;
use fuse3::notify::NotifyError;

use crate::clock::{Clock, FILE, NO_TIMEOUT, State};
use crate::gone::unless_gone;
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
            update_when_forgotten: true,
        };
        let lock = Arc::new(GlobalLock::new(State::new()));
        let builder = command.builder(fs, Arc::clone(&lock));
        let session = builder.mount(&command.mount_point)?;
        let session = session.daemonize(command.foreground)?;
        let handle = session.handle();
        let notifier = handle.notifier();
        let step = move || {
            let known = lock.lock().is_ok_and(|state| state.lookups > 0);
            if no_notify || !known {
                return;
            }
            let pruned = lock.unlocked(|proof| notifier.blocking(proof).prune([FILE]));
            match unless_gone(pruned.expect("this thread has no lock")) {
                Ok(()) => {}
                Err(NotifyError::Unsupported { .. }) => {
                    println!("fuse_lowlevel_notify_prune not supported by kernel");
                    println!("Exiting...");
                    handle.terminate();
                }
                Err(error) => panic!("prune: {error}"),
            }
        };
        Ok(updater::run(session, update_interval, step)?)
    })
}
