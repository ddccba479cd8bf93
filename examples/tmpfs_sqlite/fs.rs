//! The handlers. Each takes the state from its context, calls what does the work, and returns the answer.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::{
    AccessMode, Answer, Attr, Capabilities, Connection, Context, Create, Created, Data, DirBuf,
    Entry, Errno, Fh, FileInfo, Filesystem, GlobalLock, Ino, Listing, Open, OpenFlags, Opened,
    ReadBuf, RenameFlags, SetAttr, StatVfs,
};

use crate::error::{Error, Result};
use crate::inodes::{New, TIMEOUT};
use crate::store::Store;

/// What handlers need besides the state that the lock guards: nothing.
#[derive(Debug)]
pub(crate) struct TmpfsSqlite;

type Cx<'a> = Context<'a, TmpfsSqlite>;

impl TmpfsSqlite {
    /// Makes `name`; its entry counts as a lookup.
    fn make(cx: &mut Cx<'_>, parent: Ino, name: &OsStr, new: New<'_>) -> Result<Entry> {
        let caller = cx.caller();
        let entry = cx.change(|view| {
            let ino = view.make(parent, name, new, caller)?;
            view.entry(ino)
        })?;
        cx.known(entry.attr.ino).lookups += 1;
        Ok(entry)
    }

    fn opened(cx: &mut Cx<'_>, ino: Ino) -> Opened {
        cx.known(ino).opens += 1;
        Opened::new(Fh(ino.0))
    }
}

impl Filesystem for TmpfsSqlite {
    type Lock = Arc<GlobalLock<Store>>;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        // None is needed.
        connection.want_offered(
            Capabilities::READDIRPLUS
                | Capabilities::READDIRPLUS_AUTO
                | Capabilities::PARALLEL_DIROPS
                | Capabilities::CACHE_SYMLINKS,
        );
        // The kernel knows better than this program who may keep set-user-id bits, and sends a setattr. It also sends one
        // for O_TRUNC: as a part of `open` that would come before the kernel has seen that the file is a running program.
        connection.unwant(Capabilities::HANDLE_KILLPRIV | Capabilities::ATOMIC_O_TRUNC);
        Ok(())
    }

    fn lookup(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        match cx.view().find(parent, name) {
            Ok(ino) => {
                let entry = cx.view().entry(ino)?;
                cx.known(ino).lookups += 1;
                Ok(entry)
            }
            // No other way than through the kernel can make the name: it may remember that there is none.
            Err(Error::Errno(Errno::ENOENT)) => Ok(Entry::negative(TIMEOUT)),
            Err(error) => Err(error.into()),
        }
    }

    fn forget(&self, cx: &mut Cx<'_>, ino: Ino, nlookup: u64) {
        if let Err(error) = cx.unknow(ino, nlookup, 0) {
            crate::complain(format_args!("inode {ino} was not deleted: {error:?}"));
        }
    }

    fn getattr(&self, cx: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        Ok((cx.view().attr(ino)?, TIMEOUT))
    }

    fn setattr(&self, cx: &mut Cx<'_>, ino: Ino, changes: &SetAttr) -> Answer<(Attr, Duration)> {
        Ok((cx.change(|view| view.set(ino, changes))?, TIMEOUT))
    }

    fn readlink(&self, cx: &mut Cx<'_>, ino: Ino) -> Answer<PathBuf> {
        let target = cx.change(|view| {
            view.accessed(ino)?;
            view.readlink(ino)
        });
        Ok(target?)
    }

    fn mknod(
        &self,
        cx: &mut Cx<'_>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
        rdev: u64,
    ) -> Answer<Entry> {
        let new = New {
            mode,
            rdev,
            target: None,
        };
        Ok(Self::make(cx, parent, name, new)?)
    }

    fn mkdir(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr, mode: u32) -> Answer<Entry> {
        let new = New {
            mode: libc::S_IFDIR | (mode & 0o7777),
            rdev: 0,
            target: None,
        };
        Ok(Self::make(cx, parent, name, new)?)
    }

    fn unlink(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<()> {
        Ok(cx.change(|view| view.unlink(parent, name))?)
    }

    fn rmdir(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<()> {
        Ok(cx.change(|view| view.rmdir(parent, name))?)
    }

    fn symlink(&self, cx: &mut Cx<'_>, target: &OsStr, parent: Ino, name: &OsStr) -> Answer<Entry> {
        let new = New {
            mode: libc::S_IFLNK | 0o777,
            rdev: 0,
            target: Some(target),
        };
        Ok(Self::make(cx, parent, name, new)?)
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
        let (from, to) = ((parent, name), (newparent, newname));
        Ok(cx.change(|view| view.rename(from, to, flags))?)
    }

    fn link(&self, cx: &mut Cx<'_>, ino: Ino, newparent: Ino, newname: &OsStr) -> Answer<Entry> {
        let entry = cx.change(|view| {
            view.link(ino, newparent, newname)?;
            view.entry(ino)
        })?;
        cx.known(ino).lookups += 1;
        Ok(entry)
    }

    fn open(&self, cx: &mut Cx<'_>, ino: Ino, _: Open) -> Answer<Opened> {
        Ok(Self::opened(cx, ino).keep_cache(true))
    }

    fn create(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr, how: Create) -> Answer<Created> {
        let new = New {
            mode: libc::S_IFREG | (how.mode & 0o7777),
            rdev: 0,
            target: None,
        };
        let entry = Self::make(cx, parent, name, new)?;
        Ok(Created {
            entry,
            opened: Self::opened(cx, entry.attr.ino).keep_cache(true),
        })
    }

    fn read(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        mut out: ReadBuf,
    ) -> Answer<Data<'_>> {
        cx.view().read(ino, offset, file.flags(), &mut out)?;
        Ok(out.finish())
    }

    fn write(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        data: &[u8],
    ) -> Answer<usize> {
        Ok(cx.change(|view| view.write(ino, offset, data))?)
    }

    fn release(&self, cx: &mut Cx<'_>, ino: Ino, _: &FileInfo) -> Answer<()> {
        Ok(cx.unknow(ino, 0, 1)?)
    }

    fn fsync(&self, cx: &mut Cx<'_>, _: Ino, _: &FileInfo, _datasync: bool) -> Answer<()> {
        Ok(cx.sync()?)
    }

    fn opendir(&self, cx: &mut Cx<'_>, ino: Ino, _: OpenFlags) -> Answer<Opened> {
        Ok(Self::opened(cx, ino))
    }

    fn readdir(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        out: DirBuf,
    ) -> Answer<Listing> {
        Ok(cx.list(ino, offset, out)?)
    }

    fn releasedir(&self, cx: &mut Cx<'_>, ino: Ino, _: &FileInfo) -> Answer<()> {
        Ok(cx.unknow(ino, 0, 1)?)
    }

    fn fsyncdir(&self, cx: &mut Cx<'_>, _: Ino, _: &FileInfo, _datasync: bool) -> Answer<()> {
        Ok(cx.sync()?)
    }

    /// Asked only with `-o no_default_permissions`.
    fn access(&self, _: &mut Cx<'_>, _: Ino, _: AccessMode) -> Answer<()> {
        Ok(())
    }

    fn statfs(&self, cx: &mut Cx<'_>, _: Ino) -> Answer<StatVfs> {
        Ok(cx.view().statfs()?)
    }
}
