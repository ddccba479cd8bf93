use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use crate::reply::dirbuf::Listing;
use crate::types::ino::Ino;

/// An entry of a [`Listing`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// The name.
    pub name: OsString,
    /// The inode.
    pub ino: Ino,
    /// The type of its mode, `S_IFMT`.
    pub kind: u32,
    /// Where the listing goes on after it.
    pub next: u64,
    /// It adds one to the inode's lookup count.
    pub counted: bool,
}

/// The entries of a listing, read back from it.
///
/// # Panics
///
/// When the listing is a mistake, for which the caller gets EIO.
#[track_caller]
pub fn entries(listing: &Listing) -> Vec<Listed> {
    let bytes = match listing.bytes() {
        Ok(bytes) => bytes,
        Err(what) => panic!("{what}"),
    };
    // `struct fuse_entry_out`, before each `struct fuse_dirent`.
    let head = if listing.is_plus() { 128 } else { 0 };
    let u64_at = |at: usize| u64::from_ne_bytes(std::array::from_fn(|byte| bytes[at + byte]));
    let u32_at = |at: usize| u32::from_ne_bytes(std::array::from_fn(|byte| bytes[at + byte]));
    let mut entries = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let entry = at + head;
        let length = u32_at(entry + 16) as usize;
        let name = &bytes[entry + 24..entry + 24 + length];
        entries.push(Listed {
            name: OsString::from_vec(name.to_vec()),
            ino: Ino(u64_at(entry)),
            kind: u32_at(entry + 20) << 12,
            next: u64_at(entry + 8),
            counted: listing.is_plus() && u64_at(at) != 0,
        });
        at = entry + (24 + length).next_multiple_of(8);
    }
    entries
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::reply::dirbuf::{Added, DirBuf};
    use crate::types::attr::{Attr, Entry};

    #[test]
    fn what_was_added() {
        for plus in [false, true] {
            let mut out = DirBuf::new(4096, 0, plus);
            for (name, ino, next) in [(".", 1, 1), ("a longer name", 7, 5), ("b", 8, 9)] {
                let attr = Attr::new(Ino(ino), libc::S_IFDIR | 0o755);
                let added = out.add(name, &Entry::new(attr, Duration::ZERO), next);
                assert_ne!(added, Added::Full);
            }
            let listed = entries(&out.finish());
            let names: Vec<_> = listed.iter().map(|entry| entry.name.clone()).collect();
            assert_eq!(names, [".", "a longer name", "b"]);
            let rest: Vec<_> = listed
                .iter()
                .map(|e| (e.ino.0, e.next, e.counted))
                .collect();
            assert_eq!(rest, [(1, 1, false), (7, 5, plus), (8, 9, plus)]);
            assert!(listed.iter().all(|entry| entry.kind == libc::S_IFDIR));
        }
        assert_eq!(entries(&DirBuf::new(100, 0, false).finish()), []);
    }
}
