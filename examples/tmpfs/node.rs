//! An inode: what all have, and what its kind has.

use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;

use fuse3::{Attr, Errno, Ino, Timestamp};

use crate::data::Data;
use crate::digest::Digest;
use crate::directory::Directory;
use crate::form::{ANY, MANY, Reader, Writer, Wrong};
use crate::space::INODE;
use crate::store::BLOCK;
use crate::xattrs::Xattrs;

/// What an inode is. It never changes.
#[derive(Debug)]
pub(crate) enum Kind {
    File(Data),
    Directory(Directory),
    Symlink(OsString),
    /// A pipe, socket or device: the kernel needs to know no more than its mode and number.
    Special,
}

/// An inode.
#[derive(Debug)]
pub(crate) struct Node {
    /// Sizes and blocks in it are 0: [`attr`](Self::attr) puts in those that `kind` has.
    pub(crate) meta: Attr,
    pub(crate) kind: Kind,
    pub(crate) xattrs: Xattrs,
    /// How often the kernel was given the inode and has not forgotten it.
    pub(crate) lookups: u64,
    /// Open files and directories.
    pub(crate) opens: u64,
    /// Grows with each change of the data.
    pub(crate) version: u64,
    /// The digest of the data, and the version that it is of.
    pub(crate) digest: Option<(u64, Digest)>,
}

impl Node {
    pub(crate) fn new(meta: Attr, kind: Kind) -> Self {
        Self {
            meta,
            kind,
            xattrs: Xattrs::default(),
            lookups: 0,
            opens: 0,
            version: 0,
            digest: None,
        }
    }

    pub(crate) fn put(&self, out: &mut Writer) {
        let Attr {
            ino,
            mode,
            nlink,
            uid,
            gid,
            rdev,
            atime,
            mtime,
            ctime,
            ..
        } = self.meta;
        out.number(ino.0);
        [mode, nlink, uid, gid]
            .into_iter()
            .for_each(|number| out.number(number));
        out.number(rdev);
        for time in [atime, mtime, ctime] {
            out.number(u64::from_ne_bytes(time.secs().to_ne_bytes()));
            out.number(time.nanos());
        }
        let counts = [self.lookups, self.opens, self.version];
        counts.into_iter().for_each(|number| out.number(number));
        self.xattrs.put(out);
        match &self.kind {
            Kind::File(data) => data.put(out),
            Kind::Directory(directory) => directory.put(out),
            Kind::Symlink(target) => out.bytes(target.as_bytes()),
            Kind::Special => {}
        }
    }

    /// One with a number in `allowed`, of which no block is at `slots` or behind.
    pub(crate) fn take(
        from: &mut Reader<'_>,
        allowed: RangeInclusive<u64>,
        slots: u64,
    ) -> Result<Self, Wrong> {
        let ino = Ino(from.number("an inode", allowed)?);
        let mode = from.small("a mode")?;
        let mut meta = Attr {
            nlink: from.small("links")?,
            uid: from.small("an owner")?,
            gid: from.small("a group")?,
            rdev: from.number("a device", ANY)?,
            ..Attr::new(ino, mode)
        };
        for time in [&mut meta.atime, &mut meta.mtime, &mut meta.ctime] {
            let secs = i64::from_ne_bytes(from.number("a time", ANY)?.to_ne_bytes());
            let nanos = from.number("nanoseconds", 0..=999_999_999)?;
            *time = Timestamp::new(secs, u32::try_from(nanos).expect("below a second"));
        }
        let [lookups, opens, version] = [
            from.number("lookups", MANY)?,
            from.number("open handles", MANY)?,
            from.number("a version", MANY)?,
        ];
        let xattrs = Xattrs::take(from)?;
        let kind = match mode & libc::S_IFMT {
            libc::S_IFREG => Kind::File(Data::take(from, slots)?),
            libc::S_IFDIR => Kind::Directory(Directory::take(from)?),
            libc::S_IFLNK => {
                let target = from.bytes("a symbolic link")?;
                Kind::Symlink(OsStr::from_bytes(target).to_owned())
            }
            libc::S_IFIFO | libc::S_IFSOCK | libc::S_IFCHR | libc::S_IFBLK => Kind::Special,
            _ => return Err(from.wrong(format_args!("inode {ino}: its mode is {mode:o}"))),
        };
        Ok(Self {
            xattrs,
            lookups,
            opens,
            version,
            ..Self::new(meta, kind)
        })
    }

    /// `struct stat`.
    pub(crate) fn attr(&self) -> Attr {
        let (size, blocks) = match &self.kind {
            Kind::File(data) => (data.len(), data.blocks() * (BLOCK as u64 / 512)),
            Kind::Directory(directory) => (directory.len() as u64 * 32, 0),
            Kind::Symlink(target) => (target.len() as u64, 0),
            Kind::Special => (0, 0),
        };
        Attr {
            size,
            blocks,
            ..self.meta
        }
    }

    /// What it counts for, in bytes: itself, each further name, its attributes and what a link leads to.
    pub(crate) fn cost(&self) -> u64 {
        let names = match self.kind {
            Kind::Directory(_) => 1,
            _ => u64::from(self.meta.nlink.max(1)),
        };
        let target = match &self.kind {
            Kind::Symlink(target) => target.len() as u64,
            _ => 0,
        };
        names * INODE + target + self.xattrs.bytes()
    }

    pub(crate) fn ino(&self) -> Ino {
        self.meta.ino
    }

    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }

    /// Neither a name nor the kernel leads to it.
    pub(crate) fn is_lost(&self) -> bool {
        self.meta.nlink == 0 && self.lookups == 0 && self.opens == 0
    }

    /// # Errors
    ///
    /// ENOTDIR.
    pub(crate) fn directory(&self) -> Result<&Directory, Errno> {
        match &self.kind {
            Kind::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// # Errors
    ///
    /// ENOTDIR.
    pub(crate) fn directory_mut(&mut self) -> Result<&mut Directory, Errno> {
        match &mut self.kind {
            Kind::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// # Errors
    ///
    /// EISDIR, EINVAL: the bytes of what is no file.
    pub(crate) fn data(&self) -> Result<&Data, Errno> {
        match &self.kind {
            Kind::File(data) => Ok(data),
            Kind::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    /// # Errors
    ///
    /// EISDIR, EINVAL: the bytes of what is no file.
    pub(crate) fn data_mut(&mut self) -> Result<&mut Data, Errno> {
        match &mut self.kind {
            Kind::File(data) => Ok(data),
            Kind::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The attributes changed now: a name, an owner, a mode.
    pub(crate) fn changed(&mut self) {
        self.meta.ctime = Timestamp::now();
    }

    /// The contents changed now: data, or the names in a directory.
    pub(crate) fn modified(&mut self) {
        let now = Timestamp::now();
        (self.meta.mtime, self.meta.ctime) = (now, now);
        self.version += 1;
    }

    /// Whether reading now moves the time of access: once after each change, and once a day, as with `relatime`.
    pub(crate) fn is_atime_due(&self) -> bool {
        const DAY: i64 = 86_400;
        let Attr {
            atime,
            mtime,
            ctime,
            ..
        } = self.meta;
        atime <= mtime || atime <= ctime || Timestamp::now().secs() - atime.secs() >= DAY
    }
}
