//! A file system that answers one operation late, or not at all, and keeps books of what it has given out.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::filelock::{Flock, SetLock};
use fuse3::ioctl::{Ioctl, IoctlReply};
use fuse3::lock::{Condvar, Locking};
use fuse3::reply::{Added, Payload};
use fuse3::{
    Answer, Attr, Capabilities, Connection, Context, Create, Created, Data, DirBuf, Entry, Errno,
    Fh, FileInfo, Filesystem, Ino, Listing, Open, OpenFlags, Opened, Operation, ReadBuf, Reply,
};

use crate::fixture::DEADLINE;

/// What a handler does with a request that it does not answer by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum How {
    /// It waits for what does not come.
    Waits,
    /// It waits until it is told, and says EINTR.
    IsTold,
    /// It is told, and answers as if it were not.
    AnswersAnyway,
    /// Its reply is told, and says EINTR.
    Defers,
    /// Its reply is told, and answers as if it were not.
    DefersAndAnswersAnyway,
}

pub(crate) const ALL: [How; 5] = [
    How::Waits,
    How::IsTold,
    How::AnswersAnyway,
    How::Defers,
    How::DefersAndAnswersAnyway,
];

/// What the kernel knows of the file system.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) lookups: HashMap<Ino, u64>,
    pub(crate) open: usize,
}

/// With the lock `L`.
pub(crate) struct Patient<L> {
    lock: PhantomData<L>,
    how: How,
    operation: Operation,
    /// How many requests wait, or have waited.
    came: Arc<AtomicUsize>,
    never: Condvar,
    books: Arc<Mutex<Books>>,
    /// What the replies that wait are kept in.
    kept: Mutex<Vec<Arc<dyn Send + Sync>>>,
}

impl<L: Locking> Patient<L> {
    /// `came` counts the requests of `operation`.
    pub(crate) fn new(
        how: How,
        operation: Operation,
        came: Arc<AtomicUsize>,
        books: Arc<Mutex<Books>>,
    ) -> Self {
        Self {
            lock: PhantomData,
            how,
            operation,
            came,
            never: Condvar::new(),
            books,
            kept: Mutex::default(),
        }
    }

    fn came(&self) {
        self.came.fetch_add(1, Ordering::SeqCst);
    }

    /// `answer` is made, unless the client is to be killed meanwhile.
    fn answer<T: Payload + 'static>(
        &self,
        cx: &mut Context<'_, Self>,
        operation: Operation,
        answer: impl FnOnce(&mut Books) -> T + Send + 'static,
    ) -> Answer<T> {
        if operation == self.operation {
            match self.how {
                How::Waits => {
                    let mut first = true;
                    cx.wait_while(&self.never, Some(DEADLINE), |_| {
                        if std::mem::take(&mut first) {
                            self.came();
                        }
                        true
                    })?;
                }
                How::IsTold | How::AnswersAnyway => {
                    let (tell, told) = mpsc::channel();
                    cx.on_interrupt(move || tell.send(()).unwrap());
                    self.came();
                    told.recv_timeout(DEADLINE).unwrap();
                    if self.how == How::IsTold {
                        return Err(Errno::EINTR.into());
                    }
                }
                How::Defers | How::DefersAndAnswersAnyway => {
                    let (mut reply, deferred) = cx.defer();
                    let place = Arc::new(Mutex::new(None::<Reply<T>>));
                    let mut here = place.lock().unwrap();
                    let (weak, books) = (Arc::downgrade(&place), Arc::clone(&self.books));
                    let gives_up = self.how == How::Defers;
                    reply.on_interrupt(move || {
                        let place = weak.upgrade().unwrap();
                        let reply = place.lock().unwrap().take().unwrap();
                        reply.send(if gives_up {
                            Err(Errno::EINTR.into())
                        } else {
                            Ok(answer(&mut books.lock().unwrap()))
                        });
                    });
                    *here = Some(reply);
                    drop(here);
                    self.kept.lock().unwrap().push(place);
                    self.came();
                    return Err(deferred.into());
                }
            }
        }
        Ok(answer(&mut self.books.lock().unwrap()))
    }
}

const SIZE: u64 = 1 << 20;

const FILE: Ino = Ino(2);
const DIR: Ino = Ino(3);
const SYMLINK: Ino = Ino(4);
const FIFO: Ino = Ino(5);

fn attr(ino: Ino) -> Attr {
    match ino {
        Ino::ROOT | DIR => Attr::new(ino, libc::S_IFDIR | 0o777),
        SYMLINK => Attr::new(ino, libc::S_IFLNK | 0o777),
        FIFO => Attr::new(ino, libc::S_IFIFO | 0o666),
        _ => Attr {
            size: SIZE,
            ..Attr::new(ino, libc::S_IFREG | 0o666)
        },
    }
}

fn entry(books: &mut Books, ino: Ino) -> Entry {
    *books.lookups.entry(ino).or_default() += 1;
    Entry::new(attr(ino), Duration::from_secs(60))
}

fn opened(books: &mut Books) -> Opened {
    books.open += 1;
    // Each read(2) and write(2) is a request that the client waits for.
    Opened::new(Fh(1)).direct_io(true)
}

impl<L: Locking> Filesystem for Patient<L> {
    type Lock = L;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        let locks = Capabilities::POSIX_LOCKS | Capabilities::FLOCK_LOCKS;
        let wanted = locks | Capabilities::READDIRPLUS;
        connection.want(wanted).map_err(io::Error::other)?;
        Ok(())
    }

    fn lookup(&self, cx: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
        if name != "file" {
            return Err(Errno::ENOENT.into());
        }
        self.answer(cx, Operation::Lookup, |books| entry(books, FILE))
    }

    fn forget(&self, _: &mut Context<'_, Self>, ino: Ino, nlookup: u64) {
        let mut books = self.books.lock().unwrap();
        let count = books.lookups.get_mut(&ino).expect("forgot what is unknown");
        *count = count.checked_sub(nlookup).expect("forgot too much");
        if *count == 0 {
            books.lookups.remove(&ino);
        }
    }

    fn getattr(
        &self,
        _: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        Ok((attr(ino), Duration::ZERO))
    }

    fn mknod(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        _: &OsStr,
        _: u32,
        _: u64,
    ) -> Answer<Entry> {
        self.answer(cx, Operation::Mknod, |books| entry(books, FIFO))
    }

    fn mkdir(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr, _: u32) -> Answer<Entry> {
        self.answer(cx, Operation::Mkdir, |books| entry(books, DIR))
    }

    fn symlink(&self, cx: &mut Context<'_, Self>, _: &OsStr, _: Ino, _: &OsStr) -> Answer<Entry> {
        self.answer(cx, Operation::Symlink, |books| entry(books, SYMLINK))
    }

    fn link(&self, cx: &mut Context<'_, Self>, ino: Ino, _: Ino, _: &OsStr) -> Answer<Entry> {
        self.answer(cx, Operation::Link, move |books| entry(books, ino))
    }

    fn opendir(&self, cx: &mut Context<'_, Self>, _: Ino, _: OpenFlags) -> Answer<Opened> {
        self.answer(cx, Operation::Opendir, |books| {
            books.open += 1;
            Opened::default()
        })
    }

    fn readdir(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        assert!(out.is_plus());
        self.answer(cx, Operation::Readdirplus, move |books| {
            if offset == 0 {
                let entry = entry(books, FILE);
                assert_eq!(out.add("file", &entry, 1), Added::Counted);
            }
            out.finish()
        })
    }

    fn releasedir(&self, _: &mut Context<'_, Self>, _: Ino, _: &FileInfo) -> Answer<()> {
        self.books.lock().unwrap().open -= 1;
        Ok(())
    }

    fn open(&self, cx: &mut Context<'_, Self>, _: Ino, _: Open) -> Answer<Opened> {
        self.answer(cx, Operation::Open, opened)
    }

    fn create(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr, _: Create) -> Answer<Created> {
        self.answer(cx, Operation::Create, |books| Created {
            entry: entry(books, FILE),
            opened: opened(books),
        })
    }

    fn release(&self, _: &mut Context<'_, Self>, _: Ino, _: &FileInfo) -> Answer<()> {
        self.books.lock().unwrap().open -= 1;
        Ok(())
    }

    fn read(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        _: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        self.answer(cx, Operation::Read, move |_| out.copy_from(b"data"))
    }

    fn write(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        _: u64,
        data: &[u8],
    ) -> Answer<usize> {
        let size = data.len();
        self.answer(cx, Operation::Write, move |_| size)
    }

    fn setlk(&self, cx: &mut Context<'_, Self>, _: Ino, _: &FileInfo, set: SetLock) -> Answer<()> {
        if !set.wait {
            return Ok(());
        }
        self.answer(cx, Operation::Setlk, |_| ())
    }

    fn flock(&self, cx: &mut Context<'_, Self>, _: Ino, _: &FileInfo, set: Flock) -> Answer<()> {
        if !set.wait {
            return Ok(());
        }
        self.answer(cx, Operation::Flock, |_| ())
    }

    fn ioctl(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        _: &Ioctl<'_>,
    ) -> Answer<IoctlReply> {
        self.answer(cx, Operation::Ioctl, |_| IoctlReply::new(0))
    }
}
