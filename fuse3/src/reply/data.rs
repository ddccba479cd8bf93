use std::fmt;
use std::io;
use std::mem;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::slice;

use crate::conn::request::{Request, Sent};
use crate::reply::answer::mistake;
use crate::reply::piece::{FileRange, Part};
use crate::reply::piece::{Piece, SharedBytes};
use crate::reply::readbuf::{give_spare, take_spare};
use crate::sys;
use crate::types::errno::Errno;

/// The answer of `read`, made by a [`ReadBuf`](crate::ReadBuf).
pub struct Data<'a>(pub(crate) Source<'a>);

/// What writes a read's bytes where they are to go.
pub(crate) type Fill<'a> = Box<dyn Fn(&mut [u8]) -> io::Result<usize> + Send + Sync + 'a>;

pub(crate) enum Source<'a> {
    /// As many bytes of the memory.
    Copied(Vec<u8>, usize),
    Lent(&'a [u8]),
    Shared(SharedBytes, Range<usize>),
    File(FileRange<'a>),
    Pieces(Vec<Piece<'a>>),
    Later(Fill<'a>),
    /// More bytes than there was room for: how many it would have been.
    TooMuch(usize),
}

fn too_many(count: usize, size: usize) -> String {
    format!("read gave {count} bytes where {size} were asked for")
}

impl Data<'_> {
    /// The bytes, where they are in memory and in one piece; for tests of handlers.
    ///
    /// # Errors
    ///
    /// What is wrong with them, when more than `size` were given, a range is not there, or they are elsewhere
    /// ([`to_vec`](Self::to_vec)).
    pub fn bytes(&self, size: usize) -> Result<&[u8], String> {
        self.memory(size)
            .unwrap_or_else(|| Err("these bytes are not in one piece of memory".to_owned()))
    }

    /// The same; `None` for what is not in one piece of memory.
    #[inline]
    fn memory(&self, size: usize) -> Option<Result<&[u8], String>> {
        let bytes = match &self.0 {
            Source::Copied(memory, filled) => &memory[..*filled],
            Source::Lent(bytes) => *bytes,
            Source::Shared(bytes, range) => match bytes.slice(range) {
                Ok(bytes) => bytes,
                Err(what) => return Some(Err(what)),
            },
            Source::TooMuch(count) => return Some(Err(too_many(*count, size))),
            Source::File(_) | Source::Pieces(_) | Source::Later(_) => return None,
        };
        Some(if bytes.len() > size {
            Err(too_many(bytes.len(), size))
        } else {
            Ok(bytes)
        })
    }

    /// A copy of the bytes, wherever they are, as the client gets them; for tests of handlers.
    ///
    /// # Errors
    ///
    /// As [`bytes`](Self::bytes), and those of reading.
    pub fn to_vec(&self, size: usize) -> io::Result<Vec<u8>> {
        if let Some(bytes) = self.memory(size) {
            return bytes.map(<[u8]>::to_vec).map_err(io::Error::other);
        }
        let mut out = vec![0; size];
        let count = match &self.0 {
            Source::File(range) => read_file(range, &mut out)?,
            Source::Pieces(pieces) => read_pieces(pieces, &mut out)?,
            Source::Later(fill) => fill(&mut out)?,
            _ => unreachable!("it is in memory"),
        };
        out.truncate(count);
        Ok(out)
    }

    /// Sends it, or EIO when it is a mistake.
    #[inline]
    pub(crate) fn reply(&self, request: Request, size: usize) -> Sent {
        match self.memory(size) {
            Some(Ok(bytes)) => request.buf(bytes),
            Some(Err(what)) => mistake(request, what),
            None => self.reply_from_elsewhere(request, size),
        }
    }

    #[inline(never)]
    fn reply_from_elsewhere(&self, request: Request, size: usize) -> Sent {
        match &self.0 {
            Source::File(range) => {
                let mut bufs = sys::FUSE_BUFVEC_INIT(0);
                bufs.buf[0] = range.to_buf(range.length.min(size));
                request.data(slice::from_mut(&mut bufs))
            }
            Source::Pieces(pieces) => reply_pieces(pieces, request, size),
            Source::Later(fill) => reply_later(fill, request, size),
            _ => unreachable!("it is in memory"),
        }
    }
}

/// Lets `fill` write into the request's payload over io_uring, into the thread's spare memory elsewhere.
fn reply_later(fill: &Fill<'_>, request: Request, size: usize) -> Sent {
    let filled = |room: &mut [u8]| {
        // What others have read before is not shown to whoever asks now.
        room.fill(0);
        fill(room)
    };
    if let Some(payload) = request.payload() {
        // SAFETY: the payload is the request's alone until it is answered (`Request::payload`).
        let payload = unsafe { &mut *payload.as_ptr() };
        let room = size.min(payload.len());
        return match filled(&mut payload[..room]) {
            Ok(count) if count <= room => request.buf(&payload[..count]),
            Ok(count) => mistake(request, too_many(count, size)),
            Err(error) => request.err(Errno::from(error)),
        };
    }
    let mut memory = take_spare(size);
    if memory.len() < size {
        memory.resize(size, 0);
    }
    let sent = match filled(&mut memory[..size]) {
        Ok(count) if count <= size => request.buf(&memory[..count]),
        Ok(count) => mistake(request, too_many(count, size)),
        Err(error) => request.err(Errno::from(error)),
    };
    give_spare(memory);
    sent
}

/// writev(2) takes no more at once than 1024, one of which is the header.
const MOST_PIECES: usize = 1000;

fn reply_pieces(pieces: &[Piece<'_>], request: Request, size: usize) -> Sent {
    let mut total = 0_usize;
    for piece in pieces {
        match piece.length() {
            Ok(length) => total = total.saturating_add(length),
            Err(what) => return mistake(request, what),
        }
    }
    if total > size {
        return mistake(request, too_many(total, size));
    }
    let parts = pieces.iter().filter(|piece| piece.length() != Ok(0));
    let in_memory: Option<Vec<&[u8]>> = parts.clone().map(Piece::memory).collect();
    match in_memory {
        Some(slices) if slices.len() <= MOST_PIECES => request.slices(&slices),
        Some(slices) => request.buf(&slices.concat()),
        None => request.data(&mut bufvec(parts.map(Piece::to_buf).collect())),
    }
}

/// `struct fuse_bufvec` with as many buffers: it has room for one, and the others follow it.
fn bufvec(bufs: Vec<sys::fuse_buf>) -> Vec<sys::fuse_bufvec> {
    let bytes = size_of::<sys::fuse_bufvec>() + size_of_val(&*bufs);
    let count = bytes.div_ceil(size_of::<sys::fuse_bufvec>());
    let mut vec: Vec<_> = (0..count).map(|_| sys::FUSE_BUFVEC_INIT(0)).collect();
    vec[0].count = bufs.len();
    let start = vec.as_mut_ptr();
    // SAFETY: `start` points to a `fuse_bufvec`; no reference is made, so that what follows it is still in reach.
    let first = unsafe { &raw mut (*start).buf }.cast::<sys::fuse_buf>();
    for (position, buf) in bufs.into_iter().enumerate() {
        // SAFETY: `vec` has room for all of them after its first member, by `bytes`.
        let place = unsafe { first.add(position) };
        // SAFETY: as above, and a `fuse_bufvec` is aligned for a `fuse_buf`, which it has.
        unsafe { place.write(buf) };
    }
    vec
}

impl Piece<'_> {
    fn length(&self) -> Result<usize, String> {
        match &self.0 {
            Part::Copied(bytes) => Ok(bytes.len()),
            Part::Lent(bytes) => Ok(bytes.len()),
            Part::Shared(bytes, range) => bytes.slice(range).map(<[u8]>::len),
            Part::File(range) => Ok(range.length),
        }
    }

    fn memory(&self) -> Option<&[u8]> {
        match &self.0 {
            Part::Copied(bytes) => Some(bytes),
            Part::Lent(bytes) => Some(bytes),
            // Its range was looked at before.
            Part::Shared(bytes, range) => Some(bytes.slice(range).unwrap_or(&[])),
            Part::File(_) => None,
        }
    }

    fn to_buf(&self) -> sys::fuse_buf {
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

fn read_file(range: &FileRange<'_>, out: &mut [u8]) -> io::Result<usize> {
    use std::os::fd::AsFd;
    let file = std::fs::File::from(range.file.as_fd().try_clone_to_owned()?);
    let length = range.length.min(out.len());
    let mut filled = 0;
    while filled < length {
        let offset = range.offset.saturating_add(filled as u64);
        match file.read_at(&mut out[filled..length], offset)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

fn read_pieces(pieces: &[Piece<'_>], out: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    for piece in pieces {
        let length = piece.length().map_err(io::Error::other)?;
        let size = out.len();
        let room = out
            .get_mut(filled..filled + length)
            .ok_or_else(|| io::Error::other(too_many(filled + length, size)))?;
        match (&piece.0, piece.memory()) {
            (Part::File(range), _) => {
                let count = read_file(range, room)?;
                filled += count;
                if count < length {
                    break;
                }
            }
            (_, bytes) => {
                room.copy_from_slice(bytes.unwrap_or(&[]));
                filled += length;
            }
        }
    }
    Ok(filled)
}

impl Drop for Data<'_> {
    fn drop(&mut self) {
        if let Source::Copied(memory, _) = &mut self.0 {
            give_spare(mem::take(memory));
        }
    }
}

impl fmt::Debug for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0, self.memory(usize::MAX)) {
            (_, Some(Ok(bytes))) => write!(f, "Data({} bytes)", bytes.len()),
            (_, Some(Err(error))) => write!(f, "Data({error})"),
            (Source::File(range), None) => write!(f, "Data({range:?})"),
            (Source::Pieces(pieces), None) => write!(f, "Data({pieces:?})"),
            (_, None) => f.write_str("Data(later)"),
        }
    }
}
