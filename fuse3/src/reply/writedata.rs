use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::slice;

use crate::reply::readbuf::{give_spare, take_spare};
use crate::sys;

/// `struct fuse_bufvec` of a write: the data in memory, or in a pipe where
/// [`SPLICE_READ`](crate::Capabilities::SPLICE_READ) was asked for.
///
/// # Invariants
///
/// `theirs` points to libfuse's vector, of one buffer, for `'a`. In the buffer's memory or pipe there are as many bytes as it says,
/// unless it is a pipe that has lost some, and nobody else reads or writes them: no answer leaves by the pipe of this thread, or
/// into the memory of this request, before the handler has returned (`Asked::may_splice`, `Pending`).
pub struct WriteData<'a> {
    theirs: NonNull<sys::fuse_bufvec>,
    /// What was read out of the pipe, and which part of it has not been read from here.
    ours: Vec<u8>,
    rest: Range<usize>,
    borrow: PhantomData<&'a mut sys::fuse_bufvec>,
}

impl WriteData<'_> {
    /// # Safety
    ///
    /// The invariants, for `'a`.
    #[inline(always)]
    pub(crate) unsafe fn borrow(bufs: *mut sys::fuse_bufvec) -> Self {
        Self {
            // SAFETY: libfuse's vector is not null (the caller).
            theirs: unsafe { NonNull::new_unchecked(bufs) },
            ours: Vec::new(),
            rest: 0..0,
            borrow: PhantomData,
        }
    }

    #[inline(always)]
    fn theirs(&self) -> &sys::fuse_bufvec {
        // SAFETY: libfuse's vector lives for `'a`, and is left alone (invariant) while `self` is borrowed.
        unsafe { self.theirs.as_ref() }
    }

    /// They were read out of the pipe, which is empty.
    #[inline(always)]
    fn is_read_out(&self) -> bool {
        self.ours.capacity() > 0
    }

    /// How many bytes there are that have not been read.
    #[inline(always)]
    pub fn len(&self) -> usize {
        if self.is_read_out() {
            return self.rest.len();
        }
        let bufs = self.theirs();
        // None when all has been read: libfuse leaves the position at the end then.
        bufs.buf[0].size - bufs.off
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, when they are in memory.
    #[inline]
    pub fn as_slice(&self) -> Option<&[u8]> {
        if self.is_read_out() {
            return self.ours.get(self.rest.clone());
        }
        let bufs = self.theirs();
        let buf = &bufs.buf[0];
        if buf.flags & sys::fuse_buf_flags_FUSE_BUF_IS_FD != 0 {
            return None;
        }
        let length = self.len();
        if length == 0 {
            return Some(&[]);
        }
        // SAFETY: what is left of the buffer begins after what was read, and is in its memory (invariant).
        let start = unsafe { buf.mem.cast::<u8>().add(bufs.off) };
        // SAFETY: there are as many (invariant), and nobody writes to them before the handler has returned.
        Some(unsafe { slice::from_raw_parts(start, length) })
    }

    /// The bytes, which are read out of the pipe when they are in one, into memory that the thread keeps.
    ///
    /// # Errors
    ///
    /// Those of reading.
    #[inline]
    pub fn bytes(&mut self) -> io::Result<&[u8]> {
        if self.as_slice().is_none() {
            self.read_out()?;
        }
        Ok(self.as_slice().unwrap_or(&[]))
    }

    #[inline(never)]
    fn read_out(&mut self) -> io::Result<()> {
        let length = self.len();
        let mut memory = take_spare(length);
        memory.resize(memory.len().max(length), 0);
        match self.read_into(&mut memory[..length]) {
            Ok(count) if count == length => {
                self.ours = memory;
                self.rest = 0..length;
                Ok(())
            }
            result => {
                give_spare(memory);
                Err(result.map_or_else(|error| error, |_| io::ErrorKind::UnexpectedEof.into()))
            }
        }
    }

    /// `fuse_buf_copy()`: moves bytes from the beginning into `room`, as many as fit, and returns how many there were.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn read_into(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut to = sys::FUSE_BUFVEC_INIT(room.len());
        to.buf[0].mem = room.as_mut_ptr().cast();
        self.copy(&mut to)
    }

    /// `fuse_buf_copy()`: writes the bytes to `file` from `offset` on, and returns how many; from a pipe they are spliced.
    ///
    /// Where splice(2) cannot do it, as for a file with O_APPEND, they are read and written.
    ///
    /// # Errors
    ///
    /// Those of writing, when nothing was written.
    pub fn splice_into(mut self, file: impl AsFd, offset: u64) -> io::Result<usize> {
        let mut to = sys::FUSE_BUFVEC_INIT(self.len());
        to.buf[0].flags = sys::fuse_buf_flags_FUSE_BUF_IS_FD
            | sys::fuse_buf_flags_FUSE_BUF_FD_SEEK
            | sys::fuse_buf_flags_FUSE_BUF_FD_RETRY;
        to.buf[0].fd = file.as_fd().as_raw_fd();
        // A negative one is refused by pwrite(2) and splice(2) with EINVAL.
        to.buf[0].pos = libc::off_t::from_ne_bytes(offset.to_ne_bytes());
        self.copy(&mut to)
    }

    /// `to` has one buffer.
    fn copy(&mut self, to: &mut sys::fuse_bufvec) -> io::Result<usize> {
        if self.is_read_out() {
            let bytes = self.ours.get_mut(self.rest.clone()).unwrap_or_default();
            let mut from = sys::FUSE_BUFVEC_INIT(bytes.len());
            from.buf[0].mem = bytes.as_mut_ptr().cast();
            let count = copy(to, &mut from)?;
            self.rest.start += count;
            return Ok(count);
        }
        // SAFETY: libfuse's vector lives for `'a`, and nobody else uses it (invariant) while `self` is borrowed.
        let from = unsafe { self.theirs.as_mut() };
        // A pipe may give less than it has.
        from.buf[0].flags |= sys::fuse_buf_flags_FUSE_BUF_FD_RETRY;
        copy(to, from)
    }
}

/// `fuse_buf_copy()`, of one buffer each.
fn copy(to: &mut sys::fuse_bufvec, from: &mut sys::fuse_bufvec) -> io::Result<usize> {
    // SAFETY: each has one buffer: `from` memory or a pipe that is there, and `to` memory of as many bytes or a file, which the
    // callers have borrowed. libfuse writes to `to` and to the positions in both.
    let count = unsafe { sys::fuse_buf_copy(to, from, 0) };
    usize::try_from(count)
        .map_err(|_| io::Error::from_raw_os_error(i32::try_from(-count).unwrap_or(libc::EIO)))
}

impl Drop for WriteData<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.is_read_out() {
            give_spare(mem::take(&mut self.ours));
        }
    }
}

impl fmt::Debug for WriteData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pipe = self.as_slice().is_none();
        f.debug_struct("WriteData")
            .field("len", &self.len())
            .field("pipe", &pipe)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    /// libfuse says that there are `size` bytes, and the pipe (a socket, here) has lost all after the first ten.
    fn in_a_short_pipe<R>(size: usize, write: impl FnOnce(WriteData<'_>) -> R) -> R {
        let (reader, mut writer) = UnixStream::pair().unwrap();
        writer.write_all(b"0123456789").unwrap();
        drop(writer);
        let mut bufs = sys::FUSE_BUFVEC_INIT(size);
        bufs.buf[0].flags = sys::fuse_buf_flags_FUSE_BUF_IS_FD;
        bufs.buf[0].fd = reader.as_raw_fd();
        // SAFETY: `bufs` has one buffer, and the pipe is open, until this returns; nobody else uses them.
        write(unsafe { WriteData::borrow(&raw mut bufs) })
    }

    #[test]
    fn what_is_lost_is_not_taken_for_written() {
        in_a_short_pipe(10, |mut data| {
            assert!(data.as_slice().is_none());
            let printed = "WriteData { len: 10, pipe: true }";
            assert_eq!(format!("{data:?}"), printed);
            assert_eq!(data.bytes().unwrap(), b"0123456789");
        });
        assert!(take_spare(0).capacity() >= 10, "the memory is kept");
        in_a_short_pipe(10, |mut data| {
            assert_eq!(data.read_into(&mut [0; 10]).unwrap(), 10);
            assert_eq!((data.len(), data.is_empty()), (0, true));
        });
        in_a_short_pipe(11, |mut data| {
            let error = data.bytes().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        });
        in_a_short_pipe(11, |mut data| {
            let mut room = [0; 20];
            assert_eq!(data.read_into(&mut room).unwrap(), 10);
            assert_eq!(&room[..10], b"0123456789");
        });
    }
}
