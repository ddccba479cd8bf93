//! The memory that the bytes of all files are in: one file of memfd_create(2), which the next program gets as it is.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use fuse3::Errno;
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::runs::Run;

/// The size of a block, the unit of allocation, in bytes.
pub(crate) const BLOCK: usize = 4096;
pub(crate) const BLOCK_BYTES: u64 = BLOCK as u64;

/// How many slots there are: offsets are signed in the system calls.
pub(crate) const SLOTS: u64 = u64::MAX / 2 / BLOCK_BYTES;

/// Slots, each of which has room for a block.
///
/// A slot is given once, and never again: a slot that was freed is a hole of the file, takes no memory, and reads as zeros. So
/// nothing has to remember which are free, whoever reads without the lock never sees the bytes of another file, and to free one
/// twice does no harm. There are enough for writing 1 GB each second for 292 years.
///
/// It is read and written by system calls and not mapped: where memory is lacking, these return an error, and nobody gets a
/// SIGBUS.
#[derive(Debug)]
pub(crate) struct Store {
    file: File,
    next: AtomicU64,
}

impl Store {
    /// # Errors
    ///
    /// Of memfd_create(2), and where RLIMIT_FSIZE limits what a file may hold.
    pub(crate) fn new() -> io::Result<Self> {
        let file = memfd_create("fuse3-tmpfs", MemfdFlags::CLOEXEC)?;
        let limit = getrlimit(Resource::Fsize);
        if let Some(bytes) = limit.current {
            let none = Rlimit {
                current: None,
                maximum: None,
            };
            setrlimit(Resource::Fsize, none).map_err(|_| {
                let what = format!(
                    "the size of files is limited to {bytes} bytes; raise it with `ulimit -f unlimited`"
                );
                io::Error::new(ErrorKind::FileTooLarge, what)
            })?;
        }
        Ok(Self::again(file.into(), 0))
    }

    /// That of an earlier program, of which the slots before `next` were given.
    pub(crate) fn again(file: File, next: u64) -> Self {
        Self {
            file,
            next: AtomicU64::new(next),
        }
    }

    /// For the next program.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The slot that is given next.
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// The first of `count` slots that follow each other. Memory is taken when they are written to.
    ///
    /// # Errors
    ///
    /// ENOSPC.
    pub(crate) fn take(&self, count: u64) -> Result<u64, Errno> {
        let take = |next: u64| next.checked_add(count).filter(|end| *end <= SLOTS);
        let taken = self
            .next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map_err(|_| Errno::ENOSPC)
    }

    /// Writes `bytes` from `at` on, the number of a byte in the file.
    ///
    /// # Errors
    ///
    /// ENOSPC and ENOMEM where there is no memory for it.
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> Result<(), Errno> {
        Ok(self.file.write_all_at(bytes, at)?)
    }

    /// Reads as many bytes as `out` has room for, from `at` on. What was not written is zeros.
    ///
    /// # Errors
    ///
    /// EIO and ENOMEM where what was swapped out cannot be brought back.
    pub(crate) fn read(&self, mut at: u64, mut out: &mut [u8]) -> Result<(), Errno> {
        while !out.is_empty() {
            match self.file.read_at(out, at) {
                // The file ends at the last byte that was written.
                Ok(0) => {
                    out.fill(0);
                    break;
                }
                Ok(count) => {
                    at += count as u64;
                    out = &mut out[count..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Gives the memory of these blocks back to the system.
    ///
    /// # Errors
    ///
    /// Those of fallocate(2); none is expected.
    pub(crate) fn free_all(&self, runs: &[Run]) -> Result<(), Errno> {
        let mut slots = runs.iter().filter_map(Run::slots);
        slots.try_for_each(|slots| self.free(&slots))
    }

    fn free(&self, slots: &Range<u64>) -> Result<(), Errno> {
        let (at, bytes) = (
            slots.start * BLOCK_BYTES,
            (slots.end - slots.start) * BLOCK_BYTES,
        );
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(&self.file, punch, at, bytes).map_err(io::Error::from)?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn memory_is_given_back() {
        let store = Store::new().unwrap();
        let memory = || store.file().metadata().unwrap().blocks() * 512;
        let first = store.take(3).unwrap();
        store.write(first * BLOCK_BYTES, &[7; 3 * BLOCK]).unwrap();
        assert!(memory() >= 3 * BLOCK_BYTES, "{}", memory());
        store.free(&(first..first + 3)).unwrap();
        store.free(&(first..first + 3)).unwrap();
        assert_eq!(memory(), 0);
        let mut out = [1; 5 * BLOCK];
        store.read(first * BLOCK_BYTES, &mut out).unwrap();
        assert_eq!(out, [0; 5 * BLOCK]);
    }

    #[test]
    fn no_slot_is_given_twice() {
        let store = Store::new().unwrap();
        assert_eq!(
            (store.take(3), store.take(1), store.next()),
            (Ok(0), Ok(3), 4)
        );
        assert_eq!(store.take(SLOTS - 3), Err(Errno::ENOSPC));
        assert_eq!(store.take(u64::MAX), Err(Errno::ENOSPC));
        assert_eq!((store.take(SLOTS - 4), store.next()), (Ok(4), SLOTS));
        let bytes = [7; BLOCK];
        store.write((SLOTS - 1) * BLOCK_BYTES, &bytes).unwrap();
        let mut out = [0; BLOCK];
        store.read((SLOTS - 1) * BLOCK_BYTES, &mut out).unwrap();
        assert_eq!(out, bytes);
    }
}
