//! Sockets that a process is started with.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{self, Child, Command};
use std::{env, fmt};

use parking_lot::Mutex;
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::net::{AddressFamily, sockopt};

use crate::base::log;
use crate::session::child::prepare_child;

/// Where a [`Handover`](super::Handover) comes from.
pub(super) const HANDOVER: &str = "FUSE3_HANDOVER";
/// Where a [`Keeper`](super::Keeper) is.
pub(super) const KEEPER: &str = "FUSE3_KEEPER";

/// Whose a socket is: of the process that put it into the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heir {
    /// The same process, as another program.
    Itself,
    Child,
}

/// Starts the successor of this process, and returns the socket by which it is [handed over](crate::session::Stopped::hand_over) to.
///
/// The child finds the other end by [`Handover::inherited`](super::Handover::inherited), and should ask early: it is killed by nobody if it
/// does not, but [`hand_over`](crate::session::Stopped::hand_over) waits for it. It is [prepared](crate::session::prepare_child), so
/// that this may be called on any thread, and has no other descriptor of this process but the standard ones.
///
/// # Errors
///
/// Of socketpair(2) and [`Command::spawn`].
pub fn spawn(mut command: Command) -> io::Result<(Child, UnixStream)> {
    let (ours, its) = UnixStream::pair()?;
    prepare_child(&mut command);
    bequeath(&mut command, its, HANDOVER);
    // The command has the child's end as well, and is gone with this call: the end of the child is seen.
    Ok((command.spawn()?, ours))
}

/// The process of `command` has `socket` as well, and is told by `variable`. It is to be [prepared](prepare_child) before.
pub(super) fn bequeath(command: &mut Command, socket: impl Into<OwnedFd>, variable: &str) {
    use std::os::fd::AsRawFd;
    let socket = socket.into();
    let (number, pid) = (socket.as_raw_fd(), process::id());
    command.env(variable, format!("{number},{pid}"));
    let keep = move || {
        let flags = fcntl_getfd(&socket)? - FdFlags::CLOEXEC;
        Ok(fcntl_setfd(&socket, flags)?)
    };
    // SAFETY: between fork(2) and execve(2) `keep` makes two calls of fcntl(2), which signal-safety(7) allows, and allocates nothing.
    unsafe { command.pre_exec(keep) };
}

/// The socket that `variable` names, if it is for this process; once.
pub(super) fn take(variable: &str) -> io::Result<Option<(UnixStream, Heir)>> {
    static TAKEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());
    let Some(value) = env::var_os(variable) else {
        return Ok(None);
    };
    let wrong = |what: &dyn fmt::Display| {
        let what = format!("the variable {variable}={value:?} of the environment: {what}");
        io::Error::new(io::ErrorKind::InvalidInput, what)
    };
    let words = value.to_str().and_then(|value| value.split_once(','));
    let numbers = words.and_then(|(number, pid)| Some((number.parse().ok()?, pid.parse().ok()?)));
    let Some((number, pid)) = numbers else {
        return Err(wrong(&"it is not a descriptor, a comma and a process"));
    };
    let (number, pid): (RawFd, u32) = (number, pid);
    let heir = match pid {
        pid if pid == process::id() => Heir::Itself,
        pid if pid == parent_id() => Heir::Child,
        _ => {
            log::debug!("{variable} is for a child of process {pid}, which this is not");
            return Ok(None);
        }
    };
    let mut taken = TAKEN.lock();
    if taken.contains(&number) {
        return Ok(None);
    }
    // SAFETY: the call looks at a number, whatever it is.
    match unsafe { libc::fcntl(number, libc::F_GETFD) } {
        -1 => return Err(wrong(&io::Error::last_os_error())),
        // What execve(2) left open does not have it.
        flags if flags & libc::FD_CLOEXEC != 0 => {
            return Err(wrong(&"the descriptor was opened by this program"));
        }
        _ => taken.push(number),
    }
    // SAFETY: it is open, and was before the program began, for this process to own: whoever started it said so in its
    // environment. It has not been taken before.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    match sockopt::socket_domain(&socket) {
        Ok(AddressFamily::UNIX) => Ok(Some((UnixStream::from(socket), heir))),
        _ => Err(wrong(&"the descriptor is not a Unix socket")),
    }
}
