use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::sys;

/// Bytes that several owners share: what a reply may hold a share of until it is sent.
///
/// Made from an [`Arc`] of a slice, or of anything that has one, such as `Arc<Vec<u8>>` or a mapped file; with the feature
/// `bytes` from `bytes::Bytes`, too. None of them is copied.
#[derive(Clone)]
pub struct SharedBytes(Owner);

#[derive(Clone)]
enum Owner {
    Slice(Arc<[u8]>),
    Any(Arc<dyn AsRef<[u8]> + Send + Sync>),
    #[cfg(feature = "bytes")]
    Bytes(bytes::Bytes),
}

impl SharedBytes {
    pub(crate) fn slice(&self, range: &Range<usize>) -> Result<&[u8], String> {
        let bytes = self.as_ref();
        bytes
            .get(range.clone())
            .ok_or_else(|| format!("read shared the bytes {range:?} of {}", bytes.len()))
    }
}

impl AsRef<[u8]> for SharedBytes {
    #[inline(always)]
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Owner::Slice(bytes) => bytes,
            Owner::Any(owner) => (**owner).as_ref(),
            #[cfg(feature = "bytes")]
            Owner::Bytes(bytes) => bytes,
        }
    }
}

impl From<Arc<[u8]>> for SharedBytes {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self(Owner::Slice(bytes))
    }
}

impl<B: AsRef<[u8]> + Send + Sync + 'static> From<Arc<B>> for SharedBytes {
    fn from(owner: Arc<B>) -> Self {
        Self(Owner::Any(owner))
    }
}

#[cfg(feature = "bytes")]
impl From<bytes::Bytes> for SharedBytes {
    fn from(bytes: bytes::Bytes) -> Self {
        Self(Owner::Bytes(bytes))
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedBytes({} bytes)", self.as_ref().len())
    }
}

/// An open file that a reply is read from: lent from what `&self` owns, shared, or given away.
///
/// Made from a reference to anything that has a descriptor, an [`Arc`] of it, a [`File`] or an [`OwnedFd`].
pub struct FileSource<'a>(Descriptor<'a>);

enum Descriptor<'a> {
    Lent(BorrowedFd<'a>),
    Shared(Arc<dyn AsFd + Send + Sync>),
    Owned(OwnedFd),
}

impl<'a> From<BorrowedFd<'a>> for FileSource<'a> {
    fn from(file: BorrowedFd<'a>) -> Self {
        Self(Descriptor::Lent(file))
    }
}

impl<'a, T: AsFd> From<&'a T> for FileSource<'a> {
    fn from(file: &'a T) -> Self {
        Self(Descriptor::Lent(file.as_fd()))
    }
}

impl<T: AsFd + Send + Sync + 'static> From<Arc<T>> for FileSource<'_> {
    fn from(file: Arc<T>) -> Self {
        Self(Descriptor::Shared(file))
    }
}

impl From<OwnedFd> for FileSource<'_> {
    fn from(file: OwnedFd) -> Self {
        Self(Descriptor::Owned(file))
    }
}

impl From<File> for FileSource<'_> {
    fn from(file: File) -> Self {
        Self(Descriptor::Owned(file.into()))
    }
}

impl AsFd for FileSource<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Descriptor::Lent(file) => *file,
            Descriptor::Shared(file) => file.as_fd(),
            Descriptor::Owned(file) => file.as_fd(),
        }
    }
}

impl fmt::Debug for FileSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_fd().fmt(f)
    }
}

/// A part of what a `read` answers: [`ReadBuf::pieces`](crate::ReadBuf::pieces).
#[derive(Debug)]
pub struct Piece<'a>(pub(crate) Part<'a>);

#[derive(Debug)]
pub(crate) enum Part<'a> {
    Copied(Vec<u8>),
    Lent(&'a [u8]),
    Shared(SharedBytes, Range<usize>),
    File(FileRange<'a>),
}

impl<'a> Piece<'a> {
    /// These bytes, given away.
    pub fn copied(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Part::Copied(bytes.into()))
    }

    /// These bytes, which live as long as the file system.
    pub fn lent(bytes: &'a [u8]) -> Self {
        Self(Part::Lent(bytes))
    }

    /// `bytes[range]`, of which the reply holds a share until it is sent.
    pub fn shared(bytes: impl Into<SharedBytes>, range: Range<usize>) -> Self {
        Self(Part::Shared(bytes.into(), range))
    }

    /// `length` bytes of `file` from `offset` on. Where the file ends before, the answer ends, too: later pieces are left out.
    pub fn file(file: impl Into<FileSource<'a>>, offset: u64, length: usize) -> Self {
        Self(Part::File(FileRange {
            file: file.into(),
            offset,
            length,
        }))
    }

    pub(super) fn length(&self) -> Result<usize, String> {
        match &self.0 {
            Part::Copied(bytes) => Ok(bytes.len()),
            Part::Lent(bytes) => Ok(bytes.len()),
            Part::Shared(bytes, range) => bytes.slice(range).map(<[u8]>::len),
            Part::File(range) => Ok(range.length),
        }
    }

    pub(super) fn memory(&self) -> Option<&[u8]> {
        match &self.0 {
            Part::Copied(bytes) => Some(bytes),
            Part::Lent(bytes) => Some(bytes),
            // Its range was looked at before.
            Part::Shared(bytes, range) => Some(bytes.slice(range).unwrap_or(&[])),
            Part::File(_) => None,
        }
    }

    pub(super) fn to_buf(&self) -> sys::fuse_buf {
        match (&self.0, self.memory()) {
            (Part::File(range), _) => range.to_buf(range.length),
            (_, bytes) => {
                let bytes = bytes.unwrap_or(&[]);
                let [mut buf] = sys::FUSE_BUFVEC_INIT(bytes.len()).buf;
                // libfuse only reads what a reply is made of.
                buf.mem = bytes.as_ptr().cast_mut().cast();
                buf
            }
        }
    }
}

/// A range of a file.
#[derive(Debug)]
pub(crate) struct FileRange<'a> {
    pub(crate) file: FileSource<'a>,
    pub(crate) offset: u64,
    pub(crate) length: usize,
}

impl FileRange<'_> {
    /// `struct fuse_buf`, of as many bytes as there are before the largest offset that a file has.
    pub(crate) fn to_buf(&self, length: usize) -> sys::fuse_buf {
        let [mut buf] = sys::FUSE_BUFVEC_INIT(length).buf;
        buf.flags = sys::fuse_buf_flags_FUSE_BUF_IS_FD
            | sys::fuse_buf_flags_FUSE_BUF_FD_SEEK
            | sys::fuse_buf_flags_FUSE_BUF_FD_RETRY;
        buf.fd = self.file.as_fd().as_raw_fd();
        // A negative one is refused by pread(2) and splice(2) with EINVAL.
        buf.pos = libc::off_t::from_ne_bytes(self.offset.to_ne_bytes());
        buf
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::readbuf::ReadBuf;

    #[test]
    fn what_is_shared_is_not_copied() {
        let slice: Arc<[u8]> = Arc::from(&b"0123456789"[..]);
        let whole = Arc::new(b"0123456789".to_vec());
        let starts = [slice.as_ptr(), whole.as_ptr()];
        for (bytes, start) in [SharedBytes::from(slice), whole.into()].iter().zip(starts) {
            let data = ReadBuf::new(10).share(bytes.clone(), 2..5);
            assert_eq!(data.bytes(10), Ok(&b"234"[..]));
            assert_eq!(data.bytes(10).unwrap().as_ptr(), start.wrapping_add(2));
            assert!(bytes.slice(&(5..11)).unwrap_err().contains("5..11 of 10"));
        }
    }

    #[cfg(feature = "bytes")]
    #[test]
    fn neither_are_bytes() {
        let bytes = bytes::Bytes::from(b"0123456789".to_vec());
        let start = bytes.as_ptr();
        let data = ReadBuf::new(10).share(bytes.slice(2..), 0..3);
        assert_eq!(data.bytes(10), Ok(&b"234"[..]));
        assert_eq!(data.bytes(10).unwrap().as_ptr(), start.wrapping_add(2));
    }

    #[test]
    fn what_a_client_gets() {
        let file = File::open("/dev/zero").unwrap();
        let pieces = [
            Piece::lent(b"ab"),
            Piece::file(&file, 0, 3),
            Piece::copied(*b"c"),
        ];
        let data = ReadBuf::new(10).pieces(pieces);
        assert_eq!(data.to_vec(10).unwrap(), b"ab\0\0\0c");
        assert!(data.bytes(10).is_err());
        let error = data.to_vec(5).unwrap_err().to_string();
        assert_eq!(error, "read gave 6 bytes where 5 were asked for");
        let spliced = ReadBuf::new(10).splice(&file, 0, 3);
        assert_eq!(spliced.to_vec(10).unwrap(), [0; 3]);
        let none = File::open("/dev/null").unwrap();
        let pieces = [Piece::file(none, 0, 3), Piece::lent(b"ab")];
        assert_eq!(ReadBuf::new(10).pieces(pieces).to_vec(10).unwrap(), b"");
        let later = ReadBuf::new(10).later(|room| Ok(room.len() / 2));
        assert_eq!(later.to_vec(10).unwrap(), [0; 5]);
    }
}
