//! `readdir`.

use std::collections::BTreeMap;

use fuse3::reply::Added;
use fuse3::{DirBuf, Errno, Fh, Ino, Listing, OpenFlags};

use crate::directory::{DOT, DOT_DOT};
use crate::form::{MANY, Reader, Writer, Wrong};
use crate::inodes::Inodes;

/// Where the listings of open directories end: at the cookie that was the highest when the directory was opened or rewound.
///
/// A name that comes later has a higher one. Without an end, a program that renames what it is shown would be shown it again,
/// for ever.
#[derive(Debug, Default)]
pub(crate) struct Listings {
    ends: BTreeMap<Fh, u64>,
    last: Fh,
}

impl Listings {
    pub(crate) fn put(&self, out: &mut Writer) {
        out.number(self.last.0);
        out.list(self.ends.iter(), |out, (handle, end)| {
            out.number(handle.0);
            out.number(*end);
        });
    }

    pub(crate) fn take(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        let last = Fh(from.number("the last directory that was opened", MANY)?);
        let mut next = 0;
        let ends = from.list("open directories", |from| {
            let handle = from.number("an open directory", next..=last.0)?;
            next = handle + 1;
            Ok((Fh(handle), from.number("where it ends", MANY)?))
        })?;
        Ok(Self {
            ends: BTreeMap::from_iter(ends),
            last,
        })
    }
}

impl Inodes {
    /// `opendir`.
    pub(crate) fn open_directory(&mut self, ino: Ino) -> Result<Fh, Errno> {
        let end = self.get(ino)?.directory()?.last();
        self.open(ino)?;
        let listings = &mut self.listings;
        listings.last = Fh(listings.last.0 + 1);
        listings.ends.insert(listings.last, end);
        Ok(listings.last)
    }

    /// `releasedir`.
    pub(crate) fn release_directory(&mut self, ino: Ino, handle: Fh) {
        self.listings.ends.remove(&handle);
        self.release(ino);
    }

    /// Lists `ino`, open as `handle`, from `offset` on, the cookie of the last entry that the kernel has had; 0 for the start.
    ///
    /// With READDIRPLUS each entry is an answer to its name, too, and adds one to the inode's lookup count.
    pub(crate) fn list(
        &mut self,
        ino: Ino,
        (handle, flags): (Fh, OpenFlags),
        offset: u64,
        mut out: DirBuf,
    ) -> Result<Listing, Errno> {
        if offset == 0 {
            let end = self.get(ino)?.directory()?.last();
            self.listings.ends.insert(handle, end);
        }
        let end = self.listings.ends.get(&handle).ok_or(Errno::EBADF)?;
        let node = self.get(ino)?;
        let directory = node.directory()?;
        let dots = [(DOT, ".", ino), (DOT_DOT, "..", directory.parent())];
        // A removed directory is empty to who is still in it.
        if node.meta.nlink == 0 {
            return Ok(out.finish());
        }
        for (cookie, name, ino) in dots.into_iter().filter(|(cookie, ..)| *cookie > offset) {
            let entry = self.shown(ino)?;
            if out.add(name, &entry, cookie) == Added::Full {
                return Ok(out.finish());
            }
        }
        let mut counted = Vec::new();
        for (cookie, name, ino) in directory
            .after(offset)
            .take_while(|(cookie, ..)| cookie <= end)
        {
            let entry = self.shown(ino)?;
            match out.add(name, &entry, cookie) {
                Added::Listed => {}
                Added::Counted => counted.push(ino),
                Added::Full => break,
            }
        }
        for ino in counted {
            self.entry(ino)?;
        }
        if !flags.contains(OpenFlags::NOATIME) {
            self.accessed(ino)?;
        }
        Ok(out.finish())
    }
}
