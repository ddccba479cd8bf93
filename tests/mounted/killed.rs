//! Clients that are killed while a handler has their request: how soon they are gone, and what they leave.
//!
//! The clients are processes of their own: whoever is blocked in the mount cannot be waited for by its server.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use fuse3::{
    Answer, Attr, Capabilities, Concurrent, Condvar, Connection, Context, Create, Created, Data,
    Entry, Errno, Fh, FileInfo, Filesystem, Flock, Guard, Ino, Ioctl, IoctlReply, OpenFlags,
    Opened, Operation, Payload, ReadBuf, Reply, Session, SetLock,
};

use crate::child::finish_within;
use crate::fixture::{DEADLINE, Mount, require_mount, until};

/// In which the client is to be gone.
const SOON: Duration = Duration::from_millis(100);

/// What a handler does with a request that it does not answer by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
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

const ALL: [How; 5] = [
    How::Waits,
    How::IsTold,
    How::AnswersAnyway,
    How::Defers,
    How::DefersAndAnswersAnyway,
];

/// What the kernel knows of the file system.
#[derive(Debug, Default)]
struct Books {
    lookups: HashMap<Ino, u64>,
    open: usize,
}

struct Patient {
    how: How,
    operation: Operation,
    /// How many requests wait, or have waited.
    came: Arc<AtomicUsize>,
    never: Condvar,
    books: Arc<Mutex<Books>>,
    /// What the replies that wait are kept in.
    kept: Mutex<Vec<Arc<dyn Send + Sync>>>,
}

impl Patient {
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

fn entry(books: &mut Books) -> Entry {
    *books.lookups.entry(Ino(2)).or_default() += 1;
    let attr = Attr {
        size: SIZE,
        ..Attr::new(Ino(2), libc::S_IFREG | 0o666)
    };
    Entry::new(attr, Duration::from_secs(60))
}

fn opened(books: &mut Books) -> Opened {
    books.open += 1;
    // Each read(2) and write(2) is a request that the client waits for.
    Opened::new(Fh(1)).direct_io(true)
}

impl Filesystem for Patient {
    type Lock = Concurrent;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        let locks = Capabilities::POSIX_LOCKS | Capabilities::FLOCK_LOCKS;
        connection.want(locks).map_err(io::Error::other)?;
        Ok(())
    }

    fn lookup(&self, cx: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
        if name != "file" {
            return Err(Errno::ENOENT.into());
        }
        self.answer(cx, Operation::Lookup, entry)
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
        let attr = match ino {
            Ino::ROOT => Attr::new(ino, libc::S_IFDIR | 0o777),
            _ => entry(&mut Books::default()).attr,
        };
        Ok((attr, Duration::ZERO))
    }

    fn open(&self, cx: &mut Context<'_, Self>, _: Ino, _: OpenFlags) -> Answer<Opened> {
        self.answer(cx, Operation::Open, opened)
    }

    fn create(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr, _: Create) -> Answer<Created> {
        self.answer(cx, Operation::Create, |books| Created {
            entry: entry(books),
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

/// Set in a client, to what it is to do, and where.
const CLIENT: &str = "FUSE3_TEST_CLIENT";

/// Not a test, but what the clients of the tests do.
#[test]
fn client() {
    let Ok(what) = std::env::var(CLIENT) else {
        return;
    };
    // SAFETY: the default action is a valid one. Whoever started the tests may have had it ignored.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
    let (operation, dir) = what.split_once(' ').unwrap();
    let (existing, new) = (Path::new(dir).join("file"), Path::new(dir).join("new"));
    // Whether it fails does not matter: it is to be killed, at the latest by its deadline.
    match operation {
        "lookup" => drop(fs::metadata(existing)),
        "create" => drop(File::create(new)),
        "open" => drop(File::open(existing)),
        "read" => drop(File::open(existing).unwrap().read(&mut [0; 100])),
        "write" => {
            let file = OpenOptions::new().write(true).open(existing);
            drop(file.unwrap().write(&[0; 100]));
        }
        "setlk" => {
            let file = OpenOptions::new().write(true).open(existing).unwrap();
            // SAFETY: `struct flock` is integers, for which zero is a value: all of the file.
            let mut lock: libc::flock = unsafe { std::mem::zeroed() };
            lock.l_type = libc::F_WRLCK.try_into().unwrap();
            // SAFETY: `lock` lives.
            unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLKW, &raw const lock) };
        }
        "flock" => {
            let file = File::open(existing).unwrap();
            // SAFETY: no memory is involved.
            unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) };
        }
        "ioctl" => {
            let file = File::open(existing).unwrap();
            // SAFETY: the command is one without an argument, `_IO('E', 7)`.
            unsafe { libc::ioctl(file.as_raw_fd(), 0x4507) };
        }
        other => panic!("{other}"),
    }
}

fn start(operation: Operation, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["killed::client", "--exact", "--test-threads=1"])
        .env(CLIENT, format!("{operation} {}", dir.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills clients that wait in `operation`.
fn killed_in(operation: Operation) {
    let mut times = Vec::new();
    for how in ALL {
        for signal in [libc::SIGINT, libc::SIGKILL] {
            let books = Arc::new(Mutex::new(Books::default()));
            let came = Arc::new(AtomicUsize::new(0));
            let patient = Patient {
                how,
                operation,
                came: Arc::clone(&came),
                never: Condvar::new(),
                books: Arc::clone(&books),
                kept: Mutex::default(),
            };
            let mount = Mount::new(Session::builder(patient, Concurrent));
            times.push(killed_by(signal, operation, mount.path(), &came));
            // What it was given the kernel has, and gives back.
            until(|| {
                let books = books.lock().unwrap();
                if books.open == 0 && books.lookups.is_empty() {
                    return true;
                }
                drop(books);
                fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
                std::thread::sleep(Duration::from_millis(10));
                false
            });
            let end = mount.end();
            assert_eq!(end.stats.panics, 0, "{how:?}");
            assert_eq!(came.load(Ordering::SeqCst), 1, "{how:?}");
        }
    }
    times.sort();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{operation}: gone after {median:.2?} (median), {longest:.2?} (longest)");
    assert!(median < SOON, "{operation}: {times:?}");
    // On a busy machine a process may have to wait for a processor; who is not told is never gone.
    assert!(longest < 10 * SOON, "{operation}: {times:?}");
}

/// How long the client lived after `signal`.
fn killed_by(signal: i32, operation: Operation, dir: &Path, came: &AtomicUsize) -> Duration {
    let mut client = start(operation, dir);
    until(|| came.load(Ordering::SeqCst) == 1);
    // It is to be asleep: the answer to its request is waited for a moment later.
    std::thread::sleep(Duration::from_millis(5));
    let pid = i32::try_from(client.id()).unwrap();
    let start = Instant::now();
    // SAFETY: no memory is involved; the process is a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    let status = finish_within(&mut client, dir, DEADLINE);
    let took = start.elapsed();
    let killed_by = status.and_then(|status| status.signal());
    assert_eq!(killed_by, Some(signal));
    took
}

#[test]
fn in_lookup() {
    require_mount!();
    killed_in(Operation::Lookup);
}

#[test]
fn in_create() {
    require_mount!();
    killed_in(Operation::Create);
}

#[test]
fn in_open() {
    require_mount!();
    killed_in(Operation::Open);
}

#[test]
fn in_read() {
    require_mount!();
    killed_in(Operation::Read);
}

#[test]
fn in_write() {
    require_mount!();
    killed_in(Operation::Write);
}

#[test]
fn in_setlk() {
    require_mount!();
    killed_in(Operation::Setlk);
}

#[test]
fn in_flock() {
    require_mount!();
    killed_in(Operation::Flock);
}

#[test]
fn in_ioctl() {
    require_mount!();
    killed_in(Operation::Ioctl);
}
