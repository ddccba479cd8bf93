//! A directory with one file in it, and perhaps one extended attribute for each thing that can be done to them.

use std::ffi::OsStr;
use std::time::Duration;

use fuse3::reply::Added;
use fuse3::{Answer, Attr, Concurrent, Context, Data, DirBuf, Entry, Errno, FileInfo};
use fuse3::{Filesystem, Ino, Listing, Open, Opened, ReadBuf, XattrFlags};

const TEXT: &[u8] = b"Hello World!\n";
const NAME: &str = "hello";
const FILE: Ino = Ino(2);
const TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) struct Hello {
    /// There are extended attributes. Without, it is as if there were no handlers of them.
    pub(crate) xattrs: bool,
}

type Cx<'a> = Context<'a, Hello>;

fn attr(ino: Ino) -> Result<Attr, Errno> {
    match ino {
        Ino::ROOT => Ok(Attr {
            nlink: 2,
            ..Attr::new(ino, libc::S_IFDIR | 0o755)
        }),
        FILE => Ok(Attr {
            size: TEXT.len() as u64,
            ..Attr::new(ino, libc::S_IFREG | 0o444)
        }),
        _ => Err(Errno::ENOENT),
    }
}

impl Hello {
    fn has_xattrs(&self) -> Result<(), Errno> {
        self.xattrs.then_some(()).ok_or(Errno::ENOSYS)
    }
}

impl Filesystem for Hello {
    type Lock = Concurrent;

    fn lookup(&self, _: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        match (parent, name.to_str()) {
            (Ino::ROOT, Some(NAME)) => Ok(Entry::new(attr(FILE)?, TIMEOUT)),
            _ => Err(Errno::ENOENT.into()),
        }
    }

    fn getattr(&self, _: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        Ok((attr(ino)?, TIMEOUT))
    }

    fn open(&self, _: &mut Cx<'_>, ino: Ino, Open { flags, .. }: Open) -> Answer<Opened> {
        match ino {
            FILE if flags.access_mode() == libc::O_RDONLY => Ok(Opened::default()),
            FILE => Err(Errno::EACCES.into()),
            _ => Err(Errno::EISDIR.into()),
        }
    }

    fn read(
        &self,
        _: &mut Cx<'_>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        Ok(out.lend_from(TEXT, offset))
    }

    fn readdir(
        &self,
        _: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        if ino != Ino::ROOT {
            return Err(Errno::ENOTDIR.into());
        }
        for (next, name, ino) in [(1, ".", Ino::ROOT), (2, "..", Ino::ROOT), (3, NAME, FILE)] {
            let entry = Entry::new(attr(ino)?, TIMEOUT);
            if next > offset && out.add(name, &entry, next) == Added::Full {
                break;
            }
        }
        Ok(out.finish())
    }

    fn setxattr(
        &self,
        _: &mut Cx<'_>,
        _: Ino,
        name: &OsStr,
        value: &[u8],
        _: XattrFlags,
    ) -> Answer<()> {
        self.has_xattrs()?;
        if name == "hello_ll_setxattr_name" && value == b"hello_ll_setxattr_value" {
            Ok(())
        } else {
            Err(Errno::EOPNOTSUPP.into())
        }
    }

    fn getxattr(&self, _: &mut Cx<'_>, _: Ino, name: &OsStr) -> Answer<Vec<u8>> {
        self.has_xattrs()?;
        if name == "hello_ll_getxattr_name" {
            Ok(b"hello_ll_getxattr_value".to_vec())
        } else {
            Err(Errno::EOPNOTSUPP.into())
        }
    }

    fn removexattr(&self, _: &mut Cx<'_>, _: Ino, name: &OsStr) -> Answer<()> {
        self.has_xattrs()?;
        if name == "hello_ll_removexattr_name" {
            Ok(())
        } else {
            Err(Errno::EOPNOTSUPP.into())
        }
    }
}
