//! The inodes that the kernel knows.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fuse3::{Entry, Errno, Ino};
use parking_lot::Mutex;

use super::identity::{generation, identity};
use super::inode::{Inode, attr};

/// The table of inodes: what the kernel looked up and has not forgotten.
///
/// An inode has the number that it has in the source. Where that is taken, because it is on another device or has the
/// number 1, which is the root's, it gets another one.
#[derive(Debug)]
pub(crate) struct Inodes {
    root: Arc<Inode>,
    table: Mutex<Table>,
}

/// Device and inode number: what a file is in the source.
type Source = (u64, u64);

#[derive(Debug, Default)]
struct Table {
    inodes: HashMap<Ino, Known>,
    numbers: HashMap<Source, Ino>,
}

#[derive(Debug)]
struct Known {
    inode: Arc<Inode>,
    source: Source,
    /// What the kernel tells it by from other files that have had the number, in file handles.
    generation: u64,
    /// How often the kernel was told of it, less what it has forgotten.
    lookups: u64,
}

impl Inodes {
    /// # Errors
    ///
    /// Those of open(2); ENOTDIR.
    pub(crate) fn new(source: &Path) -> io::Result<Self> {
        Ok(Self {
            root: Arc::new(Inode::root(source)?),
            table: Mutex::default(),
        })
    }

    /// The inode that the kernel calls `number`.
    pub(crate) fn get(&self, number: Ino) -> Result<Arc<Inode>, Errno> {
        if number == Ino::ROOT {
            return Ok(Arc::clone(&self.root));
        }
        let table = self.table.lock();
        let known = table.inodes.get(&number).ok_or(Errno::ESTALE)?;
        Ok(Arc::clone(&known.inode))
    }

    /// Counts one lookup of `file`, which was opened with O_PATH and has the attributes `of`. It is valid for no time.
    pub(crate) fn count(&self, file: File, of: &Metadata) -> Entry {
        let source = (of.dev(), of.ino());
        let mut table = self.table.lock();
        let Table { inodes, numbers } = &mut *table;
        let number = *numbers.entry(source).or_insert_with(|| {
            let free = |number: &u64| *number > 1 && !inodes.contains_key(&Ino(*number));
            // Numbers that hardly any file system has.
            let mut others = (1 << 62..).filter(free);
            let own = Some(of.ino()).filter(free);
            Ino(own.or_else(|| others.next()).expect("a free number"))
        });
        let known = inodes.entry(number).or_insert_with(|| Known {
            generation: generation(identity(&file)),
            inode: Arc::new(Inode::new(number, file)),
            source,
            lookups: 0,
        });
        known.lookups += 1;
        Entry {
            generation: known.generation,
            ..Entry::new(attr(number, of), Duration::ZERO)
        }
    }

    /// Takes back `count` lookups. After the last one the inode is closed, and its number may be another's.
    pub(crate) fn forget(&self, number: Ino, count: u64) {
        let mut table = self.table.lock();
        // Of the root's lookups there is no account.
        let Some(known) = table.inodes.get_mut(&number) else {
            return;
        };
        known.lookups = known.lookups.saturating_sub(count);
        if known.lookups == 0 {
            let source = known.source;
            let gone = table.inodes.remove(&number);
            table.numbers.remove(&source);
            drop(table);
            // Closed without the lock: if it was the last name of a large file, that takes a while.
            drop(gone);
        }
    }
}
