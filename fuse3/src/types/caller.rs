use std::ffi::OsString;
use std::io;

/// `struct fuse_ctx`: the process that caused a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// File system user id, as seen from where the file system was mounted.
    pub uid: u32,
    /// File system group id.
    pub gid: u32,
    /// Thread id; 0 for the kernel itself and for a process of another pid namespace.
    pub pid: i32,
    /// The umask, of `mknod`, `mkdir`, `create` and `tmpfile`; 0 otherwise.
    pub umask: u32,
}

impl Caller {
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

/// A security context of a file: an extended attribute that it is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecurityContext {
    /// The name of the attribute: `security.selinux`.
    pub name: OsString,
    /// Its value; SELinux's is text, and ends with a NUL.
    pub value: Vec<u8>,
}
