//! The exit status of a program whose C counterpart is made with libfuse's high-level API.

use std::env;
use std::error::Error;
use std::process::{ExitCode, Termination};

use fuse3::{Command, CommandLine, CommandLineError, MountError, Reason};

/// [`CommandLine::main`], with the status of C's `fuse_main()` (fuse.h): 0 after an unmount, 8 after a signal; 1 for a wrong
/// value or mount point, `no_mount_point` for none (2, but for a program that looks for itself), 3 for an option that nobody
/// knows, 4 when mounting failed. Programs that are made with the low-level API have 1 for all that is not 0.
pub(crate) fn main(
    no_mount_point: u8,
    run: impl FnOnce(Command<()>) -> Result<Reason, Box<dyn Error>>,
) -> ExitCode {
    let mut failed = match CommandLine::new(()).parse(env::args_os()) {
        Err(CommandLineError::NoMountPoint) => Some(no_mount_point),
        Err(CommandLineError::Unknown(_)) => Some(3),
        _ => None,
    };
    let status = CommandLine::new(()).main(|command| match run(command) {
        Ok(Reason::Signal(_)) => Ok(ExitCode::from(8)),
        Ok(other) => Ok(other.report()),
        Err(error) => {
            failed = match error.downcast_ref() {
                Some(MountError::Option(_) | MountError::Refused(_)) => Some(3),
                Some(MountError::MountPoint(..)) | None => None,
                Some(_) => Some(4),
            };
            Err(error)
        }
    });
    failed.map_or(status, ExitCode::from)
}
