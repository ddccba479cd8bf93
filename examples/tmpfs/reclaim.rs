//! Freeing large files in the background: a thread of the application that takes the global lock.

use std::sync::Arc;

use fuse3::GlobalLock;
use fuse3::lock::{Condvar, LockError};

use crate::data::{Block, Blocks};
use crate::inodes::Inodes;

/// How many blocks are freed at once: 4 MiB.
pub(crate) const PIECE: usize = 1024;

/// Blocks of files that are gone, which are still to be freed.
#[derive(Debug, Default)]
pub(crate) struct Garbage {
    heap: Vec<Blocks>,
    blocks: u64,
    arrived: Arc<Condvar>,
    stop: bool,
}

impl Garbage {
    /// How many blocks there are.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    pub(crate) fn add(&mut self, blocks: Blocks) {
        self.blocks += blocks.len() as u64;
        self.heap.push(blocks);
        self.arrived.notify_one();
    }

    /// At most [`PIECE`] of them.
    pub(crate) fn take(&mut self) -> Vec<Option<Block>> {
        let mut piece = Vec::new();
        while piece.len() < PIECE {
            let Some(blocks) = self.heap.last_mut() else {
                break;
            };
            match blocks.pop_last() {
                Some((_, block)) => piece.push(block),
                None => drop(self.heap.pop()),
            }
        }
        self.blocks -= piece.len() as u64;
        piece
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
    loop {
        let piece = inodes.reclaim();
        if !piece.is_empty() {
            inodes.released(|_| drop(piece));
        } else if inodes.garbage.stop {
            return Ok(());
        } else {
            inodes.wait(&arrived, None);
        }
    }
}
