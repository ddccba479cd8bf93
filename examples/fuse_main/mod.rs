//! What a program that C makes with libfuse's high-level API gets from `fuse_main()`: its options and its exit status.

mod cached;
mod options;

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Termination};

use fuse3::cmdline::{Command, CommandLineError, print_version};
use fuse3::{CommandLine, MountError, Reason};

pub(crate) use options::Options;

/// [`CommandLine::main`] with the options of libfuse's high-level API, and the status of C's `fuse_main()` (fuse.h): 0 after
/// an unmount, 8 after a signal; 1 for a wrong number of threads or mount point, 2 for none, 3 for an option that nobody
/// knows or whose value is wrong, 4 when mounting failed. Programs that are made with the low-level API have 1 for all that
/// is not 0.
pub(crate) fn main(
    options: Options,
    run: impl FnOnce(Command<Options>) -> Result<Reason, Box<dyn Error>>,
) -> ExitCode {
    let line = Options::default().command_line();
    let (asked, mistaken) = match line.parse(env::args_os()).err() {
        Some(CommandLineError::Help | CommandLineError::Version) => (true, false),
        other => (false, other.is_some()),
    };
    match mount_point() {
        Err(CommandLineError::NoMountPoint) if asked => {}
        Err(error) => {
            let status = 1 + u8::from(error == CommandLineError::NoMountPoint);
            return failed(&error, status);
        }
        // It has to be there even for help. Otherwise the mount looks at it.
        Ok(point) if asked && !point.starts_with("/dev/fd") => {
            if let Err(error) = point.canonicalize() {
                return failed(&format_args!("{}: {error}", point.display()), 1);
            }
        }
        Ok(_) => {}
    }
    // Who asks for both gets the version.
    if asked && matches!(parse(|it| !is_help(it)), Err(CommandLineError::Version)) {
        return print_version().map_or_else(|error| failed(&error, 1), |()| ExitCode::SUCCESS);
    }
    let mut status_of_failure = mistaken.then_some(3);
    let status = options.command_line().main(|command| match run(command) {
        Ok(Reason::Signal(_)) => Ok(ExitCode::from(8)),
        Ok(other) => Ok(other.report()),
        Err(error) => {
            status_of_failure = match error.downcast_ref() {
                Some(MountError::Option(_) | MountError::Refused(_)) => Some(3),
                Some(MountError::MountPoint(..)) | None => None,
                Some(_) => Some(4),
            };
            Err(error)
        }
    });
    status_of_failure.map_or(status, ExitCode::from)
}

/// `fuse_parse_cmdline()`: where to mount, before anybody has looked at the other options, or helped.
pub(crate) fn mount_point() -> Result<PathBuf, CommandLineError> {
    let mut unknown = Vec::new();
    loop {
        let known = |it: &OsString| !unknown.contains(it) && !is_help(it) && !is_version(it);
        match parse(known) {
            Err(CommandLineError::Unknown(option)) if !unknown.contains(&option) => {
                unknown.push(option);
            }
            result => return result.map(|command| command.mount_point),
        }
    }
}

/// The process's arguments that are `wanted`, to a program that has no options of its own.
fn parse(wanted: impl FnMut(&OsString) -> bool) -> Result<Command<()>, CommandLineError> {
    CommandLine::new(()).parse(env::args_os().filter(wanted))
}

fn is_help(argument: &OsString) -> bool {
    argument == "-h" || argument == "--help"
}

fn is_version(argument: &OsString) -> bool {
    argument == "-V" || argument == "--version"
}

fn failed(error: &dyn fmt::Display, status: u8) -> ExitCode {
    let program = env::args_os().next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or_default();
    eprintln!("{}: {error}", Path::new(name).display());
    ExitCode::from(status)
}
