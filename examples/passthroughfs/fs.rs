//! The handlers. Each takes the state from its context, calls what does the work, and returns the answer.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fuse3::{
    Added, Answer, Attr, Capabilities, Connection, Context, Create, Created, Data, DirBuf, Entry,
    Errno, Fallocate, Fh, FileInfo, Filesystem, GlobalLock, Guard, Ino, Listing, OpenFlags, Opened,
    ReadBuf, RenameFlags, SetAttr, StatVfs, XattrFlags, XattrNames,
};
use rustix::fs::{self, AtFlags, FallocateFlags, FileType, Mode};

use crate::caller::ActingAs;
use crate::mirror::Mirror;
use crate::node;
use crate::open::Access;
use crate::tree::Source;

/// What handlers need besides the state that the lock guards.
#[derive(Debug)]
pub(crate) struct PassthroughFs {
    /// For how long the kernel may answer by itself. What is changed in the source is seen as late.
    pub(crate) timeout: Duration,
    pub(crate) debug: bool,
}

type Cx<'a> = Context<'a, PassthroughFs>;

impl PassthroughFs {
    fn debug(&self, what: impl FnOnce() -> String) {
        if self.debug {
            eprintln!("DEBUG: {}", what());
        }
    }

    fn entry(&self, attr: Attr) -> Entry {
        Entry::new(attr, self.timeout)
    }

    /// Has `make` make `name` in the directory `parent` as the caller's.
    fn make(
        &self,
        cx: &mut Cx<'_>,
        parent: Ino,
        name: &OsStr,
        make: impl FnOnce(&File) -> rustix::io::Result<()>,
    ) -> Answer<Entry> {
        let dir = cx.reach(parent)?;
        let acting = ActingAs::new(cx.caller())?;
        let made = make(&dir);
        drop(acting);
        made.map_err(io::Error::from)?;
        let attr = cx.look_up_in(&dir, parent, name)?;
        self.debug(|| format!("{name:?} was made in {parent}: {}", attr.ino));
        Ok(self.entry(attr))
    }

    /// Adds what `file`, the directory `ino`, has listed from `offset` on.
    fn list(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        handle: Fh,
        offset: u64,
        out: &mut DirBuf,
    ) -> io::Result<()> {
        let directory = cx.directory(handle)?;
        let (file, listed) = (Arc::clone(&directory.file), Arc::clone(&directory.listed));
        let device = fs::fstat(&file)?.st_dev;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        for (next, entry) in (1..).zip(&*listed).skip(start) {
            let name = entry.name.as_os_str();
            if !out.is_plus() || matches!(name.as_bytes(), b"." | b"..") {
                let source = Source::new(device, entry.number, entry.mode);
                let number = cx.tree.number(source).unwrap_or(Ino(entry.number));
                let shown = self.entry(Attr::new(number, entry.mode));
                if out.add(name, &shown, next) == Added::Full {
                    break;
                }
                continue;
            }
            // What is listed so far is counted: it has to be answered, and no error.
            let Ok(attr) = cx.look_up_in(&file, ino, name) else {
                continue;
            };
            let added = out.add(name, &self.entry(attr), next);
            if added != Added::Counted {
                cx.tree.forget(attr.ino, 1);
            }
            if added == Added::Full {
                break;
            }
        }
        Ok(())
    }
}

impl Filesystem for PassthroughFs {
    type Lock = Arc<GlobalLock<Mirror>>;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        // What there is of these; none is needed.
        let wanted = Capabilities::READDIRPLUS
            | Capabilities::READDIRPLUS_AUTO
            | Capabilities::PARALLEL_DIROPS
            | Capabilities::SPLICE_WRITE
            | Capabilities::SPLICE_MOVE
            // A file handle would lead nowhere once its inode is forgotten.
            | Capabilities::NO_EXPORT_SUPPORT;
        connection
            .want(wanted & connection.capable() & Capabilities::known())
            .map_err(io::Error::other)?;
        // The kernel knows better than this program who may keep set-user-id bits, and sends a setattr. It also sends one
        // for O_TRUNC: as a part of `open` that would come before the kernel has seen that the file is a running program.
        connection.unwant(Capabilities::HANDLE_KILLPRIV | Capabilities::ATOMIC_O_TRUNC);
        Ok(())
    }

    fn lookup(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        let found = cx.look_up(parent, name);
        self.debug(|| match &found {
            Ok(attr) => format!("lookup of {name:?} in {parent}: {}", attr.ino),
            Err(what) => format!("lookup of {name:?} in {parent}: {what}"),
        });
        Ok(self.entry(found?))
    }

    fn forget(&self, cx: &mut Cx<'_>, ino: Ino, nlookup: u64) {
        self.debug(|| format!("forget {nlookup} lookups of {ino}"));
        cx.tree.forget(ino, nlookup);
    }

    fn getattr(&self, cx: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        Ok((cx.attr(ino)?, self.timeout))
    }

    fn setattr(&self, cx: &mut Cx<'_>, ino: Ino, changes: &SetAttr) -> Answer<(Attr, Duration)> {
        Ok((cx.set(ino, changes)?, self.timeout))
    }

    fn readlink(&self, cx: &mut Cx<'_>, ino: Ino) -> Answer<PathBuf> {
        let target = fs::readlinkat(cx.reach(ino)?, c"", Vec::new()).map_err(io::Error::from)?;
        Ok(OsStr::from_bytes(target.as_bytes()).into())
    }

    fn mknod(
        &self,
        cx: &mut Cx<'_>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
        rdev: u64,
    ) -> Answer<Entry> {
        self.make(cx, parent, name, |dir| {
            let (kind, mode) = (FileType::from_raw_mode(mode), Mode::from_raw_mode(mode));
            fs::mknodat(dir, name, kind, mode, rdev)
        })
    }

    fn mkdir(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr, mode: u32) -> Answer<Entry> {
        let mode = Mode::from_raw_mode(mode);
        self.make(cx, parent, name, |dir| fs::mkdirat(dir, name, mode))
    }

    fn unlink(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<()> {
        Ok(cx.remove(parent, name, AtFlags::empty())?)
    }

    fn rmdir(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<()> {
        Ok(cx.remove(parent, name, AtFlags::REMOVEDIR)?)
    }

    fn symlink(&self, cx: &mut Cx<'_>, target: &OsStr, parent: Ino, name: &OsStr) -> Answer<Entry> {
        self.make(cx, parent, name, |dir| fs::symlinkat(target, dir, name))
    }

    fn rename(
        &self,
        cx: &mut Cx<'_>,
        parent: Ino,
        name: &OsStr,
        newparent: Ino,
        newname: &OsStr,
        flags: RenameFlags,
    ) -> Answer<()> {
        Ok(cx.rename((parent, name), (newparent, newname), flags)?)
    }

    fn link(&self, cx: &mut Cx<'_>, ino: Ino, newparent: Ino, newname: &OsStr) -> Answer<Entry> {
        Ok(self.entry(cx.link(ino, newparent, newname)?))
    }

    fn open(&self, cx: &mut Cx<'_>, ino: Ino, flags: OpenFlags) -> Answer<Opened> {
        self.debug(|| format!("open {ino} with {flags:?}"));
        let file = cx.open(ino, flags)?;
        // Not sent, but where a kernel insists.
        if flags.contains(OpenFlags::TRUNC) && flags.writes() {
            file.set_len(0)?;
        }
        Ok(Opened::new(Fh(ino.0)))
    }

    fn create(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr, how: Create) -> Answer<Created> {
        let dir = cx.reach(parent)?;
        let acting = ActingAs::new(cx.caller())?;
        let file = node::create(&dir, name, Access::of(how.flags).flags(), how.mode);
        drop(acting);
        let attr = cx.created(parent, name, file?, how.flags)?;
        Ok(Created {
            entry: self.entry(attr),
            opened: Opened::new(Fh(attr.ino.0)),
        })
    }

    /// The bytes are read after the lock has been released.
    fn read(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        Ok(out.splice(cx.opened(ino)?, offset, usize::MAX))
    }

    fn write(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        data: &[u8],
    ) -> Answer<usize> {
        let open = cx.opened(ino)?;
        // All that have the inode open share the descriptor: what one has asked for, it gets here.
        let synced = file.flags().intersects(OpenFlags::SYNC | OpenFlags::DSYNC);
        cx.released(|_| {
            open.write_all_at(data, offset)?;
            match synced {
                true => node::sync(&open, !file.flags().contains(OpenFlags::SYNC)),
                false => Ok(()),
            }
        })?;
        Ok(data.len())
    }

    fn flush(&self, cx: &mut Cx<'_>, ino: Ino, _: &FileInfo) -> Answer<()> {
        let open = cx.opened(ino)?;
        Ok(cx.released(|_| node::flush(&open))?)
    }

    fn release(&self, cx: &mut Cx<'_>, ino: Ino, _: &FileInfo) -> Answer<()> {
        let closed = cx.release(ino)?;
        cx.released(|_| drop(closed));
        Ok(())
    }

    fn fsync(&self, cx: &mut Cx<'_>, ino: Ino, _: &FileInfo, datasync: bool) -> Answer<()> {
        let open = cx.opened(ino)?;
        Ok(cx.released(|_| node::sync(&open, datasync))?)
    }

    fn opendir(&self, cx: &mut Cx<'_>, ino: Ino, _: OpenFlags) -> Answer<Opened> {
        Ok(Opened::new(cx.open_directory(ino)?))
    }

    fn readdir(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        let handle = file.handle();
        if offset == 0 {
            let dir = Arc::clone(&cx.directory(handle)?.file);
            let listed = cx.released(|_| node::list(&dir))?;
            cx.directory(handle)?.listed = listed.into();
        }
        self.list(cx, ino, handle, offset, &mut out)?;
        Ok(out.finish())
    }

    fn releasedir(&self, cx: &mut Cx<'_>, _: Ino, file: &FileInfo) -> Answer<()> {
        cx.close_directory(file.handle()).ok_or(Errno::EBADF)?;
        Ok(())
    }

    fn fsyncdir(&self, cx: &mut Cx<'_>, _: Ino, file: &FileInfo, datasync: bool) -> Answer<()> {
        let dir = Arc::clone(&cx.directory(file.handle())?.file);
        Ok(cx.released(|_| node::sync(&dir, datasync))?)
    }

    fn statfs(&self, cx: &mut Cx<'_>, ino: Ino) -> Answer<StatVfs> {
        Ok(node::statfs(&*cx.reach(ino)?)?)
    }

    fn setxattr(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Answer<()> {
        Ok(node::setxattr(&*cx.reach(ino)?, name, value, flags)?)
    }

    fn getxattr(&self, cx: &mut Cx<'_>, ino: Ino, name: &OsStr) -> Answer<Vec<u8>> {
        Ok(node::getxattr(&*cx.reach(ino)?, name)?)
    }

    fn listxattr(&self, cx: &mut Cx<'_>, ino: Ino) -> Answer<XattrNames> {
        let names = node::listxattr(&*cx.reach(ino)?)?;
        let names = names
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty());
        Ok(names.map(OsStr::from_bytes).collect())
    }

    fn removexattr(&self, cx: &mut Cx<'_>, ino: Ino, name: &OsStr) -> Answer<()> {
        Ok(node::removexattr(&*cx.reach(ino)?, name)?)
    }

    fn fallocate(&self, cx: &mut Cx<'_>, ino: Ino, _: &FileInfo, range: Fallocate) -> Answer<()> {
        let mode = FallocateFlags::from_bits_retain(range.mode.bits().unsigned_abs());
        let open = cx.opened(ino)?;
        let done = cx.released(|_| fs::fallocate(&open, mode, range.offset, range.length));
        Ok(done.map_err(io::Error::from)?)
    }
}
