//! A file system that writes down how it is called, and answers what it is told to.

mod handlers;
mod style;
mod values;

pub(crate) use style::{Bare, Locked, Style, in_both_styles};
pub(crate) use values::{ENTRY, HANDLE, How, STATFS, Values, entry, of_type};

use std::cell::Cell;
use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::io;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::panic::panic_any;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use fuse3::context::Guard;
use fuse3::filelock::{FileLock, Flock, LockKind, LockOwner, SetLock};
use fuse3::ioctl::{Ioctl, IoctlReply};
use fuse3::lock::Locking;
use fuse3::notify::Blocking;
use fuse3::poll::{PollEvents, PollHandle};
use fuse3::range::{Block, Copied, CopyFileRange, Fallocate, Offset, Whence};
use fuse3::reply::{Added, Payload};
use fuse3::statx::{Statx, StatxAttributes, StatxFlags, StatxMask};
use fuse3::{
    AccessMode, Answer, Attr, Caller, Concurrent, Connection, Context, Create, Created, Data,
    DirBuf, Entry, Errno, Fh, FileInfo, Filesystem, GlobalLock, Ino, Listing, Notifier, Open,
    OpenFlags, Opened, ReadBuf, RenameFlags, SetAttr, StatVfs, Timestamp, XattrFlags, XattrNames,
};

use crate::harness::DEADLINE;
use crate::logger::{self, PANIC};
use crate::proto::CALLER;

/// See the module.
pub(crate) struct Recorder<L>(Arc<Shared<L>>);

pub(crate) struct Shared<L> {
    pub(crate) lock: L,
    how: Mutex<How>,
    values: Mutex<Values>,
    /// The operation, its arguments, and what is not as always: another caller, another state of the lock.
    calls: Mutex<Vec<String>>,
    called: Condvar,
    threads: Mutex<Vec<ThreadId>>,
    repliers: Mutex<Vec<JoinHandle<()>>>,
    /// What `init` asks for.
    pub(crate) wants: Mutex<fuse3::Capabilities>,
    /// What `init` does at its end.
    pub(crate) init: Mutex<Result<(), i32>>,
    /// What `init` saw: what is wanted before it asks.
    pub(crate) wanted: Mutex<Option<fuse3::Capabilities>>,
    /// What every handler does besides.
    pub(crate) during: Mutex<Option<Box<dyn Fn() + Send>>>,
}

impl<L> Clone for Recorder<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L> std::ops::Deref for Recorder<L> {
    type Target = Shared<L>;

    fn deref(&self) -> &Shared<L> {
        &self.0
    }
}

impl<L: Style> Recorder<L> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            lock: L::lock(),
            how: Mutex::new(How::Answer),
            values: Mutex::new(Values::default()),
            calls: Mutex::new(Vec::new()),
            called: Condvar::new(),
            threads: Mutex::new(Vec::new()),
            repliers: Mutex::new(Vec::new()),
            wants: Mutex::new(fuse3::Capabilities::empty()),
            init: Mutex::new(Ok(())),
            wanted: Mutex::new(None),
            during: Mutex::new(None),
        }))
    }

    /// From now on, handlers answer so.
    pub(crate) fn answer(&self, how: How) {
        *self.how.lock() = how;
    }

    fn how(&self) -> How {
        *self.how.lock()
    }

    /// What handlers answer with.
    pub(crate) fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock()
    }

    /// Waits until there are so many calls, and takes all there are.
    #[track_caller]
    pub(crate) fn calls(&self, count: usize) -> Vec<String> {
        let until = Instant::now() + DEADLINE;
        let mut calls = self.calls.lock();
        while calls.len() < count {
            let left = until.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "only {} of {count} calls: {calls:?}",
                calls.len()
            );
            self.called.wait_for(&mut calls, left);
        }
        mem::take(&mut *calls)
    }

    /// The calls that were made since [`calls`](Self::calls), as they are now.
    pub(crate) fn further_calls(&self) -> Vec<String> {
        self.calls(0)
    }

    /// Waits for the threads that answer what was deferred.
    pub(crate) fn join(&self) {
        let repliers = mem::take(&mut *self.repliers.lock());
        for replier in repliers {
            replier.join().unwrap();
        }
    }

    /// What was logged by the threads of this file system.
    pub(crate) fn log(&self) -> Vec<String> {
        self.join();
        logger::lines_of(&self.threads.lock())
    }

    /// Asserts that these lines, and no other, were logged.
    #[track_caller]
    pub(crate) fn assert_log(&self, lines: &[&str]) {
        assert_eq!(self.log(), lines);
    }

    fn here(&self) {
        let mut threads = self.threads.lock();
        let thread = thread::current().id();
        if !threads.contains(&thread) {
            threads.push(thread);
        }
    }

    fn push(&self, line: String) {
        self.here();
        if let Some(during) = &*self.during.lock() {
            during();
        }
        self.calls.lock().push(line);
        self.called.notify_all();
    }

    fn note(&self, cx: &Context<'_, Self>, mut line: String) {
        let caller = Caller {
            umask: 0,
            ..cx.caller()
        };
        if cx.caller() == Caller::NOBODY {
            line += " (taken back)";
        } else if caller != CALLER {
            line += &format!(" by {caller:?}");
        }
        self.push(line + self.lock_state());
    }

    fn lock_state(&self) -> &'static str {
        match (L::LOCKED, self.lock.is_held()) {
            (true, false) => " WITHOUT THE LOCK",
            (false, true) => " WITH A LOCK",
            _ => "",
        }
    }

    fn later(&self, run: impl FnOnce() + Send + 'static) {
        let fs = self.clone();
        let replier = thread::spawn(move || {
            fs.here();
            run();
        });
        self.repliers.lock().push(replier);
    }

    fn respond<T>(&self, cx: &mut Context<'_, Self>, value: impl Fn() -> T) -> Answer<T>
    where
        T: Payload + Send + 'static,
    {
        let how = self.how();
        match how {
            How::Answer => return Ok(value()),
            How::Errno(errno) => return Err(errno.into()),
            How::Panic => panic_any(PANIC),
            _ => {}
        }
        let (reply, deferred) = cx.defer();
        let answer = value();
        match how {
            How::DeferErrno(errno) => self.later(move || reply.send(Err(errno.into()))),
            How::DeferAndDrop => self.later(move || drop(reply)),
            How::DropAndPanic => panic_any(PANIC),
            _ => self.later(move || reply.send(Ok(answer))),
        }
        match how {
            How::DeferAndAnswer => Ok(value()),
            How::DeferAndErrno(errno) => Err(errno.into()),
            How::DeferAndPanic => panic_any(PANIC),
            _ => Err(deferred.into()),
        }
    }
}
