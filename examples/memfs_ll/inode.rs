//! A file, and what is in it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use fuse3::range::{Fallocate, FallocateMode};
use fuse3::{Attr, Errno, ReadBuf, SetAttr, Timestamp};
use parking_lot::RwLock;

const BLOCK: u64 = 4096;

/// A file of any type. What is in a directory, the [tree](super::tree::Tree) knows.
#[derive(Debug)]
pub(crate) struct Inode {
    /// How often the kernel was told of it, less what it has forgotten.
    pub(crate) lookups: AtomicU64,
    /// The lock of this inode alone: reads of one file do not wait for each other, and nothing for another file.
    pub(crate) state: RwLock<State>,
}

/// What can change of an inode.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) attr: Attr,
    /// Where a symbolic link leads.
    pub(crate) target: Option<PathBuf>,
    /// What was written of a file, in blocks by their number; zeros elsewhere.
    blocks: BTreeMap<u64, Box<[u8]>>,
}

impl Inode {
    pub(crate) fn new(attr: Attr, target: Option<PathBuf>) -> Self {
        let now = Timestamp::now();
        let attr = Attr {
            atime: now,
            mtime: now,
            ctime: now,
            ..attr
        };
        Self {
            lookups: AtomicU64::new(0),
            state: RwLock::new(State {
                attr,
                target,
                blocks: BTreeMap::new(),
            }),
        }
    }

    pub(crate) fn attr(&self) -> Attr {
        self.state.read().shown()
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.attr().mode & libc::S_IFMT == libc::S_IFDIR
    }
}

impl State {
    /// The attributes were changed.
    pub(crate) fn changed(&mut self) {
        self.attr.ctime = Timestamp::now();
    }

    /// The contents were changed, or the names in the directory.
    pub(crate) fn modified(&mut self) {
        self.changed();
        self.attr.mtime = self.attr.ctime;
    }

    pub(crate) fn change(&mut self, changes: &SetAttr) {
        if let Some(size) = changes.size {
            self.truncate(size);
        }
        self.changed();
        let attr = &mut self.attr;
        let kind = attr.mode & libc::S_IFMT;
        attr.mode = changes.mode.map_or(attr.mode, |mode| kind | mode & 0o7777);
        attr.uid = changes.uid.unwrap_or(attr.uid);
        attr.gid = changes.gid.unwrap_or(attr.gid);
        attr.atime = changes.atime.map_or(attr.atime, |time| time.resolve());
        attr.mtime = changes.mtime.map_or(attr.mtime, |time| time.resolve());
        attr.ctime = changes.ctime.unwrap_or(attr.ctime);
    }

    pub(crate) fn truncate(&mut self, size: u64) {
        let (last, kept) = (size / BLOCK, size % BLOCK);
        self.blocks.split_off(&size.div_ceil(BLOCK));
        if let Some(block) = self.blocks.get_mut(&last) {
            block[small(kept)..].fill(0);
        }
        self.attr.size = size;
        self.modified();
    }

    /// Takes the set-user-id bit away, and the set-group-id bit of a file that the group may run.
    pub(crate) fn drop_set_id(&mut self) {
        let group = match self.attr.mode & libc::S_IXGRP {
            0 => 0,
            _ => libc::S_ISGID,
        };
        self.attr.mode &= !(libc::S_ISUID | group);
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8], keep: bool) {
        let mut at = offset;
        let mut rest = if keep { data } else { &[] };
        while !rest.is_empty() {
            let start = small(at % BLOCK);
            let (now, later) = rest.split_at(rest.len().min(small(BLOCK) - start));
            let zeros = || vec![0; small(BLOCK)].into();
            let block = self.blocks.entry(at / BLOCK).or_insert_with(zeros);
            block[start..start + now.len()].copy_from_slice(now);
            at += now.len() as u64;
            rest = later;
        }
        self.attr.size = self.attr.size.max(offset + data.len() as u64);
        self.modified();
    }

    /// Memory is not set aside, so that this makes holes, and the file longer.
    pub(crate) fn allocate(&mut self, range: &Fallocate) -> Result<(), Errno> {
        const ZEROING: FallocateMode = FallocateMode::PUNCH_HOLE.union(FallocateMode::ZERO_RANGE);
        if !(range.mode - ZEROING - FallocateMode::KEEP_SIZE).is_empty() {
            return Err(Errno::EOPNOTSUPP);
        }
        let end = range.offset + range.length;
        if range.mode.intersects(ZEROING) {
            for (number, block) in self
                .blocks
                .range_mut(range.offset / BLOCK..end.div_ceil(BLOCK))
            {
                let start = number * BLOCK;
                let inside = |at: u64| small(at.clamp(start, start + BLOCK) - start);
                block[inside(range.offset)..inside(end)].fill(0);
            }
        }
        if !range.mode.contains(FallocateMode::KEEP_SIZE) {
            self.attr.size = self.attr.size.max(end);
        }
        self.modified();
        Ok(())
    }

    pub(crate) fn read(&self, offset: u64, out: &mut ReadBuf) {
        let mut at = offset;
        while at < self.attr.size && out.remaining() > 0 {
            let start = small(at % BLOCK);
            let left = usize::try_from(self.attr.size - at).unwrap_or(usize::MAX);
            let count = left.min(out.remaining()).min(small(BLOCK) - start);
            match self.blocks.get(&(at / BLOCK)) {
                Some(block) => out.push(&block[start..start + count]),
                None => out.push_zeros(count),
            }
            at += count as u64;
        }
    }

    fn shown(&self) -> Attr {
        Attr {
            blocks: self.blocks.len() as u64 * (BLOCK / 512),
            ..self.attr
        }
    }
}

/// What is no more than a block.
fn small(count: u64) -> usize {
    usize::try_from(count).expect("no more than a block")
}
