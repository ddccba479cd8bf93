//! The fusermount3(1) that stays for `auto_unmount`.

use std::collections::HashSet;
use std::net::Shutdown;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::{fs, io, mem, ptr};

use crate::base::{log, os};

/// Each fusermount3(1) that waits for the end of the process at the other end of a socket. libfuse forgets both when it has mounted
/// (`fuse_mount_fusermount()`, lib/mount.c), and a second pair of them if the first would not take the subtype. Dropped, this ends
/// them.
pub(crate) struct Waiting {
    sockets: Vec<UnixStream>,
    children: Vec<libc::pid_t>,
}

/// The sockets of this process, and the processes that this thread has started.
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
        let children = children.split_whitespace();
        let sockets = fs::read_dir("/proc/self/fd").into_iter().flatten();
        Self {
            sockets: sockets.filter_map(socket).collect(),
            children: children.filter_map(|pid| pid.parse().ok()).collect(),
        }
    }

    /// What libfuse has left since then, on this thread: `None` where another thread has opened a socket meanwhile.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        let now = Self::now();
        let children: Vec<_> = now.children.difference(&self.children).copied().collect();
        let sockets: Vec<_> = now.sockets.difference(&self.sockets).collect();
        if children.is_empty() || children.len() != sockets.len() {
            return None;
        }
        // SAFETY: with each fusermount3, libfuse has left its own end of a socket open; no other socket is new.
        let socket = |&(socket, _): &_| unsafe { OwnedFd::from_raw_fd(socket) };
        Some(Waiting {
            sockets: sockets.into_iter().map(socket).map(Into::into).collect(),
            children,
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        for socket in &self.sockets {
            // Also where a process that a handler has started has inherited it. It is connected.
            let _ = socket.shutdown(Shutdown::Both);
        }
        // They look at the mount point, which somebody else may serve by now, or not yet: the end of this session does not wait.
        let children = mem::take(&mut self.children);
        let spawned = os::spawn("fuse3-fusermount", move || {
            for child in children {
                // SAFETY: there is nothing to write to. A process in the background is not the parent, and is told so.
                let wait = || unsafe { libc::waitpid(child, ptr::null_mut(), 0) };
                let is_interrupted = |error: io::Error| error.kind() == io::ErrorKind::Interrupted;
                while os::checked(wait()).is_err_and(is_interrupted) {}
            }
        });
        if let Err(error) = spawned {
            log::error!("fusermount3 stays as a zombie: {error}");
        }
    }
}
