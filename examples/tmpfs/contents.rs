//! Attributes and data change.

use std::ffi::OsStr;
use std::sync::Arc;

use fuse3::range::{Fallocate, FallocateMode, Whence};
use fuse3::{Attr, Errno, Ino, OpenFlags, ReadBuf, SetAttr, StatVfs, Timestamp, XattrFlags};

use crate::acl;
use crate::data::SIZE_MAX;
use crate::inodes::Inodes;
use crate::store::BLOCK;

/// Where `count` bytes from `offset` on end.
///
/// # Errors
///
/// EFBIG.
fn end_of(offset: u64, count: u64) -> Result<u64, Errno> {
    let end = offset.checked_add(count);
    end.filter(|end| *end <= SIZE_MAX).ok_or(Errno::EFBIG)
}

impl Inodes {
    /// `setattr`. What the kernel does not mean to change, set-user-id bits at a change of owner among it, it says.
    pub(crate) fn set(&mut self, ino: Ino, changes: &SetAttr) -> Result<Attr, Errno> {
        if let Some(size) = changes.size {
            self.truncate(ino, size)?;
        }
        if let (Some(mode), Some(mut access)) = (changes.mode, self.acl(ino, acl::ACCESS)?) {
            access.chmod(mode);
            let name = OsStr::new(acl::ACCESS);
            self.set_xattr(ino, name, &access.value(), XattrFlags::REPLACE)?;
        }
        let node = self.get_mut(ino)?;
        let meta = &mut node.meta;
        if let Some(mode) = changes.mode {
            meta.mode = (meta.mode & libc::S_IFMT) | (mode & 0o7777);
        }
        meta.uid = changes.uid.unwrap_or(meta.uid);
        meta.gid = changes.gid.unwrap_or(meta.gid);
        meta.atime = changes.atime.map_or(meta.atime, |time| time.resolve());
        meta.mtime = changes.mtime.map_or(meta.mtime, |time| time.resolve());
        meta.ctime = changes.ctime.unwrap_or_else(Timestamp::now);
        Ok(node.attr())
    }

    fn truncate(&mut self, ino: Ino, size: u64) -> Result<(), Errno> {
        let store = Arc::clone(&self.store);
        let node = self.get_mut(ino)?;
        let data = node.data_mut()?;
        if size > SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        let cut = data.set_len(&store, size)?;
        node.modified();
        self.discard(cut);
        Ok(())
    }

    /// `read`.
    pub(crate) fn read(
        &mut self,
        ino: Ino,
        offset: u64,
        flags: OpenFlags,
        out: &mut ReadBuf,
    ) -> Result<(), Errno> {
        self.get(ino)?.data()?.read(&self.store, offset, out)?;
        if flags.contains(OpenFlags::NOATIME) {
            return Ok(());
        }
        self.accessed(ino)
    }

    /// `write`: all of it, or nothing, unless memory is lacking.
    pub(crate) fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
        let range = offset..end_of(offset, bytes.len() as u64)?;
        let missing = self.get(ino)?.data()?.missing(range);
        self.allocate(missing)?;
        let store = Arc::clone(&self.store);
        let node = self.get_mut(ino)?;
        let written = node.data_mut()?.write(&store, offset, bytes);
        // Some of it may have been written where it failed.
        node.modified();
        if let Err(error) = written {
            self.space.free(missing);
            return Err(error);
        }
        Ok(bytes.len())
    }

    /// `fallocate`, in the modes that the kernel's tmpfs has.
    pub(crate) fn fallocate(&mut self, ino: Ino, how: &Fallocate) -> Result<(), Errno> {
        const PUNCH: FallocateMode = FallocateMode::PUNCH_HOLE.union(FallocateMode::KEEP_SIZE);
        let range = how.offset..end_of(how.offset, how.length)?;
        if how.mode == PUNCH {
            let store = Arc::clone(&self.store);
            let node = self.get_mut(ino)?;
            let cut = node.data_mut()?.punch(&store, &range)?;
            node.modified();
            self.discard(cut);
            return Ok(());
        }
        let keeps_size = how.mode == FallocateMode::KEEP_SIZE;
        if !keeps_size && !how.mode.is_empty() {
            return Err(Errno::EOPNOTSUPP);
        }
        let missing = self.get(ino)?.data()?.missing(range.clone());
        self.allocate(missing)?;
        let store = Arc::clone(&self.store);
        let node = self.get_mut(ino)?;
        let data = node.data_mut()?;
        data.reserve(&range);
        if !keeps_size && range.end > data.len() {
            // It grows, so that nothing is cut.
            data.set_len(&store, range.end)?;
        }
        node.modified();
        Ok(())
    }

    /// `lseek` with SEEK_DATA or SEEK_HOLE.
    pub(crate) fn seek(&self, ino: Ino, offset: u64, whence: Whence) -> Result<u64, Errno> {
        let data = self.get(ino)?.data()?;
        let found = match whence {
            Whence::DATA => data.next_data(offset),
            Whence::HOLE => data.next_hole(offset),
            _ => return Err(Errno::EINVAL),
        };
        found.ok_or(Errno::ENXIO)
    }

    /// `statfs`. What waits to be freed is free: who needs it gets it.
    pub(crate) fn statfs(&self) -> StatVfs {
        let used = self.space.used() - self.garbage.blocks();
        let free = self.space.blocks().saturating_sub(used);
        StatVfs {
            bsize: u32::try_from(BLOCK).unwrap_or(u32::MAX),
            frsize: u32::try_from(BLOCK).unwrap_or(u32::MAX),
            blocks: self.space.blocks(),
            bfree: free,
            bavail: free,
            files: self.space.inodes(),
            ffree: self.space.free_inodes(),
            namemax: 255,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use fuse3::Caller;

    use super::*;
    use crate::names::New;
    use crate::reclaim::PIECE;
    use crate::space::Space;

    fn file(inodes: &mut Inodes) -> Ino {
        let new = New::file(0o644);
        inodes
            .make(Ino::ROOT, OsStr::new("f"), new, Caller::default())
            .unwrap()
    }

    #[test]
    fn no_space_left() {
        let mut inodes = Inodes::new(Space::new(2 * BLOCK as u64), 0o755, 0, 0).unwrap();
        let ino = file(&mut inodes);
        assert_eq!(inodes.write(ino, 0, &[1; 2 * BLOCK]), Ok(2 * BLOCK));
        assert_eq!(inodes.write(ino, 1 << 30, b"x"), Err(Errno::ENOSPC));
        assert_eq!(inodes.write(ino, 5, b"x"), Ok(1));
        assert_eq!(inodes.statfs().bfree, 0);
        let cut = SetAttr::default();
        assert_eq!(inodes.set(ino, &cut).unwrap().blocks, 16);
        assert_eq!(inodes.write(ino, SIZE_MAX - 1, b"xy"), Err(Errno::EFBIG));
        assert_eq!(inodes.write(ino, u64::MAX, b"xy"), Err(Errno::EFBIG));
        inodes.truncate(ino, 0).unwrap();
        assert_eq!(inodes.statfs().bfree, 2);
        assert_eq!(inodes.check(), Vec::<String>::new());
    }

    #[test]
    fn what_waits_to_be_freed_can_be_had() {
        let blocks = 3 * PIECE;
        let bytes = blocks * BLOCK as u64;
        let mut inodes = Inodes::new(Space::new(bytes), 0o755, 0, 0).unwrap();
        let ino = file(&mut inodes);
        let bytes = vec![1; usize::try_from(bytes).unwrap()];
        inodes.write(ino, 0, &bytes).unwrap();
        inodes.truncate(ino, 0).unwrap();
        assert_eq!(inodes.garbage.blocks(), blocks);
        assert_eq!(inodes.statfs().bfree, blocks);
        assert_eq!(inodes.write(ino, 0, &bytes), Ok(bytes.len()));
        assert_eq!((inodes.garbage.blocks(), inodes.statfs().bfree), (0, 0));
        assert_eq!(inodes.check(), Vec::<String>::new());
    }
}
