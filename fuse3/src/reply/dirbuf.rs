use std::ffi::{CStr, CString, OsStr, c_char};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use libc::off_t;

use crate::reply::readbuf::{give_spare, take_spare};
use crate::sys;
use crate::types::{attr::Entry, ino::Ino};

/// Size of `struct fuse_entry_out`, which begins each entry of READDIRPLUS (include/uapi/linux/fuse.h).
const ENTRY_OUT: usize = 128;
/// Size of `struct fuse_dirent` up to the name.
const DIRENT: usize = 24;

/// Where `readdir` puts the entries of a directory: one sink for READDIR and READDIRPLUS, llfuse's yield and pyfuse3's
/// `readdir_reply`.
///
/// ```
/// # use fuse3::{Attr, DirBuf, Entry, Ino, Listing};
/// # use fuse3::reply::Added;
/// # use std::time::Duration;
/// fn list(entries: &[(&str, Ino)], offset: u64, mut out: DirBuf) -> Listing {
///     for (index, (name, ino)) in (1..).zip(entries).skip(offset as usize) {
///         let entry = Entry::new(Attr::new(*ino, libc::S_IFREG | 0o644), Duration::ZERO);
///         match out.add(name, &entry, index) {
///             Added::Listed => {}
///             Added::Counted => { /* READDIRPLUS: one more on the inode's lookup count */ }
///             Added::Full => break,
///         }
///     }
///     out.finish()
/// }
/// # assert!(list(&[("a", Ino(2))], 0, DirBuf::new(4096, 0, false)).len() > 0);
/// ```
pub struct DirBuf {
    buf: Vec<u8>,
    size: usize,
    plus: bool,
    last: u64,
    /// Offsets need not grow.
    opaque: bool,
    /// An entry did not fit. One after it that does would be listed in its place, and it would be lost.
    full: bool,
    wrong: Option<String>,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a listing that is full must end, and a counted entry is to be counted"]
pub enum Added {
    /// It is in the listing. The kernel does not know the inode by it.
    Listed,
    /// It is in the listing of READDIRPLUS, and adds one to the inode's lookup count.
    Counted,
    /// There is no room for it, nor for any other; the kernel asks again from the last offset that it was given.
    Full,
}

impl DirBuf {
    /// Longest name of a file, in bytes: the kernel's `FUSE_NAME_MAX` (fs/fuse/fuse_i.h), which is 1 less than PATH_MAX.
    ///
    /// It holds for listings and for the names that handlers are given. Linux before 6.14 takes and sends 1,024 bytes at most:
    /// it ends a listing that has a longer name with EIO. Programs get along with names of up to 255 bytes, NAME_MAX of
    /// POSIX; the `namemax` of [`StatVfs`](crate::StatVfs) tells them of another limit.
    pub const NAME_MAX: usize = 4095;

    /// A sink of `size` bytes for a listing from `offset`; for tests of handlers.
    pub fn new(size: usize, offset: u64, plus: bool) -> Self {
        let mut buf = take_spare(size);
        buf.clear();
        Self {
            buf,
            size,
            plus,
            last: offset,
            opaque: false,
            full: false,
            wrong: None,
        }
    }

    /// READDIRPLUS: the attributes of each entry are sent too. Otherwise only `ino` and the type in `mode` are.
    pub fn is_plus(&self) -> bool {
        self.plus
    }

    /// llfuse's `next_id` as its examples have it: the offsets of this listing are numbers that only the file system understands, such
    /// as those of inodes, and need not grow.
    ///
    /// The kernel gives them back as they are, and its cache of listings does without them. Two entries with the same offset are
    /// listed both, but a listing that goes on after the first begins after both, or with both again, as the file system has it.
    pub fn opaque_offsets(&mut self) {
        self.opaque = true;
    }

    /// How many bytes are left; 0 once an entry did not [fit](Added::Full). An entry takes 24 bytes and its name, one of
    /// READDIRPLUS 152 and its name, rounded up to a multiple of 8.
    pub fn remaining(&self) -> usize {
        if self.full {
            0
        } else {
            self.size - self.buf.len()
        }
    }

    /// Whether there is room for an entry with this name. Ask before you look up what an entry of READDIRPLUS shows, where that
    /// is slow or has to be undone.
    pub fn fits(&self, name: impl AsRef<OsStr>) -> bool {
        self.needs(name.as_ref().as_bytes()) <= self.remaining()
    }

    fn needs(&self, name: &[u8]) -> usize {
        let head = DIRENT + if self.plus { ENTRY_OUT } else { 0 };
        (head + name.len()).next_multiple_of(8)
    }

    /// `fuse_add_direntry()`, `fuse_add_direntry_plus()`: appends the entry `name`.
    ///
    /// `next` is where a listing goes on that has had this entry. It is larger than that of the entry before (and so
    /// never 0, which is the start), and must mean the same place when names have come and gone meanwhile. The `d_off` of
    /// another file system is no such number (tmpfs's goes down): `examples/passthrough` counts, and
    /// [`opaque_offsets`](Self::opaque_offsets) takes it as it is.
    ///
    /// "." and ".." are listed but never counted, whatever their attributes.
    ///
    /// A name that is empty, longer than [`NAME_MAX`](Self::NAME_MAX) or has a slash or NUL in it is a mistake, and so is a
    /// `next` that does not grow, or is more than `i64::MAX`: the offset of an open directory (telldir(3)) is signed. The
    /// listing ends then, the caller gets EIO, and the log says which.
    pub fn add(&mut self, name: impl AsRef<OsStr>, entry: &Entry, next: u64) -> Added {
        let name = name.as_ref();
        let bytes = name.as_bytes();
        if bytes.is_empty()
            || bytes.len() > Self::NAME_MAX
            || bytes.iter().any(|byte| matches!(byte, 0 | b'/'))
        {
            return self.wrong(format!(
                "readdir gave the name {name:?}, which is not 1 to {} bytes without / and NUL",
                Self::NAME_MAX
            ));
        }
        if next == 0 || next <= self.last && !self.opaque {
            return self.wrong(format!(
                "readdir gave {name:?} the offset {next} after {}; offsets have to grow",
                self.last
            ));
        }
        let Ok(next_off) = off_t::try_from(next) else {
            return self.wrong(format!(
                "readdir gave {name:?} the offset {next}, which is more than {}",
                off_t::MAX
            ));
        };
        // Most names are short: they are copied without a search for memory.
        let mut short = [0; 256];
        let long;
        let c_name = if bytes.len() < short.len() {
            short[..bytes.len()].copy_from_slice(bytes);
            CStr::from_bytes_until_nul(&short).ok()
        } else {
            long = CString::new(bytes).ok();
            long.as_deref()
        };
        // `bytes` has no NUL.
        let Some(c_name) = c_name else {
            return Added::Full;
        };

        let dots = matches!(bytes, b"." | b"..");
        let needed = self.needs(bytes);
        if needed > self.remaining() {
            self.full = true;
            return Added::Full;
        }
        let start = self.buf.len();
        self.buf.resize(start + needed, 0);
        let out = self.buf[start..].as_mut_ptr().cast::<c_char>();
        // libfuse writes structures there, of 8-byte members. malloc(3) aligns to 16 bytes, and each entry is a multiple of 8
        // long; the allocator of a program that promises no more than 1 ends here.
        assert!(out.cast::<u64>().is_aligned());
        let (req, name) = (ptr::null_mut(), c_name.as_ptr());
        let written = if self.plus {
            let mut param = entry.param();
            if dots {
                param.ino = 0;
            }
            // SAFETY: `out` has `needed` bytes, which libfuse needs for this entry, and is aligned for its structures, as was
            // asserted; the name and the entry live; libfuse uses `req` for nothing.
            unsafe {
                sys::fuse_add_direntry_plus(req, out, needed, name, &raw const param, next_off)
            }
        } else {
            let stat = entry.attr.to_stat();
            // SAFETY: `out` has `needed` bytes, which libfuse needs for this entry, and is aligned for its structures, as was
            // asserted; the name and the attributes live; libfuse uses `req` for nothing.
            unsafe { sys::fuse_add_direntry(req, out, needed, name, &raw const stat, next_off) }
        };
        debug_assert_eq!(
            written, needed,
            "struct fuse_dirent has not changed since 2.6.15"
        );
        self.last = next;
        if self.plus && !dots && entry.ino != Ino(0) {
            Added::Counted
        } else {
            Added::Listed
        }
    }

    fn wrong(&mut self, what: String) -> Added {
        self.wrong.get_or_insert(what);
        Added::Full
    }

    /// The entries added so far are the answer; none, when the directory has no more.
    pub fn finish(self) -> Listing {
        Listing {
            buf: self.buf,
            plus: self.plus,
            wrong: self.wrong,
        }
    }
}

impl fmt::Debug for DirBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirBuf")
            .field("size", &self.size)
            .field("filled", &self.buf.len())
            .field("plus", &self.plus)
            .finish_non_exhaustive()
    }
}

/// The answer of `readdir`, made by a [`DirBuf`].
pub struct Listing {
    buf: Vec<u8>,
    plus: bool,
    wrong: Option<String>,
}

impl Listing {
    /// How many bytes it is.
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// The directory has no more entries.
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    pub(crate) fn is_plus(&self) -> bool {
        self.plus
    }

    pub(crate) fn bytes(&self) -> Result<&[u8], &str> {
        self.wrong.as_deref().map_or(Ok(&self.buf), Err)
    }

    /// The inodes whose lookup count this listing raises, read back from it.
    pub(crate) fn counted(&self) -> impl Iterator<Item = Ino> + '_ {
        let mut rest = if self.plus { &self.buf[..] } else { &[] };
        std::iter::from_fn(move || {
            let nodeid = number(rest, 0)?;
            let name_len = number(rest, ENTRY_OUT + 16)? & 0xffff_ffff;
            let dirent = (DIRENT + usize::try_from(name_len).ok()?).next_multiple_of(8);
            rest = rest.get(ENTRY_OUT + dirent..).unwrap_or(&[]);
            Some(Ino(nodeid))
        })
        .filter(|ino| *ino != Ino(0))
    }
}

/// The eight bytes at `at`. (A `struct fuse_dirent` has at 16 the length of its name, four bytes, and its type.)
fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?.try_into().ok()?;
    let number = u64::from_ne_bytes(bytes);
    let is_high = cfg!(target_endian = "big") && at != 0;
    Some(number >> if is_high { 32 } else { 0 })
}

impl Drop for Listing {
    fn drop(&mut self) {
        give_spare(std::mem::take(&mut self.buf));
    }
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listing")
            .field("bytes", &self.buf.len())
            .field("wrong", &self.wrong)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::attr::Attr;
    use std::time::Duration;

    fn entry(ino: u64) -> Entry {
        Entry::new(
            Attr::new(Ino(ino), libc::S_IFREG | 0o644),
            Duration::from_secs(1),
        )
    }

    #[test]
    fn plain_entries_are_not_counted() {
        let mut out = DirBuf::new(4096, 0, false);
        assert_eq!(out.add(".", &entry(1), 1), Added::Listed);
        assert_eq!(out.add("a", &entry(2), 2), Added::Listed);
        let listing = out.finish();
        assert_eq!((listing.len(), listing.is_empty()), (64, false));
        assert_eq!(listing.counted().count(), 0);
        let printed = "Listing { bytes: 64, wrong: None, .. }";
        assert_eq!(format!("{listing:?}"), printed);
        assert!(DirBuf::new(4096, 0, false).finish().is_empty());
    }

    #[test]
    fn the_memory_of_a_listing_is_kept() {
        drop(DirBuf::new(100_000, 0, false).finish());
        assert!(take_spare(0).capacity() >= 100_000);
    }

    #[test]
    fn plus_entries_are_counted_but_for_the_dots() {
        let mut out = DirBuf::new(4096, 0, true);
        assert_eq!(out.add(".", &entry(1), 1), Added::Listed);
        assert_eq!(out.add("..", &entry(1), 2), Added::Listed);
        assert_eq!(out.add("name", &entry(7), 3), Added::Counted);
        assert_eq!(
            out.add("a longer name than eight", &entry(8), 9),
            Added::Counted
        );
        assert_eq!(out.finish().counted().collect::<Vec<_>>(), [Ino(7), Ino(8)]);
    }

    #[test]
    fn a_full_listing_takes_no_more() {
        let mut out = DirBuf::new(96, 0, false);
        assert_eq!(out.add("one", &entry(2), 1), Added::Listed);
        assert_eq!(out.add("two", &entry(2), 2), Added::Listed);
        assert_eq!(out.remaining(), 32);
        assert!(out.fits("4") && !out.fits("a longer name"));
        assert_eq!(out.add("a longer name", &entry(2), 3), Added::Full);
        assert_eq!((out.remaining(), out.fits("4")), (0, false));
        assert_eq!(out.add("4", &entry(2), 4), Added::Full);
        assert_eq!(out.finish().len(), 64);
    }

    #[test]
    fn mistakes_are_named() {
        let long = "x".repeat(4096);
        for name in ["", "a/b", "a\0b", &long] {
            let mut out = DirBuf::new(4096, 0, false);
            assert_eq!(out.add(name, &entry(2), 1), Added::Full);
            assert!(out.finish().bytes().is_err());
        }
        for next in [0, 4, 5] {
            let mut out = DirBuf::new(4096, 5, false);
            assert_eq!(out.add("a", &entry(2), next), Added::Full);
            assert!(out.finish().bytes().unwrap_err().contains("have to grow"));
        }
        for next in [1 << 63, u64::MAX] {
            let mut out = DirBuf::new(4096, 0, false);
            assert_eq!(out.add("a", &entry(2), next), Added::Full);
            let listing = out.finish();
            let wrong = listing.bytes().unwrap_err();
            assert!(wrong.contains("more than 9223372036854775807"), "{wrong}");
        }
    }

    /// As llfuse's passthroughfs.py has it: inode numbers, of a directory with two links to one inode.
    #[test]
    fn offsets_that_are_opaque_need_not_grow() {
        let mut out = DirBuf::new(4096, 40, false);
        out.opaque_offsets();
        for (name, next) in [("a", 30), ("b", 50), ("c", 50), ("d", 40)] {
            assert_eq!(out.add(name, &entry(2), next), Added::Listed);
        }
        let listing = out.finish();
        let bytes = listing.bytes().unwrap();
        let offsets = bytes.chunks(32).map(|entry| number(entry, 8).unwrap());
        assert_eq!(offsets.collect::<Vec<_>>(), [30, 50, 50, 40]);
        // That of the start would list everything again.
        let mut out = DirBuf::new(4096, 0, false);
        out.opaque_offsets();
        assert_eq!(out.add("a", &entry(2), 0), Added::Full);
        assert!(out.finish().bytes().is_err());
    }

    #[test]
    fn the_largest_offset() {
        let mut out = DirBuf::new(4096, 0, false);
        assert_eq!(
            out.add("a", &entry(2), i64::MAX.unsigned_abs()),
            Added::Listed
        );
        let listing = out.finish();
        assert_eq!(
            number(listing.bytes().unwrap(), 8),
            Some(i64::MAX.unsigned_abs())
        );
    }

    #[test]
    fn names_of_each_length() {
        for length in [1, 254, 255, 256, 257, 300, 1024, 1025, DirBuf::NAME_MAX] {
            let name = "x".repeat(length);
            for plus in [false, true] {
                let mut out = DirBuf::new(5000, 0, plus);
                assert_ne!(out.add(&name, &entry(2), 1), Added::Full, "{length}");
                let listing = out.finish();
                let bytes = listing.bytes().unwrap();
                let at = if plus { ENTRY_OUT + DIRENT } else { DIRENT };
                assert_eq!(&bytes[at..at + length], name.as_bytes());
                assert!(bytes[at + length..].iter().all(|byte| *byte == 0));
                assert_eq!(listing.counted().count(), plus.into());
            }
        }
    }

    #[test]
    fn what_fits_is_added_and_nothing_else() {
        for (plus, length) in [false, true]
            .into_iter()
            .flat_map(|plus| (1..20).map(move |n| (plus, n)))
        {
            let name = "x".repeat(length);
            for size in 0..256 {
                let mut out = DirBuf::new(size, 0, plus);
                assert_eq!(out.remaining(), size);
                let fits = out.fits(&name);
                assert_eq!(out.add(&name, &entry(2), 1) != Added::Full, fits);
                let left = out.remaining();
                let taken = out.finish().len();
                assert_eq!(left, if fits { size - taken } else { 0 });
            }
        }
    }

    #[test]
    fn the_node_is_counted_and_not_the_number_that_is_shown() {
        let mut out = DirBuf::new(4096, 0, true);
        let shown = Entry {
            ino: Ino(1 << 50),
            ..entry(7)
        };
        assert_eq!(out.add("name", &shown, 1), Added::Counted);
        assert_eq!(out.finish().counted().collect::<Vec<_>>(), [Ino(1 << 50)]);
    }
}
