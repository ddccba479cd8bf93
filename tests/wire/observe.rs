//! What observers are told: of which requests, in which order, on which threads.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::thread::{self, ThreadId};
use std::time::Duration;

use fuse3::observe::{Observed, Observer, Outcome};
use fuse3::session::OnPanic;
use fuse3::{Concurrent, Errno, GlobalLock, Ino, Operation};
use parking_lot::Mutex;

use crate::harness::{Wire, until};
use crate::logger::{self, PANIC};
use crate::probe::{Probe, await_from, enoent};
use crate::proto;
use crate::recorder::{ENTRY, Locked, Style, in_both_styles};

in_both_styles! {
    each_request_begins_and_ends deferred_answers answered_in_the_handler_by_another_thread
    answered_by_c_code answered_by_c_code_in_the_handler a_panic_of_the_handler a_panic_of_an_observer
    refused_when_poisoned not_answered_at_the_end answers_that_are_not_taken what_wants_no_answer
    each_worker_starts_and_ends several_observers
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Started,
    Begun(Observed),
    /// By the file system itself.
    Handler,
    Handled(Observed, bool),
    Ended(Observed, Outcome),
    Stopped,
}

/// Writes down what it is told, and on which thread.
#[derive(Default)]
struct Notes(Mutex<Vec<(ThreadId, Told)>>);

impl Notes {
    fn note(&self, told: Told) {
        self.0.lock().push((thread::current().id(), told));
    }

    /// What was told of requests: the letter of each, and its number.
    fn of_requests(&self) -> Vec<String> {
        let all = self.0.lock();
        let line = |(_, told): &(ThreadId, Told)| match told {
            Told::Started | Told::Stopped => None,
            Told::Begun(request) => Some(format!("begun {}", request.number)),
            Told::Handler => Some("handler".to_owned()),
            Told::Handled(request, false) => Some(format!("handled {}", request.number)),
            Told::Handled(request, true) => Some(format!("deferred {}", request.number)),
            Told::Ended(request, _) => Some(format!("ended {}", request.number)),
        };
        all.iter().filter_map(line).collect()
    }

    fn outcomes(&self) -> Vec<(Observed, Outcome)> {
        let all = self.0.lock();
        let outcome = |(_, told): &(ThreadId, Told)| match told {
            Told::Ended(request, outcome) => Some((*request, *outcome)),
            _ => None,
        };
        all.iter().filter_map(outcome).collect()
    }

    fn errors(&self) -> Vec<Option<Errno>> {
        let outcomes = self.outcomes();
        outcomes.iter().map(|(_, outcome)| outcome.errno).collect()
    }

    /// The thread on which the first of these was told.
    fn thread(&self, which: impl Fn(&Told) -> bool) -> ThreadId {
        let all = self.0.lock();
        all.iter().find(|(_, told)| which(told)).unwrap().0
    }

    /// Each request began, was handled and ended once, in this order, the first two on one thread.
    #[track_caller]
    fn assert_complete(&self, requests: u64) {
        let all = self.0.lock();
        for number in 1..=requests {
            let of = |(thread, told): &(ThreadId, Told)| match told {
                Told::Begun(it) if it.number == number => Some((0, *thread)),
                Told::Handled(it, _) if it.number == number => Some((1, *thread)),
                Told::Ended(it, _) if it.number == number => Some((2, *thread)),
                _ => None,
            };
            let told: Vec<_> = all.iter().filter_map(of).collect();
            let steps: Vec<_> = told.iter().map(|(step, _)| *step).collect();
            assert_eq!(steps, [0, 1, 2], "{number}: {all:?}");
            assert_eq!(told[0].1, told[1].1, "{number}: {all:?}");
        }
        let count = |which: fn(&Told) -> bool| all.iter().filter(|(_, told)| which(told)).count();
        let begun = count(|told| matches!(told, Told::Begun(_)));
        assert_eq!(begun as u64, requests);
        let started = count(|told| matches!(told, Told::Started));
        assert_eq!(count(|told| matches!(told, Told::Stopped)), started);
    }
}

impl Observer for Notes {
    fn worker_started(&self) {
        self.note(Told::Started);
    }

    fn worker_ended(&self) {
        self.note(Told::Stopped);
    }

    fn begun(&self, request: &Observed) {
        self.note(Told::Begun(*request));
    }

    fn handled(&self, request: &Observed, deferred: bool) {
        self.note(Told::Handled(*request, deferred));
    }

    fn ended(&self, request: &Observed, outcome: &Outcome) {
        self.note(Told::Ended(*request, *outcome));
    }
}

fn observed<L: Style>(fs: Probe<L>) -> (Arc<Notes>, Wire<Probe<L>>) {
    let notes = Arc::new(Notes::default());
    let observer = Arc::clone(&notes);
    let wire = Wire::with(fs, L::lock(), |builder| builder.observe(observer));
    (notes, wire)
}

fn each_request_begins_and_ends<L: Style>() {
    let fs = Probe::<L>::new(|_, name| match name.to_str() {
        Some("there") => Ok(ENTRY),
        _ => enoent(),
    });
    let (notes, mut wire) = observed(fs);
    wire.expect(&proto::lookup(5, b"there"), &proto::entry_out(&ENTRY));
    wire.expect_error(&proto::lookup(6, b"not there"), Errno::ENOENT);
    // It has no handler.
    wire.expect_error(&proto::readlink(7), Errno::ENOSYS);
    wire.end();
    notes.assert_complete(3);
    let mut outcomes = notes.outcomes();
    outcomes.sort_by_key(|(request, _)| request.number);
    let expected = [
        (Operation::Lookup, 5, None),
        (Operation::Lookup, 6, Some(Errno::ENOENT)),
        (Operation::Readlink, 7, Some(Errno::ENOSYS)),
    ];
    for ((request, outcome), (operation, ino, errno)) in outcomes.iter().zip(expected) {
        assert_eq!((request.operation, request.ino), (operation, Ino(ino)));
        assert_eq!(request.caller, proto::CALLER);
        assert_eq!((outcome.errno, outcome.taken), (errno, true));
        assert!(outcome.took >= outcome.waited + outcome.held, "{outcome:?}");
        if !L::LOCKED {
            assert_eq!([outcome.waited, outcome.held], [Duration::ZERO; 2]);
        }
    }
}

/// The reply is sent by another thread, after the handler has returned.
fn deferred_answers<L: Style>() {
    let (sender, receiver) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, _| {
        let (reply, deferred) = cx.defer();
        sender.send(reply).unwrap();
        Err(deferred.into())
    });
    let (notes, mut wire) = observed(fs);
    let unique = wire.send(&proto::lookup(1, b"name"));
    let reply = await_from(&receiver);
    until("the handler has returned", || {
        notes.of_requests() == ["begun 1", "deferred 1"]
    });
    reply.send(enoent());
    assert_eq!(wire.receive(), proto::error(unique, libc::ENOENT));
    // `send` has told them when it returns.
    assert_eq!(notes.errors(), [Some(Errno::ENOENT)]);
    let ended = notes.thread(|told| matches!(told, Told::Ended(..)));
    assert_eq!(ended, thread::current().id());
    wire.end();
    notes.assert_complete(1);
}

/// The answer waits until the handler has returned.
fn answered_in_the_handler_by_another_thread<L: Style>() {
    let fs = Probe::<L>::new(|cx, _| {
        let (reply, deferred) = cx.defer();
        thread::scope(|scope| scope.spawn(|| reply.send(Ok(ENTRY))).join().unwrap());
        Err(deferred.into())
    });
    let (notes, mut wire) = observed(fs);
    wire.expect(&proto::lookup(1, b"name"), &proto::entry_out(&ENTRY));
    wire.end();
    notes.assert_complete(1);
    assert_eq!(notes.errors(), [None]);
    let [begun, ended] = [
        notes.thread(|told| matches!(told, Told::Begun(_))),
        notes.thread(|told| matches!(told, Told::Ended(..))),
    ];
    assert_eq!(begun, ended);
}

/// `fuse_reply_err()`, as C code calls it.
fn reply_err(raw: &fuse3::reply::RawReply<fuse3::Entry>) {
    // SAFETY: the `RawReply` lives, and nobody else answers.
    unsafe { fuse3::sys::fuse_reply_err(raw.as_ptr(), libc::EPERM) };
}

fn answered_by_c_code<L: Style>() {
    let (sender, receiver) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, _| {
        let (reply, deferred) = cx.defer();
        sender.send(reply.into_raw().unwrap()).unwrap();
        Err(deferred.into())
    });
    let (notes, mut wire) = observed(fs);
    let unique = wire.send(&proto::lookup(1, b"name"));
    let raw = await_from(&receiver);
    until("the handler has returned", || {
        notes.of_requests() == ["begun 1", "deferred 1"]
    });
    reply_err(&raw);
    assert_eq!(wire.receive(), proto::error(unique, libc::EPERM));
    drop(raw);
    // What C code has answered is not known.
    assert_eq!(notes.errors(), [None]);
    wire.end();
    notes.assert_complete(1);
}

fn answered_by_c_code_in_the_handler<L: Style>() {
    let fs = Probe::<L>::new(|cx, _| {
        let (reply, deferred) = cx.defer();
        let raw = reply.into_raw().unwrap();
        reply_err(&raw);
        raw.answered(0);
        Err(deferred.into())
    });
    let (notes, mut wire) = observed(fs);
    wire.expect_error(&proto::lookup(1, b"name"), Errno::EPERM);
    wire.end();
    assert_eq!(notes.of_requests(), ["begun 1", "deferred 1", "ended 1"]);
    notes.assert_complete(1);
}

fn a_panic_of_the_handler<L: Style>() {
    let fs = Probe::<L>::new(|_, _| std::panic::panic_any(PANIC));
    let notes = Arc::new(Notes::default());
    let observer = Arc::clone(&notes);
    let mut wire = Wire::with(fs, L::lock(), |builder| {
        builder.on_panic(OnPanic::Continue).observe(observer)
    });
    wire.expect_error(&proto::lookup(1, b"name"), Errno::EIO);
    wire.end();
    notes.assert_complete(1);
    assert_eq!(notes.errors(), [Some(Errno::EIO)]);
}

/// Panics whenever it is told something.
struct Panicking(Arc<AtomicUsize>);

impl Panicking {
    fn panic(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        std::panic::panic_any(PANIC)
    }
}

impl Observer for Panicking {
    fn worker_started(&self) {
        self.panic();
    }

    fn worker_ended(&self) {
        self.panic();
    }

    fn begun(&self, _: &Observed) {
        self.panic();
    }

    fn handled(&self, _: &Observed, _: bool) {
        self.panic();
    }

    fn ended(&self, _: &Observed, _: &Outcome) {
        self.panic();
    }
}

/// Its file system's requests are answered, its session goes on, and the next observer is told.
fn a_panic_of_an_observer<L: Style>() {
    let panics = Arc::new(AtomicUsize::new(0));
    let notes = Arc::new(Notes::default());
    let (first, second) = (Panicking(Arc::clone(&panics)), Arc::clone(&notes));
    let fs = Probe::<L>::new(|cx, _| {
        let (reply, deferred) = cx.defer();
        reply.send(Ok(ENTRY));
        Err(deferred.into())
    });
    let logged = logger::count("an observer panicked in ended");
    let mut wire = Wire::with(fs, L::lock(), |builder| {
        builder.observe(first).observe(second)
    });
    for _ in 0..2 {
        wire.expect(&proto::lookup(1, b"name"), &proto::entry_out(&ENTRY));
    }
    let end = wire.end();
    assert_eq!(end.stats.panics, 0);
    notes.assert_complete(2);
    let told = notes.0.lock().len();
    assert_eq!(panics.load(Ordering::SeqCst), told);
    assert!(logger::count("an observer panicked in ended") >= logged + 2);
}

fn refused_when_poisoned<L: Style>() {
    let fs = Probe::<L>::new(|_, _| std::panic::panic_any(PANIC));
    let notes = Arc::new(Notes::default());
    let observer = Arc::clone(&notes);
    let mut wire = Wire::with(fs, L::lock(), |builder| {
        builder.on_panic(OnPanic::Poison).observe(observer)
    });
    for _ in 0..2 {
        wire.expect_error(&proto::lookup(1, b"name"), Errno::EIO);
    }
    assert!(wire.handle.is_poisoned());
    assert_eq!(wire.end().stats.panics, 1);
    notes.assert_complete(2);
    assert_eq!(notes.errors(), [Some(Errno::EIO); 2]);
}

/// The kernel answers for them.
fn not_answered_at_the_end<L: Style>() {
    let (sender, receiver) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, _| {
        let (reply, deferred) = cx.defer::<fuse3::Entry>();
        sender.send(reply).unwrap();
        Err(deferred.into())
    });
    let (notes, mut wire) = observed(fs);
    wire.send(&proto::lookup(1, b"name"));
    let reply = await_from(&receiver);
    wire.end();
    notes.assert_complete(1);
    assert_eq!(notes.errors(), [Some(Errno::ECONNABORTED)]);
    // Nobody waits for it any more, and nobody is told.
    drop(reply);
    assert_eq!(notes.outcomes().len(), 1);
}

fn answers_that_are_not_taken<L: Style>() {
    let fs = Probe::<L>::new(|_, _| Ok(ENTRY));
    let (notes, mut wire) = observed(fs);
    let stuffed = wire.refuse(false);
    wire.send(&proto::lookup(1, b"name"));
    until("it has ended", || notes.outcomes().len() == 1);
    wire.accept(stuffed);
    let end = wire.end();
    // What is taken back is no request.
    notes.assert_complete(1);
    let (_, outcome) = notes.outcomes()[0];
    assert_eq!((outcome.errno, outcome.taken), (None, false));
    assert_eq!(end.fs.taken_back.lock().len(), 1);
}

/// `forget`: it ends when its handler has returned.
fn what_wants_no_answer<L: Style>() {
    struct Fs<L>(Arc<Notes>, std::marker::PhantomData<fn() -> L>);
    impl<L: Style> fuse3::Filesystem for Fs<L> {
        type Lock = L;
        fn forget(&self, _: &mut fuse3::Context<'_, Self>, _: Ino, _: u64) {
            self.0.note(Told::Handler);
        }
    }
    let notes = Arc::new(Notes::default());
    let observer = Arc::clone(&notes);
    let fs = Fs::<L>(Arc::clone(&notes), std::marker::PhantomData);
    let mut wire = Wire::with(fs, L::lock(), |builder| builder.observe(observer));
    wire.send(&proto::forget(5, 1));
    wire.has_come(Operation::Forget);
    wire.end();
    let told = ["begun 1", "handler", "handled 1", "ended 1"];
    assert_eq!(notes.of_requests(), told);
    notes.assert_complete(1);
    let (request, outcome) = notes.outcomes()[0];
    assert_eq!(
        (request.operation, request.ino),
        (Operation::Forget, Ino(5))
    );
    assert_eq!((outcome.errno, outcome.taken), (None, true));
}

/// Several handlers meet, so that there are as many workers.
fn each_worker_starts_and_ends<L: Style>() {
    const MANY: usize = 4;
    let meeting = Barrier::new(MANY);
    let fs = Probe::<L>::new(move |cx, _| {
        L::released(cx, || {
            meeting.wait();
        });
        enoent()
    });
    let (notes, mut wire) = observed(fs);
    for _ in 0..MANY {
        wire.send(&proto::lookup(1, b"name"));
    }
    for _ in 0..MANY {
        wire.receive();
    }
    wire.end();
    notes.assert_complete(MANY as u64);
    let all = notes.0.lock();
    let told = |wanted: Told| all.iter().filter(move |(_, told)| *told == wanted);
    let threads: HashSet<_> = told(Told::Started).map(|(thread, _)| *thread).collect();
    assert!(threads.len() >= MANY);
    assert_eq!(threads.len(), told(Told::Started).count());
    for thread in threads {
        let mut of: Vec<_> = all.iter().filter(|(it, _)| *it == thread).collect();
        assert_eq!(of.remove(0).1, Told::Started);
        assert_eq!(of.pop().unwrap().1, Told::Stopped);
        assert!(
            !of.iter()
                .any(|(_, told)| *told == Told::Started || *told == Told::Stopped)
        );
    }
}

fn several_observers<L: Style>() {
    let notes = Arc::new(Notes::default());
    let observers = [Arc::clone(&notes), Arc::clone(&notes)];
    let fs = Probe::<L>::new(|_, _| enoent());
    let mut wire = Wire::with(fs, L::lock(), |builder| {
        observers
            .into_iter()
            .fold(builder, |builder, it| builder.observe(it))
    });
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    wire.end();
    let twice = [
        "begun 1",
        "begun 1",
        "handled 1",
        "handled 1",
        "ended 1",
        "ended 1",
    ];
    assert_eq!(notes.of_requests(), twice);
}

/// A handler that waits for an application thread, holds the lock, and releases it for a while.
#[test]
fn the_times_of_the_lock() {
    const LONG: Duration = Duration::from_millis(20);
    let fs = Probe::<Locked>::new(|cx, _| {
        thread::sleep(LONG);
        cx.released(|_| thread::sleep(3 * LONG));
        enoent()
    });
    let lock = Locked::lock();
    let notes = Arc::new(Notes::default());
    let observer = Arc::clone(&notes);
    let mut wire = Wire::with(fs, Arc::clone(&lock), |builder| builder.observe(observer));
    let guard = GlobalLock::lock(&lock).unwrap();
    let unique = wire.send(&proto::lookup(1, b"name"));
    until("the handler waits", || !lock.stats().waiters.is_empty());
    thread::sleep(2 * LONG);
    drop(guard);
    assert_eq!(wire.receive(), proto::error(unique, libc::ENOENT));
    wire.end();
    let (_, outcome) = notes.outcomes()[0];
    assert!(outcome.waited >= 2 * LONG, "{outcome:?}");
    assert!(outcome.held >= LONG, "{outcome:?}");
    assert!(
        outcome.held + outcome.waited + 3 * LONG <= outcome.took,
        "{outcome:?}"
    );
}

/// What takes an answer back runs on a thread of the library's where the lock is held by whoever gives the answer.
#[test]
fn a_thread_that_takes_back_is_a_worker() {
    let (sender, receiver) = mpsc::channel();
    let fs = Probe::<Locked>::new(move |cx, _| {
        let (reply, deferred) = cx.defer();
        sender.send(reply).unwrap();
        Err(deferred.into())
    });
    let lock = Locked::lock();
    let notes = Arc::new(Notes::default());
    let observer = Arc::clone(&notes);
    let mut wire = Wire::with(fs, Arc::clone(&lock), |builder| builder.observe(observer));
    wire.send(&proto::lookup(1, b"name"));
    let reply = await_from(&receiver);
    until("the handler has returned", || {
        notes.of_requests().len() == 2
    });
    let stuffed = wire.refuse(false);
    let started = |notes: &Notes| {
        let all = notes.0.lock();
        all.iter()
            .filter(|(_, told)| *told == Told::Started)
            .count()
    };
    let before = started(&notes);
    let guard = GlobalLock::lock(&lock).unwrap();
    reply.send(Ok(ENTRY));
    drop(guard);
    until("a thread has started", || started(&notes) == before + 1);
    let ended = |notes: &Notes| {
        let all = notes.0.lock();
        all.iter()
            .filter(|(_, told)| *told == Told::Stopped)
            .count()
    };
    until("it has ended", || ended(&notes) >= 1);
    wire.accept(stuffed);
    let end = wire.end();
    assert_eq!(end.fs.taken_back.lock().len(), 1);
    notes.assert_complete(1);
}

/// A session that nobody observes hears nothing of another one's.
#[test]
fn another_session_is_not_observed() {
    let (notes, mut wire) = observed(Probe::<Concurrent>::new(|_, _| enoent()));
    let mut other = Wire::new(Probe::<Concurrent>::new(|_, _| enoent()), Concurrent);
    other.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    other.end();
    wire.end();
    notes.assert_complete(1);
}
