//! What the global lock guards. Everything here takes the state, and so cannot release the lock: it happens at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::thread::JoinHandle;
use std::time::Duration;

use fuse3::kit::WorkSender;
use fuse3::{Attr, Entry, Errno, Ino, RenameFlags, Timestamp};

use crate::blocks::{BlockMap, Blocks};
use crate::inode::Inode;
use crate::record::Record;
use crate::upload::Upload;

/// How long the kernel may answer by itself: all changes come through it, but for `copy`.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);

/// The file system, as its clients see it.
pub(crate) struct State {
    /// A tree and not a hash table, which keeps the lock for long when it grows.
    pub(crate) inodes: BTreeMap<Ino, Inode>,
    /// The number that was given last. None is given twice.
    pub(crate) last: Ino,
    pub(crate) blocks: Blocks,
    /// What has changed since it was committed.
    pub(crate) dirty: BTreeSet<Record>,
    /// The blocks of each file as the backend knows it.
    pub(crate) committed: BTreeMap<Ino, BlockMap>,
    /// The number of the last commit.
    pub(crate) commits: u64,
    /// The number of the last one that was made of many.
    pub(crate) compacted: u64,
    pub(crate) uploads: Option<WorkSender<Upload>>,
    pub(crate) threads: Vec<JoinHandle<()>>,
    /// The threads are to end.
    pub(crate) stop: bool,
}

impl State {
    /// The root of a new file system, which belongs to who runs it.
    pub(crate) fn make_root(&mut self) {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let attr = Attr::new(Ino::ROOT, libc::S_IFDIR | 0o755);
        self.add(Attr { uid, gid, ..attr }, Ino::ROOT, OsStr::new("/"));
    }

    fn add(&mut self, mut attr: Attr, parent: Ino, name: &OsStr) {
        let now = Timestamp::now();
        (attr.atime, attr.mtime, attr.ctime) = (now, now, now);
        let mut inode = Inode::new(attr, parent, name);
        inode.attr.nlink = 1 + u32::from(inode.is_directory());
        self.inodes.insert(attr.ino, inode);
        self.dirty.insert(Record::Inode(attr.ino));
    }

    /// # Errors
    ///
    /// ESTALE, when the inode went while the lock was released.
    pub(crate) fn get(&self, ino: Ino) -> Result<&Inode, Errno> {
        self.inodes.get(&ino).ok_or(Errno::ESTALE)
    }

    /// The inode, to be changed, and committed again.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) fn change(&mut self, ino: Ino) -> Result<&mut Inode, Errno> {
        let inode = self.inodes.get_mut(&ino).ok_or(Errno::ESTALE)?;
        self.dirty.insert(Record::Inode(ino));
        inode.attr.ctime = Timestamp::now();
        Ok(inode)
    }

    /// # Errors
    ///
    /// ENOENT, ENAMETOOLONG.
    pub(crate) fn find(&self, parent: Ino, name: &OsStr) -> Result<Ino, Errno> {
        if name.len() > 255 {
            return Err(Errno::ENAMETOOLONG);
        }
        let names = &self.get(parent)?.names;
        names.get(name).copied().ok_or(Errno::ENOENT)
    }

    /// A new inode, of which `like` has mode, owner and size.
    ///
    /// # Errors
    ///
    /// EEXIST; ENOENT when the directory was removed.
    pub(crate) fn make(&mut self, parent: Ino, name: &OsStr, like: Attr) -> Result<Ino, Errno> {
        match self.find(parent, name) {
            Ok(_) => return Err(Errno::EEXIST),
            Err(Errno::ENOENT) if self.get(parent)?.attr.nlink > 0 => {}
            Err(error) => return Err(error),
        }
        self.last = Ino(self.last.0 + 1);
        let ino = self.last;
        self.add(Attr { ino, ..like }, parent, name);
        self.put(parent, name, ino)?;
        Ok(ino)
    }

    /// `unlink`, `rmdir`: takes the name away, and the inode when the kernel does not know it.
    ///
    /// # Errors
    ///
    /// ENOENT, EISDIR, ENOTDIR, ENOTEMPTY.
    pub(crate) fn remove(&mut self, parent: Ino, name: &OsStr, rmdir: bool) -> Result<(), Errno> {
        let ino = self.find(parent, name)?;
        let inode = self.get(ino)?;
        match inode.is_directory() {
            true if !rmdir => return Err(Errno::EISDIR),
            true if !inode.names.is_empty() => return Err(Errno::ENOTEMPTY),
            false if rmdir => return Err(Errno::ENOTDIR),
            _ => {}
        }
        self.take(parent, name, ino)?;
        self.change(ino)?.attr.nlink = 0;
        self.collect(ino);
        Ok(())
    }

    /// `rename`. The kernel has seen to it that no directory becomes a part of itself.
    ///
    /// # Errors
    ///
    /// ENOENT, EEXIST, ENOTEMPTY; EINVAL for an exchange.
    pub(crate) fn rename(
        &mut self,
        (parent, name): (Ino, &OsStr),
        (newparent, newname): (Ino, &OsStr),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let ino = self.find(parent, name)?;
        match self.find(newparent, newname) {
            _ if !(flags - RenameFlags::NOREPLACE).is_empty() => return Err(Errno::EINVAL),
            Ok(_) if !flags.is_empty() => return Err(Errno::EEXIST),
            Ok(there) if there == ino => return Ok(()),
            Ok(there) => self.remove(newparent, newname, self.get(there)?.is_directory())?,
            Err(Errno::ENOENT) if self.get(newparent)?.attr.nlink > 0 => {}
            Err(error) => return Err(error),
        }
        self.take(parent, name, ino)?;
        self.put(newparent, newname, ino)?;
        let inode = self.change(ino)?;
        (inode.parent, inode.name) = (newparent, newname.to_owned());
        Ok(())
    }

    fn put(&mut self, parent: Ino, name: &OsStr, ino: Ino) -> Result<(), Errno> {
        let links = u32::from(self.get(ino)?.is_directory());
        let above = self.change(parent)?;
        above.attr.nlink += links;
        above.attr.mtime = Timestamp::now();
        above.names.insert(name.to_owned(), ino);
        above.order.insert(ino);
        self.dirty.insert(Record::Name(parent, name.to_owned()));
        Ok(())
    }

    fn take(&mut self, parent: Ino, name: &OsStr, ino: Ino) -> Result<(), Errno> {
        let links = u32::from(self.get(ino)?.is_directory());
        let above = self.change(parent)?;
        above.attr.nlink -= links;
        above.attr.mtime = Timestamp::now();
        above.names.remove(name);
        above.order.remove(&ino);
        self.dirty.insert(Record::Name(parent, name.to_owned()));
        Ok(())
    }

    /// The inode as the answer to a name: the kernel knows it once more.
    pub(crate) fn entry(&mut self, ino: Ino) -> Result<Entry, Errno> {
        let inode = self.inodes.get_mut(&ino).ok_or(Errno::ESTALE)?;
        inode.lookups += 1;
        Ok(Entry::new(inode.attr, TIMEOUT))
    }

    /// The kernel knows it `count` times less.
    pub(crate) fn forget(&mut self, ino: Ino, count: u64) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.lookups -= count;
            self.collect(ino);
        }
    }

    /// Frees the inode if it has no name and the kernel does not know it.
    pub(crate) fn collect(&mut self, ino: Ino) {
        let is_lost = |inode: &Inode| inode.attr.nlink == 0 && inode.lookups == 0;
        if !self.get(ino).is_ok_and(is_lost) {
            return;
        }
        let blocks = self.inodes.remove(&ino).map(|inode| inode.blocks);
        for id in blocks.unwrap_or_default().into_values() {
            self.blocks.unrefer(id);
        }
        self.dirty.insert(Record::Inode(ino));
    }
}
