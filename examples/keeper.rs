//! `fuse3-keeper PROGRAM ARGUMENT ..` runs a file system, and keeps its mount when it crashes or is killed: it is started again,
//! and its clients notice a pause.
//!
//! The program is one that stays in the foreground, gives `Keeper::inherited` to its builder, and takes over what
//! `Handover::inherited` finds. SIGHUP, SIGINT and SIGTERM are passed on to it. When it has ended and its mount is gone, this
//! ends with the same status.

use std::error::Error;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;
use std::{env, thread};

use fuse3::handover::{Restarts, supervise};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const USAGE: &str = "usage: fuse3-keeper [--restarts=N] [--within=SECONDS] PROGRAM [ARGUMENT ..]

Runs PROGRAM, a file system, and keeps its mount when it crashes.

    --restarts=N       start it again at most N times (5) ..
    --within=SECONDS   .. within so long (10); then it is unmounted
    -h, --help         print this";

/// The server, once there is one.
static SERVER: AtomicI32 = AtomicI32::new(0);
/// The last signal that the server is to have; it may have been started meanwhile.
static SIGNALED: AtomicI32 = AtomicI32::new(0);

struct Arguments {
    restarts: Restarts,
    program: OsString,
    arguments: Vec<OsString>,
}

fn main() -> ExitCode {
    let result = match parse(env::args_os().skip(1)) {
        Ok(Some(arguments)) => keep(&arguments),
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => Err(format!("{error}\n{USAGE}").into()),
    };
    match result {
        // A shell's code for a signal.
        Ok(status) => {
            let code = status.code().or(status.signal().map(|signal| 128 + signal));
            u8::try_from(code.unwrap_or(1)).unwrap_or(1).into()
        }
        Err(error) => {
            eprintln!("fuse3-keeper: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(
    mut arguments: impl Iterator<Item = OsString>,
) -> Result<Option<Arguments>, Box<dyn Error>> {
    let mut restarts = Restarts::default();
    let program = loop {
        let argument = arguments.next().ok_or("no program is named")?;
        let Some(option) = argument.to_str().filter(|it| it.starts_with('-')) else {
            break argument;
        };
        let number = |value: &str| {
            let number = value.parse::<u32>();
            number.map_err(|error| format!("{option}: {error}"))
        };
        match option.split_once('=') {
            None if matches!(option, "-h" | "--help") => return Ok(None),
            None if option == "--" => break arguments.next().ok_or("no program is named")?,
            Some(("--restarts", value)) => restarts.most = number(value)?,
            Some(("--within", value)) => {
                restarts.within = Duration::from_secs(number(value)?.into());
            }
            _ => return Err(format!("{option} is no option").into()),
        }
    };
    let arguments = arguments.collect();
    Ok(Some(Arguments {
        restarts,
        program,
        arguments,
    }))
}

fn keep(arguments: &Arguments) -> Result<ExitStatus, Box<dyn Error>> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let command = || {
        let is_over = matches!(SIGNALED.load(Ordering::SeqCst), SIGINT | SIGTERM);
        (!is_over).then(|| {
            let mut command = Command::new(&arguments.program);
            command.args(&arguments.arguments);
            command
        })
    };
    thread::Builder::new().spawn(move || {
        for signal in signals.forever() {
            SIGNALED.store(signal, Ordering::SeqCst);
            pass_on();
        }
    })?;
    let status = supervise(command, arguments.restarts, |child| {
        SERVER.store(i32::try_from(child.id()).unwrap_or(0), Ordering::SeqCst);
        pass_on();
    })?;
    Ok(status)
}

/// Sends the server what it is to have, once there are both.
fn pass_on() {
    let server = Pid::from_raw(SERVER.load(Ordering::SeqCst));
    let signal = Signal::from_named_raw(SIGNALED.load(Ordering::SeqCst));
    if let Some((server, signal)) = server.zip(signal) {
        if signal == Signal::HUP {
            // Once: the next server is new already.
            SIGNALED.store(0, Ordering::SeqCst);
        }
        // It may have ended just now.
        let _ = kill_process(server, signal);
    }
}
