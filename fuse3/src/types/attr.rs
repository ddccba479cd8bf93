use std::ffi::c_long;
use std::fs::Metadata;
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sys;
use crate::types::ino::{Fh, Ino};

/// `struct timespec`: a moment in nanoseconds since 1970, before it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 00:00 UTC, negative before.
    secs: i64,
    /// Nanoseconds after `secs`, 0 to 999,999,999.
    nanos: u32,
}

impl Timestamp {
    /// The moment `nanos` after `secs`; nanoseconds of a second and more are carried.
    pub const fn new(secs: i64, nanos: u32) -> Self {
        Self {
            secs: secs.saturating_add((nanos / 1_000_000_000) as i64),
            nanos: nanos % 1_000_000_000,
        }
    }

    /// llfuse's `st_mtime_ns` and the like: nanoseconds since 1970.
    ///
    /// Moments that 64 bits of seconds cannot hold become the nearest that they can.
    pub fn from_nanos(nanos: i128) -> Self {
        let secs = nanos.div_euclid(1_000_000_000);
        let secs = i64::try_from(secs).unwrap_or(if secs < 0 { i64::MIN } else { i64::MAX });
        let nanos = u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0);
        Self { secs, nanos }
    }

    /// Nanoseconds since 1970.
    pub fn as_nanos(self) -> i128 {
        i128::from(self.secs) * 1_000_000_000 + i128::from(self.nanos)
    }

    /// `clock_gettime(CLOCK_REALTIME)`.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// Seconds since 1970, rounded down.
    pub const fn secs(self) -> i64 {
        self.secs
    }

    /// Nanoseconds after [`secs`](Self::secs), 0 to 999,999,999.
    pub const fn nanos(self) -> u32 {
        self.nanos
    }

    fn from_stat(secs: libc::time_t, nanos: c_long) -> Self {
        // The nanoseconds come from the kernel's 32 bits; `new` carries a bad one.
        Self::new(secs, u32::try_from(nanos).unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self::new(
                i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                after.subsec_nanos(),
            ),
            Err(before) => {
                Self::from_nanos(-i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX))
            }
        }
    }
}

/// `struct stat`: the attributes of an inode, under the names of stat(2) without `st_`.
///
/// ```
/// use fuse3::{Attr, Ino};
/// let attr = Attr { size: 12, ..Attr::new(Ino(2), libc::S_IFREG | 0o644) };
/// assert_eq!((attr.nlink, attr.blksize), (1, 4096));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// `st_ino`: the inode's number, as [`stat`](std::fs::metadata) shows it. Nothing else is known by it:
    /// [`Entry::ino`].
    pub ino: Ino,
    /// Type and permissions, `S_IFREG | 0o644`. The type of an inode never changes. Without one, the caller gets EIO.
    pub mode: u32,
    /// Number of hard links; 0 for an unlinked file that is still open.
    pub nlink: u32,
    /// The owner.
    pub uid: u32,
    /// The owning group.
    pub gid: u32,
    /// Device number of a device file.
    pub rdev: u64,
    /// Bytes, at most `i64::MAX`; more is taken for that.
    pub size: u64,
    /// Preferred size of a read or write in bytes; 0 lets the kernel choose.
    pub blksize: u32,
    /// Units of 512 bytes that are allocated.
    pub blocks: u64,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the data.
    pub mtime: Timestamp,
    /// Last change of the attributes.
    pub ctime: Timestamp,
}

impl Attr {
    /// Attributes with llfuse's defaults: one link, blocks of 4096 bytes, everything else 0.
    pub const fn new(ino: Ino, mode: u32) -> Self {
        const EPOCH: Timestamp = Timestamp { secs: 0, nanos: 0 };
        Self {
            ino,
            mode,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            size: 0,
            blksize: 4096,
            blocks: 0,
            atime: EPOCH,
            mtime: EPOCH,
            ctime: EPOCH,
        }
    }

    /// Has one of the seven types. The kernel takes an inode without one for broken, for good and without a word.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), String> {
        if TYPES >> ((self.mode & libc::S_IFMT) >> 12) & 1 == 1 {
            Ok(())
        } else {
            Err(self.no_type())
        }
    }

    #[cold]
    fn no_type(&self) -> String {
        let (ino, mode) = (self.ino, self.mode);
        format!("inode {ino} was given the mode {mode:#o}, which has no type of file")
    }

    #[inline]
    pub(crate) fn to_stat(self) -> libc::stat {
        // SAFETY: `struct stat` is integers, for which zero is a value.
        let mut stat: libc::stat = unsafe { mem::zeroed() };
        self.fill(&mut stat);
        stat
    }

    /// Fills in a structure of zeros.
    #[inline(always)]
    fn fill(&self, stat: &mut libc::stat) {
        stat.st_ino = self.ino.0;
        stat.st_mode = self.mode;
        stat.st_nlink = self.nlink.into();
        stat.st_uid = self.uid;
        stat.st_gid = self.gid;
        stat.st_rdev = self.rdev;
        stat.st_size = i64::try_from(self.size).unwrap_or(i64::MAX);
        // 32 bits with a sign on some architectures; libfuse sends them as they are.
        stat.st_blksize = self.blksize as libc::blksize_t;
        stat.st_blocks = i64::try_from(self.blocks).unwrap_or(i64::MAX);
        (stat.st_atime, stat.st_atime_nsec) = (self.atime.secs, self.atime.nanos.into());
        (stat.st_mtime, stat.st_mtime_nsec) = (self.mtime.secs, self.mtime.nanos.into());
        (stat.st_ctime, stat.st_ctime_nsec) = (self.ctime.secs, self.ctime.nanos.into());
    }
}

/// What stat(2) says of a file, under its own inode number. Where that is not the number here, write
/// `Attr { ino, ..Attr::from(&metadata) }`.
///
/// A number of links that 32 bits do not hold becomes the largest that they do, and a block size the kernel's choice.
impl From<&Metadata> for Attr {
    fn from(of: &Metadata) -> Self {
        let time = |secs, nanos| Timestamp::new(secs, u32::try_from(nanos).unwrap_or(0));
        Self {
            nlink: u32::try_from(of.nlink()).unwrap_or(u32::MAX),
            uid: of.uid(),
            gid: of.gid(),
            rdev: of.rdev(),
            size: of.size(),
            blksize: u32::try_from(of.blksize()).unwrap_or(0),
            blocks: of.blocks(),
            atime: time(of.atime(), of.atime_nsec()),
            mtime: time(of.mtime(), of.mtime_nsec()),
            ctime: time(of.ctime(), of.ctime_nsec()),
            ..Self::new(Ino(of.ino()), of.mode())
        }
    }
}

/// `struct fuse_entry_param`, llfuse's `EntryAttributes`: an inode as the answer to a name.
///
/// Each one that the kernel takes adds one to the inode's lookup count, which
/// [`forget`](crate::Filesystem::forget) takes away again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The node id, by which the kernel asks for the inode from now on, until it is forgotten; 0 for a name that there is
    /// not. The same as `attr.ino`, unless it is set to something else: to a number that never comes again while `stat`
    /// shows one that others give out, say that of a file below.
    pub ino: Ino,
    /// What `stat` shows.
    pub attr: Attr,
    /// Tells inodes apart that had the same number one after the other; needed for export over NFS only.
    pub generation: u64,
    /// How long the kernel may answer this name by itself.
    pub entry_timeout: Duration,
    /// How long the kernel may answer `stat` by itself.
    pub attr_timeout: Duration,
}

impl Entry {
    /// The inode `attr.ino` with these attributes, valid for `timeout`, in generation 0.
    pub const fn new(attr: Attr, timeout: Duration) -> Self {
        Self {
            ino: attr.ino,
            attr,
            generation: 0,
            entry_timeout: timeout,
            attr_timeout: timeout,
        }
    }

    /// There is no such name, and the kernel need not ask again for `timeout`.
    ///
    /// For [`lookup`](crate::Filesystem::lookup) only; ENOENT instead is not cached. Not counted.
    pub const fn negative(timeout: Duration) -> Self {
        Self::new(Attr::new(Ino(0), 0), timeout)
    }

    /// Is what the kernel takes. When it does not, it neither forgets the inode nor releases the file that was opened with
    /// it.
    ///
    /// `made` is the type of the inode of a new name, 0 for any.
    #[inline]
    pub(crate) fn check(&self, made: Option<u32>) -> Result<(), String> {
        let (ino, mode) = (self.ino, self.attr.mode);
        match made {
            None if ino == Ino(0) => Ok(()),
            Some(_) if ino == Ino(0) || ino == Ino::ROOT => {
                Err(format!("a new name was given the inode {ino}"))
            }
            Some(kind) if kind != 0 && kind != mode & libc::S_IFMT => Err(format!(
                "inode {ino} was given the mode {mode:#o}, where the type {kind:#o} was to be made"
            )),
            _ => self.attr.check(),
        }
    }

    /// In place: the structure is large.
    #[inline(always)]
    pub(crate) fn param(&self) -> sys::fuse_entry_param {
        // SAFETY: `struct fuse_entry_param` is numbers, for which zero is a value.
        let mut param: sys::fuse_entry_param = unsafe { mem::zeroed() };
        param.ino = self.ino.0;
        param.generation = self.generation;
        param.attr_timeout = seconds(self.attr_timeout);
        param.entry_timeout = seconds(self.entry_timeout);
        self.attr.fill(&mut param.attr);
        param
    }
}

/// A bit for each of the seven types of file, as far up as the type's number.
const TYPES: u32 = {
    use libc::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK};
    const fn bit(kind: u32) -> u32 {
        1 << (kind >> 12)
    }
    let special = bit(S_IFCHR) | bit(S_IFBLK) | bit(S_IFIFO) | bit(S_IFSOCK);
    bit(S_IFREG) | bit(S_IFDIR) | bit(S_IFLNK) | special
};

/// A time-out as libfuse takes it: a double, that it casts to an integer of 64 bits, which [`Duration::MAX`] would not fit.
///
/// 2^62 seconds are for ever; the kernel takes far less for that.
#[inline(always)]
pub(crate) fn seconds(timeout: Duration) -> f64 {
    match (u32::try_from(timeout.as_secs()), timeout.subsec_nanos()) {
        (Ok(whole), 0) => whole.into(),
        _ => odd_seconds(timeout),
    }
}

#[cold]
fn odd_seconds(timeout: Duration) -> f64 {
    timeout.as_secs().min(1 << 62) as f64 + f64::from(timeout.subsec_nanos()) / 1e9
}

/// What `utimensat(2)` asks a time to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// `FUSE_SET_ATTR_ATIME_NOW`: the file system's own now.
    Now,
    /// This moment.
    To(Timestamp),
}

impl SetTime {
    /// The moment asked for, [`Timestamp::now`] for `Now`.
    pub fn resolve(self) -> Timestamp {
        match self {
            Self::Now => Timestamp::now(),
            Self::To(time) => time,
        }
    }
}

/// The `to_set` argument of `setattr`, llfuse's `SetattrFields`: what is to be changed, `None` to leave as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetAttr {
    /// chmod(2): permission bits; the type bits are those the inode has.
    pub mode: Option<u32>,
    /// chown(2).
    pub uid: Option<u32>,
    /// chown(2).
    pub gid: Option<u32>,
    /// truncate(2): bytes; what is added reads as zeros.
    pub size: Option<u64>,
    /// utimensat(2), and O_DIRECT or writeback when the kernel keeps the time.
    pub atime: Option<SetTime>,
    /// The same.
    pub mtime: Option<SetTime>,
    /// Only sent with the writeback cache.
    pub ctime: Option<Timestamp>,
    /// The open file, when ftruncate(2) was called on one.
    pub fh: Option<Fh>,
    /// `FUSE_SET_ATTR_KILL_SUID`, the kernel's `FATTR_KILL_SUIDGID`: the file is cut by a caller without CAP_FSETID, so the
    /// set-user-id bit is to be dropped from its mode, and the set-group-id bit where the group may execute it. Only with
    /// [`HANDLE_KILLPRIV_V2`](crate::Capabilities::HANDLE_KILLPRIV_V2), which also leaves it to the file system to drop both
    /// bits whenever `uid` or `gid` is set.
    pub kill_suidgid: bool,
}

impl SetAttr {
    pub(crate) fn new(stat: &libc::stat, to_set: u32, fh: Option<Fh>) -> Self {
        let has = |bit: u32| to_set & bit != 0;
        let time = |set, now, time| match has(now) {
            true => Some(SetTime::Now),
            false => has(set).then_some(SetTime::To(time)),
        };
        let atime = Timestamp::from_stat(stat.st_atime, stat.st_atime_nsec);
        let mtime = Timestamp::from_stat(stat.st_mtime, stat.st_mtime_nsec);
        let ctime = Timestamp::from_stat(stat.st_ctime, stat.st_ctime_nsec);
        Self {
            mode: has(to_set::MODE).then_some(stat.st_mode),
            uid: has(to_set::UID).then_some(stat.st_uid),
            gid: has(to_set::GID).then_some(stat.st_gid),
            size: has(to_set::SIZE).then_some(u64::from_ne_bytes(stat.st_size.to_ne_bytes())),
            atime: time(to_set::ATIME, to_set::ATIME_NOW, atime),
            mtime: time(to_set::MTIME, to_set::MTIME_NOW, mtime),
            ctime: has(to_set::CTIME).then_some(ctime),
            fh,
            kill_suidgid: has(to_set::KILL_SUIDGID),
        }
    }
}

/// `FUSE_SET_ATTR_*`, whose names are in the headers at different places in different releases.
mod to_set {
    pub(super) const MODE: u32 = 1 << 0;
    pub(super) const UID: u32 = 1 << 1;
    pub(super) const GID: u32 = 1 << 2;
    pub(super) const SIZE: u32 = 1 << 3;
    pub(super) const ATIME: u32 = 1 << 4;
    pub(super) const MTIME: u32 = 1 << 5;
    pub(super) const ATIME_NOW: u32 = 1 << 7;
    pub(super) const MTIME_NOW: u32 = 1 << 8;
    pub(super) const CTIME: u32 = 1 << 10;
    /// libfuse calls it FUSE_SET_ATTR_KILL_SUID, from 3.14 on; older ones do not pass the bit on.
    pub(super) const KILL_SUIDGID: u32 = 1 << 11;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_and_large_ones() {
        let before = Timestamp::from_nanos(-1);
        assert_eq!(
            (before.secs(), before.nanos(), before.as_nanos()),
            (-1, 999_999_999, -1)
        );
        let time = Timestamp::from_nanos((67 * 365 * 86_400 + 999) * 1_000_000_000 + 999_999_999);
        assert_eq!(time.nanos(), 999_999_999);
        assert_eq!(
            Timestamp::from(UNIX_EPOCH - Duration::from_nanos(1)),
            before
        );
        assert_eq!(
            Timestamp::new(1, 1_500_000_000),
            Timestamp::new(2, 500_000_000)
        );
        assert_eq!(Timestamp::from_nanos(i128::MAX).secs(), i64::MAX);
    }

    #[test]
    fn attributes_are_those_that_stat_shows() {
        let path = std::env::current_exe().unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        let attr = Attr::from(&metadata);
        let stat = attr.to_stat();
        assert_eq!(
            (stat.st_ino, stat.st_mode, stat.st_nlink, stat.st_size),
            (
                metadata.ino(),
                metadata.mode(),
                metadata.nlink(),
                i64::try_from(metadata.size()).unwrap()
            )
        );
        assert_eq!(
            (
                stat.st_mtime,
                stat.st_mtime_nsec,
                stat.st_ctime,
                stat.st_ctime_nsec
            ),
            (
                metadata.mtime(),
                metadata.mtime_nsec(),
                metadata.ctime(),
                metadata.ctime_nsec()
            )
        );
        assert_eq!(
            (
                u64::try_from(stat.st_blocks).unwrap(),
                stat.st_uid,
                stat.st_gid
            ),
            (metadata.blocks(), metadata.uid(), metadata.gid())
        );
        let null = Attr::from(&std::fs::metadata("/dev/null").unwrap());
        assert_eq!(null.rdev, libc::makedev(1, 3));
        assert_eq!(null.mode & libc::S_IFMT, libc::S_IFCHR);
    }

    #[test]
    fn attributes_reach_struct_stat() {
        let attr = Attr {
            size: 7,
            mtime: Timestamp::from_nanos(-1),
            rdev: 5,
            blocks: 8,
            ..Attr::new(Ino(9), libc::S_IFREG | 0o600)
        };
        let stat = attr.to_stat();
        assert_eq!(
            (stat.st_ino, stat.st_mode, stat.st_size),
            (9, libc::S_IFREG | 0o600, 7)
        );
        assert_eq!(
            (
                stat.st_mtime,
                stat.st_mtime_nsec,
                stat.st_rdev,
                stat.st_blocks
            ),
            (-1, 999_999_999, 5, 8)
        );
    }
}
