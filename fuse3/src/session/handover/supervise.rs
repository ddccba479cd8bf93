use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use crate::base::log;
use crate::session::child::prepare_child;
use crate::session::handover::inherit::{HANDOVER, Heir, KEEPER, bequeath};
use crate::session::handover::passing;
use crate::session::handover::value::Handover;
use crate::session::mountinfo::Own;

/// How often a server that crashes is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restarts {
    /// At most so many times ..
    pub most: u32,
    /// .. within this time. After that it is given up, and unmounted.
    pub within: Duration,
}

impl Default for Restarts {
    /// Five times within ten seconds, as systemd.
    fn default() -> Self {
        Self {
            most: 5,
            within: Duration::from_secs(10),
        }
    }
}

/// How long a server that was started has to take over.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a server and keeps its mount: when the server is killed or crashes, it is started again, and goes on with the mount.
///
/// `command` makes the command of each start, or `None` where the server is not to be started again: then it is unmounted. The server is one that stays in the foreground, gives [`Keeper::inherited`](super::Keeper::inherited)
/// to its builder, and [takes over](crate::Builder::take_over) what [`Handover::inherited`](super::Handover::inherited) finds. `started` is told of each start, to pass
/// signals on, say. Returns when the server has ended and its mount is gone, with the server's status, or when it has ended before it had one.
///
/// This process must have no file of the mount open, nor its working directory there.
///
/// ```no_run
/// use fuse3::handover::{Restarts, supervise};
/// use std::process::Command;
///
/// let server = || {
///     let mut command = Command::new("/usr/bin/myfs");
///     command.arg("/mnt");
///     Some(command)
/// };
/// let status = supervise(server, Restarts::default(), |_| ())?;
/// println!("the server has ended: {status}");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The server cannot be started; or it was started again as often as it may be, and is now unmounted, so that clients get ENOTCONN and
/// wait no longer.
pub fn supervise(
    mut command: impl FnMut() -> Option<Command>,
    restarts: Restarts,
    mut started: impl FnMut(&Child),
) -> io::Result<ExitStatus> {
    let mut kept: Option<Handover> = None;
    let mut times = VecDeque::new();
    let Some(mut next) = command() else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "no command is given",
        ));
    };
    loop {
        let mut child = run_once(next, &mut kept, &mut started)?;
        let status = child.wait()?;
        let mount = kept.as_ref().and_then(|kept| kept.record.mount.as_ref());
        let Some(Ok(own)) = mount.map(Own::find) else {
            return Ok(status);
        };
        let now = Instant::now();
        times.retain(|time| now.duration_since(*time) < restarts.within);
        if times.len() >= usize::try_from(restarts.most).unwrap_or(usize::MAX) {
            own.unmount();
            let what = format!(
                "the server has ended ({status}) and was started again {} times within {:?}; it is unmounted",
                times.len(),
                restarts.within
            );
            return Err(io::Error::other(what));
        }
        next = match command() {
            Some(command) => command,
            None => {
                own.unmount();
                return Ok(status);
            }
        };
        log::warn!("the server has ended: {status}; it is started again");
        times.push_back(now);
    }
}

/// Starts the server, gives it what was kept, and keeps what it gives until it closes its end.
fn run_once(
    mut command: Command,
    kept: &mut Option<Handover>,
    started: &mut impl FnMut(&Child),
) -> io::Result<Child> {
    let (ours, its) = UnixStream::pair()?;
    prepare_child(&mut command);
    bequeath(&mut command, its, KEEPER, Heir::Child);
    let heir = match kept {
        Some(_) => {
            let (ours, its) = UnixStream::pair()?;
            bequeath(&mut command, its, HANDOVER, Heir::Child);
            Some(ours)
        }
        None => None,
    };
    let child = command.spawn()?;
    started(&child);
    // It has the other ends, and would keep them open.
    drop(command);
    if let (Some(to), Some(kept)) = (heir, &*kept) {
        let parcel = kept.parcel();
        let taken = passing::offer(&to, &parcel, PATIENCE).and_then(|()| passing::go(&to));
        if let Err(error) = taken {
            log::error!("the server did not take over: {error}");
        }
    }
    loop {
        match Handover::kept(&ours) {
            Ok(Some(newer)) => *kept = Some(newer),
            // It has ended, or closed it.
            Ok(None) => return Ok(child),
            Err(error) => {
                log::error!("the server's mount is not kept: {error}");
                return Ok(child);
            }
        }
    }
}
