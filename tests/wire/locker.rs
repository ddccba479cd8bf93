//! A file system that keeps the locks of one file, in which callers wait without a worker.

use std::marker::PhantomData;

use fuse3::filelock::{FileLock, LockKind, SetLock};
use fuse3::{Answer, Context, Errno, FileInfo, Filesystem, Ino, Reply};
use parking_lot::Mutex;

use crate::recorder::Style;

#[derive(Default)]
struct Locks {
    held: Vec<FileLock>,
    waiting: Vec<(FileLock, Reply<()>)>,
}

impl Locks {
    fn in_the_way(&self, lock: &FileLock) -> Option<FileLock> {
        let mut held = self.held.iter();
        held.find(|held| held.conflicts(lock)).copied()
    }
}

pub(crate) struct Locker<L> {
    locks: Mutex<Locks>,
    style: PhantomData<fn() -> L>,
}

impl<L> Locker<L> {
    pub(crate) fn new() -> Self {
        Self {
            locks: Mutex::default(),
            style: PhantomData,
        }
    }
}

impl<L: Style> Filesystem for Locker<L> {
    type Lock = L;

    fn getlk(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        lock: FileLock,
    ) -> Answer<Option<FileLock>> {
        Ok(self.locks.lock().in_the_way(&lock))
    }

    fn setlk(&self, cx: &mut Context<'_, Self>, _: Ino, _: &FileInfo, set: SetLock) -> Answer<()> {
        let mut locks = self.locks.lock();
        let lock = set.lock;
        if lock.kind == LockKind::Unlock {
            locks.held.retain(|held| held.owner != lock.owner);
            for (lock, reply) in std::mem::take(&mut locks.waiting) {
                if locks.in_the_way(&lock).is_some() {
                    locks.waiting.push((lock, reply));
                } else {
                    locks.held.push(lock);
                    reply.send(Ok(()));
                }
            }
        } else if locks.in_the_way(&lock).is_none() {
            locks.held.push(lock);
        } else if set.wait {
            let (reply, deferred) = cx.defer();
            locks.waiting.push((lock, reply));
            return Err(deferred.into());
        } else {
            return Err(Errno::EAGAIN.into());
        }
        Ok(())
    }
}
