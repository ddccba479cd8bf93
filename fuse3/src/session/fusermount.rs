//! The fusermount3(1) that stays for `auto_unmount`.

use std::collections::HashSet;
use std::ffi::c_int;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::{fs, io, mem};

use crate::base::{log, os};

/// How long the end of a session waits for it, in milliseconds.
const LIMIT: c_int = 1000;

/// Each fusermount3(1) that waits for the end of the process at the other end of a socket. libfuse forgets both when it has mounted
/// (`fuse_mount_fusermount()`, lib/mount.c), and a second pair of them if the first would not take the subtype. Dropped, this ends
/// them.
#[derive(Debug)]
pub(crate) struct Waiting {
    sockets: Vec<UnixStream>,
    /// Each is a process (pidfd_open(2)), also when its number is another's.
    children: Vec<OwnedFd>,
}

/// The sockets of this process, and the processes that this thread has started.
#[derive(Debug)]
pub(crate) struct Before {
    sockets: HashSet<(RawFd, PathBuf)>,
    children: HashSet<libc::pid_t>,
}

impl Before {
    pub(crate) fn now() -> Self {
        let socket = |entry: io::Result<fs::DirEntry>| {
            let path = entry.ok()?.path();
            let what = fs::read_link(&path).ok()?;
            let is_socket = what.to_str()?.starts_with("socket:");
            is_socket.then_some((path.file_name()?.to_str()?.parse().ok()?, what))
        };
        // Where /proc does not tell, nothing is new later, and libfuse's are left as they are.
        let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
        Self {
            sockets: fs::read_dir("/proc/self/fd")
                .map_or_else(|_| HashSet::new(), |all| all.filter_map(socket).collect()),
            children: children
                .split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect(),
        }
    }

    /// What libfuse has left since then, on this thread: `None` where another thread has opened a socket meanwhile, and with Linux
    /// before 5.4.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        let now = Self::now();
        let children: Option<_> = now
            .children
            .difference(&self.children)
            .map(process)
            .collect();
        let (children, sockets): (Vec<_>, Vec<_>) =
            (children?, now.sockets.difference(&self.sockets).collect());
        if children.is_empty() || children.len() != sockets.len() {
            return None;
        }
        // SAFETY: with each fusermount3, libfuse has left its own end of a socket open; no other socket is new.
        let socket = |&&(socket, _): &&(RawFd, PathBuf)| unsafe { OwnedFd::from_raw_fd(socket) };
        Some(Waiting {
            sockets: sockets.iter().map(socket).map(Into::into).collect(),
            children,
        })
    }
}

/// pidfd_open(2)
fn process(pid: &libc::pid_t) -> Option<OwnedFd> {
    // SAFETY: no memory is involved.
    let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, *pid, 0) };
    let opened = RawFd::try_from(opened)
        .ok()
        .filter(|opened| *opened != -1)?;
    // SAFETY: it was just opened, for nobody else.
    Some(unsafe { OwnedFd::from_raw_fd(opened) })
}

/// Whether the process ends within this time.
fn ends_within(process: &OwnedFd, milliseconds: c_int) -> bool {
    let mut poll = libc::pollfd {
        fd: process.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: there is one element, which lives.
    os::checked(unsafe { libc::poll(&raw mut poll, 1, milliseconds) }).is_ok_and(|count| count == 1)
}

/// Waits for the end of a child, so that it does not stay as a zombie. For one of another process there is nothing to do.
fn reap(process: &OwnedFd) {
    let id = process.as_raw_fd().unsigned_abs();
    let again = || {
        // SAFETY: `siginfo_t` is integers and pointers, for which zero is a value.
        let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
        // SAFETY: `info` lives.
        let result = unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, libc::WEXITED) };
        os::checked(result).is_err_and(|error| error.kind() == io::ErrorKind::Interrupted)
    };
    while again() {}
}

impl Drop for Waiting {
    fn drop(&mut self) {
        for socket in &self.sockets {
            // Also where a process that a handler has started has inherited it. It is connected.
            let _ = socket.shutdown(Shutdown::Both);
        }
        // It looks at the mount point, which somebody else may serve by now, or not yet.
        let (ended, late): (Vec<_>, Vec<_>) = mem::take(&mut self.children)
            .into_iter()
            .partition(|it| ends_within(it, LIMIT));
        ended.iter().for_each(reap);
        if late.is_empty() {
            return;
        }
        log::warn!(
            "fusermount3 has not ended within {LIMIT} ms, and is waited for in the background"
        );
        let spawned = os::spawn("fuse3-fusermount", move || late.iter().for_each(reap));
        if let Err(error) = spawned {
            log::error!("nobody waits for fusermount3: {error}");
        }
    }
}
