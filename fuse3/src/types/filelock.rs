//! Locks on files: fcntl(2) and flock(2).
//!
//! [`FileLock`] is a range that is locked for reading or writing ([`LockKind`]) by a [`LockOwner`].
//! [`Filesystem::setlk`](crate::Filesystem::setlk) is given a [`SetLock`], and [`flock`](crate::Filesystem::flock) a [`Flock`].
//!
//! # Waiting
//!
//! A worker that waited for a lock would be missing for the request that gives it up. A caller that has to wait is
//! answered later, with [`Context::defer`](crate::Context::defer). When it is interrupted meanwhile, its answer is EINTR, which
//! [`Reply::on_interrupt`](crate::Reply::on_interrupt) shows how to give; without that, it cannot be killed. Any signal is to end the
//! wait, since alarm(2) is how programs limit it:
//!
//! ```
//! # use fuse3::{Answer, Context, Errno, FileInfo, Filesystem, GlobalLock, Ino, Reply};
//! # use fuse3::filelock::{FileLock, LockKind, SetLock};
//! # use fuse3::session::Interruption;
//! # use std::sync::Arc;
//! # struct Fs;
//! #[derive(Default)]
//! struct Locks {
//!     held: Vec<FileLock>, // of the one file that there is
//!     waiting: Vec<(FileLock, Reply<()>)>,
//! }
//!
//! impl Filesystem for Fs {
//!     type Lock = Arc<GlobalLock<Locks>>;
//!
//!     fn setlk(&self, cx: &mut Context<Self>, _: Ino, _: &FileInfo, set: SetLock) -> Answer<()> {
//!         let lock = set.lock;
//!         if lock.kind == LockKind::Unlock {
//!             cx.held.retain(|held| held.owner != lock.owner);
//!             let waiting = std::mem::take(&mut cx.waiting);
//!             for (lock, reply) in waiting {
//!                 if cx.held.iter().any(|held| held.conflicts(&lock)) {
//!                     cx.waiting.push((lock, reply));
//!                 } else {
//!                     cx.held.push(lock);
//!                     reply.send(Ok(()));
//!                 }
//!             }
//!         } else if !cx.held.iter().any(|held| held.conflicts(&lock)) {
//!             cx.held.push(lock);
//!         } else if set.wait {
//!             cx.set_interruption(Interruption::Any);
//!             let (reply, deferred) = cx.defer();
//!             cx.waiting.push((lock, reply));
//!             return Err(deferred.into());
//!         } else {
//!             return Err(Errno::EAGAIN.into());
//!         }
//!         Ok(())
//!     }
//! }
//! ```

use std::ffi::{c_int, c_short};
use std::{fmt, mem};

use crate::types::errno::Errno;

/// `F_RDLCK`, `F_WRLCK`, `F_UNLCK`, and `LOCK_SH`, `LOCK_EX`, `LOCK_UN`: what is asked for, or held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockKind {
    /// Shared with other readers.
    Read,
    /// Alone.
    Write,
    /// None: what is held is given up.
    Unlock,
}

/// `fuse_file_info::lock_owner`: on whose behalf a lock is held.
///
/// For fcntl(2) the kernel's name of a process's table of files, for flock(2) that of an open file description. It says
/// nothing to the file system but whether two are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockOwner(pub u64);

impl fmt::Display for LockOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// `struct flock`: a lock of fcntl(2) on a range of a file.
///
/// ```
/// use fuse3::filelock::{FileLock, LockKind, LockOwner};
/// let one = FileLock::new(LockKind::Write, 0, 99).owner(LockOwner(1));
/// let other = FileLock::new(LockKind::Read, 99, FileLock::END).owner(LockOwner(2));
/// assert!(one.conflicts(&other));
/// assert!(!one.conflicts(&other.owner(LockOwner(1))));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FileLock {
    /// `l_type`.
    pub kind: LockKind,
    /// The first byte.
    pub start: u64,
    /// The last byte, itself included; [`END`](Self::END) is every byte that the file has or gets.
    pub end: u64,
    /// `l_pid`: the process that asks or holds it, as seen from where the file system was mounted. 0 in `getlk` and for an
    /// unlock, where the kernel does not say.
    pub pid: i32,
    /// On whose behalf; the kernel ignores it in an answer.
    pub owner: LockOwner,
}

impl FileLock {
    /// `OFFSET_MAX`: the last byte that a file can have.
    pub const END: u64 = i64::MAX.unsigned_abs();

    /// A lock from `start` to `end`, both included, of process 0 and owner 0.
    pub const fn new(kind: LockKind, start: u64, end: u64) -> Self {
        Self {
            kind,
            start,
            end,
            pid: 0,
            owner: LockOwner(0),
        }
    }

    /// Sets [`pid`](Self::pid).
    pub const fn pid(self, pid: i32) -> Self {
        Self { pid, ..self }
    }

    /// Sets [`owner`](Self::owner).
    pub const fn owner(self, owner: LockOwner) -> Self {
        Self { owner, ..self }
    }

    /// They have a byte in common.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// They cannot both be held: they overlap, have different owners, and are not both for reading.
    pub fn conflicts(&self, other: &Self) -> bool {
        let kinds = [self.kind, other.kind];
        self.overlaps(other)
            && self.owner != other.owner
            && kinds.contains(&LockKind::Write)
            && !kinds.contains(&LockKind::Unlock)
    }

    /// What libfuse made of the kernel's numbers: `l_len` is `end - start + 1`, and 0 for the largest `end`.
    ///
    /// # Errors
    ///
    /// EINVAL for a type of lock that there is none of.
    pub(crate) fn from_flock(lock: &libc::flock, owner: LockOwner) -> Result<Self, Errno> {
        let kind = match c_int::from(lock.l_type) {
            libc::F_RDLCK => LockKind::Read,
            libc::F_WRLCK => LockKind::Write,
            libc::F_UNLCK => LockKind::Unlock,
            _ => return Err(Errno::EINVAL),
        };
        let bits = |number: libc::off_t| u64::from_ne_bytes(number.to_ne_bytes());
        let start = bits(lock.l_start);
        let end = match lock.l_len {
            0 => Self::END,
            length => start.wrapping_add(bits(length)).wrapping_sub(1),
        };
        Ok(Self::new(kind, start, end).pid(lock.l_pid).owner(owner))
    }

    pub(crate) fn to_flock(self) -> libc::flock {
        // SAFETY: `struct flock` is integers, for which zero is a value.
        let mut lock: libc::flock = unsafe { mem::zeroed() };
        let kind = match self.kind {
            LockKind::Read => libc::F_RDLCK,
            LockKind::Write => libc::F_WRLCK,
            LockKind::Unlock => libc::F_UNLCK,
        };
        // They are 0, 1 and 2; `l_whence` is SEEK_SET, 0.
        lock.l_type = c_short::try_from(kind).unwrap_or(0);
        // `check` keeps both in what a file can have.
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        lock.l_start = signed(self.start);
        lock.l_len = match self.end {
            Self::END => 0,
            end => signed(end - self.start + 1),
        };
        lock.l_pid = self.pid;
        lock
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.kind == LockKind::Unlock || (self.start <= self.end && self.end <= Self::END) {
            return Ok(());
        }
        let Self { start, end, .. } = self;
        Err(format!("getlk gave a lock from byte {start} to {end}"))
    }
}

/// `F_SETLK` and `F_SETLKW`: what `setlk` is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SetLock {
    /// The lock to take, or with [`Unlock`](LockKind::Unlock) the range to give up.
    pub lock: FileLock,
    /// `F_SETLKW`: the caller waits until it has the lock. Without it, EAGAIN says that somebody else holds it.
    pub wait: bool,
}

impl SetLock {
    /// What a handler gets; for tests of handlers.
    pub const fn new(lock: FileLock, wait: bool) -> Self {
        Self { lock, wait }
    }
}

/// `flock(fd, operation)`: what `flock` is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Flock {
    /// `LOCK_SH`, `LOCK_EX` or `LOCK_UN`. A lock that the owner holds already is changed into this one.
    pub kind: LockKind,
    /// Without `LOCK_NB`: the caller waits until it has the lock. Else EAGAIN says that somebody else holds it.
    pub wait: bool,
    /// On whose behalf.
    pub owner: LockOwner,
}

impl Flock {
    /// What a handler gets; for tests of handlers.
    pub const fn new(kind: LockKind, wait: bool, owner: LockOwner) -> Self {
        Self { kind, wait, owner }
    }

    /// # Errors
    ///
    /// EINVAL for a type of lock that there is none of, which libfuse passes as 0.
    pub(crate) fn from_operation(operation: c_int, owner: LockOwner) -> Result<Self, Errno> {
        let kind = match operation & !libc::LOCK_NB {
            libc::LOCK_SH => LockKind::Read,
            libc::LOCK_EX => LockKind::Write,
            libc::LOCK_UN => LockKind::Unlock,
            _ => return Err(Errno::EINVAL),
        };
        Ok(Self::new(kind, operation & libc::LOCK_NB == 0, owner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_sends_comes_back() {
        for (start, end) in [
            (0, 0),
            (5, 9),
            (0, FileLock::END),
            (FileLock::END, FileLock::END),
            (1, FileLock::END - 1),
        ] {
            for kind in [LockKind::Read, LockKind::Write, LockKind::Unlock] {
                let lock = FileLock::new(kind, start, end).pid(7).owner(LockOwner(8));
                assert_eq!(
                    FileLock::from_flock(&lock.to_flock(), LockOwner(8)),
                    Ok(lock)
                );
            }
        }
    }

    #[test]
    fn conflicts() {
        let lock = |kind, owner| FileLock::new(kind, 10, 19).owner(LockOwner(owner));
        let [mine, yours] = [1, 2].map(|owner| lock(LockKind::Write, owner));
        let [reader, other] = [1, 2].map(|owner| lock(LockKind::Read, owner));
        assert!(mine.conflicts(&yours) && mine.conflicts(&other) && reader.conflicts(&yours));
        assert!(!reader.conflicts(&other) && !mine.conflicts(&mine));
        assert!(!mine.conflicts(&lock(LockKind::Unlock, 2)));
        for (start, end, overlaps) in [
            (0, 9, false),
            (0, 10, true),
            (19, 30, true),
            (20, 30, false),
        ] {
            let other = FileLock::new(LockKind::Write, start, end).owner(LockOwner(2));
            assert_eq!(mine.conflicts(&other), overlaps, "{other:?}");
        }
    }
}
