//! How much there may be.

use fuse3::Errno;

use crate::store::BLOCK;

/// Bytes that an inode counts for, and each further name of one: what it takes in memory, with the longest name.
pub(crate) const INODE: u64 = 1024;

/// The blocks of the file system, which data take, and the room for all else: inodes, names, attributes, targets of links.
///
/// As in the kernel's tmpfs these are apart, so that a full file system can be cleared up: there is room for as many inodes
/// as there are blocks, which is a quarter of the size.
#[derive(Debug)]
pub(crate) struct Space {
    blocks: u64,
    used: u64,
    /// Bytes that are left of the room for inodes.
    room: u64,
}

impl Space {
    pub(crate) fn new(bytes: u64) -> Self {
        let mut space = Self {
            blocks: bytes / BLOCK as u64,
            used: 0,
            room: 0,
        };
        space.room = space.inodes() * INODE;
        space
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

    /// Bytes that inodes take.
    pub(crate) fn inode_bytes(&self) -> u64 {
        self.inodes() * INODE - self.room
    }

    /// How many inodes there is room for.
    pub(crate) fn free_inodes(&self) -> u64 {
        self.room / INODE
    }

    /// Takes room for inodes, if there is so much.
    ///
    /// # Errors
    ///
    /// ENOSPC.
    pub(crate) fn take_room(&mut self, bytes: u64) -> Result<(), Errno> {
        self.room = self.room.checked_sub(bytes).ok_or(Errno::ENOSPC)?;
        Ok(())
    }

    /// Gives it back.
    pub(crate) fn free_room(&mut self, bytes: u64) {
        self.room += bytes;
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
        assert_eq!(space.take_room(1024 * INODE + 1), Err(Errno::ENOSPC));
        assert_eq!(space.take_room(1023 * INODE + 1), Ok(()));
        assert_eq!(
            (space.free_inodes(), space.take_room(INODE)),
            (0, Err(Errno::ENOSPC))
        );
        space.free_room(1);
        assert_eq!((space.free_inodes(), space.take_room(INODE)), (1, Ok(())));
        assert_eq!(space.inode_bytes(), 1024 * INODE);
    }
}
