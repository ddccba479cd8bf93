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
#[path = "notify/program.rs"]
mod program;
#[path = "notify/time.rs"]
mod time;
#[path = "notify/updater.rs"]
mod updater;

use std::process::ExitCode;
use std::time::Duration;

use fuse3::notify::{Blocking, NotifyError};

use crate::clock::FILE;
use crate::gone::unless_gone;

/// More than the file has.
const MAX_STR_LEN: u32 = 128;

fn main() -> ExitCode {
    program::main(false, |served| {
        let Ok(mut state) = served.lock.lock() else {
            return;
        };
        state.update();
        // Only while the kernel knows of the file.
        let notify = !served.no_notify && state.opened > 0 && state.lookups > 0;
        let contents = state.contents.clone();
        drop(state);
        if notify {
            let notifier = served.handle.notifier();
            // A read may have the page, and wait for the lock: this thread does not hold it.
            let done = served.lock.unlocked(|proof| {
                unless_gone(store_and_retrieve(&notifier.blocking(proof), &contents))
            });
            done.expect("the lock was just released")
                .expect("the kernel takes and gives data");
        }
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
