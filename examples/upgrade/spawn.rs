//! The same by a new process, which the mount is handed over to by a socket.

use std::process::Command;
use std::{env, io};

use fuse3::handover::{Baggage, spawn};
use fuse3::session::Served;
use fuse3::{End, Filesystem, Session};

use crate::upgrade::say;

/// As [`run`](crate::upgrade::run), but after SIGHUP the program that is now at this one's path is started, and this process ends once
/// that serves.
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
        command.args(arguments);
        let (mut child, socket) = match spawn(command) {
            Ok(spawned) => spawned,
            Err(error) => {
                say(&format_args!("the new program cannot be run: {error}"));
                session = stopped.again();
                continue;
            }
        };
        match stopped.hand_over(&socket, &baggage) {
            Ok(end) => return Ok(end),
            Err(failed) => {
                say(&failed);
                // It has refused, or says nothing. What it has of the mount goes with it.
                child.kill()?;
                child.wait()?;
                session = failed.stopped.again();
            }
        }
    }
}
