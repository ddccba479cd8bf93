//! The bytes of a file: blocks, and holes where nothing was written.

use std::ops::Range;

use fuse3::{Errno, ReadBuf};

use crate::form::{Reader, Writer, Wrong};
use crate::runs::{Part, Run, Runs};
use crate::store::{BLOCK, BLOCK_BYTES, Store};

/// The largest file: offsets are signed in the system calls.
pub(crate) const SIZE_MAX: u64 = u64::MAX / 2;

/// The contents of a regular file, which are in a [`Store`].
///
/// # Invariants
///
/// A block wholly behind `len` is only set aside, and what others have behind it is zeros.
#[derive(Debug, Default)]
pub(crate) struct Data {
    len: u64,
    runs: Runs,
}

/// The numbers of the blocks that `range`, which is not empty, is in.
fn touched(range: &Range<u64>) -> Range<u64> {
    range.start / BLOCK_BYTES..range.end.div_ceil(BLOCK_BYTES)
}

/// The part of `bytes` that is in `blocks`; the second one begins in the first of these.
fn within(blocks: &Range<u64>, bytes: &Range<u64>) -> Range<u64> {
    let start = bytes.start.max(blocks.start * BLOCK_BYTES);
    start..bytes.end.min(blocks.end * BLOCK_BYTES)
}

/// Where in the store the byte `at` is, of blocks of which the first one, `first`, is in `slot`.
fn in_store(slot: u64, first: u64, at: u64) -> u64 {
    slot * BLOCK_BYTES + (at - first * BLOCK_BYTES)
}

/// The number of bytes in a range of what is in memory.
fn length(range: &Range<u64>) -> usize {
    usize::try_from(range.end - range.start).expect("a part of a buffer")
}

impl Data {
    /// Bytes in all, holes included.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How many blocks are allocated.
    pub(crate) fn blocks(&self) -> u64 {
        self.runs.blocks()
    }

    /// How many of its bytes are in holes, at most.
    pub(crate) fn holes(&self) -> u64 {
        self.len.saturating_sub(self.blocks() * BLOCK_BYTES)
    }

    /// The holes in `range`.
    fn gaps(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let parts = self.runs.parts(touched(&range));
        parts.filter_map(|(blocks, part)| (part == Part::Hole).then_some(blocks))
    }

    /// How many blocks are missing in `range`, that a write there would allocate.
    pub(crate) fn missing(&self, range: Range<u64>) -> u64 {
        if range.is_empty() {
            return 0;
        }
        self.gaps(range)
            .map(|blocks| blocks.end - blocks.start)
            .sum()
    }

    /// Sets blocks aside for `range`, which is not empty.
    pub(crate) fn reserve(&mut self, range: &Range<u64>) {
        let gaps: Vec<_> = self.gaps(range.clone()).collect();
        for blocks in gaps {
            let count = blocks.end - blocks.start;
            self.runs.insert(blocks.start, Run { count, slot: None });
        }
    }

    /// Makes a hole of `range`. Returns the blocks that are not needed any more.
    ///
    /// # Errors
    ///
    /// Those of [`Store::write`]; no block is lost then.
    pub(crate) fn punch(&mut self, store: &Store, range: &Range<u64>) -> Result<Vec<Run>, Errno> {
        let whole = range.start.div_ceil(BLOCK_BYTES)..range.end / BLOCK_BYTES;
        if whole.start > whole.end {
            self.clear(store, range.clone())?;
            return Ok(Vec::new());
        }
        self.clear(store, range.start..whole.start * BLOCK_BYTES)?;
        self.clear(store, whole.end * BLOCK_BYTES..range.end)?;
        Ok(self.runs.remove(whole))
    }

    /// Makes a part of a block zeros.
    fn clear(&self, store: &Store, bytes: Range<u64>) -> Result<(), Errno> {
        if bytes.is_empty() {
            return Ok(());
        }
        let index = bytes.start / BLOCK_BYTES;
        match self.runs.from(index).next() {
            Some((
                first,
                Run {
                    slot: Some(slot), ..
                },
            )) if first == index => {
                let zeros = &[0; BLOCK][..length(&bytes)];
                store.write(in_store(slot, first, bytes.start), zeros)
            }
            _ => Ok(()),
        }
    }

    /// Where the first data are from `offset` on; `None` at the end of the file.
    pub(crate) fn next_data(&self, offset: u64) -> Option<u64> {
        let mut from = self.runs.from(offset / BLOCK_BYTES);
        let (first, _) = from.find(|(_, run)| run.slot.is_some())?;
        Some(offset.max(first * BLOCK_BYTES)).filter(|at| *at < self.len)
    }

    /// Where the first hole is from `offset` on, as which the end of the file counts, and a block without data; `None` behind
    /// the end.
    pub(crate) fn next_hole(&self, offset: u64) -> Option<u64> {
        let mut index = offset / BLOCK_BYTES;
        for (first, run) in self.runs.from(index) {
            if first != index || run.slot.is_none() {
                break;
            }
            index += run.count;
        }
        (offset < self.len).then(|| offset.max(index * BLOCK_BYTES).min(self.len))
    }

    /// Writes `bytes` at `offset`, past the end too.
    ///
    /// # Errors
    ///
    /// Those of [`Store::write`]. Nothing was written then, unless the memory is lacking for bringing back what was swapped out.
    pub(crate) fn write(&mut self, store: &Store, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        if bytes.is_empty() {
            return Ok(());
        }
        let all = offset..offset + bytes.len() as u64;
        let mut new = Vec::new();
        let result = self.write_parts(store, &all, bytes, &mut new);
        if let Err(error) = result {
            let runs: Vec<_> = new.iter().map(|(_, run)| *run).collect();
            return store.free_all(&runs).and(Err(error));
        }
        for (first, run) in new {
            // It may have been set aside.
            self.runs.remove(first..first + run.count);
            self.runs.insert(first, run);
        }
        self.len = self.len.max(all.end);
        Ok(())
    }

    /// Writes where there are blocks, and before that, since memory may be lacking for it, to `new` ones where there are none.
    fn write_parts(
        &self,
        store: &Store,
        all: &Range<u64>,
        bytes: &[u8],
        new: &mut Vec<(u64, Run)>,
    ) -> Result<(), Errno> {
        let put = |slot: u64, blocks: &Range<u64>| {
            let range = within(blocks, all);
            let start = length(&(all.start..range.start));
            let part = &bytes[start..start + length(&range)];
            store.write(in_store(slot, blocks.start, range.start), part)
        };
        let parts = || self.runs.parts(touched(all));
        for (blocks, part) in parts() {
            if !matches!(part, Part::At(_)) {
                let count = blocks.end - blocks.start;
                let slot = store.take(count)?;
                let run = Run {
                    count,
                    slot: Some(slot),
                };
                new.push((blocks.start, run));
                put(slot, &blocks)?;
            }
        }
        for (blocks, part) in parts() {
            if let Part::At(slot) = part {
                put(slot, &blocks)?;
            }
        }
        Ok(())
    }

    /// The bytes of `range` that the file has: how many follow each other, and where in the store they are; `None` is zeros.
    pub(crate) fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = (Option<u64>, usize)> {
        let (start, end) = (range.start, range.end.min(self.len));
        let blocks = if start < end {
            touched(&(start..end))
        } else {
            0..0
        };
        self.runs.parts(blocks).map(move |(blocks, part)| {
            let bytes = within(&blocks, &(start..end));
            let at = match part {
                Part::At(slot) => Some(in_store(slot, blocks.start, bytes.start)),
                Part::Hole | Part::Aside => None,
            };
            (at, length(&bytes))
        })
    }

    /// Puts what is at `offset` into `out`, as much as it has room for and as there is.
    ///
    /// # Errors
    ///
    /// Those of [`Store::read`].
    pub(crate) fn read(&self, store: &Store, offset: u64, out: &mut ReadBuf) -> Result<(), Errno> {
        let end = offset.saturating_add(out.remaining() as u64);
        for (at, count) in self.pieces(offset..end) {
            match at {
                Some(at) => {
                    out.push_with(count, |room| store.read(at, room).map(|()| count))?;
                }
                None => out.push_zeros(count),
            }
        }
        Ok(())
    }

    /// Cuts, or adds a hole. Returns the blocks that are not needed any more, of which a file that grows has none: those that
    /// were set aside behind its end are in the hole.
    ///
    /// # Errors
    ///
    /// Those of [`Store::write`]; nothing has changed then.
    pub(crate) fn set_len(&mut self, store: &Store, len: u64) -> Result<Vec<Run>, Errno> {
        if len > self.len {
            self.len = len;
            return Ok(Vec::new());
        }
        let end = len.div_ceil(BLOCK_BYTES);
        self.clear(store, len..end * BLOCK_BYTES)?;
        self.len = len;
        Ok(self.runs.remove(end..u64::MAX))
    }

    pub(crate) fn put(&self, out: &mut Writer) {
        out.number(self.len);
        self.runs.put(out);
    }

    /// One of which no block is at `slots` or behind.
    pub(crate) fn take(from: &mut Reader<'_>, slots: u64) -> Result<Self, Wrong> {
        Ok(Self {
            len: from.number("the length of a file", 0..=SIZE_MAX)?,
            runs: Runs::take(from, slots)?,
        })
    }

    /// Where the blocks are.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Run> {
        self.runs.from(0).map(|(_, run)| run)
    }

    /// All blocks, of a file that is gone.
    pub(crate) fn into_runs(self) -> Vec<Run> {
        self.runs.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

    use super::*;

    fn read(data: &Data, store: &Store, offset: u64, size: usize) -> Vec<u8> {
        let mut out = ReadBuf::new(size);
        data.read(store, offset, &mut out).unwrap();
        out.finish().bytes(size).unwrap().to_vec()
    }

    /// Gives their memory back; how many blocks they are.
    fn free(store: &Store, runs: &[Run]) -> u64 {
        store.free_all(runs).unwrap();
        crate::runs::blocks(runs)
    }

    #[test]
    fn holes_are_zeros_and_take_no_blocks() {
        let store = Store::new().unwrap();
        let mut data = Data::default();
        assert_eq!(data.missing(1 << 40..(1 << 40) + 1), 1);
        data.write(&store, 1 << 40, b"far").unwrap();
        assert_eq!((data.len(), data.blocks()), ((1 << 40) + 3, 1));
        assert_eq!(read(&data, &store, (1 << 40) - 2, 9), b"\0\0far");
        assert_eq!(read(&data, &store, 5, 10), [0; 10]);
        assert_eq!(data.missing((1 << 40) - 1..(1 << 40) + 1), 1);
        assert_eq!(data.missing(1 << 40..(1 << 40) + 4096), 0);
        assert_eq!(data.missing(1 << 40..(1 << 40) + 4097), 1);
    }

    #[test]
    fn it_is_what_a_vector_would_be() {
        let store = Store::new().unwrap();
        let (mut data, mut model) = (Data::default(), Vec::new());
        let mut random = 1_u64;
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % below
        };
        for round in 0..2000_u32 {
            let (offset, count) = (next(60_000), usize::try_from(next(20_000)).unwrap());
            let start = usize::try_from(offset).unwrap();
            let range = offset..offset + count as u64;
            if round % 7 == 0 {
                let before = data.blocks();
                let cut = data.punch(&store, &range).unwrap();
                assert_eq!(data.blocks() + free(&store, &cut), before);
                let end = model.len().min(start + count);
                model[start.min(end)..end].fill(0);
            } else if round % 5 == 0 && count > 0 {
                let (before, missing) = (data.blocks(), data.missing(range.clone()));
                data.reserve(&range);
                assert_eq!(data.blocks(), before + missing);
            } else if round % 3 == 0 {
                let before = data.blocks();
                let cut = data.set_len(&store, offset).unwrap();
                assert_eq!(data.blocks() + free(&store, &cut), before);
                model.resize(start, 0);
            } else {
                let bytes = vec![round.to_le_bytes()[0]; count];
                let (before, missing) = (data.blocks(), data.missing(range));
                data.write(&store, offset, &bytes).unwrap();
                assert_eq!(data.blocks(), before + missing);
                if count > 0 {
                    model.resize(model.len().max(start + count), 0);
                    model[start..start + count].copy_from_slice(&bytes);
                }
            }
            assert_eq!(read(&data, &store, 0, 100_000), model);
            assert_eq!(data.len(), model.len() as u64);
        }
        let memory = store.file().metadata().unwrap().blocks() * 512;
        assert!(memory <= data.blocks() * BLOCK_BYTES, "{memory}");
        free(&store, &data.into_runs());
        assert_eq!(store.file().metadata().unwrap().blocks(), 0);
    }

    #[test]
    fn data_and_holes() {
        let store = Store::new().unwrap();
        let mut data = Data::default();
        let block = BLOCK as u64;
        data.write(&store, 2 * block + 5, &[1; 2 * BLOCK]).unwrap();
        data.reserve(&(0..3 * block));
        data.set_len(&store, 6 * block + 1).unwrap();
        for (offset, next_data, next_hole) in [
            (0, Some(2 * block), Some(0)),
            (2 * block + 1, Some(2 * block + 1), Some(5 * block)),
            (5 * block - 1, Some(5 * block - 1), Some(5 * block)),
            (5 * block, None, Some(5 * block)),
            (6 * block, None, Some(6 * block)),
            (6 * block + 1, None, None),
        ] {
            assert_eq!(data.next_data(offset), next_data, "{offset}");
            assert_eq!(data.next_hole(offset), next_hole, "{offset}");
        }
        data.set_len(&store, 4 * block + 1).unwrap();
        assert_eq!(data.next_hole(2 * block), Some(4 * block + 1));
    }

    /// What is read without the lock may be changed meanwhile: it is zeros then, or what was written, and of no other file.
    #[test]
    fn pieces_never_have_the_bytes_of_another_file() {
        let store = Store::new().unwrap();
        let (mut data, mut other) = (Data::default(), Data::default());
        data.write(&store, 0, &[1; BLOCK + 1]).unwrap();
        let pieces: Vec<_> = data.pieces(0..9 * BLOCK_BYTES).collect();
        assert_eq!(pieces, [(Some(0), BLOCK + 1)]);
        free(&store, &data.set_len(&store, 0).unwrap());
        other.write(&store, 0, &[2; 3 * BLOCK]).unwrap();
        let mut out = [3; BLOCK + 1];
        store.read(0, &mut out).unwrap();
        assert_eq!(out, [0; BLOCK + 1]);
    }

    /// A file that cannot take more: memory that is lacking.
    #[test]
    fn nothing_is_written_where_there_is_no_memory() {
        let file = memfd_create("full", MemfdFlags::ALLOW_SEALING).unwrap();
        let store = Store::again(file.into(), 0);
        let mut data = Data::default();
        data.write(&store, BLOCK_BYTES, &[1; BLOCK]).unwrap();
        fcntl_add_seals(store.file(), SealFlags::GROW).unwrap();
        let full = data.write(&store, 0, &[2; 3 * BLOCK]);
        assert_eq!(full, Err(Errno::EPERM));
        assert_eq!((data.len(), data.blocks()), (2 * BLOCK_BYTES, 1));
        assert_eq!(read(&data, &store, 0, BLOCK), [0; BLOCK]);
        assert_eq!(read(&data, &store, BLOCK_BYTES, BLOCK), [1; BLOCK]);
    }
}
