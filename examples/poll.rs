//! Files that fill up by themselves, and can be waited for: `poll MOUNTPOINT`, and `poll_client` in the mount point.
//!
//! There are sixteen files, `0` to `F`. A producer puts one byte into one, two or four of them, four times a second; each
//! holds ten at most. A read takes out what is there, and nothing when there is nothing. Who waits with poll(2), select(2)
//! or epoll(7) is woken by the producer: the kernel gave `poll` a [`PollHandle`] to do that with.
//!
//! A copy of libfuse's example/poll.c in behaviour, not in code: llfuse's style, with one global lock.

mod fuse_main;

use std::ffi::OsStr;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fuse3::ReadBuf;
use fuse3::context::Guard;
use fuse3::poll::PollEvents;
use fuse3::poll::PollHandle;
use fuse3::reply::Added;
use fuse3::{Answer, Attr, Connection, Context, Data, DirBuf, Entry, Errno, Fh, FileInfo};
use fuse3::{Filesystem, GlobalLock, Ino, Listing, Open, Opened};

use fuse_main::Options;

/// How many files there are, and how much each holds.
const FILES: usize = 16;
const ROOM: usize = 10;
const NAMES: &[u8; FILES] = b"0123456789ABCDEF";
const INTERVAL: Duration = Duration::from_millis(250);

/// What the lock guards.
#[derive(Default)]
struct Files {
    files: [File; FILES],
    /// How often poll(2) found a file empty, since it last found one that was not.
    polled_empty: u32,
    producer: Option<(Sender<()>, JoinHandle<()>)>,
}

#[derive(Default)]
struct File {
    bytes: usize,
    open: bool,
    /// Who waits for the next byte.
    waits: Option<PollHandle>,
}

type Lock = Arc<GlobalLock<Files>>;

struct Poll {
    options: Options,
    lock: Lock,
}

type Cx<'a> = Context<'a, Poll>;

/// Inode 1 is the root; the files are 2 to 17.
fn index(ino: Ino) -> Option<usize> {
    usize::try_from(ino.0).ok()?.checked_sub(2)
}

fn ino(index: usize) -> Ino {
    Ino(index as u64 + 2)
}

fn attr(files: &Files, ino: Ino) -> Attr {
    match index(ino) {
        None => Attr {
            nlink: 2,
            ..Attr::new(Ino::ROOT, libc::S_IFDIR | 0o555)
        },
        Some(index) => Attr {
            size: files.files[index].bytes as u64,
            ..Attr::new(ino, libc::S_IFREG | 0o444)
        },
    }
}

impl Filesystem for Poll {
    type Lock = Lock;

    /// The producer starts here, and not in `main`: in the background a file system is another process.
    fn init(&self, files: &mut Guard<'_, Self>, _: &mut Connection<'_>) -> io::Result<()> {
        let (stop, stopped) = mpsc::channel();
        let lock = Arc::clone(&self.lock);
        let producer = thread::spawn(move || {
            let mut round = Round { first: 0, many: 1 };
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let Ok(mut files) = lock.lock() else { break };
                produce(&mut files, &mut round);
            }
        });
        files.producer = Some((stop, producer));
        Ok(())
    }

    fn destroy(&self, files: &mut Guard<'_, Self>) {
        let Some((stop, producer)) = files.producer.take() else {
            return;
        };
        drop(stop);
        // It may be waiting for the lock, which is held here.
        let ended = files.released(|_| producer.join());
        if ended.is_err() {
            eprintln!("poll: the producer has panicked");
        }
    }

    fn lookup(&self, cx: &mut Cx<'_>, _: Ino, name: &OsStr) -> Answer<Entry> {
        let [byte] = name.as_encoded_bytes() else {
            return self.options.nothing();
        };
        match NAMES.iter().position(|known| known == byte) {
            Some(index) => Ok(self.options.entry(attr(cx, ino(index)))),
            None => self.options.nothing(),
        }
    }

    fn getattr(&self, cx: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        Ok(self.options.attr(attr(cx, ino)))
    }

    fn readdir(
        &self,
        cx: &mut Cx<'_>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        let start = usize::try_from(offset).unwrap_or(FILES).min(FILES);
        for (index, name) in NAMES.iter().enumerate().skip(start) {
            let entry = self.options.entry(attr(cx, ino(index)));
            let name = char::from(*name).to_string();
            if out.add(name, &entry, index as u64 + 1) == Added::Full {
                break;
            }
        }
        Ok(out.finish())
    }

    /// Once at a time: what one reader takes the other would miss.
    fn open(&self, cx: &mut Cx<'_>, ino: Ino, Open { flags, .. }: Open) -> Answer<Opened> {
        let attr = attr(cx, ino);
        let index = index(ino).ok_or(Errno::EISDIR)?;
        if flags.writes() {
            return Err(Errno::EACCES.into());
        }
        if std::mem::replace(&mut cx.files[index].open, true) {
            return Err(Errno::EBUSY.into());
        }
        // As with a pipe, what is read is gone: nothing to cache, and nowhere to seek.
        let opened = Opened::new(Fh(index as u64));
        let opened = opened.direct_io(true).nonseekable(true);
        Ok(self.options.opened(opened, flags, &attr))
    }

    fn release(&self, cx: &mut Cx<'_>, ino: Ino, _: &FileInfo) -> Answer<()> {
        let index = index(ino).ok_or(Errno::EISDIR)?;
        cx.files[index].open = false;
        Ok(())
    }

    fn read(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        _: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        let index = index(ino).ok_or(Errno::EISDIR)?;
        let bytes = &mut cx.files[index].bytes;
        let taken = out.size().min(*bytes);
        println!("READ   {index:X} transferred={taken} cnt={bytes}");
        *bytes -= taken;
        Ok(out.copy_from(&[NAMES[index]; ROOM][..taken]))
    }

    fn poll(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        _: PollEvents,
        handle: Option<PollHandle>,
    ) -> Answer<PollEvents> {
        let index = index(ino).ok_or(Errno::EISDIR)?;
        if handle.is_some() {
            // The one from before is dropped: whoever waited has asked again.
            cx.files[index].waits = handle;
        }
        let bytes = cx.files[index].bytes;
        if bytes == 0 {
            cx.polled_empty += 1;
            return Ok(PollEvents::empty());
        }
        let empty = std::mem::take(&mut cx.polled_empty);
        println!("POLL   {index:X} cnt={bytes} polled_zero={empty}");
        Ok(PollEvents::IN)
    }
}

/// Which files get a byte next.
struct Round {
    first: usize,
    many: usize,
}

/// Puts a byte into `many` files that are equally far from each other.
fn produce(files: &mut Files, round: &mut Round) {
    for step in 0..round.many {
        let index = (round.first + step * (FILES / round.many)) % FILES;
        let file = &mut files.files[index];
        if file.bytes == ROOM {
            continue;
        }
        file.bytes += 1;
        if let Some(waits) = file.waits.take() {
            println!("NOTIFY {index:X}");
            // With the lock held, which nothing minds. It fails when the file system is being unmounted: nobody waits then.
            let _ = waits.notify();
        }
    }
    round.first = (round.first + 1) % FILES;
    if round.first == 0 {
        // 1, 2 and 4 in turn.
        round.many = round.many * 2 % 7;
    }
}

fn main() -> ExitCode {
    fuse_main::main(Options::default(), |mut command| {
        let lock = Lock::default();
        let fs = Poll {
            options: std::mem::take(&mut command.options),
            lock: Arc::clone(&lock),
        };
        let session = command.builder(fs, lock).mount(&command.mount_point)?;
        Ok(session.daemonize(command.foreground)?.run()?.reason)
    })
}
