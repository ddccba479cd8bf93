use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::Range;

use crate::reply::data::{Data, Source};
use crate::reply::piece::{FileRange, FileSource, Piece, SharedBytes};

thread_local! {
    /// The memory that this thread's next reply is put together in: kept, so that a read allocates nothing.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A vector with room for `capacity` bytes; the thread's spare one, when it has one, with what was in it.
pub(crate) fn take_spare(capacity: usize) -> Vec<u8> {
    // While the thread ends, there is no spare.
    let mut buf = SPARE.try_with(Cell::take).unwrap_or_default();
    // The kernel asks for at most 1 MiB unless it was set up for more; then the vector grows.
    buf.reserve_exact(capacity.min(1 << 20).saturating_sub(buf.len()));
    buf
}

/// Keeps `buf` for the thread's next reply, unless it has a larger one.
#[inline(always)]
pub(crate) fn give_spare(buf: Vec<u8>) {
    if buf.capacity() > 0 {
        keep(buf);
    }
}

fn keep(buf: Vec<u8>) {
    let larger = |spare: &Cell<Vec<u8>>| {
        let old = spare.take();
        spare.set(if old.capacity() > buf.capacity() {
            old
        } else {
            buf
        });
    };
    // While the thread ends, the memory is freed.
    let _ = SPARE.try_with(larger);
}

/// Where `read` puts what it read: room for as many bytes as were asked for.
///
/// What goes out is either copied in here, or leaves without a copy, after the lock has been released: [`lend`](Self::lend) for
/// what `&self` owns, [`share`](Self::share) for what an [`Arc`](std::sync::Arc) owns, [`splice`](Self::splice) for a range of a
/// file, [`pieces`](Self::pieces) for several of those, and [`later`](Self::later) for what is read only then. Each way ends in a
/// [`Data`], which the handler returns.
///
/// Over io_uring an answer is put into the request's payload, from where the kernel takes it. `later` writes there itself, and
/// what is spliced libfuse reads from the file to there; the others are copied there once, by libfuse, from where they are.
///
/// Only at the end of the file there are fewer bytes than asked for: elsewhere the kernel takes the file to end there, or with
/// the writeback cache the missing bytes for zeros. More bytes than asked for are a mistake: the caller gets EIO.
pub struct ReadBuf {
    /// The bytes pushed so far, and after them what an earlier reply has left, so that the memory is initialised once.
    /// Without room until the first push: what is lent or shared needs none.
    memory: Vec<u8>,
    /// How many bytes were pushed.
    filled: usize,
    size: usize,
    overflow: usize,
}

impl ReadBuf {
    /// Room for `size` bytes; for tests of handlers.
    #[inline]
    pub fn new(size: usize) -> Self {
        Self {
            memory: Vec::new(),
            filled: 0,
            size,
            overflow: 0,
        }
    }

    /// How many bytes were asked for.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many bytes still fit.
    pub fn remaining(&self) -> usize {
        self.size - self.filled
    }

    /// Appends a copy of `data`.
    pub fn push(&mut self, data: &[u8]) {
        if self.check(data.len()) {
            self.room(data.len()).copy_from_slice(data);
            self.filled += data.len();
        }
    }

    /// Appends `count` zeros: a hole.
    pub fn push_zeros(&mut self, count: usize) {
        if self.check(count) {
            self.room(count).fill(0);
            self.filled += count;
        }
    }

    /// Appends what `read` writes into `count` bytes, as many as it says; for read(2) and its like.
    ///
    /// Before, they are whatever an earlier answer has left there: `read` must not say more than it has written. (They are not
    /// cleared, which would cost as much as a copy.)
    ///
    /// # Errors
    ///
    /// Those of `read`; nothing is appended then.
    pub fn push_with<E>(
        &mut self,
        count: usize,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let count = count.min(self.remaining());
        let room = self.room(count);
        let result = read(room);
        let got = result.as_ref().map_or(0, |&got| got);
        self.filled += got.min(count);
        self.overflow = self.overflow.saturating_add(got.saturating_sub(count));
        result
    }

    /// The next `count` bytes, which fit.
    fn room(&mut self, count: usize) -> &mut [u8] {
        if self.memory.capacity() == 0 {
            self.memory = take_spare(self.size);
        }
        let end = self.filled + count;
        self.memory.resize(self.memory.len().max(end), 0);
        &mut self.memory[self.filled..end]
    }

    fn check(&mut self, count: usize) -> bool {
        let too_much = count.saturating_sub(self.remaining());
        self.overflow = self.overflow.saturating_add(too_much);
        too_much == 0
    }

    /// The bytes pushed so far are the answer.
    pub fn finish(self) -> Data<'static> {
        Data::of(if self.overflow > 0 {
            Source::TooMuch(self.size.saturating_add(self.overflow))
        } else {
            Source::Copied(self.memory, self.filled)
        })
    }

    /// The answer is a copy of `data`.
    pub fn copy_from(mut self, data: &[u8]) -> Data<'static> {
        self.push(data);
        self.finish()
    }

    /// The answer is `data` itself, which lives as long as the file system.
    #[inline]
    pub fn lend(self, data: &[u8]) -> Data<'_> {
        give_spare(self.memory);
        Data::of(Source::Lent(data))
    }

    /// The answer is the part from `offset` on of `contents`, which is the whole file and lives as long as the file system.
    pub fn lend_from(self, contents: &[u8], offset: u64) -> Data<'_> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = contents.get(start..).unwrap_or(&[]);
        let size = self.size.min(rest.len());
        self.lend(&rest[..size])
    }

    /// The answer is `bytes[range]`, of which the reply holds a share until it is sent.
    ///
    /// # Panics
    ///
    /// Not here: a range that `bytes` does not have is answered with EIO.
    #[inline]
    pub fn share(self, bytes: impl Into<SharedBytes>, range: Range<usize>) -> Data<'static> {
        give_spare(self.memory);
        Data::of(Source::Shared(bytes.into(), range))
    }

    /// `fuse_reply_data()`: the answer is what `file` has from `offset` on, up to `length` bytes and as many as were asked for;
    /// fewer where the file ends.
    ///
    /// libfuse reads it after the lock has been released. Where [`SPLICE_WRITE`](crate::Capabilities::SPLICE_WRITE) was asked for,
    /// it is spliced, from two pages on. When it cannot be read, the caller gets that error.
    ///
    /// ```
    /// # use fuse3::ReadBuf;
    /// # use std::{fs::File, sync::Arc};
    /// # let file = File::open("/dev/zero")?;
    /// let file = Arc::new(file);
    /// let out = ReadBuf::new(4096);
    /// let data = out.splice(Arc::clone(&file), 512, usize::MAX);
    /// # assert_eq!(data.to_vec(4096)?, [0; 4096]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn splice<'a>(
        self,
        file: impl Into<FileSource<'a>>,
        offset: u64,
        length: usize,
    ) -> Data<'a> {
        give_spare(self.memory);
        Data::of(Source::File(FileRange {
            file: file.into(),
            offset,
            length: length.min(self.size),
        }))
    }

    /// `fuse_reply_iov()`, `fuse_reply_data()`: the answer is these, one after the other.
    pub fn pieces<'a>(self, pieces: impl Into<Vec<Piece<'a>>>) -> Data<'a> {
        give_spare(self.memory);
        Data::of(Source::Pieces(pieces.into()))
    }

    /// `fuse_req_get_payload()`: the answer is what `read` writes, as many bytes as it says, after the lock has been released.
    ///
    /// It is given room for as many as were asked for: over io_uring the request's own memory, so that nothing is copied, and
    /// otherwise memory of the thread. What an earlier answer has left there is not cleared, so that `read` must not say more than
    /// it has written. When it fails, the caller gets that error.
    pub fn later<'a>(
        self,
        read: impl Fn(&mut [u8]) -> io::Result<usize> + Send + Sync + 'a,
    ) -> Data<'a> {
        give_spare(self.memory);
        Data::of(Source::Later(Box::new(read)))
    }
}

impl fmt::Debug for ReadBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadBuf")
            .field("size", &self.size)
            .field("filled", &self.filled)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn pieces_and_holes() {
        let mut out = ReadBuf::new(10);
        out.push(b"abc");
        out.push_zeros(2);
        assert_eq!(out.remaining(), 5);
        assert_eq!(
            out.push_with(9, |room| {
                room[..2].copy_from_slice(b"de");
                Ok::<_, ()>(2)
            }),
            Ok(2)
        );
        assert_eq!(out.finish().bytes(10), Ok(&b"abc\0\0de"[..]));
    }

    #[test]
    fn more_than_asked_is_an_error() {
        assert!(
            ReadBuf::new(2)
                .copy_from(b"abc")
                .bytes(2)
                .unwrap_err()
                .contains("3 bytes where 2")
        );
        assert!(ReadBuf::new(2).lend(b"abc").bytes(2).is_err());
        assert_eq!(
            ReadBuf::new(2).lend_from(b"abc", 1).bytes(2),
            Ok(&b"bc"[..])
        );
        assert_eq!(ReadBuf::new(2).lend_from(b"abc", 2).bytes(2), Ok(&b"c"[..]));
        assert_eq!(
            ReadBuf::new(2).lend_from(b"abc", u64::MAX).bytes(2),
            Ok(&b""[..])
        );
        let shared: Arc<Vec<u8>> = Arc::new(vec![1, 2, 3]);
        assert!(
            ReadBuf::new(9)
                .share(shared.clone(), 2..5)
                .bytes(9)
                .is_err()
        );
        assert_eq!(
            ReadBuf::new(9).share(shared, 1..3).bytes(9),
            Ok(&[2, 3][..])
        );
        let mut out = ReadBuf::new(2);
        assert_eq!(out.push_with(5, |room| Ok::<_, ()>(room.len() + 1)), Ok(3));
        assert!(out.finish().bytes(2).is_err());
    }

    #[test]
    fn the_memory_is_kept() {
        drop(ReadBuf::new(100_000).copy_from(&[7; 100_000]));
        let mut out = ReadBuf::new(10);
        out.push(b"new");
        assert!(out.memory.capacity() >= 100_000);
        // What it was used for before is not in the answer.
        let wrote_two = |room: &mut [u8]| {
            room[..2].fill(8);
            Ok::<_, ()>(2)
        };
        assert_eq!(out.push_with(4, wrote_two), Ok(2));
        out.push_zeros(2);
        assert_eq!(out.finish().bytes(10), Ok(&b"new\x08\x08\0\0"[..]));
    }

    #[test]
    fn of_two_the_larger_memory_is_kept() {
        for sizes in [[10, 100_000], [100_000, 10]] {
            sizes.map(take_spare).into_iter().for_each(give_spare);
            assert!(take_spare(0).capacity() >= 100_000, "{sizes:?}");
        }
    }

    #[test]
    fn what_is_shared_needs_no_memory() {
        drop(ReadBuf::new(10).copy_from(b"something"));
        let out = ReadBuf::new(1 << 20);
        assert_eq!(out.memory.capacity(), 0);
        drop(out.lend(b"something else"));
        assert!(take_spare(0).capacity() < 1 << 20);
    }
}
