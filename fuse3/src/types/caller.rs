use std::ffi::OsString;
use std::io;

use crate::types::errno::Errno;

/// `struct fuse_ctx`: the process that caused a request.
///
/// A caller has ids unless the file system allows idmapped mounts
/// ([`ALLOW_IDMAP`](crate::Capabilities::ALLOW_IDMAP)). There one mount shows the ids of inodes shifted and another does not, so
/// that it depends on the mount who a caller is, and the kernel, which checks the permissions, keeps that to itself: only a
/// request that makes an inode has ids, mapped as those of the inode are to be. [`owner`](Self::owner) is for these. The kernel's
/// 0xffffffff is `None` here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// File system user id, as seen from where the file system was mounted.
    pub uid: Option<u32>,
    /// File system group id.
    pub gid: Option<u32>,
    /// Thread id; 0 for the kernel itself and for a process of another pid namespace.
    pub pid: i32,
    /// The umask, of `mknod`, `mkdir`, `create` and `tmpfile`; 0 otherwise.
    pub umask: u32,
}

impl Caller {
    /// Nobody: the library takes something back by itself.
    pub const NOBODY: Self = Self {
        uid: None,
        gid: None,
        pid: 0,
        umask: 0,
    };

    /// The user and the group of what the caller makes.
    ///
    /// # Errors
    ///
    /// EOVERFLOW when there are none, which does not happen in `mknod`, `mkdir`, `symlink`, `create` and `tmpfile`: the kernel says
    /// so itself where a mount does not map the caller.
    pub fn owner(self) -> Result<(u32, u32), Errno> {
        self.uid.zip(self.gid).ok_or(Errno::EOVERFLOW)
    }

    /// llfuse's `get_sup_groups`: the supplementary groups of the process, as [`Context::groups`](crate::Context::groups) has them, and when the
    /// request is gone, too.
    ///
    /// They are those of now, and of whoever has the number now: of a caller whose request has been answered, another
    /// process may.
    ///
    /// # Errors
    ///
    /// Without /proc, and when the process has ended; ESRCH when there is none, since `pid` is 0.
    pub fn groups(self) -> io::Result<Vec<u32>> {
        if self.pid <= 0 {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        let path = format!("/proc/{}/status", self.pid);
        let status = std::fs::read_to_string(path)?;
        let groups = status.lines().find_map(|line| line.strip_prefix("Groups:"));
        let groups = groups.ok_or(io::ErrorKind::InvalidData)?;
        let numbers: Result<_, _> = groups.split_whitespace().map(str::parse).collect();
        numbers.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// Root, without a pid and without a umask: for tests of handlers.
impl Default for Caller {
    fn default() -> Self {
        Self {
            uid: Some(0),
            gid: Some(0),
            ..Self::NOBODY
        }
    }
}

/// A security context of a file: an extended attribute that it is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecurityContext {
    /// The name of the attribute: `security.selinux`.
    pub name: OsString,
    /// Its value; SELinux's is text, and ends with a NUL.
    pub value: Vec<u8>,
}
