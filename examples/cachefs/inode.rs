//! An inode: a file or a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use fuse3::{Attr, Ino};

use crate::blocks::BlockMap;

#[derive(Debug)]
pub(crate) struct Inode {
    pub(crate) attr: Attr,
    /// Of a file: which blocks it has.
    pub(crate) blocks: BlockMap,
    /// Of a directory: what is in it.
    pub(crate) names: BTreeMap<OsString, Ino>,
    /// The same inodes, in the order of `readdir`. There are no hard links, so that a number is a cookie.
    pub(crate) order: BTreeSet<Ino>,
    /// Where it is, or was when it was removed.
    pub(crate) parent: Ino,
    pub(crate) name: OsString,
    /// How often the kernel was given it and has not forgotten it. It does not forget what is open or in use.
    pub(crate) lookups: u64,
}

impl Inode {
    pub(crate) fn new(attr: Attr, parent: Ino, name: &OsStr) -> Self {
        Self {
            attr,
            blocks: BlockMap::new(),
            names: BTreeMap::new(),
            order: BTreeSet::new(),
            parent,
            name: name.to_owned(),
            lookups: 0,
        }
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.attr.mode & libc::S_IFMT == libc::S_IFDIR
    }
}
