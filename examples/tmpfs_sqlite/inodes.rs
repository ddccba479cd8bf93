//! Inodes and their attributes.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use fuse3::{Attr, Caller, Entry, Errno, Ino, SetAttr, Timestamp};
use rusqlite::{OptionalExtension, Row, named_params};

use crate::error::Result;
use crate::store::View;

/// How long the kernel may answer names and attributes by itself. All changes come through it, so: for long.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(86_400);

/// The columns that [`attr`] reads.
pub(crate) const COLUMNS: &str =
    "inodes.id, mode, nlink, uid, gid, rdev, size, atime, mtime, ctime";

/// What a new inode is to be.
pub(crate) struct New<'a> {
    /// With the type.
    pub(crate) mode: u32,
    pub(crate) rdev: u64,
    /// Of a symbolic link.
    pub(crate) target: Option<&'a OsStr>,
}

/// A moment as the database has it, in nanoseconds; from 1677 to 2262.
pub(crate) fn nanos(time: Timestamp) -> i64 {
    let nanos = time.as_nanos();
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

pub(crate) fn now() -> i64 {
    nanos(Timestamp::now())
}

/// The attributes in a row that begins with [`COLUMNS`].
pub(crate) fn attr(row: &Row<'_>) -> rusqlite::Result<Attr> {
    let time =
        |column| Ok::<_, rusqlite::Error>(Timestamp::from_nanos(row.get::<_, i64>(column)?.into()));
    let size: u64 = row.get(6)?;
    Ok(Attr {
        nlink: row.get(2)?,
        uid: row.get(3)?,
        gid: row.get(4)?,
        rdev: row.get(5)?,
        size,
        // As if nothing was left out.
        blocks: size.div_ceil(512),
        atime: time(7)?,
        mtime: time(8)?,
        ctime: time(9)?,
        ..Attr::new(Ino(row.get(0)?), row.get(1)?)
    })
}

pub(crate) fn is_directory(attr: &Attr) -> bool {
    attr.mode & libc::S_IFMT == libc::S_IFDIR
}

impl View<'_> {
    /// # Errors
    ///
    /// ESTALE, which does not happen to what the kernel knows.
    pub(crate) fn attr(&self, ino: Ino) -> Result<Attr> {
        let mut select = self
            .sql
            .prepare_cached(&format!("SELECT {COLUMNS} FROM inodes WHERE id = ?1"))?;
        let attr = select.query_row([ino.0], attr).optional()?;
        Ok(attr.ok_or(Errno::ESTALE)?)
    }

    pub(crate) fn entry(&self, ino: Ino) -> Result<Entry> {
        Ok(Entry::new(self.attr(ino)?, TIMEOUT))
    }

    /// # Errors
    ///
    /// ENOTDIR.
    pub(crate) fn directory(&self, ino: Ino) -> Result<Attr> {
        let attr = self.attr(ino)?;
        if is_directory(&attr) {
            Ok(attr)
        } else {
            Err(Errno::ENOTDIR.into())
        }
    }

    /// A new inode, which has no name yet.
    pub(crate) fn add(&self, new: &New<'_>, nlink: u32, uid: u32, gid: u32) -> Result<Ino> {
        let target = new.target.map(OsStr::as_bytes);
        let mut insert = self.sql.prepare_cached(
            "INSERT INTO inodes (mode, nlink, uid, gid, rdev, size, target, atime, mtime, ctime)
             VALUES (:mode, :nlink, :uid, :gid, :rdev, :size, :target, :now, :now, :now)",
        )?;
        let id = insert.insert(named_params! {
            ":mode": new.mode, ":nlink": nlink, ":uid": uid, ":gid": gid, ":rdev": new.rdev,
            ":size": target.map_or(0, <[u8]>::len), ":target": target, ":now": now(),
        })?;
        Ok(Ino(id.unsigned_abs()))
    }

    /// `mknod`, `mkdir`, `symlink`, `create`: a new inode with a name.
    ///
    /// It belongs to the caller; in a directory with the set-group-id bit, to that directory's group, and a directory
    /// inherits the bit.
    pub(crate) fn make(
        &self,
        parent: Ino,
        name: &OsStr,
        mut new: New<'_>,
        caller: Caller,
    ) -> Result<Ino> {
        self.can_make(parent, name)?;
        let above = self.attr(parent)?;
        let inherits = above.mode & libc::S_ISGID != 0;
        let is_directory = new.mode & libc::S_IFMT == libc::S_IFDIR;
        if inherits && is_directory {
            new.mode |= libc::S_ISGID;
        }
        let (uid, gid) = caller.owner()?;
        let gid = if inherits { above.gid } else { gid };
        let ino = self.add(&new, if is_directory { 2 } else { 1 }, uid, gid)?;
        self.insert(parent, name, ino)?;
        if is_directory {
            self.add_links(parent, 1)?;
        }
        self.modified(parent)?;
        Ok(ino)
    }

    /// `setattr`. What the kernel does not mean to change, set-user-id bits at a change of owner among it, it says.
    pub(crate) fn set(&self, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        if let Some(size) = changes.size {
            self.truncate(ino, size)?;
        }
        let old = self.attr(ino)?;
        let mode = changes
            .mode
            .map_or(old.mode, |mode| (old.mode & libc::S_IFMT) | (mode & 0o7777));
        let mut update = self.sql.prepare_cached(
            "UPDATE inodes SET mode = :mode, uid = :uid, gid = :gid,
             atime = :atime, mtime = :mtime, ctime = :ctime WHERE id = :id",
        )?;
        update.execute(named_params! {
            ":id": ino.0,
            ":mode": mode,
            ":uid": changes.uid.unwrap_or(old.uid),
            ":gid": changes.gid.unwrap_or(old.gid),
            ":atime": nanos(changes.atime.map_or(old.atime, |time| time.resolve())),
            ":mtime": nanos(changes.mtime.map_or(old.mtime, |time| time.resolve())),
            ":ctime": nanos(changes.ctime.unwrap_or_else(Timestamp::now)),
        })?;
        self.attr(ino)
    }

    pub(crate) fn readlink(&self, ino: Ino) -> Result<PathBuf> {
        let mut select = self
            .sql
            .prepare_cached("SELECT target FROM inodes WHERE id = ?1")?;
        let target: Option<Vec<u8>> = select.query_row([ino.0], |row| row.get(0))?;
        let target = target.ok_or(Errno::EINVAL)?;
        Ok(std::ffi::OsString::from_vec(target).into())
    }

    /// More or fewer links: names, and of a directory what is below it.
    pub(crate) fn add_links(&self, ino: Ino, links: i32) -> Result<()> {
        self.sql
            .prepare_cached("UPDATE inodes SET nlink = nlink + ?2 WHERE id = ?1")?
            .execute((ino.0, links))?;
        Ok(())
    }

    /// The attributes changed now: a name, an owner, a mode.
    pub(crate) fn changed(&self, ino: Ino) -> Result<()> {
        self.sql
            .prepare_cached("UPDATE inodes SET ctime = ?2 WHERE id = ?1")?
            .execute((ino.0, now()))?;
        Ok(())
    }

    /// The contents changed now: data, or the names in a directory.
    pub(crate) fn modified(&self, ino: Ino) -> Result<()> {
        self.sql
            .prepare_cached("UPDATE inodes SET mtime = ?2, ctime = ?2 WHERE id = ?1")?
            .execute((ino.0, now()))?;
        Ok(())
    }

    /// The contents were read now. As with `relatime`: the time moves on once after each change, and once a day.
    pub(crate) fn accessed(&self, ino: Ino) -> Result<()> {
        const DAY: i64 = 86_400_000_000_000;
        let now = now();
        self.sql
            .prepare_cached(
                "UPDATE inodes SET atime = ?2
                 WHERE id = ?1 AND (atime <= mtime OR atime <= ctime OR atime < ?3)",
            )?
            .execute((ino.0, now, now.saturating_sub(DAY)))?;
        Ok(())
    }
}
