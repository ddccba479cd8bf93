//! The blocks of all files: what is cached of them, and what the backend does not have yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Bytes in a block; the last one of a file, and one before a hole, may have fewer.
pub(crate) const BLOCK: usize = 128 << 10;

/// A block's number, which is never given twice. The object of this name never changes, so what is cached is never old.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct BlockId(pub(crate) u64);

/// The name of its object.
impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block.{:016x}", self.0)
    }
}

/// Which blocks a file has; what is not in it is a hole.
pub(crate) type BlockMap = BTreeMap<u64, BlockId>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The backend does not have it.
    Dirty,
    /// A worker has begun to upload it.
    Uploading,
    /// The backend has it.
    Stored,
}

#[derive(Debug)]
struct Block {
    /// How many files, and records of files in the backend, have it.
    refs: u32,
    /// How many threads use it with the lock released.
    pins: u32,
    stage: Stage,
    data: Option<Arc<Vec<u8>>>,
    /// When it was used last, a key of `recent` if it may be evicted.
    used: u64,
}

/// All blocks that somebody has.
///
/// # Invariants
///
/// `dirty` has those that are not stored, `recent` those that are stored and cached.
#[derive(Debug)]
pub(crate) struct Blocks {
    table: BTreeMap<BlockId, Block>,
    last: u64,
    dirty: BTreeSet<BlockId>,
    recent: BTreeMap<u64, BlockId>,
    clock: u64,
    /// Objects that nobody has any more.
    pub(crate) garbage: Vec<BlockId>,
    /// How many clean blocks are cached, and how many dirty ones there may be.
    pub(crate) limit: usize,
}

impl Blocks {
    /// No blocks. Those of the backend have numbers up to `last`.
    pub(crate) fn new(last: u64, limit: usize) -> Self {
        Self {
            table: BTreeMap::new(),
            last,
            dirty: BTreeSet::new(),
            recent: BTreeMap::new(),
            clock: 0,
            garbage: Vec::new(),
            limit,
        }
    }

    /// A new block, with one reference.
    pub(crate) fn add(&mut self, data: Vec<u8>) -> BlockId {
        self.last += 1;
        let id = BlockId(self.last);
        let (data, stage) = (Some(Arc::new(data)), Stage::Dirty);
        let (refs, pins, used) = (1, 0, 0);
        let block = Block {
            refs,
            pins,
            stage,
            data,
            used,
        };
        self.table.insert(id, block);
        self.dirty.insert(id);
        id
    }

    /// One reference more, to a block that is here or one that only the backend has.
    pub(crate) fn refer(&mut self, id: BlockId) {
        let (refs, pins, stage, data, used) = (0, 0, Stage::Stored, None, 0);
        let new = || Block {
            refs,
            pins,
            stage,
            data,
            used,
        };
        self.table.entry(id).or_insert_with(new).refs += 1;
    }

    /// One reference less.
    pub(crate) fn unrefer(&mut self, id: BlockId) {
        self.block(id).refs -= 1;
        self.drop_unused(id);
    }

    /// It is neither evicted nor deleted, whatever others do while the lock is released. [`Pinned`](crate::fetch::Pinned)
    /// sees to `unpin`.
    pub(crate) fn pin(&mut self, id: BlockId) {
        self.block(id).pins += 1;
    }

    pub(crate) fn unpin(&mut self, id: BlockId) {
        self.block(id).pins -= 1;
        self.drop_unused(id);
    }

    fn drop_unused(&mut self, id: BlockId) {
        let block = self.block(id);
        if block.refs == 0 && block.pins == 0 {
            let (stage, used) = (block.stage, block.used);
            self.table.remove(&id);
            self.dirty.remove(&id);
            self.recent.remove(&used);
            if stage != Stage::Dirty {
                self.garbage.push(id);
            }
        }
    }

    /// The data, if they are cached.
    pub(crate) fn cached(&mut self, id: BlockId) -> Option<Arc<Vec<u8>>> {
        let data = self.block(id).data.clone();
        self.touch(id);
        data
    }

    /// The data have been downloaded.
    pub(crate) fn fill(&mut self, id: BlockId, data: Vec<u8>) {
        self.block(id).data = Some(Arc::new(data));
        self.touch(id);
    }

    /// Changes a block that is cached, for one that refers to it. Returns the block that has the change: the same one only
    /// as long as nobody else has it, the backend included.
    pub(crate) fn change(&mut self, id: BlockId, change: impl FnOnce(&mut Vec<u8>)) -> BlockId {
        let block = self.block(id);
        let is_own = block.refs == 1 && block.stage == Stage::Dirty;
        let data = block
            .data
            .as_mut()
            .expect("it was fetched, and the lock was not released");
        if is_own {
            change(Arc::make_mut(data));
            return id;
        }
        let mut data = data.to_vec();
        change(&mut data);
        self.unrefer(id);
        self.add(data)
    }

    /// Those that the backend does not have, the oldest first.
    pub(crate) fn dirty(&self) -> impl Iterator<Item = BlockId> {
        self.dirty.iter().copied()
    }

    /// How many these are.
    pub(crate) fn dirty_len(&self) -> usize {
        self.dirty.len()
    }

    /// Nobody needs it uploaded: the backend has it, or nobody wants it any more.
    pub(crate) fn is_settled(&self, id: BlockId) -> bool {
        !self.dirty.contains(&id)
    }

    /// The data, for the upload, unless it is settled. They do not change any more.
    pub(crate) fn begin_upload(&mut self, id: BlockId) -> Option<Arc<Vec<u8>>> {
        if self.is_settled(id) {
            return None;
        }
        let block = self.block(id);
        block.stage = Stage::Uploading;
        block.data.clone()
    }

    /// The upload has succeeded.
    pub(crate) fn end_upload(&mut self, id: BlockId) {
        self.block(id).stage = Stage::Stored;
        self.dirty.remove(&id);
        self.touch(id);
    }

    /// It was used just now. Evicts those that were not for longest, if they are too many.
    fn touch(&mut self, id: BlockId) {
        self.clock += 1;
        let now = self.clock;
        let block = self.block(id);
        if block.stage != Stage::Stored || block.data.is_none() {
            return;
        }
        let before = std::mem::replace(&mut block.used, now);
        self.recent.remove(&before);
        self.recent.insert(now, id);
        while self.recent.len() > self.limit {
            let pinned = |id: &BlockId| self.table[id].pins > 0;
            let oldest = self.recent.iter().find(|(_, id)| !pinned(id));
            let Some((&used, &id)) = oldest else { return };
            self.recent.remove(&used);
            self.block(id).data = None;
        }
    }

    fn block(&mut self, id: BlockId) -> &mut Block {
        self.table
            .get_mut(&id)
            .expect("who has its number refers to it, or has pinned it")
    }

    pub(crate) fn cached_len(&self) -> usize {
        self.recent.len()
    }

    /// Number, references and pins of each.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (BlockId, u32, u32)> {
        self.table
            .iter()
            .map(|(id, block)| (*id, block.refs, block.pins))
    }
}
