//! What can be done to a file of the source, given a descriptor: an open one, or one of O_PATH.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use fuse3::range::Fallocate;
use fuse3::{Attr, Caller, Ino, OpenFlags, SetAttr, SetTime, StatVfs, XattrFlags, XattrNames};
use rustix::fs::{
    self, AtFlags, CWD, FallocateFlags, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid,
};

use crate::attributes::{self, ACCESS_ACL};
use crate::caller::ActingAs;

/// An entry of a directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: OsString,
    pub(crate) number: u64,
    /// The type, as in `st_mode`.
    pub(crate) mode: u32,
}

/// What calls take that want a path: a link that leads to the inode, and if that is a symbolic link, no further.
fn path(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// What `name` is in `dir`, opened with O_PATH; of a symbolic link, the link.
pub(crate) fn find(dir: &File, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(dir, name, flags, Mode::empty())?.into())
}

/// Opens it anew, to read or write it.
pub(crate) fn reopen(file: &File, flags: OFlags) -> io::Result<File> {
    Ok(fs::open(path(file), flags | OFlags::CLOEXEC, Mode::empty())?.into())
}

/// The same, to read it without moving its time of access.
pub(crate) fn reopen_quietly(file: &File) -> io::Result<Arc<File>> {
    Ok(Arc::new(reopen(file, OFlags::RDONLY | OFlags::NOATIME)?))
}

/// open(2) with O_CREAT of a new file, to read and write it.
pub(crate) fn create(dir: &File, name: &OsStr, access: OFlags, mode: Mode) -> io::Result<File> {
    let flags = access | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    Ok(fs::openat(dir, name, flags, mode)?.into())
}

/// Gives `file` the name `name` in `dir`.
pub(crate) fn link(file: &File, dir: &File, name: &OsStr) -> io::Result<()> {
    Ok(fs::linkat(
        CWD,
        path(file),
        dir,
        name,
        AtFlags::SYMLINK_FOLLOW,
    )?)
}

/// chmod(2), chown(2), truncate(2), utimensat(2), for `caller`. `open` is a descriptor that the file can be truncated by, even
/// when its permissions meanwhile say no.
pub(crate) fn change(
    caller: Caller,
    file: &File,
    open: Option<&File>,
    changes: &SetAttr,
) -> io::Result<()> {
    let path = path(file);
    if let Some(mode) = changes.mode {
        fs::chmod(&path, Mode::from_raw_mode(mode))?;
    }
    if changes.uid.is_some() || changes.gid.is_some() {
        let (uid, gid) = (
            changes.uid.map(Uid::from_raw),
            changes.gid.map(Gid::from_raw),
        );
        fs::chownat(file, c"", uid, gid, AtFlags::EMPTY_PATH)?;
    }
    if let Some(size) = changes.size {
        let _acting = ActingAs::writer(caller)?;
        match open {
            Some(open) => open.set_len(size)?,
            None => reopen(file, OFlags::WRONLY)?.set_len(size)?,
        }
    }
    if changes.atime.is_some() || changes.mtime.is_some() {
        let times = Timestamps {
            last_access: timespec(changes.atime),
            last_modification: timespec(changes.mtime),
        };
        fs::utimensat(CWD, &path, &times, AtFlags::empty())?;
    }
    Ok(())
}

fn timespec(time: Option<SetTime>) -> Timespec {
    let (secs, nanos) = match time {
        None => (0, fs::UTIME_OMIT),
        Some(SetTime::Now) => (0, fs::UTIME_NOW),
        Some(SetTime::To(time)) => (time.secs(), time.nanos().into()),
    };
    Timespec {
        tv_sec: secs,
        tv_nsec: nanos,
    }
}

/// The attributes that the source has of a file, under the number it has here.
pub(crate) fn attr(ino: Ino, of: &Stat) -> Attr {
    Attr {
        ino,
        ..Attr::from(of)
    }
}

pub(crate) fn statfs(file: &File) -> io::Result<StatVfs> {
    Ok(StatVfs::from(&fs::fstatvfs(file)?))
}

/// All names of the directory that is open as `dir`, from its start.
pub(crate) fn list(dir: &File) -> io::Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for entry in fs::Dir::read_from(dir)? {
        let entry = entry?;
        listed.push(Listed {
            name: OsStr::from_bytes(entry.file_name().to_bytes()).to_owned(),
            number: entry.ino(),
            mode: entry.file_type().as_raw_mode(),
        });
    }
    Ok(listed)
}

/// Closes a duplicate, which does what closing does, and says how it went.
pub(crate) fn flush(file: &File) -> io::Result<()> {
    let duplicate = file.try_clone()?;
    // SAFETY: the duplicate was given up by its owner, and is closed once.
    Ok(unsafe { rustix::io::try_close(duplicate.into_raw_fd()) }?)
}

/// Reads as much as there is room for, less at the end of the file.
pub(crate) fn read(file: &File, offset: u64, room: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < room.len() {
        match file.read_at(&mut room[filled..], offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// Writes all of `data` for `caller`. All that have the inode open share the descriptor: what one has asked for with O_SYNC, it
/// gets here.
///
/// There is no caller of what comes from the page cache: that was written earlier, and set-id bits went then.
pub(crate) fn write(
    caller: Option<Caller>,
    file: &File,
    offset: u64,
    data: &[u8],
    flags: OpenFlags,
) -> io::Result<()> {
    let acting = caller.map(ActingAs::writer).transpose()?;
    file.write_all_at(data, offset)?;
    drop(acting);
    if flags.contains(OpenFlags::SYNC) {
        file.sync_all()
    } else if flags.contains(OpenFlags::DSYNC) {
        file.sync_data()
    } else {
        Ok(())
    }
}

pub(crate) fn allocate(caller: Caller, file: &File, range: Fallocate) -> io::Result<()> {
    let _acting = ActingAs::writer(caller)?;
    let mode = FallocateFlags::from_bits_retain(range.mode.bits().unsigned_abs());
    Ok(fs::fallocate(file, mode, range.offset, range.length)?)
}

pub(crate) fn sync(file: &File, data_only: bool) -> io::Result<()> {
    if data_only {
        file.sync_data()
    } else {
        file.sync_all()
    }
}

pub(crate) fn getxattr(file: &File, name: &OsStr) -> io::Result<Vec<u8>> {
    let value = whole(|value| fs::getxattr(path(file), name, value));
    attributes::none_without_acls(name, value)
}

pub(crate) fn listxattr(caller: Caller, file: &File) -> io::Result<XattrNames> {
    let names = whole(|names| fs::listxattr(path(file), names))?;
    Ok(attributes::shown(&names, caller))
}

pub(crate) fn setxattr(
    caller: Caller,
    file: &File,
    name: &OsStr,
    value: &[u8],
    how: XattrFlags,
) -> io::Result<()> {
    let _acting = match name == ACCESS_ACL {
        true => Some(ActingAs::owner(caller)?),
        false => None,
    };
    let flags = fs::XattrFlags::from_bits_retain(how.bits().unsigned_abs());
    Ok(fs::setxattr(path(file), name, value, flags)?)
}

pub(crate) fn removexattr(file: &File, name: &OsStr) -> io::Result<()> {
    Ok(fs::removexattr(path(file), name)?)
}

/// What `read` reads, without knowing how much it is: never more than 64 KiB (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
fn whole(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 64 << 10];
    let length = read(&mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}
