//! A directory with one file in it, `message`.

use std::ffi::OsStr;
use std::time::Duration;

use fuse3::reply::Added;
use fuse3::{Attr, DirBuf, Entry, Errno, Fh, Ino, Listing, OpenFlags, Opened, Timestamp};

pub(crate) const TEXT: &[u8] = b"hello world\n";
pub(crate) const FILE: Ino = Ino(2);
const NAME: &str = "message";

/// llfuse's default: nothing ever changes here.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(300);

/// All times: the evening of 1 August 2015.
const STAMP: Timestamp = Timestamp::new(1_438_467_123, 985_654_000);

/// Who runs the program owns the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// The user of this process.
    pub(crate) fn this() -> Self {
        Self {
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
        }
    }

    pub(crate) fn attr(self, ino: Ino) -> Result<Attr, Errno> {
        let attr = match ino {
            Ino::ROOT => Attr::new(ino, libc::S_IFDIR | 0o755),
            FILE => Attr {
                size: TEXT.len() as u64,
                ..Attr::new(ino, libc::S_IFREG | 0o644)
            },
            _ => return Err(Errno::ENOENT),
        };
        Ok(Attr {
            uid: self.uid,
            gid: self.gid,
            atime: STAMP,
            mtime: STAMP,
            ctime: STAMP,
            ..attr
        })
    }

    pub(crate) fn entry(self, parent: Ino, name: &OsStr) -> Result<Entry, Errno> {
        match parent {
            Ino::ROOT if name == NAME => Ok(Entry::new(self.attr(FILE)?, TIMEOUT)),
            _ => Err(Errno::ENOENT),
        }
    }

    /// The names after `offset`, as many as fit.
    pub(crate) fn list(self, offset: u64, mut out: DirBuf) -> Result<Listing, Errno> {
        for (next, name, ino) in [(1, ".", Ino::ROOT), (2, "..", Ino::ROOT), (3, NAME, FILE)] {
            let entry = Entry::new(self.attr(ino)?, TIMEOUT);
            if next > offset && out.add(name, &entry, next) == Added::Full {
                break;
            }
        }
        Ok(out.finish())
    }
}

/// For reading only.
pub(crate) fn open(ino: Ino, flags: OpenFlags) -> Result<Opened, Errno> {
    match ino {
        FILE if flags.writes() => Err(Errno::EACCES),
        FILE => Ok(Opened::new(Fh(FILE.0)).keep_cache(true)),
        _ => Err(Errno::ENOENT),
    }
}

/// There is one directory.
pub(crate) fn opendir(ino: Ino) -> Result<Opened, Errno> {
    match ino {
        Ino::ROOT => Ok(Opened::new(Fh(ino.0))),
        _ => Err(Errno::ENOENT),
    }
}
