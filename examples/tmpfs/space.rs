//! How much there may be.

use crate::data::BLOCK;

/// The blocks of the file system.
#[derive(Debug)]
pub(crate) struct Space {
    blocks: u64,
    used: u64,
}

impl Space {
    pub(crate) fn new(bytes: u64) -> Self {
        Self {
            blocks: bytes / BLOCK as u64,
            used: 0,
        }
    }

    /// Blocks in all.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Blocks that are taken.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// How many inodes there may be: one a block, as in the kernel's tmpfs.
    pub(crate) fn inodes(&self) -> u64 {
        self.blocks.max(1024)
    }

    /// Takes `blocks` blocks, if there are so many.
    pub(crate) fn take(&mut self, blocks: u64) -> bool {
        let fits = blocks <= self.blocks.saturating_sub(self.used);
        if fits {
            self.used += blocks;
        }
        fits
    }

    /// Gives `blocks` blocks back.
    pub(crate) fn free(&mut self, blocks: u64) {
        self.used -= blocks;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_there_is() {
        let mut space = Space::new(10 * BLOCK as u64 + 5);
        assert!(space.take(10) && !space.take(1) && space.take(0));
        space.free(3);
        assert!(!space.take(4) && !space.take(u64::MAX) && space.take(3));
        assert_eq!((space.blocks(), space.used()), (10, 10));
    }
}
