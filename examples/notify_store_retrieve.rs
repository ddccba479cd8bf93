//! One file that always contains the current time, which is put into the kernel's cache, and asked back:
//! `notify_store_retrieve [options] MOUNTPOINT`.
//!
//! The same options, file and exit status as libfuse's notify_store_retrieve.c. With `--no-notify` the file never seems to
//! change:
//!
//! ```text
//! $ notify_store_retrieve --update-interval=1 mnt
//! $ for i in 1 2 3; do cat mnt/current_time; sleep 1; done
//! The current time is 15:58:40
//! The current time is 15:58:41
//! The current time is 15:58:42
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
use fuse3::notify::{Blocking, NotifyError};

use crate::clock::{Clock, FILE, NO_TIMEOUT, State};
use crate::gone::unless_gone;
use crate::options::{Options, command_line};

/// More than the file has.
const MAX_STR_LEN: u32 = 128;

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
            // Only while the kernel knows of the file.
            let notify = !no_notify && state.opened > 0 && state.lookups > 0;
            let contents = state.contents.clone();
            drop(state);
            if notify {
                // A read may have the page, and wait for the lock: this thread does not hold it.
                let done = lock.unlocked(|proof| {
                    unless_gone(store_and_retrieve(&notifier.blocking(proof), &contents))
                });
                done.expect("the lock was just released")
                    .expect("the kernel takes and gives data");
            }
        };
        Ok(updater::run(session, update_interval, step)?)
    })
}

/// Puts the contents into the cache, and asks the kernel for them, to see that all is well.
fn store_and_retrieve(notify: &Blocking<'_>, contents: &[u8]) -> Result<(), NotifyError> {
    notify.store(FILE, 0, contents)?;
    let retrieved = notify.retrieve(FILE, 0, MAX_STR_LEN, Duration::from_secs(10))?;
    // Nothing, when the kernel needed the memory.
    assert!(contents.starts_with(&retrieved.data), "{retrieved:?}");
    Ok(())
}
