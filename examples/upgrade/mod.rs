//! How the examples go on with a mount: SIGHUP replaces the program by its new version, and a crash is survived where
//! `fuse3-keeper` or systemd has started it.

use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fmt};

use fuse3::handover::{Baggage, Handover, Keeper};
use fuse3::session::Served;
use fuse3::{Builder, End, Filesystem, Session};

/// Takes the mount over, where there is a hand-over, or mounts. Where this program cannot take over, the one before goes on.
pub(crate) fn mount<F: Filesystem>(
    builder: Builder<F>,
    handover: Option<Handover>,
    path: impl AsRef<Path>,
) -> Result<Session<F>, Box<dyn Error>> {
    let builder = builder.keeper(Keeper::inherited()?).handle_signals(true);
    // `daemonize` changes the working directory.
    PROGRAM.get_or_init(program);
    match handover {
        None => Ok(builder.mount(path)?),
        Some(handover) => builder.take_over(handover).map_err(|refused| {
            say(&refused);
            // Returns only where no program was replaced by this one.
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
        let mut command = Command::new(PROGRAM.get_or_init(program));
        let failed = stopped.exec(command.args(env::args_os().skip(1)), &baggage);
        say(&failed);
        session = failed.stopped.again();
    }
}

/// A line on stderr, in one write(2).
fn say(what: &dyn fmt::Display) {
    let line = format!("{what}\n");
    eprint!("{line}");
}
