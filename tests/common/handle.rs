//! File handles: name_to_handle_at(2), open_by_handle_at(2).

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `struct file_handle`, with room for what a file system has to say.
#[repr(C)]
pub(crate) struct Handle {
    header: libc::file_handle,
    room: [u8; libc::MAX_HANDLE_SZ as usize],
}

impl Handle {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        let header = libc::file_handle {
            handle_bytes: libc::MAX_HANDLE_SZ.unsigned_abs(),
            handle_type: 0,
            f_handle: [],
        };
        let mut handle = Self {
            header,
            room: [0; libc::MAX_HANDLE_SZ as usize],
        };
        let (start, mut mount) = ((&raw mut handle).cast(), 0);
        // SAFETY: the path is NUL-terminated, and `start` points to as much room as the header says.
        let result = unsafe {
            libc::name_to_handle_at(libc::AT_FDCWD, path.as_ptr(), start, &raw mut mount, 0)
        };
        match result {
            0 => Ok(handle),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub(crate) fn open(&mut self, mount: &Path) -> io::Result<File> {
        let mount = File::open(mount)?;
        let start = (&raw mut *self).cast();
        // SAFETY: the descriptor is open, and `start` points to a handle that the kernel has filled.
        let opened = unsafe { libc::open_by_handle_at(mount.as_raw_fd(), start, libc::O_RDONLY) };
        if opened == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has just opened it, for nobody else.
        Ok(unsafe { File::from_raw_fd(opened) })
    }
}

/// Has the kernel drop what nobody uses of the file system: whoever mounts it again, with whatever flags, does
/// (`reconfigure_super()`, fs/super.c).
pub(crate) fn forget(root: &Path) {
    let path = CString::new(root.as_os_str().as_bytes()).unwrap();
    let flags = libc::MS_REMOUNT | libc::MS_NOSUID | libc::MS_NODEV;
    let none = std::ptr::null();
    // SAFETY: the path is NUL-terminated, and there is nothing else.
    let result = unsafe { libc::mount(none, path.as_ptr(), none, flags, none.cast()) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}
