//! The bytes of a file: blocks, and holes where nothing was written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use fuse3::ReadBuf;

/// Bytes of a block, what is allocated at once.
pub(crate) const BLOCK: usize = 4096;
const BLOCK_BYTES: u64 = BLOCK as u64;

/// A block's bytes. A share of them outlives the lock: what is written meanwhile goes to a copy.
pub(crate) type Block = Arc<[u8]>;

/// Blocks by their number; `None` is one that fallocate(2) has set aside, and that nothing was written to yet.
pub(crate) type Blocks = BTreeMap<u64, Option<Block>>;

/// The contents of a regular file.
///
/// # Invariants
///
/// Every block is `BLOCK` bytes. A block wholly behind `len` is only set aside, and what others have behind it is zeros.
#[derive(Debug, Default)]
pub(crate) struct Data {
    len: u64,
    blocks: Blocks,
}

/// The block that the byte `at` is in, and where in it.
fn place(at: u64) -> (u64, usize) {
    let start = usize::try_from(at % BLOCK_BYTES).expect("less than a block");
    (at / BLOCK_BYTES, start)
}

/// The numbers of the blocks that `range`, which is not empty, is in.
fn touched(range: &Range<u64>) -> Range<u64> {
    range.start / BLOCK_BYTES..range.end.div_ceil(BLOCK_BYTES)
}

impl Data {
    /// Bytes in all, holes included.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How many blocks are allocated.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// How many of its bytes are in holes, at most.
    pub(crate) fn holes(&self) -> u64 {
        self.len.saturating_sub(self.blocks() * BLOCK_BYTES)
    }

    /// How many blocks are missing in `range`, that a write there would allocate.
    pub(crate) fn missing(&self, range: Range<u64>) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let blocks = touched(&range);
        blocks.end - blocks.start - self.blocks.range(blocks).count() as u64
    }

    /// Sets blocks aside for `range`, which is not empty.
    pub(crate) fn reserve(&mut self, range: &Range<u64>) {
        for index in touched(range) {
            self.blocks.entry(index).or_default();
        }
    }

    /// Makes a hole of `range`. Returns the blocks that are not needed any more.
    pub(crate) fn punch(&mut self, range: &Range<u64>) -> Blocks {
        let ((first, start), (last, end)) = (place(range.start), place(range.end));
        if first == last {
            self.clear(first, start..end);
        } else {
            self.clear(first, start..BLOCK);
            self.clear(last, 0..end);
        }
        let whole = range.start.div_ceil(BLOCK_BYTES)..last.max(range.start.div_ceil(BLOCK_BYTES));
        let there: Vec<_> = self.blocks.range(whole).map(|(index, _)| *index).collect();
        there
            .iter()
            .filter_map(|index| self.blocks.remove_entry(index))
            .collect()
    }

    /// Makes a part of a block zeros.
    fn clear(&mut self, index: u64, part: Range<usize>) {
        if let Some(Some(block)) = self.blocks.get_mut(&index) {
            if block[part.clone()].iter().any(|byte| *byte != 0) {
                Arc::make_mut(block)[part].fill(0);
            }
        }
    }

    /// Where the first data are from `offset` on; `None` at the end of the file.
    pub(crate) fn next_data(&self, offset: u64) -> Option<u64> {
        let mut from = self.blocks.range(offset / BLOCK_BYTES..);
        let (index, _) = from.find(|(_, block)| block.is_some())?;
        Some(offset.max(index * BLOCK_BYTES)).filter(|at| *at < self.len)
    }

    /// Where the first hole is from `offset` on, as which the end of the file counts, and a block without data; `None` behind
    /// the end.
    pub(crate) fn next_hole(&self, offset: u64) -> Option<u64> {
        let mut index = offset / BLOCK_BYTES;
        for (there, block) in self.blocks.range(index..) {
            if *there != index || block.is_none() {
                break;
            }
            index += 1;
        }
        (offset < self.len).then(|| offset.max(index * BLOCK_BYTES).min(self.len))
    }

    /// Writes `bytes` at `offset`, past the end too.
    pub(crate) fn write(&mut self, offset: u64, mut bytes: &[u8]) {
        let mut at = offset;
        while !bytes.is_empty() {
            let (index, start) = place(at);
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - start));
            match self.blocks.entry(index).or_default() {
                hole @ None if now.len() == BLOCK => *hole = Some(Block::from(now)),
                hole @ None => {
                    let mut block = [0; BLOCK];
                    block[start..start + now.len()].copy_from_slice(now);
                    *hole = Some(Block::from(block));
                }
                Some(block) => {
                    Arc::make_mut(block)[start..start + now.len()].copy_from_slice(now);
                }
            }
            at += now.len() as u64;
            bytes = later;
        }
        self.len = self.len.max(at);
    }

    /// Puts what is at `offset` into `out`, as much as it has room for and as there is.
    pub(crate) fn read(&self, offset: u64, out: &mut ReadBuf) {
        let mut at = offset;
        while at < self.len && out.remaining() > 0 {
            let (index, start) = place(at);
            let left = usize::try_from(self.len - at).unwrap_or(usize::MAX);
            let count = left.min(out.remaining()).min(BLOCK - start);
            match self.blocks.get(&index).and_then(Option::as_ref) {
                Some(block) => out.push(&block[start..start + count]),
                None => out.push_zeros(count),
            }
            at += count as u64;
        }
    }

    /// Cuts, or adds a hole. Returns the blocks that are not needed any more, of which a file that grows has none: those that
    /// were set aside behind its end are in the hole.
    pub(crate) fn set_len(&mut self, len: u64) -> Blocks {
        let grows = len > std::mem::replace(&mut self.len, len);
        if grows {
            return Blocks::new();
        }
        let (index, start) = place(len);
        self.clear(index, start..BLOCK);
        self.blocks.split_off(&len.div_ceil(BLOCK_BYTES))
    }

    /// A share of `count` blocks from the block `first` on, with how many bytes of each belong to the file; `None` is a
    /// hole. Fewer at the end of the file.
    pub(crate) fn share(&self, first: u64, count: u64) -> Vec<(Option<Block>, usize)> {
        let end = self.len.div_ceil(BLOCK_BYTES).min(first + count);
        (first..end)
            .map(|index| {
                let left = usize::try_from(self.len - index * BLOCK_BYTES).unwrap_or(usize::MAX);
                (self.blocks.get(&index).cloned().flatten(), left.min(BLOCK))
            })
            .collect()
    }

    /// All blocks, of a file that is gone.
    pub(crate) fn into_blocks(self) -> Blocks {
        self.blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &Data, offset: u64, size: usize) -> Vec<u8> {
        let mut out = ReadBuf::new(size);
        data.read(offset, &mut out);
        out.finish().bytes(size).unwrap().to_vec()
    }

    #[test]
    fn holes_are_zeros_and_take_no_blocks() {
        let mut data = Data::default();
        assert_eq!(data.missing(1 << 40..(1 << 40) + 1), 1);
        data.write(1 << 40, b"far");
        assert_eq!((data.len(), data.blocks()), ((1 << 40) + 3, 1));
        assert_eq!(read(&data, (1 << 40) - 2, 9), b"\0\0far");
        assert_eq!(read(&data, 5, 10), [0; 10]);
        assert_eq!(data.missing((1 << 40) - 1..(1 << 40) + 1), 1);
        assert_eq!(data.missing(1 << 40..(1 << 40) + 4096), 0);
        assert_eq!(data.missing(1 << 40..(1 << 40) + 4097), 1);
    }

    #[test]
    fn it_is_what_a_vector_would_be() {
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
                let cut = data.punch(&range);
                assert_eq!(data.blocks() + cut.len() as u64, before);
                let end = model.len().min(start + count);
                model[start.min(end)..end].fill(0);
            } else if round % 5 == 0 && count > 0 {
                let (before, missing) = (data.blocks(), data.missing(range.clone()));
                data.reserve(&range);
                assert_eq!(data.blocks(), before + missing);
            } else if round % 3 == 0 {
                let before = data.blocks();
                let cut = data.set_len(offset);
                assert_eq!(data.blocks() + cut.len() as u64, before);
                model.resize(start, 0);
            } else {
                let bytes = vec![round.to_le_bytes()[0]; count];
                let (before, missing) = (data.blocks(), data.missing(range));
                data.write(offset, &bytes);
                assert_eq!(data.blocks(), before + missing);
                if count > 0 {
                    model.resize(model.len().max(start + count), 0);
                    model[start..start + count].copy_from_slice(&bytes);
                }
            }
            assert_eq!(read(&data, 0, 100_000), model);
            assert_eq!(data.len(), model.len() as u64);
        }
    }

    #[test]
    fn data_and_holes() {
        let mut data = Data::default();
        let block = BLOCK as u64;
        data.write(2 * block + 5, &[1; 2 * BLOCK]);
        data.reserve(&(0..3 * block));
        data.set_len(6 * block + 1);
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
        data.set_len(4 * block + 1);
        assert_eq!(data.next_hole(2 * block), Some(4 * block + 1));
    }

    #[test]
    fn a_share_does_not_see_later_writes() {
        let mut data = Data::default();
        data.write(0, &[1; BLOCK + 1]);
        let share = data.share(0, 9);
        data.write(0, &[2; BLOCK + 1]);
        data.set_len(0);
        let lens: Vec<_> = share.iter().map(|(_, len)| *len).collect();
        assert_eq!(lens, [BLOCK, 1]);
        assert!(share.iter().all(|(block, len)| {
            block.as_ref().unwrap()[..*len]
                .iter()
                .all(|byte| *byte == 1)
        }));
    }
}
