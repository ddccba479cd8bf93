//! The names: which inode is called what, and where.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fuse3::{Attr, Caller, Errno, Ino, RenameFlags};

use crate::inode::Inode;

/// All inodes, and the directories. One lock guards it: lookups share it, and a change of names has it alone, so that a rename
/// needs no order in which to lock two directories. It is never held while data are read or written.
#[derive(Debug)]
pub(crate) struct Tree {
    inodes: HashMap<Ino, Arc<Inode>>,
    directories: HashMap<Ino, Directory>,
    last: u64,
}

/// What is in a directory.
#[derive(Debug)]
struct Directory {
    parent: Ino,
    names: BTreeMap<OsString, (u64, Ino)>,
    /// The same, by the offset in the listing: a name has the same as long as it is there.
    listing: BTreeMap<u64, (OsString, Ino)>,
    last: u64,
}

impl Directory {
    fn new(parent: Ino) -> Self {
        let dots = [(1, (".".into(), Ino(0))), (2, ("..".into(), parent))];
        Self {
            parent,
            names: BTreeMap::new(),
            listing: dots.into(),
            last: 2,
        }
    }

    fn insert(&mut self, name: &OsStr, ino: Ino) {
        self.last += 1;
        self.names.insert(name.into(), (self.last, ino));
        self.listing.insert(self.last, (name.into(), ino));
    }

    fn remove(&mut self, name: &OsStr) {
        if let Some((offset, _)) = self.names.remove(name) {
            self.listing.remove(&offset);
        }
    }
}

/// A directory, and a name in it.
pub(crate) type Place<'a> = (Ino, &'a OsStr);

impl Tree {
    pub(crate) fn new() -> Self {
        let attr = Attr {
            nlink: 2,
            ..Attr::new(Ino::ROOT, libc::S_IFDIR | 0o755)
        };
        Self {
            inodes: [(Ino::ROOT, Arc::new(Inode::new(attr, None)))].into(),
            directories: [(Ino::ROOT, Directory::new(Ino::ROOT))].into(),
            last: Ino::ROOT.0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.inodes.len()
    }

    pub(crate) fn get(&self, ino: Ino) -> Result<&Arc<Inode>, Errno> {
        self.inodes.get(&ino).ok_or(Errno::ESTALE)
    }

    fn directory(&self, ino: Ino) -> Result<&Directory, Errno> {
        self.directories.get(&ino).ok_or(Errno::ENOTDIR)
    }

    fn directory_mut(&mut self, ino: Ino) -> Result<&mut Directory, Errno> {
        self.directories.get_mut(&ino).ok_or(Errno::ENOTDIR)
    }

    /// What has the name. That may be "." of any inode, or "..": the kernel looks these up when it has a file handle of what it
    /// has forgotten.
    pub(crate) fn find(&self, (parent, name): Place<'_>) -> Result<Ino, Errno> {
        if name == "." {
            return self.get(parent).map(|_| parent);
        }
        if name == ".." {
            return Ok(self.directory(parent)?.parent);
        }
        if name.len() > 255 {
            return Err(Errno::ENAMETOOLONG);
        }
        let (_, ino) = self
            .directory(parent)?
            .names
            .get(name)
            .ok_or(Errno::ENOENT)?;
        Ok(*ino)
    }

    /// The highest offset in the listing that a name has had.
    pub(crate) fn last(&self, ino: Ino) -> Result<u64, Errno> {
        Ok(self.directory(ino)?.last)
    }

    /// What is listed after `offset`, up to `end`.
    pub(crate) fn list(
        &self,
        ino: Ino,
        offset: u64,
        end: u64,
    ) -> Result<impl Iterator<Item = (u64, &OsStr, &Inode)>, Errno> {
        let listing = self.directory(ino)?.listing.range(offset + 1..);
        let listing = listing.take_while(move |(offset, _)| **offset <= end);
        Ok(listing.filter_map(move |(offset, (name, listed))| {
            let listed = if *listed == Ino(0) { ino } else { *listed };
            Some((*offset, name.as_os_str(), &**self.inodes.get(&listed)?))
        }))
    }

    fn must_be_free(&self, place: Place<'_>) -> Result<(), Errno> {
        match self.find(place) {
            Ok(_) => Err(Errno::EEXIST),
            // A directory that was removed, and that somebody is still in.
            Err(Errno::ENOENT) if self.get(place.0)?.attr().nlink == 0 => Err(Errno::ENOENT),
            Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes an inode, with its type in `mode`. It belongs to the caller, but in a directory with the set-group-id bit to that
    /// one's group.
    pub(crate) fn make(
        &mut self,
        place: Place<'_>,
        mode: u32,
        rdev: u64,
        target: Option<PathBuf>,
        caller: Caller,
    ) -> Result<Arc<Inode>, Errno> {
        self.must_be_free(place)?;
        let (uid, gid) = caller.owner()?;
        let above = self.get(place.0)?.attr();
        let (is_directory, inherits) = (
            mode & libc::S_IFMT == libc::S_IFDIR,
            above.mode & libc::S_ISGID != 0,
        );
        let bit = if inherits && is_directory {
            libc::S_ISGID
        } else {
            0
        };
        self.last += 1;
        let ino = Ino(self.last);
        let attr = Attr {
            nlink: if is_directory { 2 } else { 1 },
            uid,
            gid: if inherits { above.gid } else { gid },
            rdev,
            size: target
                .as_ref()
                .map_or(0, |target| target.as_os_str().len() as u64),
            ..Attr::new(ino, mode | bit)
        };
        let inode = Arc::new(Inode::new(attr, target));
        self.inodes.insert(ino, Arc::clone(&inode));
        if is_directory {
            self.directories.insert(ino, Directory::new(place.0));
        }
        self.insert(place, ino)?;
        Ok(inode)
    }

    pub(crate) fn link(&mut self, ino: Ino, place: Place<'_>) -> Result<Arc<Inode>, Errno> {
        self.must_be_free(place)?;
        let inode = Arc::clone(self.get(ino)?);
        let mut state = inode.state.write();
        state.attr.nlink += 1;
        state.changed();
        drop(state);
        self.insert(place, ino)?;
        Ok(inode)
    }

    pub(crate) fn unlink(&mut self, place: Place<'_>) -> Result<(), Errno> {
        let ino = self.find(place)?;
        if self.get(ino)?.is_directory() {
            return Err(Errno::EISDIR);
        }
        self.remove(place, ino)
    }

    pub(crate) fn rmdir(&mut self, place: Place<'_>) -> Result<(), Errno> {
        let ino = self.find(place)?;
        if !self.directory(ino)?.names.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.remove(place, ino)
    }

    pub(crate) fn rename(
        &mut self,
        from: Place<'_>,
        to: Place<'_>,
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let exchange = flags == RenameFlags::EXCHANGE;
        if !exchange && !(flags - RenameFlags::NOREPLACE).is_empty() {
            return Err(Errno::EINVAL);
        }
        let ino = self.find(from)?;
        let there = match self.find(to) {
            Ok(there) => Some(there),
            Err(Errno::ENOENT) if exchange => return Err(Errno::ENOENT),
            Err(Errno::ENOENT) => None,
            Err(error) => return Err(error),
        };
        if there == Some(ino) {
            // Two names of one inode both stay.
            return Ok(());
        }
        if self.is_within(to.0, ino)? {
            return Err(Errno::EINVAL);
        }
        match there {
            None => {
                self.must_be_free(to)?;
                self.displace(from, to, ino)
            }
            Some(_) if flags.contains(RenameFlags::NOREPLACE) => Err(Errno::EEXIST),
            Some(there) if exchange => {
                if self.is_within(from.0, there)? {
                    return Err(Errno::EINVAL);
                }
                self.take_out(to, there)?;
                self.displace(from, to, ino)?;
                self.insert(from, there)
            }
            Some(there) => {
                match (
                    self.get(ino)?.is_directory(),
                    self.get(there)?.is_directory(),
                ) {
                    (false, true) => return Err(Errno::EISDIR),
                    (true, false) => return Err(Errno::ENOTDIR),
                    (true, true) => self.rmdir(to)?,
                    (false, false) => self.unlink(to)?,
                }
                self.displace(from, to, ino)
            }
        }
    }

    /// Whether `ino` is the directory `above`, or somewhere below it.
    fn is_within(&self, mut ino: Ino, above: Ino) -> Result<bool, Errno> {
        while ino != above {
            if ino == Ino::ROOT {
                return Ok(false);
            }
            ino = self.directory(ino)?.parent;
        }
        Ok(true)
    }

    fn displace(&mut self, from: Place<'_>, to: Place<'_>, ino: Ino) -> Result<(), Errno> {
        self.take_out(from, ino)?;
        self.insert(to, ino)?;
        self.get(ino)?.state.write().changed();
        Ok(())
    }

    /// Gives `ino` a name. A directory's ".." is a link to what is above it.
    fn insert(&mut self, (parent, name): Place<'_>, ino: Ino) -> Result<(), Errno> {
        self.directory_mut(parent)?.insert(name, ino);
        let directory = self.directories.get_mut(&ino);
        let is_directory = directory.is_some();
        if let Some(directory) = directory {
            directory.parent = parent;
            directory.listing.insert(2, ("..".into(), parent));
        }
        let mut above = self.get(parent)?.state.write();
        above.attr.nlink += u32::from(is_directory);
        above.modified();
        Ok(())
    }

    fn take_out(&mut self, (parent, name): Place<'_>, ino: Ino) -> Result<(), Errno> {
        self.directory_mut(parent)?.remove(name);
        let mut above = self.get(parent)?.state.write();
        above.attr.nlink -= u32::from(self.directories.contains_key(&ino));
        above.modified();
        Ok(())
    }

    /// Takes a name of `ino` away, which goes with its last one unless the kernel knows it.
    fn remove(&mut self, place: Place<'_>, ino: Ino) -> Result<(), Errno> {
        self.take_out(place, ino)?;
        let inode = self.get(ino)?;
        let mut state = inode.state.write();
        let links = if self.directories.contains_key(&ino) {
            2
        } else {
            1
        };
        state.attr.nlink -= links;
        state.changed();
        drop(state);
        self.forget(ino, 0);
        Ok(())
    }

    /// Takes back `count` lookups.
    pub(crate) fn forget(&mut self, ino: Ino, count: u64) {
        let Some(inode) = self.inodes.get(&ino) else {
            return;
        };
        let before = inode.lookups.fetch_sub(count, Ordering::Relaxed);
        if before == count && inode.attr().nlink == 0 {
            self.inodes.remove(&ino);
            self.directories.remove(&ino);
        }
    }
}
