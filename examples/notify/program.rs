//! What the examples that show the time have in common: all but what they tell the kernel.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use fuse3::{GlobalLock, Handle};

use crate::clock::{Clock, NO_TIMEOUT, State};
use crate::options::{Options, command_line};
use crate::updater;

/// What a step has.
pub(crate) struct Served {
    pub(crate) lock: Arc<GlobalLock<State>>,
    pub(crate) handle: Handle,
    pub(crate) no_notify: bool,
}

/// The `main` of an example: mounts a clock, and calls `step` again and again while it is served.
pub(crate) fn main(
    update_when_forgotten: bool,
    step: impl Fn(&Served) + Send + 'static,
) -> ExitCode {
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
            update_when_forgotten,
        };
        let lock = Arc::new(GlobalLock::new(State::new()));
        let builder = command.builder(fs, Arc::clone(&lock));
        let session = builder.mount(&command.mount_point)?;
        let session = session.daemonize(command.foreground)?;
        let served = Served {
            lock,
            handle: session.handle(),
            no_notify,
        };
        Ok(updater::run(session, update_interval, move || {
            step(&served)
        })?)
    })
}
