//! Reading and changing files: blocks that are not cached are downloaded, with the lock released.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use fuse3::{Attr, Errno, Ino, ReadBuf, Timestamp};

use crate::blocks::{BLOCK, BlockId};
use crate::cache::{Cache, Held, Key};
use crate::state::State;

/// **P1**: a block that is pinned, and stays whatever others do while the lock is released.
///
/// It has the block's number and not a reference to it, and the guard of the lock, to unpin it also when something panics.
pub(crate) struct Pinned<'g, 'a> {
    state: &'g mut Held<'a>,
    id: BlockId,
}

impl<'g, 'a> Pinned<'g, 'a> {
    pub(crate) fn new(state: &'g mut Held<'a>, id: BlockId) -> Self {
        state.blocks.pin(id);
        Self { state, id }
    }
}

impl Drop for Pinned<'_, '_> {
    fn drop(&mut self) {
        self.state.blocks.unpin(self.id);
    }
}

impl<'a> Deref for Pinned<'_, 'a> {
    type Target = Held<'a>;

    fn deref(&self) -> &Self::Target {
        self.state
    }
}

impl DerefMut for Pinned<'_, '_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.state
    }
}

impl Cache {
    /// **P1**: re-validates. The data of a block of a file, or `None` for a hole. Releases the lock if they are not cached.
    ///
    /// Others may have written to the file, cut it or removed it meanwhile: after each release it is looked up again which
    /// block is there, until it is one that is cached. From then on the lock is not released.
    pub(crate) fn block(
        &self,
        state: &mut Held<'_>,
        ino: Ino,
        index: u64,
    ) -> Result<Option<Arc<Vec<u8>>>, Errno> {
        loop {
            let Some(&id) = state.get(ino)?.blocks.get(&index) else {
                return Ok(None);
            };
            if let Some(data) = state.blocks.cached(id) {
                return Ok(Some(data));
            }
            self.download(&mut Pinned::new(state, id), id)?;
        }
    }

    /// **P2**: keyed double-checked fetch. However many want a block, it is downloaded once.
    fn download(&self, state: &mut Held<'_>, id: BlockId) -> Result<(), Errno> {
        let key = state.released(|proof| self.keys.lock(Key::Block(id), proof));
        // Whoever had the key before may have done it.
        if state.blocks.cached(id).is_none() {
            let data = state.released(|_| self.backend.get(&id.to_string()));
            state.blocks.fill(id, data.map_err(down)?);
        }
        drop(key);
        Ok(())
    }

    /// `read`. Releases the lock.
    pub(crate) fn read(
        &self,
        state: &mut Held<'_>,
        ino: Ino,
        mut offset: u64,
        out: &mut ReadBuf,
    ) -> Result<(), Errno> {
        while out.remaining() > 0 {
            let (index, start) = place(offset);
            let data = self.block(state, ino, index)?;
            // Only now, since the size may have changed.
            let left = state.get(ino)?.attr.size.saturating_sub(offset);
            let room = out.remaining().min(BLOCK - start);
            let len = usize::try_from(left).map_or(room, |left| left.min(room));
            if len == 0 {
                break;
            }
            let data = data.as_ref().and_then(|data| data.get(start..));
            let data = data.unwrap_or_default();
            let data = &data[..len.min(data.len())];
            out.push(data);
            out.push_zeros(len - data.len());
            offset += len as u64;
        }
        Ok(())
    }

    /// `write`. Releases the lock.
    pub(crate) fn write(
        &self,
        state: &mut Held<'_>,
        ino: Ino,
        mut offset: u64,
        bytes: &[u8],
    ) -> Result<(), Errno> {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.make_room(state)?;
            let (index, start) = place(offset);
            let (piece, after) = rest.split_at(rest.len().min(BLOCK - start));
            let end = start + piece.len();
            self.change(state, ino, index, |data| {
                data.resize(data.len().max(end), 0);
                data[start..end].copy_from_slice(piece);
            })?;
            offset += piece.len() as u64;
            rest = after;
            let inode = state.change(ino)?;
            inode.attr.mtime = Timestamp::now();
            let size = inode.attr.size.max(offset);
            resize(&mut inode.attr, size);
        }
        Ok(())
    }

    /// `truncate`. Releases the lock.
    pub(crate) fn truncate(&self, state: &mut Held<'_>, ino: Ino, size: u64) -> Result<(), Errno> {
        let (index, start) = place(size);
        let inode = state.get(ino)?;
        if start > 0 && size < inode.attr.size && inode.blocks.contains_key(&index) {
            self.change(state, ino, index, |data| data.truncate(start))?;
        }
        let inode = state.change(ino)?;
        inode.attr.mtime = Timestamp::now();
        resize(&mut inode.attr, size);
        let cut = inode.blocks.split_off(&(index + u64::from(start > 0)));
        cut.into_values().for_each(|id| state.blocks.unrefer(id));
        Ok(())
    }

    /// Changes the data of a block of a file. Releases the lock first, but not between then and the end.
    fn change(
        &self,
        state: &mut Held<'_>,
        ino: Ino,
        index: u64,
        change: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Errno> {
        self.block(state, ino, index)?;
        let state: &mut State = state;
        let id = match state.get(ino)?.blocks.get(&index) {
            Some(id) => state.blocks.change(*id, change),
            None => {
                let mut data = Vec::new();
                change(&mut data);
                state.blocks.add(data)
            }
        };
        state.change(ino)?.blocks.insert(index, id);
        Ok(())
    }
}

/// What the client gets when the backend fails.
pub(crate) fn down(error: std::io::Error) -> Errno {
    crate::say(error);
    Errno::EIO
}

/// The block at an offset, and where in it that is.
fn place(offset: u64) -> (u64, usize) {
    let block = BLOCK as u64;
    let start = usize::try_from(offset % block).expect("less than a block");
    (offset / block, start)
}

fn resize(attr: &mut Attr, size: u64) {
    attr.size = size;
    attr.blocks = size.div_ceil(512);
}
