//! Which file it is, among those that have the same number in the source one after the other.
//!
//! A source gives the number of a deleted file to a new one, often to the next one that is made.

use std::ffi::{CStr, CString, OsStr, c_int};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, AtFlags, FsWord, Mode, OFlags, StatxFlags};

/// `struct file_handle`, with room for what a file system has to say.
#[repr(C)]
struct Handle {
    header: libc::file_handle,
    room: [u8; libc::MAX_HANDLE_SZ as usize],
}

/// The type of FUSE's file handles, and of some of XFS's (include/linux/exportfs.h).
const FILEID_INO64_GEN: c_int = 0x81;

/// What statfs(2) says of a FUSE file system (include/uapi/linux/magic.h).
const FUSE_SUPER_MAGIC: FsWord = 0x6573_5546;

/// A number that this file has and that another file, which gets its inode number later, does not have.
///
/// It is made of the file handle that the source has for it, which has to tell the two apart (open_by_handle_at(2)); of a source
/// without file handles, of the time at which the file was made, where that is known, and else it is 0. A FUSE file system counts
/// as one without: a file that the kernel has forgotten may have another handle when it is looked up again.
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
    if handle.header.handle_type == FILEID_INO64_GEN && is_fuse(dir, name, flags) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let length = usize::try_from(handle.header.handle_bytes).unwrap_or(handle.room.len());
    let kind = handle.header.handle_type.to_le_bytes();
    Ok(digest(&[&kind, &handle.room[..length]]))
}

/// Whether `name` is in a FUSE file system. One that does not answer is taken for one.
fn is_fuse(dir: BorrowedFd<'_>, name: &CStr, flags: c_int) -> bool {
    let of = if flags & libc::AT_EMPTY_PATH != 0 {
        fs::fstatfs(dir)
    } else {
        // It may be mounted there, so that it is not that of the directory.
        let how = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(dir, name, how, Mode::empty()).and_then(fs::fstatfs)
    };
    of.map_or(true, |of| of.f_type == FUSE_SUPER_MAGIC)
}

fn by_birth(dir: BorrowedFd<'_>, name: &CStr, flags: c_int) -> io::Result<u64> {
    let flags = AtFlags::from_bits_retain(flags.unsigned_abs()) | AtFlags::SYMLINK_NOFOLLOW;
    let of = fs::statx(dir, name, flags, StatxFlags::BTIME)?;
    if of.stx_mask & StatxFlags::BTIME.bits() == 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let (seconds, nanos) = (of.stx_btime.tv_sec, of.stx_btime.tv_nsec);
    Ok(digest(&[&seconds.to_le_bytes(), &nanos.to_le_bytes()]))
}

/// FNV-1a: the same in each program, so that file handles outlive this one, and another one can go on with what it knew.
pub(super) fn digest(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().copied().flatten();
    bytes.fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
