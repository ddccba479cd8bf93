//! A file whose size can be asked for and set by ioctl(2): `ioctl_ll MOUNTPOINT`, and `ioctl_client MOUNTPOINT/fioc`.
//!
//! The file is in memory, and can be read, written and truncated, too. The two commands carry a `size_t`: the kernel knows
//! that from their numbers, and copies it from and to the caller. What is not said in the number of a command a file system
//! can neither read nor write; that is for CUSE.
//!
//! A copy of libfuse's example/ioctl.c in behaviour, not in code: on the low-level API, in llfuse's style.

mod fuse_main;

use std::ffi::OsStr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use fuse3::ioctl::{Ioctl, IoctlCommand, IoctlFlags, IoctlReply};
use fuse3::reply::Added;
use fuse3::{Answer, Attr, Context, Data, DirBuf, Entry, Errno, FileInfo, Filesystem};
use fuse3::{GlobalLock, Ino, Listing, Open, OpenFlags};
use fuse3::{Opened, ReadBuf, SetAttr, Timestamp};

use fuse_main::Options;

/// `_IOR('E', 0, size_t)`.
const GET_SIZE: IoctlCommand = IoctlCommand::read::<usize>(b'E', 0);
/// `_IOW('E', 1, size_t)`.
const SET_SIZE: IoctlCommand = IoctlCommand::write::<usize>(b'E', 1);

const NAME: &str = "fioc";
const FILE: Ino = Ino(2);
/// So that a client that sets a size does not take all memory there is.
const MOST: usize = 1 << 30;
/// The size changes behind the kernel's back: it has to ask each time, unless told otherwise.
const ATTR_TIMEOUT: Duration = Duration::ZERO;

/// What the lock guards: the contents of the file.
#[derive(Default)]
struct Contents(Vec<u8>);

impl Contents {
    /// Cuts the file, or adds zeros to it.
    fn resize(&mut self, size: usize) -> Result<(), Errno> {
        if size > MOST {
            return Err(Errno::EFBIG);
        }
        let more = size.saturating_sub(self.0.len());
        self.0.try_reserve(more).map_err(|_| Errno::ENOMEM)?;
        self.0.resize(size, 0);
        Ok(())
    }

    fn attr(&self, ino: Ino) -> Attr {
        // In whole seconds, so that `auto_cache` sees no change in each of them.
        let now = Timestamp::new(Timestamp::now().secs(), 0);
        let (mode, nlink, size) = match ino {
            Ino::ROOT => (libc::S_IFDIR | 0o755, 2, 0),
            _ => (libc::S_IFREG | 0o644, 1, self.0.len() as u64),
        };
        // SAFETY: it has no precondition.
        let uid = unsafe { libc::getuid() };
        // SAFETY: it has no precondition.
        let gid = unsafe { libc::getgid() };
        Attr {
            nlink,
            size,
            uid,
            gid,
            atime: now,
            mtime: now,
            ..Attr::new(ino, mode)
        }
    }
}

struct Fioc {
    options: Options,
}

type Cx<'a> = Context<'a, Fioc>;

impl Filesystem for Fioc {
    type Lock = Arc<GlobalLock<Contents>>;

    fn lookup(&self, cx: &mut Cx<'_>, _: Ino, name: &OsStr) -> Answer<Entry> {
        if name != NAME {
            return self.options.nothing();
        }
        Ok(self.options.entry(cx.attr(FILE)))
    }

    fn getattr(&self, cx: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        Ok(self.options.attr(cx.attr(ino)))
    }

    /// Only the size can be changed.
    fn setattr(&self, cx: &mut Cx<'_>, ino: Ino, to: &SetAttr) -> Answer<(Attr, Duration)> {
        if ino != FILE {
            return Err(Errno::EINVAL.into());
        }
        if to.mode.is_some() || to.uid.is_some() || to.gid.is_some() {
            return Err(Errno::ENOSYS.into());
        }
        if let Some(size) = to.size {
            cx.resize(usize::try_from(size).map_err(|_| Errno::EFBIG)?)?;
        }
        Ok(self.options.attr(cx.attr(ino)))
    }

    fn readdir(
        &self,
        cx: &mut Cx<'_>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        let names = [(".", Ino::ROOT), ("..", Ino::ROOT), (NAME, FILE)];
        for ((name, ino), next) in names.into_iter().zip(1..) {
            let entry = self.options.entry(cx.attr(ino));
            if next > offset && out.add(name, &entry, next) == Added::Full {
                break;
            }
        }
        Ok(out.finish())
    }

    fn open(&self, cx: &mut Cx<'_>, ino: Ino, Open { flags, .. }: Open) -> Answer<Opened> {
        if flags.contains(OpenFlags::TRUNC) {
            cx.resize(0)?;
        }
        let opened = Opened::default();
        Ok(self.options.opened(opened, flags, &cx.attr(ino)))
    }

    fn read(
        &self,
        cx: &mut Cx<'_>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = cx.0.get(start..).unwrap_or(&[]);
        let size = out.size().min(rest.len());
        Ok(out.copy_from(&rest[..size]))
    }

    fn write(
        &self,
        cx: &mut Cx<'_>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        data: &[u8],
    ) -> Answer<usize> {
        let start = usize::try_from(offset).map_err(|_| Errno::EFBIG)?;
        let end = start.checked_add(data.len()).ok_or(Errno::EFBIG)?;
        if end > cx.0.len() {
            cx.resize(end)?;
        }
        cx.0[start..end].copy_from_slice(data);
        Ok(data.len())
    }

    fn ioctl(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        call: &Ioctl<'_>,
    ) -> Answer<IoctlReply> {
        if ino != FILE {
            return Err(Errno::EINVAL.into());
        }
        // The `size_t` of a 32-bit program is another one.
        if call.flags.contains(IoctlFlags::COMPAT) {
            return Err(Errno::ENOSYS.into());
        }
        match call.command {
            GET_SIZE => Ok(IoctlReply::new(0).data(cx.0.len().to_ne_bytes())),
            SET_SIZE => {
                // The kernel sends as much as the command says, in an order that only this machine knows.
                let size = call.input.try_into().map_err(|_| Errno::EINVAL)?;
                cx.resize(usize::from_ne_bytes(size))?;
                Ok(IoctlReply::new(0))
            }
            _ => Err(Errno::EINVAL.into()),
        }
    }
}

fn main() -> ExitCode {
    let mut options = Options::default();
    options.attr_timeout = ATTR_TIMEOUT;
    fuse_main::main(options, |mut command| {
        let fs = Fioc {
            options: std::mem::take(&mut command.options),
        };
        let lock = Arc::new(GlobalLock::new(Contents::default()));
        let session = command.builder(fs, lock).mount(&command.mount_point)?;
        Ok(session.daemonize(command.foreground)?.run()?.reason)
    })
}
