//! Making files as the caller's.

use std::io;

use fuse3::Caller;
use rustix::fs::{Gid, Uid};
use rustix::process::{getegid, geteuid};
use rustix::thread::{self, CapabilitiesSecureBits};

/// Has threads that are started from now on keep root's capabilities when they act as others: the kernel has checked already
/// what the caller may do (`default_permissions`), and the caller's other groups are not known here.
///
/// Does nothing for ordinary users, who cannot act as others.
///
/// # Errors
///
/// EPERM without CAP_SETPCAP.
pub(super) fn prepare() -> io::Result<()> {
    if geteuid().is_root() {
        let bits = thread::capabilities_secure_bits()? | CapabilitiesSecureBits::NO_SETUID_FIXUP;
        thread::set_capabilities_secure_bits(bits)?;
    }
    Ok(())
}

/// While it lives, what the thread makes is the caller's, with the group and the set-group-id bit that the caller's would
/// have, at once and not by a chown(2) afterwards.
///
/// These are the ids of the thread alone; the C library's functions would change those of the whole process.
#[derive(Debug)]
pub(super) struct ActingAs {
    uid: Uid,
    gid: Gid,
}

impl ActingAs {
    /// `None` when the caller is who runs this, or when an ordinary user does.
    ///
    /// # Errors
    ///
    /// EPERM where root has not the capabilities for it.
    pub(super) fn new(caller: Caller) -> io::Result<Option<Self>> {
        let (uid, gid) = (geteuid(), getegid());
        let (as_uid, as_gid) = (Uid::from_raw(caller.uid), Gid::from_raw(caller.gid));
        if !uid.is_root() || (uid, gid) == (as_uid, as_gid) {
            return Ok(None);
        }
        // From here on, what has been changed is changed back.
        let acting = Self { uid, gid };
        thread::set_thread_res_gid(None, as_gid, None)?;
        thread::set_thread_res_uid(None, as_uid, None)?;
        Ok(Some(acting))
    }
}

impl Drop for ActingAs {
    fn drop(&mut self) {
        // The saved ids are still root's, which is all that this needs.
        thread::set_thread_res_uid(None, self.uid, None).expect("back to the user that it was");
        thread::set_thread_res_gid(None, self.gid, None).expect("back to the group that it was");
    }
}
