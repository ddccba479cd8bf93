//! The handlers. Each takes the state from its context, calls what does the work, and returns the answer.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::range::{Fallocate, Offset, Whence};
use fuse3::{
    Answer, Attr, Connection, Context, Create, Created, Data, DirBuf, Entry, Errno, FileInfo,
    Filesystem, GlobalLock, Ino, Listing, Open, OpenFlags, Opened, ReadBuf, RenameFlags, SetAttr,
    StatVfs, XattrFlags, XattrNames,
};
use rustix::fs::{self, AtFlags, FileType};

use crate::mirror::{Asked, Mirror};
use crate::node;
use crate::repeated::unless_done;
use crate::seek::seek;
use crate::settings::Settings;

/// llfuse's style: what handlers need besides the state that the lock guards.
#[derive(Debug)]
pub(crate) struct PassthroughFs(pub(crate) Settings);

type Cx<'a> = Context<'a, PassthroughFs>;

impl Filesystem for PassthroughFs {
    type Lock = Arc<GlobalLock<Mirror>>;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        self.0.negotiate(connection)
    }

    fn lookup(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        let found = cx.look_up(parent, name);
        self.0.debug(|| match &found {
            Ok(entry) => format!("lookup of {name:?} in {parent}: {}", entry.ino),
            Err(what) => format!("lookup of {name:?} in {parent}: {what}"),
        });
        Ok(self.0.entry(found?))
    }

    fn forget(&self, cx: &mut Cx<'_>, ino: Ino, nlookup: u64) {
        self.0
            .debug(|| format!("forget {nlookup} lookups of {ino}"));
        cx.forgotten([(ino, nlookup)]);
    }

    fn getattr(&self, cx: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        Ok(self.0.attr(cx.attr(ino)?))
    }

    fn setattr(&self, cx: &mut Cx<'_>, ino: Ino, changes: &SetAttr) -> Answer<(Attr, Duration)> {
        let caller = cx.caller();
        Ok(self.0.attr(cx.set(caller, ino, changes)?))
    }

    fn readlink(&self, cx: &mut Cx<'_>, ino: Ino) -> Answer<PathBuf> {
        Ok(cx.readlink(ino)?)
    }

    fn mknod(
        &self,
        cx: &mut Cx<'_>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
        rdev: u64,
    ) -> Answer<Entry> {
        let (kind, asked) = (FileType::from_raw_mode(mode), Asked::by(cx));
        let make = |dir: &File, mode| fs::mknodat(dir, name, kind, mode, rdev);
        Ok(self.0.entry(cx.make(asked, parent, (name, mode), make)?))
    }

    fn mkdir(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr, mode: u32) -> Answer<Entry> {
        let asked = Asked::by(cx);
        let make = |dir: &File, mode| fs::mkdirat(dir, name, mode);
        Ok(self.0.entry(cx.make(asked, parent, (name, mode), make)?))
    }

    fn unlink(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<()> {
        let again = cx.is_resent();
        Ok(cx.remove(again, parent, name, AtFlags::empty())?)
    }

    fn rmdir(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<()> {
        let again = cx.is_resent();
        Ok(cx.remove(again, parent, name, AtFlags::REMOVEDIR)?)
    }

    fn symlink(&self, cx: &mut Cx<'_>, target: &OsStr, parent: Ino, name: &OsStr) -> Answer<Entry> {
        let asked = Asked::by(cx);
        let make = |dir: &File, _| fs::symlinkat(target, dir, name);
        Ok(self.0.entry(cx.make(asked, parent, (name, 0), make)?))
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
        let again = cx.is_resent();
        Ok(cx.rename(again, (parent, name), (newparent, newname), flags)?)
    }

    fn link(&self, cx: &mut Cx<'_>, ino: Ino, newparent: Ino, newname: &OsStr) -> Answer<Entry> {
        let again = cx.is_resent();
        Ok(self.0.entry(cx.link(again, ino, newparent, newname)?))
    }

    fn open(&self, cx: &mut Cx<'_>, ino: Ino, Open { flags, .. }: Open) -> Answer<Opened> {
        self.0.debug(|| format!("open {ino} with {flags:?}"));
        let caller = cx.caller();
        Ok(Opened::new(cx.open(caller, ino, flags)?))
    }

    fn create(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr, how: Create) -> Answer<Created> {
        let asked = Asked::by(cx);
        let (entry, handle) = cx.create(asked, parent, name, how)?;
        self.0
            .debug(|| format!("create {name:?} in {parent}: {}", entry.ino));
        Ok(Created {
            entry: self.0.entry(entry),
            opened: Opened::new(handle),
        })
    }

    /// The bytes are read after the lock has been released.
    fn read(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        let open = cx.opened_to_read(ino, file.flags())?;
        Ok(out.splice(open, offset, usize::MAX))
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
        let caller = (!file.writepage()).then(|| cx.caller());
        cx.released(|_| node::write(caller, &open, offset, data, file.flags()))?;
        Ok(data.len())
    }

    fn flush(&self, cx: &mut Cx<'_>, ino: Ino, _: &FileInfo) -> Answer<()> {
        let open = cx.opened(ino)?;
        Ok(cx.released(|_| node::flush(&open))?)
    }

    fn release(&self, cx: &mut Cx<'_>, ino: Ino, file: &FileInfo) -> Answer<()> {
        let closed = cx.release(ino, file.handle())?;
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
            cx.listed(handle, listed)?;
        }
        cx.list(ino, handle, offset, &mut out, self.0.timeout)?;
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
        let file = cx.reach(ino)?;
        let set = node::setxattr(cx.caller(), &file, name, value, flags);
        let is_set = || node::getxattr(&file, name).is_ok_and(|is| is == value);
        Ok(unless_done(cx.is_resent(), set, is_set)?)
    }

    fn getxattr(&self, cx: &mut Cx<'_>, ino: Ino, name: &OsStr) -> Answer<Vec<u8>> {
        Ok(node::getxattr(&*cx.reach(ino)?, name)?)
    }

    fn listxattr(&self, cx: &mut Cx<'_>, ino: Ino) -> Answer<XattrNames> {
        let file = cx.reach(ino)?;
        Ok(node::listxattr(cx.caller(), &file)?)
    }

    fn removexattr(&self, cx: &mut Cx<'_>, ino: Ino, name: &OsStr) -> Answer<()> {
        let file = cx.reach(ino)?;
        let is_gone = || node::getxattr(&file, name).is_err();
        let removed = node::removexattr(&file, name);
        Ok(unless_done(cx.is_resent(), removed, is_gone)?)
    }

    fn lseek(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        whence: Whence,
    ) -> Answer<Offset> {
        Ok(seek(&*cx.opened(ino)?, offset, whence)?)
    }

    fn fallocate(&self, cx: &mut Cx<'_>, ino: Ino, _: &FileInfo, range: Fallocate) -> Answer<()> {
        let (open, caller) = (cx.opened(ino)?, cx.caller());
        Ok(cx.released(|_| node::allocate(caller, &open, range))?)
    }
}
