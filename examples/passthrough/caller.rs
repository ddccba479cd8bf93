//! Acting for a caller: files are made as the caller's, and changed without what only root may.
//!
//! The kernel checks what a caller may do (`default_permissions`), and the program then does it as root. Some of what the
//! source does depends on who asks: the owner and the mode of a new file, and whether a change clears the set-id bits and the
//! capabilities of a file. The result has to be the same as if the caller had asked the source itself.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use fuse3::{Attr, Caller, Capabilities, Connection, Entry, OpenFlags};
use rustix::fs::{self, Gid, Mode, Uid};
use rustix::process::{getegid, geteuid, getgroups};
use rustix::thread::{self, CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

use super::attributes::DEFAULT_ACL;

/// Has threads that are started from now on keep root's capabilities when they act as others: the kernel has checked already
/// what the caller may do, and the caller's other groups are mostly not known here.
///
/// Does nothing for ordinary users, who cannot act as others.
///
/// # Errors
///
/// Without CAP_SETPCAP, which it names.
pub(super) fn prepare() -> io::Result<()> {
    if geteuid().is_root() {
        let bits = thread::capabilities_secure_bits()? | CapabilitiesSecureBits::NO_SETUID_FIXUP;
        thread::set_capabilities_secure_bits(bits).map_err(|error| {
            let why = format!("root acts as others, for which it needs CAP_SETPCAP: {error}");
            io::Error::new(error.kind(), why)
        })?;
    }
    Ok(())
}

/// Says a line on stderr in one write(2): other threads have lines, too, and so has libfuse.
pub(super) fn say(line: &str) {
    eprint!("{line}");
}

/// Gives up what libfuse asks for by itself and what would take a decision away from the kernel, which alone knows the
/// caller's privileges.
///
/// Without HANDLE_KILLPRIV the kernel sends a `setattr` before a write that takes set-id bits away, except for direct I/O,
/// where [`ActingAs::writer`] has the source do it. Without ATOMIC_O_TRUNC it sends one for O_TRUNC, after it has seen that
/// the file is no running program.
pub(super) fn leave_to_the_kernel(connection: &mut Connection<'_>) {
    connection.unwant(
        Capabilities::HANDLE_KILLPRIV
            | Capabilities::HANDLE_KILLPRIV_V2
            | Capabilities::ATOMIC_O_TRUNC,
    );
}

/// Whether a file with `mode` runs as its owner or its group.
pub(super) fn has_set_id(mode: u32) -> bool {
    mode & libc::S_IFMT == libc::S_IFREG && mode & (libc::S_ISUID | libc::S_ISGID) != 0
}

/// For how long the kernel may answer for these attributes, if for those of most files `timeout`.
///
/// The source takes set-id bits away where the kernel does not, and it is not told: it is to ask before it runs the file.
pub(super) fn attr_timeout(attr: &Attr, timeout: Duration) -> Duration {
    match has_set_id(attr.mode) {
        true => Duration::ZERO,
        false => timeout,
    }
}

/// The answer that a name leads to a file, valid for `timeout`.
pub(super) fn entry(entry: Entry, timeout: Duration) -> Entry {
    Entry {
        entry_timeout: timeout,
        attr_timeout: attr_timeout(&entry.attr, timeout),
        ..entry
    }
}

/// The mode with which the source makes what the caller makes in `dir` with `mode`.
///
/// With DONT_MASK the umask has not been applied yet. It does not count where the directory has a default ACL (acl(5)).
pub(super) fn mode_of_new(dir: impl AsFd, mode: u32, caller: Caller) -> Mode {
    // The link can be followed when `dir` is a descriptor of O_PATH, too.
    let path = format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd());
    let default = fs::getxattr(path, DEFAULT_ACL, &mut [0_u8; 0][..]);
    // A source without ACLs fails here, and has no default ACL either.
    let mask = if default.is_ok() { 0 } else { caller.umask };
    Mode::from_raw_mode(mode & !mask)
}

/// What `create` answers when the source has something of that name, which it did not have when the kernel looked.
///
/// Only the kernel can say whether the caller may open that. With ESTALE it looks the name up once more, and goes on with
/// what there is; a caller who asked for a new file gets its EEXIST.
pub(super) fn exists_already(error: io::Error, flags: OpenFlags) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EEXIST) if flags.bits() & libc::O_EXCL == 0 => {
            io::Error::from_raw_os_error(libc::ESTALE)
        }
        _ => error,
    }
}

/// While it lives, the thread acts for a caller.
///
/// The ids and capabilities are those of the thread alone; the C library's functions would change those of the whole
/// process.
#[derive(Debug, Default)]
pub(super) struct ActingAs {
    /// What the thread had before, of what was changed.
    ids: Option<(Uid, Gid)>,
    groups: Option<Vec<Gid>>,
    capabilities: Option<CapabilitySets>,
}

impl ActingAs {
    /// What is made with `mode` is the caller's, with the group and the set-group-id bit that the caller's would have, at
    /// once and not by a chown(2) afterwards.
    ///
    /// An ordinary user cannot act as others, and makes files of its own.
    ///
    /// # Errors
    ///
    /// EPERM where root has not the capabilities for it.
    pub(super) fn maker(caller: Caller, mode: Mode) -> io::Result<Self> {
        let mut acting = Self::writer(caller)?;
        // Who is in the directory's group keeps the bit.
        if mode.contains(Mode::SGID) {
            acting.take_groups(caller)?;
        }
        acting.take_ids(caller)?;
        Ok(acting)
    }

    /// The data of a file are changed as by the caller: the set-id bits go unless it is root, and file capabilities always.
    ///
    /// Which other callers have CAP_FSETID is not known here: from them the bits are taken, too.
    ///
    /// # Errors
    ///
    /// None is known.
    pub(super) fn writer(caller: Caller) -> io::Result<Self> {
        let mut acting = Self::default();
        if caller.uid == Some(0) {
            return Ok(acting);
        }
        let before = thread::capabilities(None)?;
        if before.effective.contains(CapabilitySet::FSETID) {
            let effective = before.effective - CapabilitySet::FSETID;
            acting.capabilities = Some(before);
            thread::set_capabilities(
                None,
                CapabilitySets {
                    effective,
                    ..before
                },
            )?;
        }
        Ok(acting)
    }

    /// The ACL of a file is changed as by the caller: the set-group-id bit goes unless it is in the file's group.
    ///
    /// # Errors
    ///
    /// As [`maker`](Self::maker).
    pub(super) fn owner(caller: Caller) -> io::Result<Self> {
        Self::maker(caller, Mode::SGID)
    }

    fn take_groups(&mut self, caller: Caller) -> io::Result<()> {
        if geteuid().is_root() && caller.uid != Some(0) {
            // Those of a caller that has no /proc/PID here are not known. In none, it gets no bit that it should not have.
            let groups = caller.groups().unwrap_or_default();
            let groups: Vec<_> = groups.into_iter().map(Gid::from_raw).collect();
            self.groups = Some(getgroups()?);
            thread::set_thread_groups(&groups)?;
        }
        Ok(())
    }

    fn take_ids(&mut self, caller: Caller) -> io::Result<()> {
        let before = (geteuid(), getegid());
        let (uid, gid) = caller.owner()?;
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        if before.0.is_root() && before != (uid, gid) {
            // From here on, what has been changed is changed back.
            self.ids = Some(before);
            thread::set_thread_res_gid(None, gid, None)?;
            thread::set_thread_res_uid(None, uid, None)?;
        }
        Ok(())
    }
}

impl Drop for ActingAs {
    fn drop(&mut self) {
        // The saved ids are still root's, and so are the permitted capabilities, which is all that this needs.
        if let Some((uid, gid)) = self.ids {
            thread::set_thread_res_uid(None, uid, None).expect("back to the user that it was");
            thread::set_thread_res_gid(None, gid, None).expect("back to the group that it was");
        }
        if let Some(groups) = &self.groups {
            thread::set_thread_groups(groups).expect("back to the groups that it had");
        }
        if let Some(capabilities) = self.capabilities {
            thread::set_capabilities(None, capabilities).expect("back to what it could do");
        }
    }
}
