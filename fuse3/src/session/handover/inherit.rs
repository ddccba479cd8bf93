//! Sockets that a process is started with.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{self, Child, Command};
use std::{env, fmt, mem};

use parking_lot::Mutex;
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::net::{AddressFamily, sockopt};

use crate::base::{action, log};
use crate::session::child::{ENDS, prepare_child};

/// Where a [`Handover`](super::Handover) comes from.
pub(super) const HANDOVER: &str = "FUSE3_HANDOVER";
/// Where a [`Keeper`](super::Keeper) is.
pub(super) const KEEPER: &str = "FUSE3_KEEPER";

/// Whose a socket is, beside the process that puts it into the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heir {
    /// The same process, as another program.
    Itself,
    /// A process that it has started.
    Child,
}

impl Heir {
    fn name(self) -> &'static str {
        match self {
            Self::Itself => "self",
            Self::Child => "child",
        }
    }

    /// Whether this process is it, where process `pid` has put it there. Whoever is started later inherits the variable, too.
    fn is_this(self, pid: u32) -> bool {
        match self {
            Self::Itself => pid == process::id(),
            Self::Child => pid == parent_id(),
        }
    }
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
    bequeath(&mut command, its, HANDOVER, Heir::Child);
    // The command has the child's end as well, and is gone with this call: the end of the child is seen.
    Ok((command.spawn()?, ours))
}

/// Signals that end a process and that wait for its next program, which would not be there any more before it has installed its
/// handlers. Dropped, they come.
#[derive(Debug)]
pub(super) struct Held(());

impl Held {
    /// Those of this thread.
    pub(super) fn hold() -> io::Result<Self> {
        action::mask(libc::SIG_BLOCK, &ENDS)?;
        Ok(Self(()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // There is no other error than of a wrong number.
        let _ = action::mask(libc::SIG_UNBLOCK, &ENDS);
    }
}

/// The process of `command` has `socket` as well, and is told by `variable`. It is to be [prepared](prepare_child) before.
pub(super) fn bequeath(
    command: &mut Command,
    socket: impl Into<OwnedFd>,
    variable: &str,
    heir: Heir,
) {
    let socket = socket.into();
    let (number, pid) = (socket.as_raw_fd(), process::id());
    command.env(variable, format!("{number},{pid},{}", heir.name()));
    let keep = move || {
        let flags = fcntl_getfd(&socket)? - FdFlags::CLOEXEC;
        fcntl_setfd(&socket, flags)?;
        if heir == Heir::Itself {
            // std has unblocked all signals by now.
            mem::forget(Held::hold()?);
        }
        Ok(())
    };
    // SAFETY: between fork(2) and execve(2) `keep` makes two calls of fcntl(2) and one of pthread_sigmask(3), which signal-safety(7)
    // allows, and allocates nothing.
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
    let parts: Vec<_> = value.to_str().unwrap_or_default().split(',').collect();
    let heirs = [Heir::Itself, Heir::Child];
    let parsed = match *parts {
        [number, pid, heir] => number
            .parse()
            .ok()
            .zip(pid.parse().ok())
            .zip(heirs.into_iter().find(|it| it.name() == heir)),
        _ => None,
    };
    let Some(((number, pid), heir)) = parsed else {
        let what =
            "it is not a descriptor, a process, and `self` or `child`, with commas between them";
        return Err(wrong(&what));
    };
    let number: RawFd = number;
    if !heir.is_this(pid) {
        log::debug!("{variable}={value:?} is for another process");
        return Ok(None);
    }
    let mut taken = TAKEN.lock();
    if taken.contains(&number) {
        return Ok(None);
    }
    // SAFETY: the call looks at a number, whatever it is.
    match unsafe { libc::fcntl(number, libc::F_GETFD) } {
        -1 => {
            log::warn!(
                "{variable}={value:?} names a descriptor that is not open: it is an earlier program's"
            );
            return Ok(None);
        }
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
