//! System calls that std does not have, and what tests ask of them.

use std::ffi::{CString, c_int};
use std::fs::{self, File};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

fn done(result: c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The errno of a call that has to fail.
pub(crate) fn errno<T>(result: io::Result<T>) -> c_int {
    result.err().expect("it succeeded").raw_os_error().unwrap()
}

/// The names in a directory, sorted.
pub(crate) fn list(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(crate) fn mknod(path: &Path, mode: u32) -> io::Result<()> {
    let path = c_string(path);
    // SAFETY: `path` lives and is NUL-terminated.
    done(unsafe { libc::mknod(path.as_ptr(), mode, 0) })
}

/// Makes a file with these bytes in the directory that is open as `directory`.
pub(crate) fn make_at(directory: &File, name: &str, bytes: &[u8]) -> io::Result<()> {
    let name = CString::new(name).unwrap();
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_CLOEXEC;
    // SAFETY: the descriptor is open, and `name` lives and is NUL-terminated.
    let made = unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), flags, 0o644) };
    if made == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just opened it, for nobody else.
    let mut file = unsafe { File::from_raw_fd(made) };
    file.write_all(bytes)
}

pub(crate) fn statvfs(path: &Path) -> io::Result<libc::statvfs> {
    let path = c_string(path);
    let mut stat = MaybeUninit::uninit();
    // SAFETY: `path` lives and is NUL-terminated; `stat` is room for what the call writes.
    done(unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, and so wrote all of it.
    Ok(unsafe { stat.assume_init() })
}

pub(crate) fn rename(from: &Path, to: &Path, flags: u32) -> io::Result<()> {
    let (from, to) = (c_string(from), c_string(to));
    let cwd = libc::AT_FDCWD;
    // SAFETY: both paths live and are NUL-terminated.
    done(unsafe { libc::renameat2(cwd, from.as_ptr(), cwd, to.as_ptr(), flags) })
}

pub(crate) fn setxattr(path: &Path, name: &str, value: &[u8], flags: c_int) -> io::Result<()> {
    let (path, name) = (c_string(path), CString::new(name).unwrap());
    let (start, len) = (value.as_ptr().cast(), value.len());
    // SAFETY: both strings live and are NUL-terminated; `start` points to `len` bytes.
    done(unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), start, len, flags) })
}

pub(crate) fn removexattr(path: &Path, name: &str) -> io::Result<()> {
    let (path, name) = (c_string(path), CString::new(name).unwrap());
    // SAFETY: both strings live and are NUL-terminated.
    done(unsafe { libc::lremovexattr(path.as_ptr(), name.as_ptr()) })
}

pub(crate) fn getxattr(path: &Path, name: &str) -> io::Result<Vec<u8>> {
    let (path, name) = (c_string(path), CString::new(name).unwrap());
    let mut value = vec![0_u8; 65_536];
    // SAFETY: both strings live and are NUL-terminated; `value` has room for as many bytes as the call is told.
    let len = unsafe {
        libc::lgetxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    value.truncate(usize::try_from(len).map_err(|_| io::Error::last_os_error())?);
    Ok(value)
}

/// How long the value or the list is, asked with no room for it.
pub(crate) fn xattr_len(path: &Path, name: Option<&str>) -> io::Result<usize> {
    let path = c_string(path);
    let len = match name {
        Some(name) => {
            let name = CString::new(name).unwrap();
            // SAFETY: both strings live and are NUL-terminated; nothing is written where there is no room.
            unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), ptr::null_mut(), 0) }
        }
        // SAFETY: `path` lives and is NUL-terminated; nothing is written where there is no room.
        None => unsafe { libc::llistxattr(path.as_ptr(), ptr::null_mut(), 0) },
    };
    usize::try_from(len).map_err(|_| io::Error::last_os_error())
}

pub(crate) fn listxattr(path: &Path) -> io::Result<Vec<String>> {
    let path = c_string(path);
    let mut names = vec![0_u8; 65_536];
    // SAFETY: `path` lives and is NUL-terminated; `names` has room for as many bytes as the call is told.
    let len = unsafe { libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(usize::try_from(len).map_err(|_| io::Error::last_os_error())?);
    let names = String::from_utf8(names).unwrap();
    Ok(names.split_terminator('\0').map(str::to_owned).collect())
}
