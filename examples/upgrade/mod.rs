//! How the examples go on with a mount, so that it outlives them.
//!
//! | what happens | who goes on |
//! |---|---|
//! | SIGHUP | the program that is at this one's path by now, in the same process |
//! | SIGINT, started by systemd: `RestartKillSignal=SIGINT` in its unit | the next start, which finds the mount with systemd |
//! | a crash, started by `fuse3-keeper` or by systemd | the next start |

use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fmt};

use fuse3::handover::{Baggage, Handover, HandoverError, Keeper};
use fuse3::session::Served;
use fuse3::{Builder, End, Filesystem, Session};

/// The mount that this program is to go on with, if there is one.
pub(crate) fn handover() -> Result<Option<Handover>, HandoverError> {
    match Handover::inherited()? {
        #[cfg(feature = "systemd")]
        None => Handover::stored(),
        inherited => Ok(inherited),
    }
}

/// Who keeps the mount if this program crashes, if anybody.
pub(crate) fn keeper() -> io::Result<Option<Keeper>> {
    match Keeper::inherited()? {
        #[cfg(feature = "systemd")]
        None => Ok(Keeper::systemd()),
        inherited => Ok(inherited),
    }
}

/// Takes the mount over, where there is a hand-over, or mounts. Where this program cannot take over, the one before goes on.
pub(crate) fn mount<F: Filesystem>(
    builder: Builder<F>,
    handover: Option<Handover>,
    keeper: Option<Keeper>,
    path: impl AsRef<Path>,
) -> Result<Session<F>, Box<dyn Error>> {
    let builder = builder.keeper(keeper).handle_signals(true);
    // `daemonize` changes the working directory.
    PROGRAM.get_or_init(program);
    match handover {
        None => Ok(builder.mount(path)?),
        Some(handover) => builder.take_over(handover).map_err(|refused| {
            say(&refused);
            // Returns only where there is no program to give it back to, or that cannot be run.
            refused.give_back().into()
        }),
    }
}

static PROGRAM: OnceLock<OsString> = OnceLock::new();

/// Where this program is; without a slash, to be found in PATH.
fn program() -> OsString {
    let name = env::args_os().next().unwrap_or_default();
    let is_path = name.as_encoded_bytes().contains(&b'/');
    match std::path::absolute(&name) {
        Ok(path) if is_path => path.into(),
        _ => name,
    }
}

/// Serves until the end.
pub(crate) fn run<F: Filesystem>(
    mut session: Session<F>,
    baggage: impl Fn(&F, &F::Lock) -> io::Result<Baggage>,
) -> io::Result<End<F>> {
    let is_systemd_s = env::var_os("NOTIFY_SOCKET").is_some();
    loop {
        let stopped = match session.serve()? {
            Served::Ended(end) => return Ok(end),
            Served::Stopped(stopped) => stopped,
        };
        let failed = if stopped.is_signal(libc::SIGHUP) {
            let mut command = Command::new(PROGRAM.get_or_init(program));
            stopped.exec(command.args(env::args_os().skip(1)), &baggage)
        } else if stopped.is_signal(libc::SIGINT) && is_systemd_s {
            match stopped.leave(&baggage) {
                Ok(end) => return Ok(end),
                Err(failed) => failed,
            }
        } else {
            return Ok(stopped.close());
        };
        say(&failed);
        session = failed.stopped.again();
    }
}

/// A line on stderr, in one write(2).
pub(crate) fn say(what: &dyn fmt::Display) {
    let line = format!("{what}\n");
    eprint!("{line}");
}
