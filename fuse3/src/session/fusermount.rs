//! The fusermount3(1) that stays for `auto_unmount`.

use std::collections::HashSet;
use std::net::Shutdown;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::{fs, io, ptr};

/// A fusermount3(1) that waits for the end of the process at the other end of a socket. libfuse forgets both when it has mounted
/// (`fuse_mount_fusermount()`, lib/mount.c); dropped, this ends them.
#[derive(Debug)]
pub(crate) struct Waiting {
    socket: UnixStream,
    child: libc::pid_t,
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

    /// What libfuse has left since then, on this thread: `None` where another thread has opened a socket meanwhile.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        let now = Self::now();
        let mut children = now.children.difference(&self.children);
        let mut sockets = now.sockets.difference(&self.sockets);
        let (&child, (socket, _)) = (children.next()?, sockets.next()?);
        if children.next().is_some() || sockets.next().is_some() {
            return None;
        }
        // SAFETY: fusermount3 is there, so that libfuse has left its own end of the socket open, which is the only one that is new.
        let socket = unsafe { OwnedFd::from_raw_fd(*socket) };
        Some(Waiting {
            socket: socket.into(),
            child,
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Also where a process that a handler has started has inherited it. It is connected.
        let _ = self.socket.shutdown(Shutdown::Both);
        // SAFETY: there is nothing to write to. A process in the background is not the parent, and is told so.
        while unsafe { libc::waitpid(self.child, ptr::null_mut(), 0) } == -1
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
    }
}
