//! How the examples go on with a mount: SIGHUP replaces the program by its new version, and a crash is survived where
//! `fuse3-keeper` or systemd has started it.

use std::error::Error;
use std::io;
use std::path::Path;
use std::process::Command;
use std::{env, fmt};

use fuse3::handover::{Baggage, Handover, Keeper};
use fuse3::session::Served;
use fuse3::{Builder, End, Filesystem, Session};

/// Takes the mount over, where there is a hand-over, or mounts. Where this program cannot take over, the one before goes on.
pub(crate) fn mount<F: Filesystem>(
    builder: Builder<F>,
    handover: Option<Handover>,
    keeper: Option<Keeper>,
    path: impl AsRef<Path>,
) -> Result<Session<F>, Box<dyn Error>> {
    let builder = builder.keeper(keeper).handle_signals(true);
    match handover {
        None => Ok(builder.mount(path)?),
        Some(handover) => builder.take_over(handover).map_err(|refused| {
            say(&refused);
            // Returns only where there is no program to give it back to, or that cannot be run.
            refused.give_back().into()
        }),
    }
}

/// Serves until the end. After SIGHUP the program that is now at this one's path goes on; where that fails, this one does.
pub(crate) fn run<F: Filesystem>(
    mut session: Session<F>,
    baggage: impl Fn(&F, &F::Lock) -> io::Result<Baggage>,
) -> io::Result<End<F>> {
    loop {
        let stopped = match session.serve()? {
            Served::Ended(end) => return Ok(end),
            Served::Stopped(stopped) if stopped.is_signal(libc::SIGHUP) => stopped,
            Served::Stopped(stopped) => return Ok(stopped.close()),
        };
        let mut arguments = env::args_os();
        let mut command = Command::new(arguments.next().unwrap_or_default());
        let failed = stopped.exec(command.args(arguments), &baggage);
        say(&failed);
        session = failed.stopped.again();
    }
}

/// A line on stderr, in one write(2).
pub(crate) fn say(what: &dyn fmt::Display) {
    let line = format!("{what}\n");
    eprint!("{line}");
}
