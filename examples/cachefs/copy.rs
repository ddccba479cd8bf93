//! **P5**: copying a tree, a long computation that yields the lock: `setfattr -n user.cachefs.copy -v NEWNAME DIRECTORY`.

use std::ffi::OsStr;

use fuse3::{Errno, Ino};

use crate::cache::{Cache, Held};
use crate::inode::Inode;
use crate::state::State;

/// How many entries are copied before the lock is offered to others.
const BATCH: usize = 250;

impl Cache {
    /// Copies what is below `source` to `name` beside it. The copies have the same blocks until one of them is written to, so
    /// that nothing is downloaded. Yields the lock.
    ///
    /// What is still to be done is remembered as numbers, and looked up anew: others may change the tree meanwhile, and what
    /// they do comes into the copy or does not. Inodes that are newer than it do not, so that it ends.
    pub(crate) fn copy_tree(
        &self,
        state: &mut Held<'_>,
        source: Ino,
        name: &OsStr,
    ) -> Result<(), Errno> {
        let newest = state.last;
        let parent = state.get(source)?.parent;
        let top = state.duplicate(source, parent, name)?;
        let mut todo = vec![(source, top, Ino(0))];
        while let Some((from, to, after)) = todo.pop() {
            // A directory that was removed meanwhile has nothing to be copied.
            let Ok(directory) = state.get(from) else {
                continue;
            };
            let next = Ino(after.0 + 1);
            let batch: Vec<Ino> = directory
                .order
                .range(next..=newest)
                .take(BATCH)
                .copied()
                .collect();
            if let (BATCH, Some(last)) = (batch.len(), batch.last()) {
                todo.push((from, to, *last));
            }
            for child in batch {
                let inode = state.get(child)?;
                let (is_directory, name) = (inode.is_directory(), inode.name.clone());
                let copy = state.duplicate(child, to, &name)?;
                if is_directory {
                    todo.push((child, copy, Ino(0)));
                }
            }
            if self.settings.yields {
                state.yield_(100);
            }
        }
        Ok(())
    }
}

impl State {
    /// A new inode with the attributes and the blocks of `ino`, but not what is in a directory.
    fn duplicate(&mut self, ino: Ino, parent: Ino, name: &OsStr) -> Result<Ino, Errno> {
        let Inode { attr, blocks, .. } = self.get(ino)?;
        let (attr, blocks) = (*attr, blocks.clone());
        let copy = self.make(parent, name, attr)?;
        blocks.values().for_each(|id| self.blocks.refer(*id));
        self.change(copy)?.blocks = blocks;
        Ok(copy)
    }
}
