//! When an answer leaves: after its handler, by a pipe that nobody else uses, whatever it is made of, and not after the end.

use std::io;
use std::panic::panic_any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::{
    Answer, Capabilities, Concurrent, Connection, Context, Data, Entry, Errno, FileInfo,
    Filesystem, Ino, ReadBuf, Reply, WriteData,
};

use crate::data::{contents, file, read, write};
use crate::harness::{Wire, until};
use crate::logger::PANIC;
use crate::probe::{Probe, await_from, enoent};
use crate::proto;
use crate::recorder::{Bare, ENTRY, Style, in_both_styles};

in_both_styles! {
    an_answer_waits_for_its_handler a_dropped_reply_waits_for_its_handler an_answer_of_a_panicking_handler
    nothing_is_taken_back_after_destroy
}

/// Who answers while the handler runs, and how.
#[derive(Clone, Copy, Debug)]
enum Way {
    Here,
    Elsewhere,
    /// C code had it meanwhile, and gave it back.
    TakenBackHere,
    TakenBackElsewhere,
    /// C code took it twice.
    TakenBackTwice,
}

const WAYS: [Way; 5] = [
    Way::Here,
    Way::Elsewhere,
    Way::TakenBackHere,
    Way::TakenBackElsewhere,
    Way::TakenBackTwice,
];

fn taken_back(reply: Reply<Entry>) -> Reply<Entry> {
    let raw = reply.into_raw().unwrap();
    // SAFETY: nothing has been done with the request.
    unsafe { raw.take_back() }
}

/// Gives the answer while the handler runs, and returns when it has been given.
fn answer_meanwhile(way: Way, reply: Reply<Entry>, answer: impl FnOnce(Reply<Entry>) + Send) {
    let elsewhere = matches!(way, Way::Elsewhere | Way::TakenBackElsewhere);
    let answer = move || {
        answer(match way {
            Way::Here | Way::Elsewhere => reply,
            Way::TakenBackHere | Way::TakenBackElsewhere => taken_back(reply),
            Way::TakenBackTwice => taken_back(taken_back(reply)),
        });
    };
    if elsewhere {
        thread::scope(|scope| {
            scope.spawn(answer);
        });
    } else {
        answer();
    }
}

/// A handler that has its answer given, and goes on until it is told to return.
fn given_meanwhile<L: Style>(
    way: Way,
    answer: fn(Reply<Entry>),
) -> (Wire<Probe<L>>, Receiver<()>, Sender<()>) {
    let (given, is_given) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel();
    let goes_on = Mutex::new(goes_on);
    let fs = Probe::<L>::new(move |cx, name| {
        let (reply, deferred) = cx.defer();
        answer_meanwhile(way, reply, answer);
        given.send(()).unwrap();
        await_from(&goes_on.lock().unwrap());
        assert_eq!(name, "name");
        Err(deferred.into())
    });
    (Wire::new(fs, L::lock()), is_given, go_on)
}

/// The answer may overwrite what the handler was given: it leaves when the handler has returned.
fn an_answer_waits_for_its_handler<L: Style>() {
    for way in WAYS {
        let (mut wire, given, go_on) = given_meanwhile::<L>(way, |reply| reply.send(Ok(ENTRY)));
        let unique = wire.send(&proto::lookup(1, b"name"));
        await_from(&given);
        wire.assert_silent();
        go_on.send(()).unwrap();
        let entry = proto::reply(unique, &proto::entry_out(&ENTRY));
        assert_eq!(wire.receive(), entry, "{way:?}");
        assert_eq!(wire.end().stats.panics, 0);
    }
}

/// So does the EIO of a reply that is dropped.
fn a_dropped_reply_waits_for_its_handler<L: Style>() {
    for way in WAYS {
        let (mut wire, given, go_on) = given_meanwhile::<L>(way, drop);
        let unique = wire.send(&proto::lookup(1, b"name"));
        await_from(&given);
        wire.assert_silent();
        go_on.send(()).unwrap();
        assert_eq!(wire.receive(), proto::error(unique, libc::EIO), "{way:?}");
        assert_eq!(wire.end().stats.panics, 0);
    }
}

/// What was given before the panic is the answer.
fn an_answer_of_a_panicking_handler<L: Style>() {
    for way in WAYS {
        let fs = Probe::<L>::new(move |cx, _| {
            let (reply, _deferred) = cx.defer();
            answer_meanwhile(way, reply, |reply| reply.send(Ok(ENTRY)));
            panic_any(PANIC)
        });
        let mut wire = Wire::new(fs, L::lock());
        wire.expect(&proto::lookup(1, b"name"), &proto::entry_out(&ENTRY));
        assert_eq!(wire.end().stats.panics, 1);
    }
}

/// A session of one worker has the next request answered when the handlers of those before have returned.
fn handler_has_returned<F: Filesystem>(wire: &mut Wire<F>) {
    wire.expect_error(&proto::readlink(2), Errno::ENOSYS);
}

/// The kernel says that it ends the connection (`FUSE_DESTROY`), and does not take what is answered after that.
fn nothing_is_taken_back_after_destroy<L: Style>() {
    for destroyed in [false, true] {
        let (sender, replies) = mpsc::channel();
        let fs = Probe::<L>::new(move |cx, _| {
            let (reply, deferred) = cx.defer();
            sender.send(reply).unwrap();
            Err(deferred.into())
        });
        let mut wire = Wire::with(fs, L::lock(), |builder| builder.workers(1));
        wire.send(&proto::lookup(1, b"name"));
        let reply = await_from(&replies);
        handler_has_returned(&mut wire);
        if destroyed {
            wire.expect(&proto::destroy(), b"");
        }
        wire.refuse_for_good();
        reply.send(Ok(ENTRY));
        assert_eq!(wire.handle.stats().not_taken, 1);
        let end = wire.end();
        let taken_back = end.fs.taken_back.lock();
        assert_eq!(taken_back.len(), usize::from(!destroyed), "{taken_back:?}");
    }
}

/// Reads wait for the test, or for a write.
struct Waiting {
    init: Capabilities,
    /// The reads, and how much each wants.
    reads: Mutex<Sender<(Reply<Data<'static>>, usize)>>,
    /// What a write does first.
    writes: Box<dyn Fn() + Send + Sync>,
    written: Mutex<Vec<u8>>,
    /// The write came in a pipe.
    in_pipe: AtomicBool,
}

type Reads = Receiver<(Reply<Data<'static>>, usize)>;

impl Waiting {
    fn new(init: Capabilities) -> (Self, Reads) {
        let (sender, reads) = mpsc::channel();
        let fs = Self {
            init,
            reads: Mutex::new(sender),
            writes: Box::new(|| ()),
            written: Mutex::default(),
            in_pipe: AtomicBool::new(false),
        };
        (fs, reads)
    }
}

impl Filesystem for Waiting {
    type Lock = Concurrent;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        Ok(connection.want(self.init)?)
    }

    fn read(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        _: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        let (reply, deferred) = cx.defer();
        let reads = self.reads.lock().unwrap();
        reads.send((reply, out.size())).unwrap();
        Err(deferred.into())
    }

    fn write_buf(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        _: u64,
        mut data: WriteData<'_>,
    ) -> Answer<usize> {
        let in_pipe = data.as_slice().is_none();
        self.in_pipe.store(in_pipe, Ordering::SeqCst);
        (self.writes)();
        let bytes = data.bytes()?;
        *self.written.lock().unwrap() = bytes.to_vec();
        Ok(bytes.len())
    }
}

/// Both use the pipe of the worker, if they may: the write's data are there until they are read.
#[test]
fn a_reply_by_splice_before_the_data_of_a_write_is_read() {
    let known = Capabilities::known(); // on musl no pipe
    let splices = [Capabilities::SPLICE_READ, Capabilities::SPLICE_WRITE];
    let splices = splices.into_iter().filter(|it| known.contains(*it));
    let splices: Capabilities = splices.collect();
    // As for `writes_bit_by_bit`.
    let mut tries = 0..20;
    while !splices_in_a_write(splices) && splices.contains(Capabilities::SPLICE_READ) {
        assert!(tries.next().is_some(), "no write came in a pipe");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Whether the write came in a pipe.
fn splices_in_a_write(splices: Capabilities) -> bool {
    const SIZE: usize = 131_072;
    let (read_bytes, mut written) = (contents(SIZE), contents(SIZE));
    written.reverse();
    let real = Arc::new(file(&read_bytes));
    let (mut fs, reads) = Waiting::new(splices);
    let reads = Mutex::new(reads);
    fs.writes = Box::new(move || {
        let (reply, size) = await_from(&reads.lock().unwrap());
        reply.send(Ok(ReadBuf::new(size).splice(
            Arc::clone(&real),
            0,
            usize::MAX,
        )));
    });
    // The handler of the read has returned when that of the write answers it.
    let mut wire = Wire::with(fs, Concurrent, |builder| builder.workers(1));
    let reading = wire.send(&read(0, u32::try_from(SIZE).unwrap()));
    let writing = wire.send(&write(&written));
    let mut replies = [wire.receive_spliced(), wire.receive_spliced()];
    replies.sort_by_key(Vec::len);
    let [to_write, to_read] = replies;
    let size = u32::try_from(SIZE).unwrap();
    assert_eq!(to_write, proto::reply(writing, &proto::size_out(size)));
    assert!(to_read == proto::reply(reading, &read_bytes));
    let end = wire.end();
    assert!(*end.fs.written.lock().unwrap() == written);
    end.fs.in_pipe.load(Ordering::SeqCst)
}

/// Its destructor panics.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic_any(PANIC);
    }
}

/// An answer whose destructor panics, and that may panic before.
fn bomb(size: usize, panics: bool) -> Data<'static> {
    let bomb = Bomb;
    ReadBuf::new(size).later(move |room| {
        let _bomb = &bomb;
        if panics {
            panic_any(PANIC);
        }
        room.fill(7);
        Ok(room.len())
    })
}

/// A handler returns them.
struct Bombs;

impl Filesystem for Bombs {
    type Lock = Concurrent;

    fn read(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        Ok(bomb(out.size(), offset == 1))
    }
}

/// The client has its answer in any case, and the worker goes on.
#[test]
fn a_destructor_that_panics() {
    let mut wire = Wire::new(Bombs, Concurrent);
    for _ in 0..3 {
        wire.expect(&read(0, 10), &[7; 10]);
        wire.expect_error(&read(1, 10), Errno::EIO);
    }
    // One of each answer, and two of each that panicked before.
    assert_eq!(wire.end().stats.panics, 9);
}

/// The same on a thread of the program's, and where the kernel takes nothing, or nobody waits any more.
#[test]
fn a_destructor_that_panics_elsewhere() {
    let (fs, reads) = Waiting::new(Capabilities::empty());
    let mut wire = Wire::with(fs, Concurrent, |builder| builder.workers(1));
    let handle = wire.handle.clone();
    let panics = || handle.stats().panics;
    let send = |wire: &mut Wire<Waiting>, panics| {
        let (reply, size) = await_from(&reads);
        handler_has_returned(wire);
        // It is the application's thread, and goes on.
        let sender = thread::spawn(move || reply.send(Ok(bomb(size, panics))));
        sender.join().expect("the panic is caught");
    };
    let unique = wire.send(&read(0, 10));
    send(&mut wire, false);
    assert_eq!(wire.receive(), proto::reply(unique, &[7; 10]));
    assert_eq!(panics(), 1);
    let unique = wire.send(&read(0, 10));
    send(&mut wire, true);
    assert_eq!(wire.receive(), proto::error(unique, libc::EIO));
    assert_eq!(panics(), 3);
    wire.send(&read(0, 10));
    wire.send(&read(0, 10));
    let late = await_from(&reads).0;
    handler_has_returned(&mut wire);
    wire.refuse_for_good();
    let (reply, size) = await_from(&reads);
    reply.send(Ok(bomb(size, false)));
    assert_eq!((panics(), handle.stats().not_taken), (4, 1));
    wire.end();
    let sender = thread::spawn(move || late.send(Ok(bomb(10, false))));
    sender.join().expect("the panic is caught");
    assert_eq!(panics(), 5);
}

/// What `destroy` does with the replies that the file system has kept.
#[derive(Clone, Copy, Debug)]
enum Kept {
    Sent,
    Dropped,
}

struct Keeping {
    kept: Mutex<Vec<Reply<Entry>>>,
    keeps: Mutex<Sender<()>>,
    how: Kept,
}

impl Filesystem for Keeping {
    type Lock = Concurrent;

    fn lookup(&self, cx: &mut Context<'_, Self>, _: Ino, _: &std::ffi::OsStr) -> Answer<Entry> {
        let (reply, deferred) = cx.defer();
        self.kept.lock().unwrap().push(reply);
        self.keeps.lock().unwrap().send(()).unwrap();
        Err(deferred.into())
    }

    fn destroy(&self, _: &mut Guard<'_, Self>) {
        for reply in self.kept.lock().unwrap().drain(..) {
            match self.how {
                Kept::Sent => reply.send(enoent()),
                Kept::Dropped => drop(reply),
            }
        }
    }
}

/// When the kernel asks for it, the clients get their answers; at the end of the session nobody waits any more.
#[test]
fn replies_in_destroy() {
    for how in [Kept::Sent, Kept::Dropped] {
        for asked in [false, true] {
            let (keeps, kept) = mpsc::channel();
            let fs = Keeping {
                kept: Mutex::default(),
                keeps: Mutex::new(keeps),
                how,
            };
            let mut wire = Wire::new(fs, Concurrent);
            let unique = wire.send(&proto::lookup(1, b"name"));
            await_from(&kept);
            if asked {
                let destroy = wire.send(&proto::destroy());
                let errno = match how {
                    Kept::Sent => libc::ENOENT,
                    Kept::Dropped => libc::EIO,
                };
                // The lookup's handler may return after that.
                let mut replies = [wire.receive(), wire.receive()];
                replies.sort_by_key(|reply| u64::from_ne_bytes(reply[8..16].try_into().unwrap()));
                let expected = [proto::error(unique, errno), proto::reply(destroy, b"")];
                assert_eq!(replies, expected, "{how:?}");
            }
            // Nothing more comes.
            let end = wire.end();
            assert!(end.fs.kept.lock().unwrap().is_empty());
            assert_eq!(end.stats.panics, 0);
        }
    }
}

/// While a session ends, a program that looks all the time sees it end once.
#[test]
fn the_end_is_told_once() {
    for round in 0..300 {
        let wire = Wire::new(Bare::<Concurrent>::new(), Concurrent);
        let handle = wire.handle.clone();
        let is_over = AtomicBool::new(false);
        let looks = AtomicBool::new(false);
        thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut was_ending = false;
                while !is_over.load(Ordering::SeqCst) {
                    let is_ending = handle.is_ending();
                    if was_ending && !is_ending {
                        return false;
                    }
                    was_ending = is_ending;
                    looks.store(true, Ordering::SeqCst);
                }
                handle.is_ending()
            });
            until("it is watched", || looks.load(Ordering::SeqCst));
            if round % 2 == 0 {
                wire.end();
            } else {
                // What `run` makes of a connection that is lost is not the matter here.
                drop(wire.close());
            }
            is_over.store(true, Ordering::SeqCst);
            assert!(
                watcher.join().unwrap(),
                "round {round}: it was ending, and is not"
            );
        });
    }
}
