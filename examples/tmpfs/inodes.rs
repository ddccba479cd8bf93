//! All inodes: what the global lock guards.
//!
//! Everything here takes `&mut Inodes`, which cannot release the lock: to who has the lock, each of these functions
//! happens at once. What has to release it takes `&mut Locked<'_, Inodes>` and is in `reclaim`, `tree` and `digest`.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use fuse3::{Attr, Entry, Errno, Ino, OpenFlags, Timestamp};

use crate::computing::Computing;
use crate::directory::Directory;
use crate::listing::Listings;
use crate::node::{Kind, Node};
use crate::reclaim::{Garbage, PIECE};
use crate::runs::{self, Run};
use crate::space::Space;
use crate::store::Store;
use crate::xattrs::Xattrs;

/// How long the kernel may answer names and attributes by itself. All changes come through it, so: for long.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(86_400);

/// A number that nobody can foretell, as the kernel's tmpfs takes for generations, of which file handles have 32 bits.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// What was given to the kernel, and what it gave back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) looked_up: u64,
    pub(crate) forgotten: u64,
    pub(crate) opened: u64,
    pub(crate) released: u64,
}

/// The file system.
#[derive(Debug)]
pub(crate) struct Inodes {
    /// A tree and not a hash table: that one, when it grows, keeps the lock for as long as it takes to move all.
    pub(crate) nodes: BTreeMap<Ino, Node>,
    /// The number that was given last. None is given twice, so that there is one generation.
    pub(crate) last: Ino,
    /// The generation of all but the root: another for each mount, so that a file handle from before (name_to_handle_at(2), NFS)
    /// does not lead to a new file with the old one's number.
    pub(crate) generation: u64,
    /// What is in the files. Shared with those that read it with the lock released.
    pub(crate) store: Arc<Store>,
    pub(crate) space: Space,
    pub(crate) garbage: Garbage,
    pub(crate) listings: Listings,
    pub(crate) computing: Computing,
    /// Reading does not move the time of access.
    pub(crate) noatime: bool,
    /// Whether the kernel checks by ACLs. Where it does not, there are none: nobody would heed them.
    pub(crate) has_acls: bool,
    pub(crate) counts: Counts,
    /// What the kernel gave back that it never had. There is none.
    pub(crate) mistakes: Vec<String>,
}

impl Inodes {
    /// A file system that has nothing but its root, with this mode and owner.
    ///
    /// # Errors
    ///
    /// Those of [`Store::new`].
    pub(crate) fn new(mut space: Space, mode: u32, uid: u32, gid: u32) -> io::Result<Self> {
        let now = Timestamp::now();
        let meta = Attr {
            nlink: 2,
            uid,
            gid,
            atime: now,
            mtime: now,
            ctime: now,
            ..Attr::new(Ino::ROOT, libc::S_IFDIR | (mode & 0o7777))
        };
        let mut root = Node::new(meta, Kind::Directory(Directory::new(Ino::ROOT)));
        // The kernel knows it from the start.
        root.lookups = 1;
        space
            .take_room(root.cost())
            .expect("there is room for 1024 inodes at least");
        Ok(Self {
            nodes: BTreeMap::from([(Ino::ROOT, root)]),
            last: Ino::ROOT,
            generation: random(),
            store: Arc::new(Store::new()?),
            space,
            garbage: Garbage::default(),
            listings: Listings::default(),
            computing: Computing::default(),
            noatime: false,
            has_acls: false,
            counts: Counts {
                looked_up: 1,
                ..Counts::default()
            },
            mistakes: Vec::new(),
        })
    }

    /// # Errors
    ///
    /// ESTALE; to a handler that has not released the lock since the kernel named the inode it does not happen.
    pub(crate) fn get(&self, ino: Ino) -> Result<&Node, Errno> {
        self.nodes.get(&ino).ok_or(Errno::ESTALE)
    }

    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) fn get_mut(&mut self, ino: Ino) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&ino).ok_or(Errno::ESTALE)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    pub(crate) fn len(&self) -> u64 {
        self.nodes.len() as u64
    }

    /// A new inode, which has no name yet.
    ///
    /// # Errors
    ///
    /// ENOSPC.
    pub(crate) fn add(&mut self, meta: Attr, kind: Kind, xattrs: Xattrs) -> Result<Ino, Errno> {
        let now = Timestamp::now();
        let ino = Ino(self.last.0 + 1);
        let meta = Attr {
            ino,
            atime: now,
            mtime: now,
            ctime: now,
            ..meta
        };
        let node = Node {
            xattrs,
            ..Node::new(meta, kind)
        };
        self.space.take_room(node.cost())?;
        self.nodes.insert(ino, node);
        self.last = ino;
        Ok(ino)
    }

    /// The inode as the answer to a name: the kernel knows it once more.
    pub(crate) fn entry(&mut self, ino: Ino) -> Result<Entry, Errno> {
        let node = self.get_mut(ino)?;
        node.lookups += 1;
        self.counts.looked_up += 1;
        self.shown(ino)
    }

    /// The inode as the answer to a name, not counted.
    pub(crate) fn shown(&self, ino: Ino) -> Result<Entry, Errno> {
        Ok(Entry {
            // The kernel knows the root from the mount, as generation 0.
            generation: if ino == Ino::ROOT { 0 } else { self.generation },
            ..Entry::new(self.get(ino)?.attr(), TIMEOUT)
        })
    }

    /// The kernel knows it `count` times less.
    pub(crate) fn forget(&mut self, ino: Ino, count: u64) {
        let known = self.get(ino).map_or(0, |node| node.lookups);
        if count > known {
            self.mistakes.push(format!(
                "inode {ino} was forgotten {count} times, and known {known} times"
            ));
        }
        let count = count.min(known);
        if let Ok(node) = self.get_mut(ino) {
            node.lookups -= count;
            self.counts.forgotten += count;
            self.collect(ino);
        }
    }

    /// The contents were read now.
    pub(crate) fn accessed(&mut self, ino: Ino) -> Result<(), Errno> {
        let noatime = self.noatime;
        let node = self.get_mut(ino)?;
        if !noatime && node.is_atime_due() {
            node.meta.atime = Timestamp::now();
        }
        Ok(())
    }

    /// Whether the kernel may go on with what it has in its cache when the file is opened. What it reads there, nobody hears of:
    /// it may not while reading is to move the time of access.
    pub(crate) fn keeps_cache(&self, ino: Ino, flags: OpenFlags) -> Result<bool, Errno> {
        let node = self.get(ino)?;
        Ok(self.noatime || flags.contains(OpenFlags::NOATIME) || !node.is_atime_due())
    }

    /// It is opened once more.
    pub(crate) fn open(&mut self, ino: Ino) -> Result<(), Errno> {
        self.get_mut(ino)?.opens += 1;
        self.counts.opened += 1;
        Ok(())
    }

    /// It is opened once less.
    pub(crate) fn release(&mut self, ino: Ino) {
        match self.nodes.get_mut(&ino) {
            Some(node) if node.opens > 0 => {
                node.opens -= 1;
                self.counts.released += 1;
                self.collect(ino);
            }
            _ => self
                .mistakes
                .push(format!("inode {ino} was closed, and not open")),
        }
    }

    /// Frees the inode if it has no name, the kernel does not know it, and nobody has it open.
    pub(crate) fn collect(&mut self, ino: Ino) {
        if !self.get(ino).is_ok_and(Node::is_lost) {
            return;
        }
        if let Some(node) = self.nodes.remove(&ino) {
            self.space.free_room(node.cost());
            if let Kind::File(data) = node.kind {
                self.discard(data.into_runs());
            }
        }
    }

    /// Frees blocks: few at once, many in the background.
    pub(crate) fn discard(&mut self, runs: Vec<Run>) {
        let blocks = runs::blocks(&runs);
        if blocks <= PIECE {
            self.space.free(blocks);
            let freed = self.store.free_all(&runs);
            self.note(freed);
        } else {
            self.garbage.add(runs);
        }
    }

    /// Frees some of the blocks that wait for it. Returns them, for the caller to give their memory back.
    pub(crate) fn reclaim(&mut self) -> Vec<Run> {
        let piece = self.garbage.take();
        self.space.free(runs::blocks(&piece));
        piece
    }

    /// Remembers that memory was not given back.
    pub(crate) fn note(&mut self, freed: Result<(), Errno>) {
        if let Err(error) = freed {
            self.mistakes
                .push(format!("memory could not be given back: {error}"));
        }
    }

    /// Takes `blocks` blocks of the space, out of what waits to be freed if need be.
    ///
    /// # Errors
    ///
    /// ENOSPC.
    pub(crate) fn allocate(&mut self, blocks: u64) -> Result<(), Errno> {
        while !self.space.take(blocks) {
            let piece = self.reclaim();
            if piece.is_empty() {
                return Err(Errno::ENOSPC);
            }
            let freed = self.store.free_all(&piece);
            self.note(freed);
        }
        Ok(())
    }
}
