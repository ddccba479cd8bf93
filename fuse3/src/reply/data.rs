use std::fmt;
use std::io;
use std::mem::{self, ManuallyDrop};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::ptr;
use std::thread::panicking;

use crate::base::panic::contain;
use crate::reply::piece::{FileRange, Part, Piece, SharedBytes};
use crate::reply::readbuf::give_spare;

/// The answer of `read`, made by a [`ReadBuf`](crate::ReadBuf).
pub struct Data<'a>(pub(crate) ManuallyDrop<Source<'a>>);

/// What writes a read's bytes where they are to go.
pub(crate) type Fill<'a> = Box<dyn Fn(&mut [u8]) -> io::Result<usize> + Send + Sync + 'a>;

// A tag of its own takes fewer instructions to read than one in a niche.
#[repr(u8)]
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

pub(super) fn too_many(count: usize, size: usize) -> String {
    format!("read gave {count} bytes where {size} were asked for")
}

impl<'a> Data<'a> {
    #[inline(always)]
    pub(super) fn of(source: Source<'a>) -> Self {
        Self(ManuallyDrop::new(source))
    }
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

    /// The bytes, where they are in one piece of memory and right.
    #[inline(always)]
    pub(super) fn ready(&self, size: usize) -> Option<&[u8]> {
        let bytes = match &*self.0 {
            Source::Copied(memory, filled) => memory.get(..*filled)?,
            Source::Lent(bytes) => bytes,
            Source::Shared(bytes, range) => bytes.as_ref().get(range.clone())?,
            _ => return None,
        };
        (bytes.len() <= size).then_some(bytes)
    }

    /// As [`bytes`](Self::bytes); `None` for what is not in one piece of memory.
    #[inline]
    pub(super) fn memory(&self, size: usize) -> Option<Result<&[u8], String>> {
        let bytes = match &*self.0 {
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
        let count = match &*self.0 {
            Source::File(range) => read_file(range, &mut out)?,
            Source::Pieces(pieces) => read_pieces(pieces, &mut out)?,
            Source::Later(fill) => fill(&mut out)?,
            _ => unreachable!("it is in memory"),
        };
        out.truncate(count);
        Ok(out)
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
    #[inline(always)]
    fn drop(&mut self) {
        match &mut *self.0 {
            Source::Lent(_) => {}
            // SAFETY: a source is dropped once, in this destructor.
            Source::Shared(bytes, _) if !panicking() => unsafe { ptr::drop_in_place(bytes) },
            _ => drop_other(&mut self.0),
        }
    }
}

#[inline(never)]
fn drop_other(source: &mut ManuallyDrop<Source<'_>>) {
    contain(|| match &mut **source {
        Source::Copied(memory, _) => give_spare(mem::take(memory)),
        // SAFETY: a source is dropped once, in the destructor of `Data`.
        _ => unsafe { ManuallyDrop::drop(source) },
    });
}

impl fmt::Debug for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.0, self.memory(usize::MAX)) {
            (_, Some(Ok(bytes))) => write!(f, "Data({} bytes)", bytes.len()),
            (_, Some(Err(error))) => write!(f, "Data({error})"),
            (Source::File(range), None) => write!(f, "Data({range:?})"),
            (Source::Pieces(pieces), None) => write!(f, "Data({pieces:?})"),
            (_, None) => f.write_str("Data(later)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::panic::{nested, text};
    use crate::reply::readbuf::ReadBuf;
    use std::{panic::catch_unwind, sync::Arc};

    struct Loud;

    impl AsRef<[u8]> for Loud {
        fn as_ref(&self) -> &[u8] {
            b"loud"
        }
    }

    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("second");
        }
    }

    #[test]
    fn a_panic_of_what_is_shared_does_not_meet_another() {
        let shared = || ReadBuf::new(9).share(Arc::new(Loud), 0..4);
        let panics = catch_unwind(|| {
            let _data = shared();
            panic!("first");
        });
        let payload = panics.unwrap_err();
        assert_eq!((text(&*payload), nested()), ("first", 1));
        let payload = catch_unwind(|| drop(shared())).unwrap_err();
        assert_eq!((text(&*payload), nested()), ("second", 0));
    }

    #[test]
    fn what_is_printed_says_how_much_it_is() {
        let [some, too_much] = [b"abc", &b"abcd"[..]].map(|b| ReadBuf::new(3).copy_from(b));
        assert_eq!(format!("{some:?}"), "Data(3 bytes)");
        assert!(format!("{too_much:?}").starts_with("Data(read gave 4 bytes"));
        let empty = ReadBuf::new(3);
        assert_eq!(format!("{empty:?}"), "ReadBuf { size: 3, filled: 0, .. }");
        let later = ReadBuf::new(3).later(|_| Ok(0));
        assert_eq!(format!("{later:?}"), "Data(later)");
        let input = io::stdin();
        let file = ReadBuf::new(9).splice(&input, 7, 3);
        let printed = "Data(FileRange { file: BorrowedFd { fd: 0 }, offset: 7, length: 3 })";
        assert_eq!(format!("{file:?}"), printed);
        let pieces = ReadBuf::new(9).pieces([Piece::shared(Arc::new([1; 3]), 0..2)]);
        let printed = "Data([Piece(Shared(SharedBytes(3 bytes), 0..2))])";
        assert_eq!(format!("{pieces:?}"), printed);
    }
}
