//! The handlers.

use std::ffi::OsStr;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::range::Fallocate;
use fuse3::reply::Added;
use fuse3::{
    Answer, Attr, Capabilities, Concurrent, Connection, Context, Create, Created, Data, DirBuf,
    Entry, Errno, Fh, FileInfo, Filesystem, Ino, Listing, Open, OpenFlags, Opened, ReadBuf,
    RenameFlags, SetAttr, StatVfs,
};
use parking_lot::RwLock;

use crate::inode::Inode;
use crate::listings::Listings;
use crate::tree::Tree;

/// What was asked for with `-o`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings {
    /// `null_io`: files have a size and no contents.
    pub(crate) null_io: bool,
    /// `fuse_dio`: the page cache is not used.
    pub(crate) fuse_dio: bool,
    /// `writeback_cache`: writes go to the page cache first.
    pub(crate) writeback_cache: bool,
    /// `no_timeout`: the kernel may keep names and attributes for ever. Otherwise it asks every time.
    pub(crate) no_timeout: bool,
}

/// A file system in memory, whose handlers run in parallel.
#[derive(Debug)]
pub(crate) struct Memfs {
    settings: Settings,
    /// Taken before the lock of an inode, never after.
    tree: RwLock<Tree>,
    listings: Listings,
    /// Another each time that the program runs, so that a file handle from before does not lead to a new file with the old
    /// one's number. The root's is 0.
    generation: u64,
}

type Cx<'a> = Context<'a, Memfs>;

impl Memfs {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            tree: RwLock::new(Tree::new()),
            listings: Listings::default(),
            generation: RandomState::new().build_hasher().finish(),
        }
    }

    fn get(&self, ino: Ino) -> Result<Arc<Inode>, Errno> {
        self.tree.read().get(ino).cloned()
    }

    fn timeout(&self) -> Duration {
        if self.settings.no_timeout {
            Duration::MAX
        } else {
            Duration::ZERO
        }
    }

    /// For how long the kernel may show these attributes. A write past the page cache takes set-id bits away, and it is not told:
    /// it is to ask before it runs the file.
    fn attr_timeout(&self, attr: &Attr) -> Duration {
        match self.settings.fuse_dio && attr.mode & (libc::S_ISUID | libc::S_ISGID) != 0 {
            true => Duration::ZERO,
            false => self.timeout(),
        }
    }

    /// One lookup more. The tree is locked meanwhile, or `inode` could be gone before it is counted.
    fn entry(&self, _tree: &Tree, inode: &Inode) -> Entry {
        inode.lookups.fetch_add(1, Ordering::Relaxed);
        let attr = inode.attr();
        let generation = match attr.ino {
            Ino::ROOT => 0,
            _ => self.generation,
        };
        Entry {
            generation,
            attr_timeout: self.attr_timeout(&attr),
            ..Entry::new(attr, self.timeout())
        }
    }

    /// Makes an inode of the caller's.
    fn make(
        &self,
        cx: &Cx<'_>,
        place: (Ino, &OsStr),
        mode: u32,
        rdev: u64,
        target: Option<PathBuf>,
    ) -> Result<Entry, Errno> {
        let mut tree = self.tree.write();
        let inode = tree.make(place, mode, rdev, target, cx.caller())?;
        Ok(self.entry(&tree, &inode))
    }

    fn opened(&self, ino: Ino) -> Opened {
        Opened::new(Fh(ino.0)).direct_io(self.settings.fuse_dio)
    }
}

impl Filesystem for Memfs {
    type Lock = Concurrent;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        if self.settings.writeback_cache {
            let wanted = connection.want(Capabilities::WRITEBACK_CACHE);
            wanted.map_err(io::Error::other)?;
        }
        // The kernel then takes set-id bits away by itself, and asks for a truncation before it opens the file.
        connection.unwant(
            Capabilities::HANDLE_KILLPRIV
                | Capabilities::HANDLE_KILLPRIV_V2
                | Capabilities::ATOMIC_O_TRUNC,
        );
        // Where the first is not to be had, the kernel sends one lookup or listing of a directory at a time; without the second
        // a file handle leads to what the kernel still knows.
        let wanted = Capabilities::PARALLEL_DIROPS | Capabilities::EXPORT_SUPPORT;
        connection.want_offered(wanted);
        Ok(())
    }

    fn lookup(&self, _: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        let tree = self.tree.read();
        let inode = tree.get(tree.find((parent, name))?)?;
        Ok(self.entry(&tree, inode))
    }

    fn forget(&self, _: &mut Cx<'_>, ino: Ino, nlookup: u64) {
        self.tree.write().forget(ino, nlookup);
    }

    fn getattr(&self, _: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        let attr = self.get(ino)?.attr();
        Ok((attr, self.attr_timeout(&attr)))
    }

    fn setattr(&self, cx: &mut Cx<'_>, ino: Ino, changes: &SetAttr) -> Answer<(Attr, Duration)> {
        self.get(ino)?.state.write().change(changes);
        self.getattr(cx, ino, None)
    }

    fn readlink(&self, _: &mut Cx<'_>, ino: Ino) -> Answer<PathBuf> {
        let target = self.get(ino)?.state.read().target.clone();
        Ok(target.ok_or(Errno::EINVAL)?)
    }

    fn mknod(
        &self,
        cx: &mut Cx<'_>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
        rdev: u64,
    ) -> Answer<Entry> {
        Ok(self.make(cx, (parent, name), mode, rdev, None)?)
    }

    fn mkdir(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr, mode: u32) -> Answer<Entry> {
        Ok(self.make(cx, (parent, name), libc::S_IFDIR | mode, 0, None)?)
    }

    fn unlink(&self, _: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<()> {
        Ok(self.tree.write().unlink((parent, name))?)
    }

    fn rmdir(&self, _: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<()> {
        Ok(self.tree.write().rmdir((parent, name))?)
    }

    fn symlink(&self, cx: &mut Cx<'_>, target: &OsStr, parent: Ino, name: &OsStr) -> Answer<Entry> {
        let mode = libc::S_IFLNK | 0o777;
        Ok(self.make(cx, (parent, name), mode, 0, Some(target.into()))?)
    }

    fn rename(
        &self,
        _: &mut Cx<'_>,
        parent: Ino,
        name: &OsStr,
        newparent: Ino,
        newname: &OsStr,
        flags: RenameFlags,
    ) -> Answer<()> {
        let mut tree = self.tree.write();
        Ok(tree.rename((parent, name), (newparent, newname), flags)?)
    }

    fn link(&self, _: &mut Cx<'_>, ino: Ino, parent: Ino, name: &OsStr) -> Answer<Entry> {
        let mut tree = self.tree.write();
        let inode = tree.link(ino, (parent, name))?;
        Ok(self.entry(&tree, &inode))
    }

    fn open(&self, _: &mut Cx<'_>, ino: Ino, _: Open) -> Answer<Opened> {
        Ok(self.opened(ino))
    }

    fn create(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr, how: Create) -> Answer<Created> {
        let entry = self.make(cx, (parent, name), how.mode, 0, None)?;
        Ok(Created {
            entry,
            opened: self.opened(entry.ino),
        })
    }

    fn read(
        &self,
        _: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        mut out: ReadBuf,
    ) -> Answer<Data<'_>> {
        self.get(ino)?.state.read().read(offset, &mut out);
        Ok(out.finish())
    }

    fn write(
        &self,
        _: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        data: &[u8],
    ) -> Answer<usize> {
        let keep = !self.settings.null_io;
        let inode = self.get(ino)?;
        let mut state = inode.state.write();
        // Past the page cache the kernel leaves them to the file system, which does not know who may keep them.
        if self.settings.fuse_dio {
            state.drop_set_id();
        }
        state.write(offset, data, keep);
        Ok(data.len())
    }

    fn opendir(&self, _: &mut Cx<'_>, ino: Ino, _: OpenFlags) -> Answer<Opened> {
        let end = self.tree.read().last(ino)?;
        Ok(Opened::new(self.listings.open(end)))
    }

    fn readdir(
        &self,
        _: &mut Cx<'_>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        let tree = self.tree.read();
        if offset == 0 {
            self.listings.rewind(file.handle(), tree.last(ino)?);
        }
        let end = self.listings.end(file.handle()).ok_or(Errno::EBADF)?;
        for (next, name, inode) in tree.list(ino, offset, end)? {
            // Only its number and its type are sent, and it is not counted: READDIRPLUS was not asked for.
            let entry = Entry::new(inode.attr(), Duration::ZERO);
            if out.add(name, &entry, next) == Added::Full {
                break;
            }
        }
        Ok(out.finish())
    }

    fn releasedir(&self, _: &mut Cx<'_>, _: Ino, file: &FileInfo) -> Answer<()> {
        self.listings.close(file.handle());
        Ok(())
    }

    fn statfs(&self, _: &mut Cx<'_>, _: Ino) -> Answer<StatVfs> {
        let files = self.tree.read().len() as u64;
        Ok(StatVfs {
            bsize: 4096,
            frsize: 4096,
            blocks: 1_000_000,
            bfree: 1_000_000,
            bavail: 1_000_000,
            files,
            ffree: u64::MAX - files,
            namemax: 255,
        })
    }

    fn fallocate(&self, _: &mut Cx<'_>, ino: Ino, _: &FileInfo, range: Fallocate) -> Answer<()> {
        Ok(self.get(ino)?.state.write().allocate(&range)?)
    }
}
