//! A file of the source, and what can be done to it.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use fuse3::passthrough::SharedBacking;
use fuse3::{Attr, Caller, Ino, RenameFlags, SetAttr, SetTime, StatVfs, XattrFlags};
use rustix::fs::{self, AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};

use super::caller::{self, ActingAs};

/// An inode of the source, of any type, held open.
///
/// The descriptor is one of O_PATH: it can be had without any permission on the file, does nothing to it, and stands for
/// the inode itself, whatever names it has. It also keeps the inode of a file that was unlinked, and with it its number,
/// which the source would give to another otherwise.
#[derive(Debug)]
pub(crate) struct Inode {
    /// What the kernel calls it, and what stat(2) shows.
    pub(crate) number: Ino,
    /// For `*at()` calls.
    file: File,
    /// The same for calls that take a path, since the others refuse a descriptor of O_PATH: a link that leads to the inode
    /// and, if that is a symbolic link, no further.
    path: PathBuf,
    /// What the kernel reads and writes, where it does so by itself.
    pub(crate) backing: SharedBacking,
    /// It was opened without `backing`. The kernel refuses to open it with one as long as it is open so.
    pub(crate) unbacked: AtomicBool,
}

/// An entry of a directory.
#[derive(Debug)]
pub(crate) struct Name {
    pub(crate) name: Box<OsStr>,
    pub(crate) number: Ino,
    /// The type, as in `st_mode`.
    pub(crate) mode: u32,
}

impl Inode {
    pub(crate) fn new(number: Ino, file: File) -> Self {
        Self {
            number,
            path: path_of(&file),
            file,
            backing: SharedBacking::default(),
            unbacked: AtomicBool::new(false),
        }
    }

    /// The root of the source.
    pub(crate) fn root(source: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let file = File::from(fs::open(source, flags, Mode::empty())?);
        let number = Ino(file.metadata()?.ino());
        Ok(Self::new(number, file))
    }

    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// One more descriptor of O_PATH.
    pub(crate) fn duplicate(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Opens the inode, which is no symbolic link, to read or write it.
    pub(crate) fn open(&self, flags: OFlags) -> io::Result<File> {
        let file = fs::open(&self.path, flags | OFlags::CLOEXEC, Mode::empty())?;
        Ok(file.into())
    }

    pub(crate) fn readlink(&self) -> io::Result<PathBuf> {
        let target = fs::readlinkat(&self.file, c"", Vec::new())?;
        Ok(OsStr::from_bytes(target.as_bytes()).into())
    }

    /// chmod(2), chown(2), truncate(2), utimensat(2), for `caller`. `open` is a descriptor that the file may be truncated by,
    /// even when its permissions meanwhile say no.
    pub(crate) fn change(
        &self,
        changes: &SetAttr,
        open: Option<&File>,
        caller: Caller,
    ) -> io::Result<()> {
        if let Some(mode) = changes.mode {
            fs::chmod(&self.path, Mode::from_raw_mode(mode))?;
        }
        if changes.uid.is_some() || changes.gid.is_some() {
            let (uid, gid) = (
                changes.uid.map(Uid::from_raw),
                changes.gid.map(Gid::from_raw),
            );
            fs::chownat(&self.file, c"", uid, gid, AtFlags::EMPTY_PATH)?;
        }
        if let Some(size) = changes.size {
            let _acting = ActingAs::writer(caller)?;
            match open {
                Some(file) => file.set_len(size)?,
                None => self.open(OFlags::WRONLY)?.set_len(size)?,
            }
        }
        if changes.atime.is_some() || changes.mtime.is_some() {
            let times = Timestamps {
                last_access: timespec(changes.atime),
                last_modification: timespec(changes.mtime),
            };
            fs::utimensat(CWD, &self.path, &times, AtFlags::empty())?;
        }
        Ok(())
    }

    pub(crate) fn statfs(&self) -> io::Result<StatVfs> {
        let of = fs::fstatvfs(&self.file)?;
        let small = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(StatVfs {
            bsize: small(of.f_bsize),
            frsize: small(of.f_frsize),
            blocks: of.f_blocks,
            bfree: of.f_bfree,
            bavail: of.f_bavail,
            files: of.f_files,
            ffree: of.f_ffree,
            namemax: small(of.f_namemax),
        })
    }
}

/// Extended attributes.
impl Inode {
    pub(crate) fn getxattr(&self, name: &OsStr) -> io::Result<Vec<u8>> {
        whole(|value| fs::getxattr(&self.path, name, value))
    }

    /// The names, each with a NUL after it.
    pub(crate) fn listxattr(&self) -> io::Result<Vec<u8>> {
        whole(|names| fs::listxattr(&self.path, names))
    }

    pub(crate) fn setxattr(&self, name: &OsStr, value: &[u8], how: XattrFlags) -> io::Result<()> {
        let flags = fs::XattrFlags::from_bits_retain(how.bits().unsigned_abs());
        Ok(fs::setxattr(&self.path, name, value, flags)?)
    }

    pub(crate) fn removexattr(&self, name: &OsStr) -> io::Result<()> {
        Ok(fs::removexattr(&self.path, name)?)
    }
}

/// Names in a directory.
impl Inode {
    /// The mode of what `caller` makes here with `mode`.
    pub(crate) fn mode_of_new(&self, mode: u32, caller: Caller) -> Mode {
        caller::mode_of_new(&self.file, mode, caller)
    }

    /// What `name` is here, opened with O_PATH; of a symbolic link, the link.
    pub(crate) fn find(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(fs::openat(&self.file, name, flags, Mode::empty())?.into())
    }

    /// open(2) with O_CREAT, of a new file.
    pub(crate) fn create(&self, name: &OsStr, flags: OFlags, mode: Mode) -> io::Result<File> {
        // What somebody has put in the place of the file meanwhile the caller might not be allowed to open.
        let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        Ok(fs::openat(&self.file, name, flags, mode)?.into())
    }

    /// open(2) with O_TMPFILE.
    pub(crate) fn tmpfile(&self, flags: OFlags, mode: Mode) -> io::Result<File> {
        let flags = flags | OFlags::TMPFILE | OFlags::CLOEXEC;
        Ok(fs::openat(&self.file, c".", flags, mode)?.into())
    }

    pub(crate) fn mknod(
        &self,
        name: &OsStr,
        kind: FileType,
        mode: Mode,
        device: u64,
    ) -> io::Result<()> {
        Ok(fs::mknodat(&self.file, name, kind, mode, device)?)
    }

    pub(crate) fn mkdir(&self, name: &OsStr, mode: Mode) -> io::Result<()> {
        Ok(fs::mkdirat(&self.file, name, mode)?)
    }

    pub(crate) fn symlink(&self, target: &OsStr, name: &OsStr) -> io::Result<()> {
        Ok(fs::symlinkat(target, &self.file, name)?)
    }

    /// Gives `inode` the name `name` here.
    pub(crate) fn link(&self, inode: &Self, name: &OsStr) -> io::Result<()> {
        let flags = AtFlags::SYMLINK_FOLLOW;
        Ok(fs::linkat(CWD, &inode.path, &self.file, name, flags)?)
    }

    pub(crate) fn unlink(&self, name: &OsStr) -> io::Result<()> {
        Ok(fs::unlinkat(&self.file, name, AtFlags::empty())?)
    }

    pub(crate) fn rmdir(&self, name: &OsStr) -> io::Result<()> {
        Ok(fs::unlinkat(&self.file, name, AtFlags::REMOVEDIR)?)
    }

    pub(crate) fn rename(
        &self,
        name: &OsStr,
        to: &Self,
        new_name: &OsStr,
        flags: RenameFlags,
    ) -> io::Result<()> {
        let flags = fs::RenameFlags::from_bits_retain(flags.bits());
        Ok(fs::renameat_with(
            &self.file, name, &to.file, new_name, flags,
        )?)
    }
}

/// All names of the directory that is open as `directory`, from its start.
pub(crate) fn names(directory: &File) -> io::Result<Vec<Name>> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(directory)? {
        let entry = entry?;
        names.push(Name {
            name: OsStr::from_bytes(entry.file_name().to_bytes()).into(),
            number: Ino(entry.ino()),
            mode: entry.file_type().as_raw_mode(),
        });
    }
    Ok(names)
}

/// What `file` has open, opened with O_PATH.
pub(crate) fn by_path(file: &File) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Ok(fs::open(path_of(file), flags, Mode::empty())?.into())
}

fn path_of(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// The attributes that the source has of a file, under the number it has here.
pub(crate) fn attr(number: Ino, of: &Metadata) -> Attr {
    Attr {
        ino: number,
        ..Attr::from(of)
    }
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

/// What `read` reads, without knowing how much it is: hardly ever more than a little, never more than 64 KiB
/// (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
fn whole(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 256];
    let mut result = read(&mut bytes);
    if result == Err(rustix::io::Errno::RANGE) {
        bytes.resize(64 << 10, 0);
        result = read(&mut bytes);
    }
    bytes.truncate(result?);
    Ok(bytes)
}
