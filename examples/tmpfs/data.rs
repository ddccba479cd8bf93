//! The bytes of a file: blocks, and holes where nothing was written.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use fuse3::ReadBuf;

/// Bytes of a block, what is allocated at once.
pub(crate) const BLOCK: usize = 4096;
const BLOCK_BYTES: u64 = BLOCK as u64;

/// A block's bytes. A share of them outlives the lock: what is written meanwhile goes to a copy.
pub(crate) type Block = Arc<[u8]>;

/// Blocks that belong to no file any more.
pub(crate) type Blocks = BTreeMap<u64, Block>;

/// The contents of a regular file.
///
/// # Invariants
///
/// Every block is `BLOCK` bytes. No block is wholly behind `len`, and what a block has behind it is zeros.
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

impl Data {
    /// Bytes in all, holes included.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How many blocks are allocated.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// How many blocks a write of `count` bytes at `offset` would allocate.
    pub(crate) fn missing(&self, offset: u64, count: usize) -> u64 {
        if count == 0 {
            return 0;
        }
        let (first, last) = (
            offset / BLOCK_BYTES,
            (offset + count as u64 - 1) / BLOCK_BYTES,
        );
        last - first + 1 - self.blocks.range(first..=last).count() as u64
    }

    /// Writes `bytes` at `offset`, past the end too.
    pub(crate) fn write(&mut self, offset: u64, mut bytes: &[u8]) {
        let mut at = offset;
        while !bytes.is_empty() {
            let (index, start) = place(at);
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - start));
            match self.blocks.entry(index) {
                Entry::Vacant(hole) if now.len() == BLOCK => {
                    hole.insert(Block::from(now));
                }
                Entry::Vacant(hole) => {
                    let mut block = [0; BLOCK];
                    block[start..start + now.len()].copy_from_slice(now);
                    hole.insert(Block::from(block));
                }
                Entry::Occupied(mut block) => {
                    Arc::make_mut(block.get_mut())[start..start + now.len()].copy_from_slice(now);
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
            match self.blocks.get(&index) {
                Some(block) => out.push(&block[start..start + count]),
                None => out.push_zeros(count),
            }
            at += count as u64;
        }
    }

    /// Cuts, or adds a hole. Returns the blocks that are not needed any more.
    pub(crate) fn set_len(&mut self, len: u64) -> Blocks {
        self.len = len;
        let (index, start) = place(len);
        if start == 0 {
            return self.blocks.split_off(&index);
        }
        let cut = self.blocks.split_off(&(index + 1));
        if let Some(block) = self.blocks.get_mut(&index) {
            if block[start..].iter().any(|byte| *byte != 0) {
                Arc::make_mut(block)[start..].fill(0);
            }
        }
        cut
    }

    /// A share of `count` blocks from the block `first` on, with how many bytes of each belong to the file; `None` is a
    /// hole. Fewer at the end of the file.
    pub(crate) fn share(&self, first: u64, count: u64) -> Vec<(Option<Block>, usize)> {
        let end = self.len.div_ceil(BLOCK_BYTES).min(first + count);
        (first..end)
            .map(|index| {
                let left = usize::try_from(self.len - index * BLOCK_BYTES).unwrap_or(usize::MAX);
                (self.blocks.get(&index).cloned(), left.min(BLOCK))
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
        assert_eq!(data.missing(1 << 40, 1), 1);
        data.write(1 << 40, b"far");
        assert_eq!((data.len(), data.blocks()), ((1 << 40) + 3, 1));
        assert_eq!(read(&data, (1 << 40) - 2, 9), b"\0\0far");
        assert_eq!(read(&data, 5, 10), [0; 10]);
        assert_eq!(data.missing((1 << 40) - 1, 2), 1);
        assert_eq!(data.missing(1 << 40, 4096), 0);
        assert_eq!(data.missing(1 << 40, 4097), 1);
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
            if round % 3 == 0 {
                let before = data.blocks();
                let cut = data.set_len(offset);
                assert_eq!(data.blocks() + cut.len() as u64, before);
                model.resize(start, 0);
            } else {
                let bytes = vec![round.to_le_bytes()[0]; count];
                let (before, missing) = (data.blocks(), data.missing(offset, count));
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
