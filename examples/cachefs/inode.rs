//! An inode: a file or a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use fuse3::{Attr, Errno, Ino};

use crate::blocks::BlockMap;

#[derive(Debug)]
pub(crate) enum Kind {
    File(BlockMap),
    Directory(Directory),
}

/// The names in a directory. There are no hard links, so that an inode is in one place, and its number is its cookie.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) names: BTreeMap<OsString, Ino>,
    /// The same inodes, in the order of `readdir`.
    pub(crate) order: BTreeSet<Ino>,
}

#[derive(Debug)]
pub(crate) struct Inode {
    pub(crate) attr: Attr,
    pub(crate) kind: Kind,
    /// Where it is, or was when it was removed.
    pub(crate) parent: Ino,
    pub(crate) name: OsString,
    /// How often the kernel was given it and has not forgotten it. It does not forget what is open or in use.
    pub(crate) lookups: u64,
}

impl Inode {
    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }

    /// # Errors
    ///
    /// ENOTDIR.
    pub(crate) fn directory(&self) -> Result<&Directory, Errno> {
        match &self.kind {
            Kind::Directory(directory) => Ok(directory),
            Kind::File(_) => Err(Errno::ENOTDIR),
        }
    }

    /// # Errors
    ///
    /// ENOTDIR.
    pub(crate) fn directory_mut(&mut self) -> Result<&mut Directory, Errno> {
        match &mut self.kind {
            Kind::Directory(directory) => Ok(directory),
            Kind::File(_) => Err(Errno::ENOTDIR),
        }
    }

    /// # Errors
    ///
    /// EISDIR.
    pub(crate) fn blocks(&self) -> Result<&BlockMap, Errno> {
        match &self.kind {
            Kind::File(blocks) => Ok(blocks),
            Kind::Directory(_) => Err(Errno::EISDIR),
        }
    }

    /// # Errors
    ///
    /// EISDIR.
    pub(crate) fn blocks_mut(&mut self) -> Result<&mut BlockMap, Errno> {
        match &mut self.kind {
            Kind::File(blocks) => Ok(blocks),
            Kind::Directory(_) => Err(Errno::EISDIR),
        }
    }
}
