//! `rename`: its rules, and what it does.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuse3::{Attr, Errno, Ino, RenameFlags};

use crate::error::{Error, Result};
use crate::inodes::is_directory;
use crate::names;
use crate::store::View;

/// A directory, and a name in it.
pub(crate) type Place<'a> = (Ino, &'a OsStr);

impl View<'_> {
    /// # Errors
    ///
    /// Those of renameat2(2).
    pub(crate) fn rename(&self, from: Place<'_>, to: Place<'_>, flags: RenameFlags) -> Result<()> {
        const KNOWN: RenameFlags = RenameFlags::NOREPLACE.union(RenameFlags::EXCHANGE);
        if flags == KNOWN || !(flags - KNOWN).is_empty() {
            return Err(Errno::EINVAL.into());
        }
        names::check(to.1)?;
        let moved = self.attr(self.find(from.0, from.1)?)?;
        if self.directory(to.0)?.nlink == 0 {
            return Err(Errno::ENOENT.into());
        }
        let there = match self.find(to.0, to.1) {
            Ok(ino) => Some(self.attr(ino)?),
            Err(Error::Errno(Errno::ENOENT)) => None,
            Err(error) => return Err(error),
        };
        match there {
            Some(_) if flags.contains(RenameFlags::NOREPLACE) => Err(Errno::EEXIST.into()),
            None if flags.contains(RenameFlags::EXCHANGE) => Err(Errno::ENOENT.into()),
            // Two names of one inode both stay.
            Some(there) if there.ino == moved.ino => Ok(()),
            _ if self.is_within(to.0, moved.ino)? => Err(Errno::EINVAL.into()),
            Some(there) if flags.contains(RenameFlags::EXCHANGE) => {
                if self.is_within(from.0, there.ino)? {
                    return Err(Errno::EINVAL.into());
                }
                self.exchange((from, &moved), (to, &there))
            }
            Some(there) => {
                self.can_replace(&moved, &there)?;
                self.remove(to.0, to.1)?;
                self.displace(from, to, &moved)?;
                self.unnamed(to.0, there.ino)
            }
            None => self.displace(from, to, &moved),
        }
    }

    /// Whether `ino` is the directory `above`, or somewhere below it.
    fn is_within(&self, mut ino: Ino, above: Ino) -> Result<bool> {
        while ino != above {
            let parent = self.parent(ino)?;
            if parent == ino {
                return Ok(false);
            }
            ino = parent;
        }
        Ok(true)
    }

    fn can_replace(&self, moved: &Attr, there: &Attr) -> Result<()> {
        match (is_directory(moved), is_directory(there)) {
            (false, true) => Err(Errno::EISDIR.into()),
            (true, false) => Err(Errno::ENOTDIR.into()),
            (true, true) if !self.is_empty(there.ino)? => Err(Errno::ENOTEMPTY.into()),
            _ => Ok(()),
        }
    }

    /// What is at `from` is at `to`, where nothing is. It keeps its cookie, so that no listing has it twice.
    fn displace(&self, from: Place<'_>, to: Place<'_>, moved: &Attr) -> Result<()> {
        self.sql
            .prepare_cached(
                "UPDATE names SET parent = ?3, name = ?4 WHERE parent = ?1 AND name = ?2",
            )?
            .execute((from.0.0, from.1.as_bytes(), to.0.0, to.1.as_bytes()))?;
        self.moved(moved, from.0, to.0)?;
        self.modified(from.0)?;
        self.modified(to.0)
    }

    fn exchange(&self, one: (Place<'_>, &Attr), other: (Place<'_>, &Attr)) -> Result<()> {
        let ((from, moved), (to, there)) = (one, other);
        let mut update = self
            .sql
            .prepare_cached("UPDATE names SET inode = ?3 WHERE parent = ?1 AND name = ?2")?;
        update.execute((from.0.0, from.1.as_bytes(), there.ino.0))?;
        update.execute((to.0.0, to.1.as_bytes(), moved.ino.0))?;
        self.moved(moved, from.0, to.0)?;
        self.moved(there, to.0, from.0)?;
        self.modified(from.0)?;
        self.modified(to.0)
    }

    /// A directory takes its ".." along, which is a link to what is above it.
    fn moved(&self, moved: &Attr, from: Ino, to: Ino) -> Result<()> {
        self.changed(moved.ino)?;
        if is_directory(moved) {
            self.add_links(from, -1)?;
            self.add_links(to, 1)?;
        }
        Ok(())
    }
}
