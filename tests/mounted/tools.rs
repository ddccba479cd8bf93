//! A file system that does what else can be done to a file than read and write it, and writes down what it was asked.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::mem;
use std::sync::{Arc, Weak};
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::filelock::{FileLock, Flock, LockKind, LockOwner, SetLock};
use fuse3::ioctl::{Ioctl, IoctlCommand, IoctlFlags, IoctlReply};
use fuse3::poll::{PollEvents, PollHandle};
use fuse3::range::{Block, Copied, CopyFileRange, Fallocate, Offset, Whence};
use fuse3::statx::{Statx, StatxFlags, StatxMask};
use fuse3::{
    Answer, Attr, Builder, Capabilities, Connection, Context, Create, Created, Entry, Errno, Fh,
    FileInfo, Filesystem, GlobalLock, Ino, Open, Opened, Reply, Session, Timestamp,
};

use crate::fixture::Mount;

/// Where the hole begins that each file has to its end.
pub(crate) const HOLE: u64 = 4096;
pub(crate) const SIZE: u64 = 10_000;

/// When each file was made.
pub(crate) const BORN: Timestamp = Timestamp::new(1_000_000_007, 5);

/// Takes 8 bytes, and gives them back the other way round.
pub(crate) const REVERSE: IoctlCommand = IoctlCommand::read_write::<[u8; 8]>(b'E', 7);

/// What the lock guards.
#[derive(Default)]
pub(crate) struct Shop {
    pub(crate) calls: Vec<String>,
    pub(crate) held: Vec<FileLock>,
    /// Locks that are waited for, by the number of the wait.
    pub(crate) waiting: BTreeMap<u64, (FileLock, Reply<()>)>,
    waits: u64,
    pub(crate) flocks: Vec<(LockOwner, LockKind)>,
    pub(crate) flock_waiting: Vec<(Flock, Reply<()>)>,
    pub(crate) ready: bool,
    pub(crate) polled: Option<PollHandle>,
    /// Lookup count and open files of what was made without a name.
    pub(crate) nameless: (u64, u64),
}

impl Shop {
    fn is_free(&self, lock: &FileLock) -> bool {
        !self.held.iter().any(|held| held.conflicts(lock))
    }

    /// Gives up what `owner` has, and gives it to who waits.
    fn unlock(&mut self, owner: LockOwner) {
        self.held.retain(|held| held.owner != owner);
        for (number, (lock, reply)) in mem::take(&mut self.waiting) {
            if self.is_free(&lock) {
                self.held.push(lock);
                reply.send(Ok(()));
            } else {
                self.waiting.insert(number, (lock, reply));
            }
        }
    }

    fn is_free_for(&self, flock: &Flock) -> bool {
        self.flocks.iter().all(|(owner, kind)| {
            *owner == flock.owner || (*kind == LockKind::Read && flock.kind == LockKind::Read)
        })
    }

    fn flock(&mut self, flock: &Flock) {
        self.flocks.retain(|(owner, _)| *owner != flock.owner);
        if flock.kind != LockKind::Unlock {
            self.flocks.push((flock.owner, flock.kind));
        }
        for (flock, reply) in mem::take(&mut self.flock_waiting) {
            if self.is_free_for(&flock) {
                self.flocks.push((flock.owner, flock.kind));
                reply.send(Ok(()));
            } else {
                self.flock_waiting.push((flock, reply));
            }
        }
    }
}

pub(crate) type Books = Arc<GlobalLock<Shop>>;

/// See the module.
pub(crate) struct Tools {
    wants: Capabilities,
    books: Weak<GlobalLock<Shop>>,
}

impl Tools {
    /// Mounted, with one worker, that nothing may keep busy.
    pub(crate) fn mount(wants: Capabilities) -> (Mount<Self>, Books) {
        let (builder, books) = Self::builder(wants);
        (Mount::new(builder), books)
    }

    pub(crate) fn builder(wants: Capabilities) -> (Builder<Self>, Books) {
        let books = Books::default();
        let fs = Self {
            wants,
            books: Arc::downgrade(&books),
        };
        (Session::builder(fs, Arc::clone(&books)).workers(1), books)
    }
}

fn attr(ino: Ino) -> Attr {
    match ino {
        Ino::ROOT => Attr::new(ino, libc::S_IFDIR | 0o777),
        _ => Attr {
            size: SIZE,
            nlink: if ino == NAMELESS { 0 } else { 1 },
            ..Attr::new(ino, libc::S_IFREG | 0o666)
        },
    }
}

const FILE: Ino = Ino(2);
const OTHER: Ino = Ino(3);
const NAMELESS: Ino = Ino(4);

impl Filesystem for Tools {
    type Lock = Books;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        connection.want(self.wants).map_err(io::Error::other)
    }

    fn lookup(&self, _: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
        let ino = match name.to_str() {
            Some("file") => FILE,
            Some("other") => OTHER,
            _ => return Err(Errno::ENOENT.into()),
        };
        Ok(Entry::new(attr(ino), Duration::from_secs(60)))
    }

    fn forget(&self, cx: &mut Context<'_, Self>, ino: Ino, nlookup: u64) {
        if ino == NAMELESS {
            cx.nameless.0 -= nlookup;
        }
    }

    fn getattr(
        &self,
        _: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        Ok((attr(ino), Duration::from_secs(60)))
    }

    fn open(&self, _: &mut Context<'_, Self>, ino: Ino, _: Open) -> Answer<Opened> {
        Ok(Opened::new(Fh(ino.0)).direct_io(true))
    }

    fn flush(&self, cx: &mut Context<'_, Self>, _: Ino, file: &FileInfo) -> Answer<()> {
        cx.unlock(file.lock_owner());
        Ok(())
    }

    fn release(&self, cx: &mut Context<'_, Self>, ino: Ino, file: &FileInfo) -> Answer<()> {
        if file.flock_release() {
            let owner = file.lock_owner();
            cx.flock(&Flock::new(LockKind::Unlock, false, owner));
        }
        if ino == NAMELESS {
            cx.nameless.1 -= 1;
        }
        Ok(())
    }

    fn getlk(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        lock: FileLock,
    ) -> Answer<Option<FileLock>> {
        let mut held = cx.held.iter();
        Ok(held.find(|held| held.conflicts(&lock)).copied())
    }

    fn setlk(&self, cx: &mut Context<'_, Self>, _: Ino, _: &FileInfo, set: SetLock) -> Answer<()> {
        let lock = set.lock;
        if lock.kind == LockKind::Unlock {
            cx.unlock(lock.owner);
        } else if cx.is_free(&lock) {
            cx.held.push(lock);
        } else if set.wait {
            let (mut reply, deferred) = cx.defer();
            cx.waits += 1;
            let (number, books) = (cx.waits, self.books.clone());
            reply.on_interrupt(move || {
                let waiting = books.upgrade();
                let given_up =
                    waiting.and_then(|books| books.lock().unwrap().waiting.remove(&number));
                if let Some((_, reply)) = given_up {
                    reply.send(Err(Errno::EINTR.into()));
                }
            });
            cx.waiting.insert(number, (lock, reply));
            return Err(deferred.into());
        } else {
            return Err(Errno::EAGAIN.into());
        }
        Ok(())
    }

    fn flock(&self, cx: &mut Context<'_, Self>, _: Ino, _: &FileInfo, flock: Flock) -> Answer<()> {
        if flock.kind == LockKind::Unlock || cx.is_free_for(&flock) {
            cx.flock(&flock);
        } else if flock.wait {
            let (reply, deferred) = cx.defer();
            cx.flock_waiting.push((flock, reply));
            return Err(deferred.into());
        } else {
            return Err(Errno::EAGAIN.into());
        }
        Ok(())
    }

    fn bmap(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        block_size: usize,
        block: Block,
    ) -> Answer<Block> {
        cx.calls
            .push(format!("bmap {ino} {} of {block_size}", block.0));
        Ok(Block(block.0 + 1000))
    }

    fn ioctl(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _: &FileInfo,
        ioctl: &Ioctl<'_>,
    ) -> Answer<IoctlReply> {
        let dir = ioctl.flags.contains(IoctlFlags::DIR);
        cx.calls.push(format!("ioctl {ino} {dir}"));
        if ioctl.command != REVERSE {
            return Err(Errno::ENOTTY.into());
        }
        assert_eq!(ioctl.output_size, 8);
        let reversed: Vec<u8> = ioctl.input.iter().rev().copied().collect();
        Ok(IoctlReply::new(42).data(reversed))
    }

    fn poll(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        _: PollEvents,
        handle: Option<PollHandle>,
    ) -> Answer<PollEvents> {
        if let Some(handle) = handle {
            cx.polled = Some(handle);
        }
        Ok(if cx.ready {
            PollEvents::IN
        } else {
            PollEvents::empty()
        })
    }

    fn fallocate(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _: &FileInfo,
        range: Fallocate,
    ) -> Answer<()> {
        let (mode, offset, length) = (range.mode, range.offset, range.length);
        cx.calls
            .push(format!("fallocate {ino} {mode:?} {length}@{offset}"));
        Ok(())
    }

    fn copy_file_range(
        &self,
        cx: &mut Context<'_, Self>,
        copy: &CopyFileRange<'_>,
    ) -> Answer<Copied> {
        let (from, to) = (copy.from, copy.to);
        assert_eq!((from.file.handle(), to.file.handle()), (Fh(2), Fh(3)));
        cx.calls.push(format!(
            "copy {} of {}@{} to {}@{}",
            copy.length, from.ino, from.offset, to.ino, to.offset
        ));
        let rest = SIZE.saturating_sub(from.offset);
        Ok(Copied(copy.length.min(usize::try_from(rest).unwrap())))
    }

    fn lseek(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        whence: Whence,
    ) -> Answer<Offset> {
        match whence {
            Whence::DATA if offset < HOLE => Ok(Offset(offset)),
            Whence::HOLE if offset < SIZE => Ok(Offset(offset.max(HOLE))),
            _ => Err(Errno::ENXIO.into()),
        }
    }

    fn statx(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
        _: StatxFlags,
        mask: StatxMask,
    ) -> Answer<(Statx, Duration)> {
        let wanted = mask.contains(StatxMask::BTIME);
        cx.calls.push(format!("statx {ino} {wanted}"));
        Ok((Statx::new(attr(ino)).btime(BORN), Duration::ZERO))
    }

    fn tmpfile(&self, cx: &mut Context<'_, Self>, parent: Ino, how: Create) -> Answer<Created> {
        cx.calls.push(format!("tmpfile {parent} {:#o}", how.mode));
        cx.nameless.0 += 1;
        cx.nameless.1 += 1;
        Ok(Created {
            entry: Entry::new(attr(NAMELESS), Duration::ZERO),
            opened: Opened::new(Fh(NAMELESS.0)),
        })
    }
}
