//! Processes that handlers start.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::base::action;

/// sigprocmask(2) and close_range(2), in a process that a handler starts: makes it one that signals end, and that keeps nothing of
/// the session.
///
/// libfuse's workers have SIGHUP, SIGINT, SIGQUIT and SIGTERM blocked, and a process inherits what the thread that starts it has
/// blocked: without this, `kill` of it does nothing. It also inherits each descriptor that is not closed on execve(2), such as
/// the socket by which fusermount3 waits for the end of a session with
/// [`auto_unmount`](crate::Builder::auto_unmount), which then is not unmounted before that process ends. (The same holds for C's
/// libfuse.)
///
/// The signals are unblocked in the child, and all its descriptors but the standard ones are closed when it runs the program, which takes
/// Linux 5.11; with an older one they stay. A descriptor that the program is to have is to be one of its standard input, output or error.
///
/// ```
/// # use std::process::Command;
/// let mut command = Command::new("true");
/// let child = fuse3::session::prepare_child(&mut command).spawn()?;
/// # drop(child.wait_with_output()?);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// [`Command::spawn`] has them.
pub fn prepare_child(command: &mut Command) -> &mut Command {
    // SAFETY: between fork(2) and execve(2) `prepare` makes two system calls that signal-safety(7) allows, and allocates nothing.
    unsafe { command.pre_exec(prepare) }
}

/// What ends a process, and what libfuse's workers have blocked.
pub(super) const ENDS: [libc::c_int; 4] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

fn prepare() -> io::Result<()> {
    action::mask(libc::SIG_UNBLOCK, &ENDS)?;
    // An older kernel knows no such call, or no such flag.
    // SAFETY: no memory is involved; descriptors are marked to be closed, in a process that is about to run another program.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOEXEC) };
    Ok(())
}

/// `CLOSE_RANGE_CLOEXEC` (include/uapi/linux/close_range.h).
const CLOEXEC: libc::c_uint = 1 << 2;
