//! A file system that writes down how it is called, and answers what it is told to.

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
    DirBuf, Entry, Errno, Fh, FileInfo, Filesystem, GlobalLock, Ino, Listing, Notifier, OpenFlags,
    Opened, ReadBuf, RenameFlags, SetAttr, StatVfs, Timestamp, XattrFlags, XattrNames,
};

use crate::harness::DEADLINE;
use crate::logger::{self, PANIC};
use crate::proto::CALLER;

/// The style of a file system: its type of lock.
pub(crate) trait Style: Locking {
    /// Whether handlers hold a lock.
    const LOCKED: bool;

    fn lock() -> Self;

    /// Sends notifications that wait, on a thread that does not hold the lock.
    fn blocking<R>(&self, notifier: &Notifier, send: impl FnOnce(&Blocking<'_>) -> R) -> R;

    /// Takes the lock, if there is one, and releases it.
    fn take(&self);

    /// Runs `f` with the lock released, if there is one.
    fn released(guard: &mut Self::Guard<'_>, f: impl FnOnce());
}

/// llfuse's style.
pub(crate) type Locked = Arc<GlobalLock<()>>;

impl Style for Locked {
    const LOCKED: bool = true;

    fn lock() -> Self {
        Arc::new(GlobalLock::new(()))
    }

    fn blocking<R>(&self, notifier: &Notifier, send: impl FnOnce(&Blocking<'_>) -> R) -> R {
        self.unlocked(|proof| send(&notifier.blocking(proof)))
            .unwrap()
    }

    fn take(&self) {
        drop(GlobalLock::lock(self).unwrap());
    }

    fn released(guard: &mut Self::Guard<'_>, f: impl FnOnce()) {
        guard.released(|_| f());
    }
}

impl Style for Concurrent {
    const LOCKED: bool = false;

    fn lock() -> Self {
        Concurrent
    }

    fn blocking<R>(&self, notifier: &Notifier, send: impl FnOnce(&Blocking<'_>) -> R) -> R {
        self.unlocked(|proof| send(&notifier.blocking(proof)))
    }

    fn take(&self) {}

    fn released(guard: &mut Self::Guard<'_>, f: impl FnOnce()) {
        guard.released(|_| f());
    }
}

/// Makes a test of each function, in both styles.
macro_rules! in_both_styles {
    ($($name:ident)*) => {
        mod locked {
            $(
                #[test]
                fn $name() {
                    super::$name::<crate::recorder::Locked>();
                }
            )*
        }
        mod concurrent {
            $(
                #[test]
                fn $name() {
                    super::$name::<fuse3::Concurrent>();
                }
            )*
        }
    };
}
pub(crate) use in_both_styles;

/// A file system without handlers.
#[derive(Debug)]
pub(crate) struct Bare<L>(std::marker::PhantomData<fn() -> L>);

impl<L> Bare<L> {
    pub(crate) fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<L: Style> Filesystem for Bare<L> {
    type Lock = L;
}

/// How the handlers of a [`Recorder`] answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    /// They return what they have.
    Answer,
    /// They return this error.
    Errno(Errno),
    /// They panic.
    Panic,
    /// Another thread answers.
    Defer,
    /// Another thread answers with this error.
    DeferErrno(Errno),
    /// Another thread drops the reply.
    DeferAndDrop,
    /// Another thread answers, and the handler returns an answer, too.
    DeferAndAnswer,
    /// Another thread answers, and the handler returns an error, too.
    DeferAndErrno(Errno),
    /// Another thread answers, and the handler panics.
    DeferAndPanic,
    /// The reply is dropped in the handler, and the handler panics.
    DropAndPanic,
}

/// What a read gives.
pub(crate) type Read = Arc<dyn Fn(ReadBuf) -> Data<'static> + Send + Sync>;

/// What the handlers of a [`Recorder`] have to answer with.
#[derive(Clone)]
pub(crate) struct Values {
    pub(crate) entry: Entry,
    /// What `mknod`, `mkdir` and `symlink` make is an inode of another type than `entry`'s: the right one.
    pub(crate) right_type: bool,
    pub(crate) opened: Opened,
    pub(crate) target: PathBuf,
    pub(crate) read: Read,
    /// Added to the bytes that were to be written.
    pub(crate) more_written: usize,
    pub(crate) entries: Vec<(Vec<u8>, Entry, u64)>,
    pub(crate) statfs: StatVfs,
    pub(crate) xattr: Vec<u8>,
    pub(crate) xattrs: Vec<Vec<u8>>,
    pub(crate) lock: Option<FileLock>,
    pub(crate) block: Block,
    pub(crate) ioctl: IoctlReply,
    pub(crate) events: PollEvents,
    /// Added to the bytes that were to be copied.
    pub(crate) more_copied: usize,
    pub(crate) offset: Offset,
    pub(crate) statx: Statx,
}

/// An entry in which no two numbers are the same.
pub(crate) const ENTRY: Entry = Entry {
    ino: Ino(0x1122_3344_5566_7788),
    attr: Attr {
        ino: Ino(0x5141_3121_1101_f1e1),
        mode: libc::S_IFREG | 0o4751,
        nlink: 3,
        uid: 0xffff_fff0,
        gid: 0x0002_0001,
        rdev: 0x1234_5678,
        size: 0x0102_0304_0506_0708,
        blksize: 65_536,
        blocks: 0x0080_8182_8384_8586,
        atime: Timestamp::new(-2, 999_999_999),
        mtime: Timestamp::new(0x1_0000_0001, 1),
        ctime: Timestamp::new(1_700_000_000, 123_456_789),
    },
    generation: 0x99aa_bbcc_ddee_ff01,
    entry_timeout: Duration::from_millis(1_500),
    attr_timeout: Duration::from_millis(86_400_250),
};

pub(crate) const HANDLE: Fh = Fh(0xfedc_ba98_7654_3210);

pub(crate) const STATFS: StatVfs = StatVfs {
    bsize: 4096,
    frsize: 512,
    blocks: 0x1_0000_0001,
    bfree: 0x1_0000_0002,
    bavail: 0x1_0000_0003,
    files: 0x1_0000_0004,
    ffree: 0x1_0000_0005,
    namemax: 254,
};

/// The same entry as another inode, whose number is shown.
pub(crate) fn entry(ino: u64) -> Entry {
    Entry {
        ino: Ino(ino),
        attr: Attr {
            ino: Ino(ino),
            ..ENTRY.attr
        },
        ..ENTRY
    }
}

/// The same entry as an inode of another type.
pub(crate) fn of_type(entry: Entry, kind: u32) -> Entry {
    let mode = (entry.attr.mode & !libc::S_IFMT) | kind;
    Entry {
        attr: Attr { mode, ..entry.attr },
        ..entry
    }
}

impl Values {
    fn made(&self, kind: u32) -> Entry {
        if self.right_type {
            of_type(self.entry, kind)
        } else {
            self.entry
        }
    }
}

impl Default for Values {
    fn default() -> Self {
        Self {
            entry: ENTRY,
            right_type: true,
            opened: Opened::new(HANDLE).keep_cache(true),
            target: PathBuf::from("../the target"),
            read: Arc::new(|out| out.copy_from(b"what was read")),
            more_written: 0,
            entries: [(b".", 1, 1), (b"a", 7, 0x1_0000_0001)]
                .map(|(name, ino, next)| (name.to_vec(), entry(ino), next))
                .to_vec(),
            statfs: STATFS,
            xattr: b"a \0 value".to_vec(),
            xattrs: vec![b"user.one".to_vec(), b"user.two".to_vec()],
            lock: Some(FileLock::new(LockKind::Read, 0x1_0000_0002, 0x2_0000_0003).pid(815)),
            block: Block(0x1122_3344_5566_7788),
            ioctl: IoctlReply::new(0x1234_5678).data(*b"what is given"),
            events: PollEvents::IN | PollEvents::HUP,
            more_copied: 0,
            offset: Offset(0x1_2345_6789),
            statx: Statx::new(ENTRY.attr)
                .btime(Timestamp::new(0x1_0000_0007, 77))
                .attributes(
                    StatxAttributes::APPEND,
                    StatxAttributes::from_bits_retain(0x30),
                ),
        }
    }
}

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
        if cx.caller() == Caller::default() {
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

/// A lock, without what is zero.
struct Lock<'a>(&'a FileLock);

impl Display for Lock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FileLock {
            kind, start, end, ..
        } = self.0;
        write!(f, "{kind:?} {start:#x}..={end:#x}")?;
        if self.0.pid != 0 {
            write!(f, " pid={}", self.0.pid)?;
        }
        if self.0.owner != LockOwner(0) {
            write!(f, " for {}", self.0.owner)?;
        }
        Ok(())
    }
}

/// An open file, without what is zero.
struct Open<'a>(&'a FileInfo);

impl Display for Open<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fh={:#x}", self.0.handle().0)?;
        if self.0.flags() != OpenFlags::empty() {
            write!(f, " flags={:#x}", self.0.flags().bits())?;
        }
        if self.0.lock_owner() != LockOwner(0) {
            write!(f, " owner={}", self.0.lock_owner())?;
        }
        for (bit, name) in [
            (self.0.writepage(), " writepage"),
            (self.0.flush(), " flush"),
            (self.0.flock_release(), " flock_release"),
        ] {
            if bit {
                f.write_str(name)?;
            }
        }
        Ok(())
    }
}

impl<L: Style> Filesystem for Recorder<L> {
    type Lock = L;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        self.push(format!("init{}", self.lock_state()));
        *self.wanted.lock() = Some(connection.wanted());
        connection
            .want(*self.wants.lock())
            .map_err(io::Error::other)?;
        if let How::Panic = self.how() {
            panic_any(PANIC);
        }
        self.init.lock().map_err(io::Error::from_raw_os_error)
    }

    fn init_done(&self, _: &mut Guard<'_, Self>) {
        self.push(format!("init_done{}", self.lock_state()));
        if let How::Panic = self.how() {
            panic_any(PANIC);
        }
    }

    fn destroy(&self, _: &mut Guard<'_, Self>) {
        self.push(format!("destroy{}", self.lock_state()));
        if let How::Panic = self.how() {
            panic_any(PANIC);
        }
    }

    fn lookup(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        self.note(cx, format!("lookup {parent} {name:?}"));
        let entry = self.values().entry;
        self.respond(cx, || entry)
    }

    fn forget(&self, cx: &mut Context<'_, Self>, ino: Ino, nlookup: u64) {
        // Once the call is noted, the test may say otherwise.
        let how = self.how();
        self.note(cx, format!("forget {ino} {nlookup}"));
        if let How::Panic = how {
            panic_any(PANIC);
        }
    }

    fn getattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        match file {
            Some(file) => self.note(cx, format!("getattr {ino} {}", Open(file))),
            None => self.note(cx, format!("getattr {ino}")),
        }
        let entry = self.values().entry;
        self.respond(cx, || (entry.attr, entry.attr_timeout))
    }

    fn setattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        changes: &SetAttr,
    ) -> Answer<(Attr, Duration)> {
        self.note(cx, format!("setattr {ino} {changes:?}"));
        let entry = self.values().entry;
        self.respond(cx, || (entry.attr, entry.attr_timeout))
    }

    fn readlink(&self, cx: &mut Context<'_, Self>, ino: Ino) -> Answer<PathBuf> {
        self.note(cx, format!("readlink {ino}"));
        let target = self.values().target.clone();
        self.respond(cx, || target.clone())
    }

    fn mknod(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
        rdev: u64,
    ) -> Answer<Entry> {
        let umask = cx.umask();
        self.note(
            cx,
            format!("mknod {parent} {name:?} {mode:#o} {rdev:#x} umask={umask:#o}"),
        );
        let entry = self.values().made(mode & libc::S_IFMT);
        self.respond(cx, || entry)
    }

    fn mkdir(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
    ) -> Answer<Entry> {
        let umask = cx.umask();
        self.note(
            cx,
            format!("mkdir {parent} {name:?} {mode:#o} umask={umask:#o}"),
        );
        let entry = self.values().made(libc::S_IFDIR);
        self.respond(cx, || entry)
    }

    fn unlink(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<()> {
        self.note(cx, format!("unlink {parent} {name:?}"));
        self.respond(cx, || ())
    }

    fn rmdir(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<()> {
        self.note(cx, format!("rmdir {parent} {name:?}"));
        self.respond(cx, || ())
    }

    fn symlink(
        &self,
        cx: &mut Context<'_, Self>,
        target: &OsStr,
        parent: Ino,
        name: &OsStr,
    ) -> Answer<Entry> {
        self.note(cx, format!("symlink {target:?} {parent} {name:?}"));
        let entry = self.values().made(libc::S_IFLNK);
        self.respond(cx, || entry)
    }

    fn rename(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        newparent: Ino,
        newname: &OsStr,
        flags: RenameFlags,
    ) -> Answer<()> {
        let flags = flags.bits();
        self.note(
            cx,
            format!("rename {parent} {name:?} {newparent} {newname:?} {flags:#x}"),
        );
        self.respond(cx, || ())
    }

    fn link(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        newparent: Ino,
        newname: &OsStr,
    ) -> Answer<Entry> {
        self.note(cx, format!("link {ino} {newparent} {newname:?}"));
        let entry = self.values().entry;
        self.respond(cx, || entry)
    }

    fn open(&self, cx: &mut Context<'_, Self>, ino: Ino, flags: OpenFlags) -> Answer<Opened> {
        self.note(cx, format!("open {ino} {:#x}", flags.bits()));
        let opened = self.values().opened;
        self.respond(cx, || opened)
    }

    fn create(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        how: Create,
    ) -> Answer<Created> {
        let (mode, flags, umask) = (how.mode, how.flags.bits(), cx.umask());
        self.note(
            cx,
            format!("create {parent} {name:?} {mode:#o} {flags:#x} umask={umask:#o}"),
        );
        let Values { entry, opened, .. } = *self.values();
        self.respond(cx, || Created { entry, opened })
    }

    fn read(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        let size = out.size();
        self.note(cx, format!("read {ino} {} {size}@{offset:#x}", Open(file)));
        let (read, out) = (Arc::clone(&self.values().read), Cell::new(Some(out)));
        self.respond(cx, || {
            read(out.take().unwrap_or_else(|| ReadBuf::new(size)))
        })
    }

    fn write(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        data: &[u8],
    ) -> Answer<usize> {
        let shown = match data {
            [first, .., last] if data.len() > 100 => {
                format!("{first:#x}, .., {last:#x} of {}", data.len())
            }
            _ => format!("{:?}", OsStr::from_bytes(data)),
        };
        self.note(
            cx,
            format!("write {ino} {} {shown}@{offset:#x}", Open(file)),
        );
        let count = data.len() + self.values().more_written;
        self.respond(cx, || count)
    }

    fn flush(&self, cx: &mut Context<'_, Self>, ino: Ino, file: &FileInfo) -> Answer<()> {
        self.note(cx, format!("flush {ino} {}", Open(file)));
        self.respond(cx, || ())
    }

    fn release(&self, cx: &mut Context<'_, Self>, ino: Ino, file: &FileInfo) -> Answer<()> {
        self.note(cx, format!("release {ino} {}", Open(file)));
        if cx.caller() == Caller::default() {
            return Ok(());
        }
        self.respond(cx, || ())
    }

    fn fsync(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        datasync: bool,
    ) -> Answer<()> {
        self.note(cx, format!("fsync {ino} {} {datasync}", Open(file)));
        self.respond(cx, || ())
    }

    fn opendir(&self, cx: &mut Context<'_, Self>, ino: Ino, flags: OpenFlags) -> Answer<Opened> {
        self.note(cx, format!("opendir {ino} {:#x}", flags.bits()));
        let opened = self.values().opened;
        self.respond(cx, || opened)
    }

    fn readdir(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        out: DirBuf,
    ) -> Answer<Listing> {
        let plus = out.is_plus();
        let which = if plus { "readdirplus" } else { "readdir" };
        self.note(
            cx,
            format!("{which} {ino} {} {offset:#x} {out:?}", Open(file)),
        );
        let (entries, out) = (self.values().entries.clone(), Cell::new(Some(out)));
        self.respond(cx, || {
            let mut out = out
                .take()
                .unwrap_or_else(|| DirBuf::new(4096, offset, plus));
            for (name, entry, next) in &entries {
                if out.add(OsStr::from_bytes(name), entry, *next) == Added::Full {
                    break;
                }
            }
            out.finish()
        })
    }

    fn releasedir(&self, cx: &mut Context<'_, Self>, ino: Ino, file: &FileInfo) -> Answer<()> {
        self.note(cx, format!("releasedir {ino} {}", Open(file)));
        if cx.caller() == Caller::default() {
            return Ok(());
        }
        self.respond(cx, || ())
    }

    fn fsyncdir(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        datasync: bool,
    ) -> Answer<()> {
        self.note(cx, format!("fsyncdir {ino} {} {datasync}", Open(file)));
        self.respond(cx, || ())
    }

    fn statfs(&self, cx: &mut Context<'_, Self>, ino: Ino) -> Answer<StatVfs> {
        self.note(cx, format!("statfs {ino}"));
        let statfs = self.values().statfs;
        self.respond(cx, || statfs)
    }

    fn setxattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Answer<()> {
        let (value, flags) = (OsStr::from_bytes(value), flags.bits());
        self.note(cx, format!("setxattr {ino} {name:?} {value:?} {flags:#x}"));
        self.respond(cx, || ())
    }

    fn getxattr(&self, cx: &mut Context<'_, Self>, ino: Ino, name: &OsStr) -> Answer<Vec<u8>> {
        self.note(cx, format!("getxattr {ino} {name:?}"));
        let value = self.values().xattr.clone();
        self.respond(cx, || value.clone())
    }

    fn listxattr(&self, cx: &mut Context<'_, Self>, ino: Ino) -> Answer<XattrNames> {
        self.note(cx, format!("listxattr {ino}"));
        let names = self.values().xattrs.clone();
        self.respond(cx, || {
            names.iter().map(|name| OsStr::from_bytes(name)).collect()
        })
    }

    fn removexattr(&self, cx: &mut Context<'_, Self>, ino: Ino, name: &OsStr) -> Answer<()> {
        self.note(cx, format!("removexattr {ino} {name:?}"));
        self.respond(cx, || ())
    }

    fn access(&self, cx: &mut Context<'_, Self>, ino: Ino, mask: AccessMode) -> Answer<()> {
        self.note(cx, format!("access {ino} {:#x}", mask.bits()));
        self.respond(cx, || ())
    }

    fn getlk(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        lock: FileLock,
    ) -> Answer<Option<FileLock>> {
        self.note(cx, format!("getlk {ino} {} {}", Open(file), Lock(&lock)));
        let lock = self.values().lock;
        self.respond(cx, || lock)
    }

    fn setlk(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        set: SetLock,
    ) -> Answer<()> {
        let wait = if set.wait { " wait" } else { "" };
        self.note(
            cx,
            format!("setlk {ino} {} {}{wait}", Open(file), Lock(&set.lock)),
        );
        self.respond(cx, || ())
    }

    fn bmap(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        block_size: usize,
        block: Block,
    ) -> Answer<Block> {
        self.note(cx, format!("bmap {ino} {:#x} of {block_size}", block.0));
        let block = self.values().block;
        self.respond(cx, || block)
    }

    fn ioctl(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        ioctl: &Ioctl<'_>,
    ) -> Answer<IoctlReply> {
        self.note(
            cx,
            format!(
                "ioctl {ino} {} {:#x} {:#x} flags={:#x} {:?} -> {}",
                Open(file),
                ioctl.command.0,
                ioctl.argument,
                ioctl.flags.bits(),
                OsStr::from_bytes(ioctl.input),
                ioctl.output_size
            ),
        );
        let reply = self.values().ioctl.clone();
        self.respond(cx, || reply.clone())
    }

    fn poll(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        events: PollEvents,
        handle: Option<PollHandle>,
    ) -> Answer<PollEvents> {
        let events = events.bits();
        self.note(
            cx,
            format!("poll {ino} {} {events:#x} {handle:?}", Open(file)),
        );
        let events = self.values().events;
        self.respond(cx, || events)
    }

    fn flock(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        flock: Flock,
    ) -> Answer<()> {
        self.note(
            cx,
            format!(
                "flock {ino} {} {:?}{} for {}",
                Open(file),
                flock.kind,
                if flock.wait { " wait" } else { "" },
                flock.owner
            ),
        );
        self.respond(cx, || ())
    }

    fn fallocate(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        range: Fallocate,
    ) -> Answer<()> {
        let Fallocate {
            mode,
            offset,
            length,
            ..
        } = range;
        self.note(
            cx,
            format!(
                "fallocate {ino} {} {:#x} {length:#x}@{offset:#x}",
                Open(file),
                mode.bits()
            ),
        );
        self.respond(cx, || ())
    }

    fn copy_file_range(
        &self,
        cx: &mut Context<'_, Self>,
        copy: &CopyFileRange<'_>,
    ) -> Answer<Copied> {
        let place = |place: fuse3::range::Place<'_>| {
            format!("{} {} {:#x}", place.ino, Open(place.file), place.offset)
        };
        self.note(
            cx,
            format!(
                "copy_file_range {} to {} {:#x} flags={:#x}",
                place(copy.from),
                place(copy.to),
                copy.length,
                copy.flags.bits()
            ),
        );
        let count = copy.length + self.values().more_copied;
        self.respond(cx, || Copied(count))
    }

    fn lseek(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        whence: Whence,
    ) -> Answer<Offset> {
        self.note(
            cx,
            format!("lseek {ino} {} {offset:#x} {}", Open(file), whence.raw()),
        );
        let offset = self.values().offset;
        self.respond(cx, || offset)
    }

    fn tmpfile(&self, cx: &mut Context<'_, Self>, parent: Ino, how: Create) -> Answer<Created> {
        let (mode, flags, umask) = (how.mode, how.flags.bits(), cx.umask());
        self.note(
            cx,
            format!("tmpfile {parent} {mode:#o} {flags:#x} umask={umask:#o}"),
        );
        let Values { entry, opened, .. } = *self.values();
        self.respond(cx, || Created { entry, opened })
    }

    fn statx(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: Option<&FileInfo>,
        flags: StatxFlags,
        mask: StatxMask,
    ) -> Answer<(Statx, Duration)> {
        let file = file.map_or(String::new(), |file| format!(" {}", Open(file)));
        self.note(
            cx,
            format!("statx {ino}{file} {:#x} {:#x}", flags.bits(), mask.bits()),
        );
        let Values { statx, entry, .. } = *self.values();
        self.respond(cx, || (statx, entry.attr_timeout))
    }

    fn syncfs(&self, cx: &mut Context<'_, Self>, ino: Ino) -> Answer<()> {
        self.note(cx, format!("syncfs {ino}"));
        self.respond(cx, || ())
    }
}
