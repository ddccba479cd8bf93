//! Which file it is, among those that have the same number in the source one after the other.
//!
//! A source gives the number of a deleted file to a new one, often to the next one that is made.

use std::ffi::{CStr, CString, OsStr, c_int};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, AtFlags, StatxFlags};

/// `struct file_handle`, with room for what a file system has to say.
#[repr(C)]
struct Handle {
    header: libc::file_handle,
    room: [u8; libc::MAX_HANDLE_SZ as usize],
}

/// A number that this file has and that another file, which gets its inode number later, does not have.
///
/// It is made of the file handle that the source has for it, which has to tell the two apart (open_by_handle_at(2)); of a source
/// without file handles, of the time at which the file was made, where that is known.
pub(super) fn identity(file: impl AsFd) -> u64 {
    of(file.as_fd(), c"", libc::AT_EMPTY_PATH)
}

/// The same of what `name` is in `dir`; of a symbolic link, the link's.
pub(super) fn identity_at(dir: impl AsFd, name: &OsStr) -> u64 {
    match CString::new(name.as_bytes()) {
        Ok(name) => of(dir.as_fd(), &name, 0),
        // No file has such a name.
        Err(_) => 0,
    }
}

/// What the kernel is told of it, in the 32 bits that its file handles have for that (`fuse_encode_fh()`, fs/fuse/inode.c).
///
/// A handle of an earlier life of the number, before the file was deleted or before this program was started, then leads to
/// ESTALE and not to another file.
pub(super) fn generation(identity: u64) -> u64 {
    (identity ^ identity >> 32) & u64::from(u32::MAX)
}

fn of(dir: BorrowedFd<'_>, name: &CStr, flags: c_int) -> u64 {
    by_handle(dir, name, flags)
        .or_else(|_| by_birth(dir, name, flags))
        .unwrap_or(0)
}

fn by_handle(dir: BorrowedFd<'_>, name: &CStr, flags: c_int) -> io::Result<u64> {
    let header = libc::file_handle {
        handle_bytes: libc::MAX_HANDLE_SZ.unsigned_abs(),
        handle_type: 0,
        f_handle: [],
    };
    let mut handle = Handle {
        header,
        room: [0; libc::MAX_HANDLE_SZ as usize],
    };
    let (start, mut mount) = ((&raw mut handle).cast(), 0);
    // SAFETY: the descriptor is open, the name is NUL-terminated, and `start` points to as much room as the header says.
    let result = unsafe {
        libc::name_to_handle_at(dir.as_raw_fd(), name.as_ptr(), start, &raw mut mount, flags)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let length = usize::try_from(handle.header.handle_bytes).unwrap_or(handle.room.len());
    Ok(number((handle.header.handle_type, &handle.room[..length])))
}

fn by_birth(dir: BorrowedFd<'_>, name: &CStr, flags: c_int) -> io::Result<u64> {
    let flags = AtFlags::from_bits_retain(flags.unsigned_abs()) | AtFlags::SYMLINK_NOFOLLOW;
    let birth = fs::statx(dir, name, flags, StatxFlags::BTIME)?.stx_btime;
    Ok(number((birth.tv_sec, birth.tv_nsec)))
}

/// The same each time that the program runs.
fn number(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
