//! Names come and go.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuse3::{Errno, Ino};
use rusqlite::OptionalExtension;

use crate::error::{Error, Result};
use crate::inodes::is_directory;
use crate::store::View;

/// The kernel's own limit for FUSE is longer.
const NAME_MAX: usize = 255;

/// # Errors
///
/// ENAMETOOLONG.
pub(crate) fn check(name: &OsStr) -> Result<()> {
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG.into());
    }
    Ok(())
}

impl View<'_> {
    /// What `name` is in `parent`.
    ///
    /// # Errors
    ///
    /// ENOENT, ENOTDIR, ENAMETOOLONG.
    pub(crate) fn find(&self, parent: Ino, name: &OsStr) -> Result<Ino> {
        check(name)?;
        let mut select = self
            .sql
            .prepare_cached("SELECT inode FROM names WHERE parent = ?1 AND name = ?2")?;
        let found = select
            .query_row((parent.0, name.as_bytes()), |row| row.get(0).map(Ino))
            .optional()?;
        match found {
            Some(ino) => Ok(ino),
            None => {
                self.directory(parent)?;
                Err(Errno::ENOENT.into())
            }
        }
    }

    /// Whether `name` can be made in `parent`.
    pub(crate) fn can_make(&self, parent: Ino, name: &OsStr) -> Result<()> {
        match self.find(parent, name) {
            // A removed directory that somebody is still in.
            Err(Error::Errno(Errno::ENOENT)) if self.attr(parent)?.nlink == 0 => {
                Err(Errno::ENOENT.into())
            }
            Err(Error::Errno(Errno::ENOENT)) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(Errno::EEXIST.into()),
        }
    }

    /// Whether the directory `ino` has no names.
    pub(crate) fn is_empty(&self, ino: Ino) -> Result<bool> {
        let mut select = self
            .sql
            .prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM names WHERE parent = ?1)")?;
        Ok(select.query_row([ino.0], |row| row.get(0))?)
    }

    pub(crate) fn insert(&self, parent: Ino, name: &OsStr, ino: Ino) -> Result<()> {
        self.sql
            .prepare_cached("INSERT INTO names (parent, name, inode) VALUES (?1, ?2, ?3)")?
            .execute((parent.0, name.as_bytes(), ino.0))?;
        Ok(())
    }

    pub(crate) fn remove(&self, parent: Ino, name: &OsStr) -> Result<()> {
        self.sql
            .prepare_cached("DELETE FROM names WHERE parent = ?1 AND name = ?2")?
            .execute((parent.0, name.as_bytes()))?;
        Ok(())
    }

    pub(crate) fn link(&self, ino: Ino, parent: Ino, name: &OsStr) -> Result<()> {
        self.can_make(parent, name)?;
        let attr = self.attr(ino)?;
        if is_directory(&attr) {
            return Err(Errno::EPERM.into());
        }
        if attr.nlink == u32::MAX {
            return Err(Errno::EMLINK.into());
        }
        self.insert(parent, name, ino)?;
        self.add_links(ino, 1)?;
        self.changed(ino)?;
        self.modified(parent)
    }

    pub(crate) fn unlink(&self, parent: Ino, name: &OsStr) -> Result<()> {
        let ino = self.find(parent, name)?;
        if is_directory(&self.attr(ino)?) {
            return Err(Errno::EISDIR.into());
        }
        self.remove(parent, name)?;
        self.modified(parent)?;
        self.unnamed(parent, ino)
    }

    pub(crate) fn rmdir(&self, parent: Ino, name: &OsStr) -> Result<()> {
        let ino = self.find(parent, name)?;
        self.directory(ino)?;
        if !self.is_empty(ino)? {
            return Err(Errno::ENOTEMPTY.into());
        }
        self.remove(parent, name)?;
        self.modified(parent)?;
        self.unnamed(parent, ino)
    }

    /// `ino` lost a name in `parent`; a directory has no other.
    pub(crate) fn unnamed(&self, parent: Ino, ino: Ino) -> Result<()> {
        if is_directory(&self.attr(ino)?) {
            self.add_links(ino, -2)?;
            self.add_links(parent, -1)?;
        } else {
            self.add_links(ino, -1)?;
        }
        self.changed(ino)?;
        self.collect(ino)
    }

    /// What is above the directory `ino`; itself for the root, and for one that was removed.
    pub(crate) fn parent(&self, ino: Ino) -> Result<Ino> {
        let mut select = self
            .sql
            .prepare_cached("SELECT parent FROM names WHERE inode = ?1")?;
        let parent = select.query_row([ino.0], |row| row.get(0).map(Ino));
        Ok(parent.optional()?.unwrap_or(ino))
    }
}
