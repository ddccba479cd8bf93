//! The way from an inode to its file.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::sync::Arc;

use fuse3::{Errno, Ino};
use rustix::fs::{self, AtFlags, Mode, OFlags, Stat};

use crate::identity::{identity, identity_at};
use crate::mirror::Mirror;
use crate::node;
use crate::tree::{Name, Source};

impl Mirror {
    /// The file of `ino`: its descriptor if it is open, and else one of O_PATH.
    ///
    /// # Errors
    ///
    /// ESTALE, when the source was changed, so that none of its names leads to it.
    pub(crate) fn reach(&self, ino: Ino) -> io::Result<Arc<File>> {
        if ino == Ino::ROOT {
            return Ok(Arc::clone(&self.root));
        }
        let inode = self.tree.get(ino)?;
        let descriptor = inode.open.as_ref().map(|open| &open.file);
        if let Some(file) = descriptor.or(inode.held.as_ref()) {
            return Ok(Arc::clone(file));
        }
        for (parent, name) in &inode.names {
            let Some(file) = changed(self.walk(*parent).and_then(|dir| node::find(&dir, name)))?
            else {
                continue;
            };
            if stat_of(&file)?.1 == inode.source {
                return Ok(Arc::new(file));
            }
        }
        Err(Errno::ESTALE.into())
    }

    /// The attributes of `ino`, without opening it.
    ///
    /// # Errors
    ///
    /// As [`reach`](Self::reach).
    pub(crate) fn stat(&self, ino: Ino) -> io::Result<Stat> {
        let inode = self.tree.get(ino)?;
        if ino == Ino::ROOT || inode.open.is_some() || inode.held.is_some() {
            return Ok(fs::fstat(&self.reach(ino)?)?);
        }
        for (parent, name) in &inode.names {
            let found = changed(self.walk(*parent).and_then(|dir| stat_at(&dir, name)))?;
            if let Some((stat, _)) = found.filter(|(_, source)| *source == inode.source) {
                return Ok(stat);
            }
        }
        Err(Errno::ESTALE.into())
    }

    /// Opens the file `ino`, by one of its names: what `reach` and `reopen` do, in fewer calls.
    ///
    /// What is there is looked at before, so that no device is opened that was put in its place, and once more afterwards.
    ///
    /// # Errors
    ///
    /// Those of open(2); as [`reach`](Self::reach).
    pub(crate) fn open_by_name(&self, ino: Ino, access: OFlags) -> io::Result<File> {
        let inode = self.tree.get(ino)?;
        // Should it be a pipe after all, it does not block.
        let careful = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        for (parent, name) in &inode.names {
            let open = || {
                let dir = self.walk(*parent)?;
                if stat_at(&dir, name)?.1 != inode.source {
                    return Err(Errno::ESTALE.into());
                }
                let file = fs::openat(&dir, name.as_os_str(), access | careful, Mode::empty())?;
                let file = File::from(file);
                Ok((stat_of(&file)?.1, file))
            };
            let found = changed(open())?;
            if let Some((_, file)) = found.filter(|(source, _)| *source == inode.source) {
                return Ok(file);
            }
        }
        Err(Errno::ESTALE.into())
    }

    /// The directory `ino`, by the first of its names and those of the directories above it: a directory has one.
    ///
    /// From directory to directory: no path is too long, and no symbolic link is followed.
    fn walk(&self, mut ino: Ino) -> io::Result<Arc<File>> {
        let mut names: Vec<&Name> = Vec::new();
        let mut dir = loop {
            if ino == Ino::ROOT {
                break Arc::clone(&self.root);
            }
            let inode = self.tree.get(ino)?;
            if let Some(held) = &inode.held {
                break Arc::clone(held);
            }
            let name = inode.names.first().ok_or(Errno::ESTALE)?;
            names.push(name);
            ino = name.0;
            // Directories that were moved into each other while they were looked at.
            if names.len() > self.tree.len() {
                return Err(Errno::ESTALE.into());
            }
        };
        for (_, name) in names.iter().rev() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            dir = Arc::new(fs::openat(&dir, name.as_os_str(), flags, Mode::empty())?.into());
        }
        Ok(dir)
    }

    /// What the kernel knows `name` in `parent` by, opened with O_PATH, if it would have no name without this one.
    ///
    /// For [`Tree::remove`](crate::tree::Tree::remove), and before the source's name is removed.
    pub(crate) fn hold(&self, dir: &File, parent: Ino, name: &OsStr) -> io::Result<Option<File>> {
        let Some(ino) = self.tree.child(parent, name) else {
            return Ok(None);
        };
        let inode = self.tree.get(ino)?;
        if inode.names.len() > 1 {
            return Ok(None);
        }
        let Some(file) = changed(node::find(dir, name))? else {
            return Ok(None);
        };
        let is_it = stat_of(&file)?.1 == inode.source;
        Ok(is_it.then_some(file))
    }
}

/// stat(2) of `name` in `dir`, and what it is; of a symbolic link, the link's.
pub(crate) fn stat_at(dir: &File, name: &OsStr) -> io::Result<(Stat, Source)> {
    let stat = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok((stat, Source::new(&stat, identity_at(dir, name))))
}

/// The same of `file`.
pub(crate) fn stat_of(file: &File) -> io::Result<(Stat, Source)> {
    let stat = fs::fstat(file)?;
    Ok((stat, Source::new(&stat, identity(file))))
}

/// `None` for what says that somebody else has changed the source.
pub(crate) fn changed<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ESTALE) => Ok(None),
            _ => Err(error),
        },
    }
}
