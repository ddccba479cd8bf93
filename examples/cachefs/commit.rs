//! **P3**: the commit thread, which brings to the backend what has changed; and `fsync`, which does not wait for it.

use std::mem;
use std::sync::Arc;
use std::thread;

use fuse3::{Errno, Ino};

use crate::blocks::{BlockId, BlockMap};
use crate::cache::{Cache, Held, Key};
use crate::fetch::down;
use crate::journal;
use crate::record::Record;
use crate::state::State;

/// How many records are looked at, or blocks uploaded, before others are given the lock or looked at anew.
const BATCH: usize = 500;

/// So many commits become one.
const MANY: u64 = 20;

/// What is to become a commit.
#[derive(Default)]
struct Commit {
    bytes: Vec<u8>,
    /// What is in it, with the blocks of the inodes that are still there.
    records: Vec<(Record, Option<BlockMap>)>,
    /// Inodes with blocks that the backend does not have yet.
    again: Vec<Record>,
}

impl Cache {
    /// The thread. It waits with the lock released, and whatever failed is tried again after the next pause.
    pub(crate) fn commit_now_and_then(self: &Arc<Self>) {
        let lock = self.lock.lock();
        let mut state = lock.expect("a new thread does not hold the lock");
        let (mut worked, mut is_over) = (true, false);
        while !is_over {
            if !state.stop {
                state.wait(&self.wake, Some(self.settings.period));
            }
            // Once more at the end.
            is_over = state.stop;
            self.employ(&mut state);
            let works = self.flush(&mut state).is_ok();
            if works != mem::replace(&mut worked, works) {
                let does = if works { "is back" } else { "fails" };
                crate::say(format_args!("the backend {does}"));
            }
        }
        // The workers end when they have done what they were given.
        state.uploads = None;
    }

    /// Brings everything to the backend that has changed. Releases the lock, so it goes through copies of what it is to do.
    pub(crate) fn flush(&self, state: &mut Held<'_>) -> Result<(), Errno> {
        let dirty: Vec<BlockId> = state.blocks.dirty().collect();
        for blocks in dirty.chunks(16) {
            // Others have uploaded some of them, or the files are gone.
            self.store(state, blocks)?;
        }
        self.commit(state)?;
        self.compact(state)?;
        self.sweep(state)
    }

    /// `fsync`: everything that was written to the file is in the backend, and can be found there. Releases the lock.
    pub(crate) fn sync(&self, state: &mut Held<'_>, ino: Ino) -> Result<(), Errno> {
        loop {
            let blocks = state.get(ino)?.blocks.values().copied();
            let dirty: Vec<BlockId> = blocks.filter(|id| !state.blocks.is_settled(*id)).collect();
            if dirty.is_empty() {
                return self.commit(state);
            }
            self.store(state, &dirty)?;
        }
    }

    /// Writes all records that have changed, in one object: after a crash there are all of them or none. Releases the lock.
    ///
    /// # Errors
    ///
    /// EIO if that failed. They are to be committed again.
    pub(crate) fn commit(&self, state: &mut Held<'_>) -> Result<(), Errno> {
        let key = state.released(|proof| self.keys.lock(Key::Commit, proof));
        let mut commit = Commit::default();
        // What others change while they have the lock is dirty again, and comes into the commit again: at the end in one go,
        // so that it is the state of one moment, and they do not keep it from ending.
        for _ in 0..state.dirty.len() / BATCH {
            for _ in 0..BATCH {
                if let Some(record) = state.dirty.pop_first() {
                    commit.add(state, record);
                }
            }
            state.yield_(100);
        }
        while let Some(record) = state.dirty.pop_first() {
            commit.add(state, record);
        }
        let result = if commit.records.is_empty() {
            Ok(())
        } else {
            let name = journal::name(state.commits + 1);
            let result = state.released(|_| self.backend.put(&name, &commit.bytes));
            state.commits += u64::from(result.is_ok());
            commit.settle(state, result.is_ok());
            result.map_err(down)
        };
        drop(key);
        result
    }

    /// Makes one commit of many, up to the last one that is known to have succeeded. Releases the lock.
    fn compact(&self, state: &mut Held<'_>) -> Result<(), Errno> {
        let last = state.commits;
        if last >= state.compacted + MANY {
            let result = state.released(|_| journal::compact(&self.backend, last));
            result.map_err(down)?;
            state.compacted = last;
        }
        Ok(())
    }

    /// Deletes the objects that nobody has any more, as many at a time as are uploaded. Releases the lock.
    fn sweep(&self, state: &mut Held<'_>) -> Result<(), Errno> {
        // Others add to it meanwhile.
        let garbage = mem::take(&mut state.blocks.garbage);
        let share = garbage.len().div_ceil(self.settings.uploaders).max(1);
        // A thread stops where the backend fails.
        let fails = |id: &BlockId| {
            let result = self.backend.delete(&id.to_string());
            result.map_err(down).is_err()
        };
        let sweep_share = |ids: &[BlockId]| match ids.iter().position(fails) {
            Some(at) => ids[at..].to_vec(),
            None => Vec::new(),
        };
        let left: Vec<BlockId> = state.released(|_| {
            thread::scope(|threads| {
                let shares = garbage.chunks(share);
                let sweepers: Vec<_> = shares
                    .map(|ids| threads.spawn(|| sweep_share(ids)))
                    .collect();
                let left = sweepers.into_iter().map(thread::ScopedJoinHandle::join);
                left.flat_map(|left| left.expect("nothing in it panics"))
                    .collect()
            })
        });
        let result = if left.is_empty() {
            Ok(())
        } else {
            Err(Errno::EIO)
        };
        state.blocks.garbage.extend(left);
        result
    }
}

impl Commit {
    /// Where the backend does not have a block yet, the record has the one that was there when it was last committed: so
    /// what an earlier `fsync` has brought there is not lost.
    fn add(&mut self, state: &mut State, record: Record) {
        let mut blocks = None;
        let inode = match record {
            Record::Inode(ino) => state.inodes.get(&ino),
            Record::Name(..) => None,
        };
        if let Some(inode) = inode {
            let ino = inode.attr.ino;
            let mut stored = inode.blocks.clone();
            let before = state.committed.get(&ino);
            let mut is_complete = true;
            stored.retain(|index, id| {
                if !state.blocks.is_settled(*id) {
                    is_complete = false;
                    match before.and_then(|before| before.get(index)) {
                        Some(before) => *id = *before,
                        None => return false,
                    }
                }
                true
            });
            if !is_complete {
                self.again.push(record.clone());
            }
            stored.values().for_each(|id| state.blocks.refer(*id));
            blocks = Some(stored);
        }
        let value = record.value(state, blocks.as_ref().unwrap_or(&BlockMap::new()));
        journal::append(&mut self.bytes, &record.encode(), value.as_deref());
        self.records.push((record, blocks));
    }

    /// Notes what the backend has now. Yields the lock.
    fn settle(self, state: &mut Held<'_>, is_done: bool) {
        state.dirty.extend(self.again);
        for (number, (record, blocks)) in self.records.into_iter().enumerate() {
            let unused = match (&record, blocks) {
                (Record::Name(..), _) => None,
                (Record::Inode(ino), Some(blocks)) if is_done => {
                    state.committed.insert(*ino, blocks)
                }
                (Record::Inode(ino), None) if is_done => state.committed.remove(ino),
                (Record::Inode(_), blocks) => blocks,
            };
            for id in unused.into_iter().flat_map(BlockMap::into_values) {
                state.blocks.unrefer(id);
            }
            if !is_done {
                state.dirty.insert(record);
            }
            if number % BATCH == BATCH - 1 {
                state.yield_(100);
            }
        }
    }
}
