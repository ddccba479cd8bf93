//! Freeing large files in the background: a thread of the application that takes the global lock.

use std::sync::Arc;

use fuse3::GlobalLock;
use fuse3::lock::{Condvar, LockError};

use crate::form::{Reader, Writer, Wrong};
use crate::inodes::Inodes;
use crate::runs::{self, Run};

/// How many blocks are freed at once: 4 MiB.
pub(crate) const PIECE: u64 = 1024;

/// Blocks of files that are gone, which are still to be freed.
#[derive(Debug, Default)]
pub(crate) struct Garbage {
    heap: Vec<Run>,
    blocks: u64,
    /// Those whose memory the thread is giving back. If it does not come to that, the next program does.
    pub(crate) leaving: Vec<Run>,
    arrived: Arc<Condvar>,
    stop: bool,
}

impl Garbage {
    /// How many blocks there are.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    pub(crate) fn add(&mut self, runs: Vec<Run>) {
        self.blocks += runs::blocks(&runs);
        self.heap.extend(runs);
        self.arrived.notify_one();
    }

    /// At most [`PIECE`] of them.
    pub(crate) fn take(&mut self) -> Vec<Run> {
        let (mut piece, mut room) = (Vec::new(), PIECE);
        while room > 0 {
            let Some(run) = self.heap.pop() else {
                break;
            };
            if run.count > room {
                self.heap.push(run.after(room));
            }
            let part = run.first(room);
            room -= part.count;
            piece.push(part);
        }
        self.blocks -= PIECE - room;
        piece
    }

    pub(crate) fn put(&self, out: &mut Writer) {
        for runs in [&self.heap, &self.leaving] {
            out.list(runs.iter(), |out, run| run.put(out));
        }
    }

    /// That of the program before, in which no block is at `slots` or behind.
    pub(crate) fn take_written(from: &mut Reader<'_>, slots: u64) -> Result<Self, Wrong> {
        let heap = from.list("garbage", |from| Run::take(from, slots))?;
        let leaving = from.list("garbage that leaves", |from| Run::take(from, slots))?;
        let counts = heap.iter().map(|run| run.count);
        let blocks = counts.reduce(u64::saturating_add).unwrap_or(0);
        Ok(Self {
            heap,
            blocks,
            leaving,
            ..Self::default()
        })
    }

    /// All that there is.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Run> {
        self.heap.iter().chain(&self.leaving).copied()
    }

    /// The thread is to end once there is nothing left.
    pub(crate) fn stop(&mut self) {
        self.stop = true;
        self.arrived.notify_one();
    }
}

/// The thread. It frees in pieces, and without the lock, so that nobody waits for a large file to be freed.
///
/// # Errors
///
/// None: a new thread does not hold the lock.
pub(crate) fn run(lock: &GlobalLock<Inodes>) -> Result<(), LockError> {
    let mut inodes = lock.lock()?;
    let arrived = Arc::clone(&inodes.garbage.arrived);
    // What the program before did not come to.
    let left = std::mem::take(&mut inodes.garbage.leaving);
    let freed = inodes.store.free_all(&left);
    inodes.note(freed);
    loop {
        let piece = inodes.reclaim();
        if !piece.is_empty() {
            inodes.garbage.leaving.clone_from(&piece);
            let store = Arc::clone(&inodes.store);
            let freed = inodes.released(|_| store.free_all(&piece));
            inodes.garbage.leaving.clear();
            inodes.note(freed);
        } else if inodes.garbage.stop {
            return Ok(());
        } else {
            inodes.wait(&arrived, None);
        }
    }
}
