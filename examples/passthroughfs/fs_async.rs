//! The handlers once more, in pyfuse3's style: each answers by a future, and one thread runs them all.
//!
//! What stands between two awaits is not interrupted, so that names and the tree here change together, as under the lock. What may
//! take long, of files that are open, is awaited, on threads for that.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::range::{Fallocate, Offset, Whence};
use fuse3::tasks::{Local, unblock};
use fuse3::{
    Answer, Attr, Connection, Context, Create, Created, Data, DirBuf, Entry, Errno, FileInfo,
    Filesystem, Ino, Listing, Open, OpenFlags, Opened, ReadBuf, RenameFlags, SetAttr, StatVfs,
    XattrFlags, XattrNames,
};
use rustix::fs::{self, AtFlags, FileType, Mode};

use crate::mirror::{Asked, Mirror};
use crate::node;
use crate::repeated::unless_done;
use crate::seek::seek;
use crate::settings::Settings;

#[derive(Debug)]
pub(crate) struct PassthroughAsync(pub(crate) Settings);

type Cx<'a> = Context<'a, PassthroughAsync>;

impl PassthroughAsync {
    /// Answers by what `of` does to the mirror at once, without an await.
    fn at_once<T: fuse3::reply::Payload + 'static>(
        cx: &mut Cx<'_>,
        of: impl FnOnce(&Settings, &mut Mirror) -> io::Result<T> + Send + 'static,
    ) -> Answer<T> {
        cx.spawn_local(move |fs, mut mirror| async move { Ok(mirror.with(|it| of(&fs.0, it))?) })
    }

    /// Answers by what `of` does to the descriptor of `ino`, on another thread.
    fn blocking<T: fuse3::reply::Payload + Send + 'static>(
        cx: &mut Cx<'_>,
        ino: Ino,
        of: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
    ) -> Answer<T> {
        cx.spawn_local(move |_, mut mirror| async move {
            let open = mirror.with(|it| it.opened(ino))?;
            Ok(unblock(move || of(&open)).await?)
        })
    }

    fn make(
        cx: &mut Cx<'_>,
        parent: Ino,
        (name, mode): (&OsStr, u32),
        make: impl FnOnce(&File, &OsStr, Mode) -> rustix::io::Result<()> + Send + 'static,
    ) -> Answer<Entry> {
        let (asked, name) = (Asked::by(cx), name.to_owned());
        Self::at_once(cx, move |settings, it| {
            let make = |dir: &File, mode| make(dir, &name, mode);
            let entry = it.make(asked, parent, (&name, mode), make)?;
            Ok(settings.entry(entry))
        })
    }
}

impl Filesystem for PassthroughAsync {
    type Lock = Local<Mirror>;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        self.0.negotiate(connection)
    }

    fn lookup(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        let name = name.to_owned();
        Self::at_once(cx, move |settings, it| {
            let found = it.look_up(parent, &name);
            settings.debug(|| match &found {
                Ok(entry) => format!("lookup of {name:?} in {parent}: {}", entry.ino),
                Err(what) => format!("lookup of {name:?} in {parent}: {what}"),
            });
            Ok(settings.entry(found?))
        })
    }

    fn forget(&self, cx: &mut Cx<'_>, ino: Ino, nlookup: u64) {
        self.forget_multi(cx, &mut [(ino, nlookup)].into_iter());
    }

    fn forget_multi(&self, cx: &mut Cx<'_>, forgets: &mut dyn Iterator<Item = (Ino, u64)>) {
        let forgets: Vec<_> = forgets.collect();
        let forgotten = cx.call(move |it| {
            it.forgotten(forgets);
        });
        if let Err(error) = forgotten {
            eprintln!("ERROR: inodes were not forgotten: {error}");
        }
    }

    fn getattr(&self, cx: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        Self::at_once(cx, move |settings, it| Ok(settings.attr(it.attr(ino)?)))
    }

    fn setattr(&self, cx: &mut Cx<'_>, ino: Ino, changes: &SetAttr) -> Answer<(Attr, Duration)> {
        let (caller, changes) = (cx.caller(), changes.clone());
        Self::at_once(cx, move |settings, it| {
            Ok(settings.attr(it.set(caller, ino, &changes)?))
        })
    }

    fn readlink(&self, cx: &mut Cx<'_>, ino: Ino) -> Answer<PathBuf> {
        Self::at_once(cx, move |_, it| it.readlink(ino))
    }

    fn mknod(
        &self,
        cx: &mut Cx<'_>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
        rdev: u64,
    ) -> Answer<Entry> {
        let kind = FileType::from_raw_mode(mode);
        Self::make(cx, parent, (name, mode), move |dir, name, mode| {
            fs::mknodat(dir, name, kind, mode, rdev)
        })
    }

    fn mkdir(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr, mode: u32) -> Answer<Entry> {
        Self::make(cx, parent, (name, mode), |dir, name, mode| {
            fs::mkdirat(dir, name, mode)
        })
    }

    fn unlink(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<()> {
        let (again, name) = (cx.is_resent(), name.to_owned());
        Self::at_once(cx, move |_, it| {
            it.remove(again, parent, &name, AtFlags::empty())
        })
    }

    fn rmdir(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<()> {
        let (again, name) = (cx.is_resent(), name.to_owned());
        Self::at_once(cx, move |_, it| {
            it.remove(again, parent, &name, AtFlags::REMOVEDIR)
        })
    }

    fn symlink(&self, cx: &mut Cx<'_>, target: &OsStr, parent: Ino, name: &OsStr) -> Answer<Entry> {
        let target = target.to_owned();
        Self::make(cx, parent, (name, 0), move |dir, name, _| {
            fs::symlinkat(&target, dir, name)
        })
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
        let (name, newname) = (name.to_owned(), newname.to_owned());
        let again = cx.is_resent();
        Self::at_once(cx, move |_, it| {
            it.rename(again, (parent, &name), (newparent, &newname), flags)
        })
    }

    fn link(&self, cx: &mut Cx<'_>, ino: Ino, newparent: Ino, newname: &OsStr) -> Answer<Entry> {
        let (again, newname) = (cx.is_resent(), newname.to_owned());
        Self::at_once(cx, move |settings, it| {
            Ok(settings.entry(it.link(again, ino, newparent, &newname)?))
        })
    }

    fn open(&self, cx: &mut Cx<'_>, ino: Ino, Open { flags, .. }: Open) -> Answer<Opened> {
        let caller = cx.caller();
        Self::at_once(cx, move |settings, it| {
            settings.debug(|| format!("open {ino} with {flags:?}"));
            Ok(Opened::new(it.open(caller, ino, flags)?))
        })
    }

    fn create(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr, how: Create) -> Answer<Created> {
        let (asked, name) = (Asked::by(cx), name.to_owned());
        Self::at_once(cx, move |settings, it| {
            let (entry, handle) = it.create(asked, parent, &name, how)?;
            settings.debug(|| format!("create {name:?} in {parent}: {}", entry.ino));
            Ok(Created {
                entry: settings.entry(entry),
                opened: Opened::new(handle),
            })
        })
    }

    fn read(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        let flags = file.flags();
        cx.spawn_local(move |_, mut mirror| async move {
            let open = mirror.with(|it| it.opened_to_read(ino, flags))?;
            let mut bytes = out;
            let read = move || {
                let size = bytes.size();
                bytes.push_with(size, |room| node::read(&open, offset, room))?;
                Ok::<_, io::Error>(bytes.finish())
            };
            Ok(unblock(read).await?)
        })
    }

    fn write(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        data: &[u8],
    ) -> Answer<usize> {
        let (data, flags) = (data.to_owned(), file.flags());
        let caller = (!file.writepage()).then(|| cx.caller());
        Self::blocking(cx, ino, move |open| {
            node::write(caller, open, offset, &data, flags)?;
            Ok(data.len())
        })
    }

    fn flush(&self, cx: &mut Cx<'_>, ino: Ino, _: &FileInfo) -> Answer<()> {
        Self::blocking(cx, ino, node::flush)
    }

    fn release(&self, cx: &mut Cx<'_>, ino: Ino, file: &FileInfo) -> Answer<()> {
        let handle = file.handle();
        cx.spawn_local(move |_, mut mirror| async move {
            let closed = mirror.with(|it| it.release(ino, handle))?;
            unblock(move || drop(closed)).await;
            Ok(())
        })
    }

    fn fsync(&self, cx: &mut Cx<'_>, ino: Ino, _: &FileInfo, datasync: bool) -> Answer<()> {
        Self::blocking(cx, ino, move |open| node::sync(open, datasync))
    }

    fn opendir(&self, cx: &mut Cx<'_>, ino: Ino, _: OpenFlags) -> Answer<Opened> {
        Self::at_once(cx, move |_, it| Ok(Opened::new(it.open_directory(ino)?)))
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
        cx.spawn_local(move |fs, mut mirror| async move {
            if offset == 0 {
                let dir =
                    mirror.with(|it| it.directory(handle).map(|dir| Arc::clone(&dir.file)))?;
                let listed = unblock(move || node::list(&dir)).await?;
                mirror.with(|it| it.listed(handle, listed))?;
            }
            mirror.with(|it| it.list(ino, handle, offset, &mut out, fs.0.timeout))?;
            Ok(out.finish())
        })
    }

    fn releasedir(&self, cx: &mut Cx<'_>, _: Ino, file: &FileInfo) -> Answer<()> {
        let handle = file.handle();
        Self::at_once(cx, move |_, it| {
            it.close_directory(handle).ok_or(Errno::EBADF)?;
            Ok(())
        })
    }

    fn fsyncdir(&self, cx: &mut Cx<'_>, _: Ino, file: &FileInfo, datasync: bool) -> Answer<()> {
        let handle = file.handle();
        cx.spawn_local(move |_, mut mirror| async move {
            let dir = mirror.with(|it| it.directory(handle).map(|dir| Arc::clone(&dir.file)))?;
            Ok(unblock(move || node::sync(&dir, datasync)).await?)
        })
    }

    fn statfs(&self, cx: &mut Cx<'_>, ino: Ino) -> Answer<StatVfs> {
        Self::at_once(cx, move |_, it| node::statfs(&*it.reach(ino)?))
    }

    fn setxattr(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Answer<()> {
        let (name, value) = (name.to_owned(), value.to_owned());
        let Asked { caller, again } = Asked::by(cx);
        Self::at_once(cx, move |_, it| {
            let file = it.reach(ino)?;
            let set = node::setxattr(caller, &file, &name, &value, flags);
            let is_set = || node::getxattr(&file, &name).is_ok_and(|is| is == value);
            unless_done(again, set, is_set)
        })
    }

    fn getxattr(&self, cx: &mut Cx<'_>, ino: Ino, name: &OsStr) -> Answer<Vec<u8>> {
        let name = name.to_owned();
        Self::at_once(cx, move |_, it| node::getxattr(&*it.reach(ino)?, &name))
    }

    fn listxattr(&self, cx: &mut Cx<'_>, ino: Ino) -> Answer<XattrNames> {
        let caller = cx.caller();
        Self::at_once(cx, move |_, it| node::listxattr(caller, &*it.reach(ino)?))
    }

    fn removexattr(&self, cx: &mut Cx<'_>, ino: Ino, name: &OsStr) -> Answer<()> {
        let (again, name) = (cx.is_resent(), name.to_owned());
        Self::at_once(cx, move |_, it| {
            let file = it.reach(ino)?;
            let is_gone = || node::getxattr(&file, &name).is_err();
            unless_done(again, node::removexattr(&file, &name), is_gone)
        })
    }

    fn lseek(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        whence: Whence,
    ) -> Answer<Offset> {
        Self::blocking(cx, ino, move |open| seek(open, offset, whence))
    }

    fn fallocate(&self, cx: &mut Cx<'_>, ino: Ino, _: &FileInfo, range: Fallocate) -> Answer<()> {
        let caller = cx.caller();
        Self::blocking(cx, ino, move |open| node::allocate(caller, open, range))
    }
}
