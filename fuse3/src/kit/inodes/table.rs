use std::fmt;
use std::time::Duration;

use crate::base::log;
use crate::kit::inodes::chunk::{CHUNK, Chunk, Inode};
use crate::types::attr::{Attr, Entry};
use crate::types::{errno::Errno, ino::Ino};

/// The inodes of a file system, by number, with what the kernel knows of them: for the state under the lock.
///
/// An inode is there as long as somebody can reach it: by one of its *names* ([`link`](Self::link),
/// [`unlink`](Self::unlink)), because the kernel has *looked it up* and not forgotten it ([`entry`](Self::entry),
/// [`forget`](Self::forget)), or because it is *open* ([`open`](Self::open), [`release`](Self::release)). The one of these
/// that was the last returns the value, to be dropped where the caller likes, after the lock was released for instance.
/// A file that is unlinked while it is open needs no thought that way, in whichever order `forget` and `release` come.
///
/// A file system that only mirrors another one gives its inodes no names: they go when the kernel has forgotten them.
///
/// Numbers are given out again, with another *generation*, which the entry has: a handle of NFS to the earlier inode is
/// stale and not one to the later.
///
/// ```
/// use fuse3::{Attr, Entry, Errno, Ino};
/// use fuse3::kit::InodeTable;
/// use std::collections::HashMap;
/// use std::ffi::{OsStr, OsString};
/// use std::time::Duration;
///
/// struct Node {
///     attr: Attr,
///     children: HashMap<OsString, Ino>,
/// }
///
/// fn lookup(inodes: &mut InodeTable<Node>, parent: Ino, name: &OsStr) -> Result<Entry, Errno> {
///     let children = &inodes.get(parent)?.children;
///     let ino = *children.get(name).ok_or(Errno::ENOENT)?;
///     let attr = inodes.get(ino)?.attr;
///     inodes.entry(ino, attr, Duration::from_secs(1))
/// }
///
/// fn mknod(
///     inodes: &mut InodeTable<Node>, parent: Ino, name: &OsStr, mode: u32,
/// ) -> Result<Entry, Errno> {
///     inodes.get(parent)?;
///     // Number and generation are the table's; `entry` sets them.
///     let attr = Attr::new(Ino(0), mode);
///     let ino = inodes.insert(Node { attr, children: HashMap::new() });
///     inodes.link(ino)?;
///     inodes.get_mut(parent)?.children.insert(name.to_owned(), ino);
///     inodes.entry(ino, attr, Duration::from_secs(1))
/// }
///
/// fn unlink(inodes: &mut InodeTable<Node>, parent: Ino, name: &OsStr) -> Result<(), Errno> {
///     let ino = inodes.get_mut(parent)?.children.remove(name).ok_or(Errno::ENOENT)?;
///     drop(inodes.unlink(ino)); // if nobody has it open, and the kernel does not know it
///     Ok(())
/// }
///
/// let attr = Attr::new(Ino::ROOT, libc::S_IFDIR | 0o755);
/// let root = Node { attr, children: HashMap::new() };
/// let mut inodes = InodeTable::new(root);
/// let name = OsStr::new("name");
/// let made = mknod(&mut inodes, Ino::ROOT, name, libc::S_IFREG | 0o644)?;
/// lookup(&mut inodes, Ino::ROOT, name)?;
/// unlink(&mut inodes, Ino::ROOT, name)?;
/// assert!(inodes.get(made.attr.ino).is_ok()); // the kernel knows it twice
/// assert!(inodes.forget(made.attr.ino, 2).is_some());
/// assert_eq!(inodes.get(made.attr.ino).err(), Some(Errno::ESTALE));
/// # Ok::<(), Errno>(())
/// ```
///
/// # Trees
///
/// The table knows inodes, and not which is in which: directories are the file system's, in the values. So a name is two
/// steps, the directory's entry and [`link`](Self::link) or [`unlink`](Self::unlink), under one hold of the lock. `rename`
/// moves an entry and changes no count; if it replaces one, the inode that was there loses a name. A directory has one
/// name, and needs none for its "." and "..". It goes as other inodes do, and what is in it does not go with it, so that
/// `rmdir` refuses one that is not empty (ENOTEMPTY). A value may have the number of its parent: while the kernel knows an
/// inode it knows the directories above it as well. A whole tree is removed from its leaves to its root.
///
/// # Another process
///
/// [`save`](Self::save) writes the table down and [`load`](Self::load) reads it, for a process that takes the mounted file system
/// over.
///
/// # Cost
///
/// Everything takes the same time however many inodes there are, and none is moved when there are more, so that the lock is
/// not held for long by a table that grows. An inode costs 24 bytes beside the value (a value of 8 bytes: 32.3 bytes each
/// with ten million of them), in pieces of 256, whose memory is given back when the last one of a piece has gone.
pub struct InodeTable<T> {
    pub(super) chunks: Vec<Chunk<T>>,
    /// The chunks that have room. The last is filled first.
    pub(super) roomy: Vec<usize>,
    /// An empty chunk that has kept its memory, so that it does not come and go with a single inode.
    pub(super) spare: Option<usize>,
    pub(super) len: usize,
    pub(super) first_generation: u64,
}

impl<T> InodeTable<T> {
    /// A table with the root, which never goes.
    pub fn new(root: T) -> InodeTable<T> {
        InodeTable::with_generation(root, 0)
    }

    /// The same, with this generation for numbers that are used first.
    ///
    /// A file system that hands out file handles (NFS, name_to_handle_at(2)) and whose numbers begin anew at each mount needs one
    /// that no mount before has come to: a random number, or one that was stored. A handle has the low 32 bits of it
    /// (`fuse_encode_fh()`, fs/fuse/inode.c), so the time in seconds shifted left is none.
    pub fn with_generation(root: T, first: u64) -> InodeTable<T> {
        let mut table = InodeTable {
            chunks: Vec::new(),
            roomy: Vec::new(),
            spare: None,
            len: 0,
            first_generation: first,
        };
        let ino = table.insert(root);
        debug_assert_eq!(ino, Ino::ROOT);
        if let Some(root) = table.inode_mut(ino) {
            // The kernel knows it from the start, and it needs no name.
            root.lookups = 1;
            root.names = 1;
        }
        table
    }

    /// Takes out an inode that was inserted and never given out: to undo [`insert`](Self::insert) where what comes after
    /// it fails. `None`, and the inode stays, if it has a name, is open, or the kernel knows it.
    #[must_use = "the inode's value; and `None` if it is still there"]
    pub fn remove(&mut self, ino: Ino) -> Option<T> {
        // The kernel never forgets the root altogether, and unlinks it never.
        if ino == Ino::ROOT || !self.inode(ino)?.is_lost() {
            return None;
        }
        let (number, slot) = place_of(ino)?;
        let chunk = self.chunks.get_mut(number)?;
        let had_room = chunk.has_room();
        let value = chunk.remove(slot)?;
        self.len -= 1;
        if !had_room && chunk.has_room() {
            self.roomy.push(number);
        }
        if chunk.is_empty() {
            // It was not the spare one: what has been inserted into it ended that.
            let before = self.spare.replace(number);
            if let Some(chunk) = before.and_then(|spare| self.chunks.get_mut(spare)) {
                chunk.give_back();
            }
        }
        Some(value)
    }

    /// A new inode, which has no name, is not open, and which the kernel does not know yet.
    pub fn insert(&mut self, value: T) -> Ino {
        if self.roomy.is_empty() {
            self.roomy.push(self.chunks.len());
            self.chunks.push(Chunk::new());
        }
        let number = self.roomy[self.roomy.len() - 1];
        let chunk = &mut self.chunks[number];
        let slot = chunk.insert(value);
        if !chunk.has_room() {
            self.roomy.pop();
        }
        self.spare = self.spare.filter(|spare| *spare != number);
        self.len += 1;
        number_of(number, slot)
    }

    /// The inode.
    ///
    /// # Errors
    ///
    /// ESTALE when there is none. To a handler that has not released the lock since the kernel named it, it does not happen.
    pub fn get(&self, ino: Ino) -> Result<&T, Errno> {
        Ok(&self.inode(ino).ok_or(Errno::ESTALE)?.value)
    }

    /// The inode, to be changed.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_mut(&mut self, ino: Ino) -> Result<&mut T, Errno> {
        Ok(&mut self.known_mut(ino)?.value)
    }

    /// The answer of `lookup`, `mknod`, `mkdir`, `symlink`, `link`, `create` and of an entry of readdirplus: the kernel knows
    /// the inode once more. Number and generation are the table's, both time-outs are `timeout`.
    ///
    /// When the kernel does not take the answer, the library calls [`forget`](crate::Filesystem::forget).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn entry(&mut self, ino: Ino, attr: Attr, timeout: Duration) -> Result<Entry, Errno> {
        let generation = self.lookup(ino)?;
        Ok(Entry {
            generation,
            ..Entry::new(Attr { ino, ..attr }, timeout)
        })
    }

    /// The kernel knows the inode once more. Returns its generation.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn lookup(&mut self, ino: Ino) -> Result<u64, Errno> {
        let inode = self.known_mut(ino)?;
        inode.lookups = inode.lookups.saturating_add(1);
        // The kernel knows the root from the mount, as generation 0, and takes another in ".." for another inode.
        if ino == Ino::ROOT {
            return Ok(0);
        }
        let generation = u64::from(inode.generation);
        Ok(self.first_generation.wrapping_add(generation))
    }

    /// [`forget`](crate::Filesystem::forget): the kernel knows the inode `nlookup` times less. Returns it if that was the
    /// last of it.
    #[must_use = "the inode's value, if it has gone: what belongs to it may be removed with it"]
    pub fn forget(&mut self, ino: Ino, nlookup: u64) -> Option<T> {
        let Some(inode) = self.inode_mut(ino) else {
            log::error!("inode {ino} was forgotten {nlookup} times, and there is none");
            return None;
        };
        if inode.lookups < nlookup {
            log::error!(
                "inode {ino} was forgotten {nlookup} times, and looked up {} times",
                inode.lookups
            );
        }
        inode.lookups = inode.lookups.saturating_sub(nlookup);
        self.remove(ino)
    }

    /// [`forget_multi`](crate::Filesystem::forget_multi): the same for many. Returns those that are gone.
    #[must_use = "the values of the inodes that have gone"]
    pub fn forget_multi(&mut self, forgets: impl IntoIterator<Item = (Ino, u64)>) -> Vec<T> {
        let forgets = forgets.into_iter();
        let gone = forgets.filter_map(|(ino, nlookup)| self.forget(ino, nlookup));
        gone.collect()
    }

    /// The inode has one name more.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); EMLINK at 2^32 names.
    pub fn link(&mut self, ino: Ino) -> Result<(), Errno> {
        let inode = self.known_mut(ino)?;
        inode.names = inode.names.checked_add(1).ok_or(Errno::EMLINK)?;
        Ok(())
    }

    /// The inode has one name less. Returns it if that was the last of it.
    #[must_use = "the inode's value, if it has gone: what belongs to it may be removed with it"]
    pub fn unlink(&mut self, ino: Ino) -> Option<T> {
        self.count_down(ino, "name", |inode| &mut inode.names)
    }

    /// The inode is open once more.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); ENFILE at 2^32 times.
    pub fn open(&mut self, ino: Ino) -> Result<(), Errno> {
        let inode = self.known_mut(ino)?;
        inode.opens = inode.opens.checked_add(1).ok_or(Errno::ENFILE)?;
        Ok(())
    }

    /// [`release`](crate::Filesystem::release), `releasedir`: the inode is open once less. Returns it if that was the last of
    /// it.
    #[must_use = "the inode's value, if it has gone: what belongs to it may be removed with it"]
    pub fn release(&mut self, ino: Ino) -> Option<T> {
        self.count_down(ino, "open file", |inode| &mut inode.opens)
    }

    /// How often the kernel knows the inode. 0 when there is none.
    pub fn lookups(&self, ino: Ino) -> u64 {
        self.inode(ino).map_or(0, |inode| inode.lookups)
    }

    /// How many names the inode has. 0 when there is none.
    pub fn names(&self, ino: Ino) -> u32 {
        self.inode(ino).map_or(0, |inode| inode.names)
    }

    /// How often the inode is open. 0 when there is none.
    pub fn opens(&self, ino: Ino) -> u32 {
        self.inode(ino).map_or(0, |inode| inode.opens)
    }

    /// All inodes, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Ino, &T)> {
        let chunks = self.chunks.iter().enumerate();
        chunks.flat_map(|(number, chunk)| {
            let inodes = chunk.iter();
            inodes.map(move |(slot, inode)| (number_of(number, slot), &inode.value))
        })
    }

    /// How many inodes there are, with the root.
    #[expect(clippy::len_without_is_empty, reason = "there is always the root")]
    pub fn len(&self) -> usize {
        self.len
    }

    pub(super) fn inode(&self, ino: Ino) -> Option<&Inode<T>> {
        let (chunk, slot) = place_of(ino)?;
        self.chunks.get(chunk)?.get(slot)
    }

    fn inode_mut(&mut self, ino: Ino) -> Option<&mut Inode<T>> {
        let (chunk, slot) = place_of(ino)?;
        self.chunks.get_mut(chunk)?.get_mut(slot)
    }

    fn known_mut(&mut self, ino: Ino) -> Result<&mut Inode<T>, Errno> {
        self.inode_mut(ino).ok_or(Errno::ESTALE)
    }

    fn count_down(
        &mut self,
        ino: Ino,
        what: &str,
        count: impl FnOnce(&mut Inode<T>) -> &mut u32,
    ) -> Option<T> {
        let count = self.inode_mut(ino).map(count).filter(|count| **count > 0);
        let Some(count) = count else {
            log::error!("inode {ino} lost a {what}, and had none");
            return None;
        };
        *count -= 1;
        self.remove(ino)
    }
}

/// Numbers begin at 1, which is the root's. 0 is none.
pub(super) fn number_of(chunk: usize, slot: usize) -> Ino {
    Ino((chunk * CHUNK + slot + 1) as u64)
}

fn place_of(ino: Ino) -> Option<(usize, usize)> {
    let index = usize::try_from(ino.0.checked_sub(1)?).ok()?;
    Some((index / CHUNK, index % CHUNK))
}

impl<T: Default> Default for InodeTable<T> {
    fn default() -> Self {
        InodeTable::new(T::default())
    }
}

impl<T> fmt::Debug for InodeTable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InodeTable")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_empty_chunks_the_last_one_keeps_its_memory() {
        let mut table = InodeTable::new(0);
        let inos: Vec<Ino> = (1..4 * CHUNK).map(|_| table.insert(1)).collect();
        let empty = |table: &mut InodeTable<u8>, number: usize| {
            for ino in &inos[number * CHUNK - 1..(number + 1) * CHUNK - 1] {
                assert_eq!(table.remove(*ino), Some(1));
            }
            table.chunks.iter().map(Chunk::room).collect::<Vec<_>>()
        };
        assert_eq!(empty(&mut table, 1), [CHUNK; 4]);
        assert_eq!(empty(&mut table, 2), [CHUNK, 0, CHUNK, CHUNK]);
        // One that is in use again keeps its memory, whichever is emptied next.
        let used = table.insert(2);
        assert_eq!(place_of(used).map(|(chunk, _)| chunk), Some(2));
        assert_eq!(empty(&mut table, 3), [CHUNK, 0, CHUNK, CHUNK]);
        assert_eq!(table.remove(used), Some(2));
        assert_eq!(table.chunks[3].room(), 0);
    }
}
