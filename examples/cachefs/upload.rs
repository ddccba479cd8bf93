//! **P4**: the workers that upload dirty blocks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use fuse3::Errno;
use fuse3::kit::{OwnedKeyGuard, WorkReceiver, work_queue};

use crate::blocks::BlockId;
use crate::cache::{Cache, Held, Key};
use crate::fetch::{Pinned, down};
use crate::state::State;

/// How many blocks wait for a worker at most, beside those that are being uploaded.
const QUEUE: usize = 8;
/// After so long without room in the queue the backend is taken for dead.
const PATIENCE: Duration = Duration::from_secs(30);

/// A block that is to be uploaded, with its key: taken by whoever asks for the upload, and released by the worker.
pub(crate) struct Upload {
    id: BlockId,
    key: OwnedKeyGuard<Key>,
}

impl Cache {
    /// Uploads these blocks, and waits until the backend has them. Releases the lock.
    ///
    /// # Errors
    ///
    /// EIO if it does not have all of them then. They stay dirty.
    pub(crate) fn store(&self, state: &mut Held<'_>, blocks: &[BlockId]) -> Result<(), Errno> {
        for id in blocks {
            self.enqueue(state, *id)?;
        }
        // Who has the key of an upload that has ended, well or not, has it no more: neither has a worker that has died.
        for id in blocks {
            state.released(|proof| drop(self.keys.lock(Key::Block(*id), proof)));
        }
        if blocks.iter().all(|id| state.blocks.is_settled(*id)) {
            Ok(())
        } else {
            Err(Errno::EIO)
        }
    }

    /// Gives a block and its key to a worker. Releases the lock, to wait for the key and for room in the queue: both come
    /// from workers, who need the lock.
    fn enqueue(&self, state: &mut Held<'_>, id: BlockId) -> Result<(), Errno> {
        let key = state
            .released(|proof| self.keys.lock(Key::Block(id), proof))
            .into_owned();
        // Whoever had the key before may have uploaded it.
        if state.blocks.is_settled(id) {
            return Ok(());
        }
        let sender = state.uploads.clone().ok_or(Errno::EIO)?;
        let upload = Upload { id, key };
        // Dead workers are noticed at once, those that hang after a while.
        let sent = state.released(|proof| sender.send_for(upload, PATIENCE, proof));
        sent.map_err(|unsent| {
            crate::say(format_args!("{id}: {unsent}"));
            Errno::EIO
        })
    }

    /// Uploads the oldest blocks if there are too many that are dirty, for the next one to have room. Releases the lock.
    ///
    /// # Errors
    ///
    /// EIO if the backend does not take them.
    pub(crate) fn make_room(&self, state: &mut Held<'_>) -> Result<(), Errno> {
        while state.blocks.dirty_len() >= state.blocks.limit {
            let oldest: Vec<BlockId> = state.blocks.dirty().take(QUEUE).collect();
            self.store(state, &oldest)?;
        }
        Ok(())
    }

    /// Starts workers, if some are missing. Those that are still there end when they have done what they were given.
    pub(crate) fn employ(self: &Arc<Self>, state: &mut State) {
        let count = self.settings.uploaders;
        if state
            .uploads
            .as_ref()
            .is_some_and(|sender| sender.workers() == count)
        {
            return;
        }
        if let Some(sender) = state.uploads.take() {
            let died = count - sender.workers();
            crate::say(format_args!("{died} of {count} workers have died"));
            sender.close();
        }
        let (sender, receiver) = work_queue(QUEUE);
        for _ in 0..count {
            let (cache, receiver) = (Arc::clone(self), receiver.clone());
            state
                .threads
                .push(thread::spawn(move || cache.work(&receiver)));
        }
        state.uploads = Some(sender);
    }

    /// A worker. The key of each block came from another thread, and is released here, once what was done is noted.
    fn work(&self, uploads: &WorkReceiver<Upload>) {
        let work = self.lock.unlocked(|proof| {
            while let Some(Upload { id, key }) = uploads.recv(proof) {
                self.upload(&mut proof.lock(), id);
                drop(key);
            }
        });
        work.expect("a new thread does not hold the lock");
    }

    /// Uploads a block, if it is still wanted. Releases the lock.
    fn upload(&self, state: &mut Held<'_>, id: BlockId) {
        let Some(data) = state.blocks.begin_upload(id) else {
            return;
        };
        let mut state = Pinned::new(state, id);
        let result = state.released(|_| {
            let is_told = self.backend.deadly.swap(false, Ordering::Relaxed);
            assert!(!is_told, "a worker was told to die");
            self.backend.put(&id.to_string(), &data)
        });
        match result {
            Ok(()) => state.blocks.end_upload(id),
            // It stays dirty, and the commit thread tries again.
            Err(error) => drop(down(error)),
        }
    }
}
