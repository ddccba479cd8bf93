//! The life of a session: INIT and what it negotiates, DESTROY, and the ends.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fuse3::lock::Condvar;
use fuse3::session::{OnPanic, Served, Stopped};
use fuse3::{
    Capabilities, Concurrent, Entry, Errno, Filesystem, Operation, Reason, Reply, Session,
};
use parking_lot::Mutex;

use crate::every::{end, recorded};
use crate::harness::{Wire, until};
use crate::logger::PANIC;
use crate::probe::{Probe, await_from, enoent};
use crate::proto::{self, InitIn, InitOut, init};
use crate::recorder::{ENTRY, How, Locked, Recorder, Style, in_both_styles};

in_both_styles! {
    a_session_serves_again
    init_fails init_panics init_panics_and_the_session_goes_on destroy_comes_once destroy_panics a_panic_ends_the_session
    handlers_in_flight_are_answered replies_outstanding_at_the_end a_terminate_in_a_handler
    blocked_handlers replies_in_the_file_system_at_the_end
}

/// INIT with this offer, to a file system that wants this.
fn negotiate(offer: InitIn, wants: Capabilities) -> (InitOut, Capabilities) {
    let fs = Recorder::<Concurrent>::new();
    *fs.wants.lock() = wants;
    let mut wire = Wire::connect(fs.clone(), Concurrent, |builder| builder);
    let reply = wire.init(offer);
    let wanted = fs.wanted.lock().unwrap();
    wire.end();
    fs.assert_log(&[]);
    (reply, wanted)
}

/// What libfuse asks for without being asked.
const ASKED: u32 = init::BIG_WRITES
    | init::MAX_PAGES
    | init::ASYNC_READ
    | init::ATOMIC_O_TRUNC
    | init::AUTO_INVAL_DATA
    | init::ASYNC_DIO;

/// What libfuse asks for when there is a handler for it.
const BY_SLOT: Capabilities = Capabilities::POSIX_LOCKS
    .union(Capabilities::FLOCK_LOCKS)
    .union(Capabilities::READDIRPLUS)
    .union(Capabilities::READDIRPLUS_AUTO)
    .union(Capabilities::SPLICE_READ);

/// The flags of a reply; libfuse 3.10 does not know of the second half.
fn flags(reply: &InitOut) -> u32 {
    assert_eq!(reply.flags2, 0);
    reply.flags & !init::INIT_EXT
}

#[test]
fn init_asks_for_nothing_because_there_is_a_handler() {
    let (reply, wanted) = negotiate(InitIn::default(), Capabilities::empty());
    assert_eq!(flags(&reply), ASKED);
    assert!(!wanted.intersects(BY_SLOT), "{wanted:?}");
    assert_eq!(
        InitOut {
            major: 7,
            minor: reply.minor,
            max_readahead: 128 << 10,
            flags: reply.flags,
            max_background: 0,
            congestion_threshold: 0,
            max_write: 1 << 20,
            time_gran: 1,
            max_pages: 256,
            flags2: 0,
            rest: vec![0; 30],
        },
        reply
    );
}

#[test]
fn init_asks_for_what_the_file_system_wants() {
    use Capabilities as Want;
    for (want, flag) in [
        (Want::POSIX_LOCKS, init::POSIX_LOCKS),
        (Want::FLOCK_LOCKS, init::FLOCK_LOCKS),
        (Want::READDIRPLUS, init::DO_READDIRPLUS),
        (
            Want::READDIRPLUS | Want::READDIRPLUS_AUTO,
            init::DO_READDIRPLUS | init::READDIRPLUS_AUTO,
        ),
        (Want::EXPORT_SUPPORT, init::EXPORT_SUPPORT),
        (Want::WRITEBACK_CACHE, init::WRITEBACK_CACHE),
        // Not told to the kernel, which knows no difference.
        (Want::SPLICE_WRITE, 0),
    ] {
        let (reply, _) = negotiate(InitIn::default(), want);
        assert_eq!(flags(&reply), ASKED | flag, "{want:?}");
    }
}

#[test]
fn init_with_a_kernel_that_offers_nothing() {
    let offer = InitIn {
        minor: 31,
        max_readahead: 4096,
        flags: 0,
        flags2: 0,
        ..InitIn::default()
    };
    let (reply, _) = negotiate(offer, Capabilities::empty());
    assert_eq!(reply.flags, init::BIG_WRITES);
    assert_eq!((reply.max_readahead, reply.max_pages), (4096, 0));
    // 32 pages, where the kernel has no say in it.
    assert_eq!(reply.max_write, 128 << 10);
}

/// `Connection::want` refuses what libfuse would end the session for.
#[test]
fn init_wants_what_is_not_offered() {
    let fs = Recorder::<Concurrent>::new();
    *fs.wants.lock() = Capabilities::WRITEBACK_CACHE | Capabilities::EXPORT_SUPPORT;
    let mut wire = Wire::connect(fs.clone(), Concurrent, |builder| builder);
    let offer = InitIn {
        flags: init::LINUX & !init::WRITEBACK_CACHE,
        ..InitIn::default()
    };
    wire.init(offer);
    let error = wire.wait().unwrap_err().to_string();
    assert!(error.contains("WRITEBACK_CACHE"), "{error}");
    assert!(!error.contains("EXPORT_SUPPORT"), "{error}");
}

#[test]
fn a_protocol_that_is_too_old() {
    let fs = Recorder::<Concurrent>::new();
    let mut wire = Wire::connect(fs.clone(), Concurrent, |builder| builder);
    let offer = InitIn {
        major: 6,
        ..InitIn::default()
    };
    wire.expect_error(&proto::init(offer), Errno::EPROTO);
    wire.end();
    // Without `init`, there is no `destroy`.
    let none: [&str; 0] = [];
    assert_eq!(fs.further_calls(), none);
}

#[test]
fn requests_before_init_and_a_second_init() {
    let fs = Recorder::<Concurrent>::new();
    let mut wire = Wire::connect(fs.clone(), Concurrent, |builder| builder);
    wire.expect_error(&proto::getattr(1, None), Errno::EIO);
    wire.init(InitIn::default());
    wire.expect_error(&proto::init(InitIn::default()), Errno::EIO);
    wire.end();
    assert_eq!(fs.further_calls(), ["init", "destroy"]);
}

/// What there is no handler for.
#[test]
fn unknown_operations() {
    let (fs, mut wire) = recorded::<Concurrent>();
    // SETUPMAPPING, which is for virtiofs, and those that no kernel has.
    for opcode in [48, 60, 1000, u32::MAX] {
        let request = proto::Request {
            opcode,
            body: vec![0; 64],
            ..proto::destroy()
        };
        wire.expect_error(&request, Errno::ENOSYS);
    }
    end(&fs, wire);
}

fn init_fails<L: Style>() {
    let fs = Recorder::<L>::new();
    *fs.init.lock() = Err(libc::EUCLEAN);
    let mut wire = Wire::connect(fs.clone(), fs.lock.clone(), |builder| builder);
    wire.init(InitIn::default());
    let error = wire.wait().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EUCLEAN));
    assert_eq!(fs.further_calls(), ["init", "destroy"]);
    let line = format!("ERROR fuse3: init failed: {error}");
    fs.assert_log(&[&line]);
}

fn init_panics<L: Style>() {
    let fs = Recorder::<L>::new();
    fs.answer(How::Panic);
    let mut wire = Wire::connect(fs.clone(), fs.lock.clone(), |builder| {
        builder.on_panic(OnPanic::End)
    });
    wire.init(InitIn::default());
    let panic = wire.wait_or_panic().unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&PANIC));
    assert_eq!(fs.further_calls(), ["init", "destroy"]);
    wire.assert_lock_free();
}

fn init_panics_and_the_session_goes_on<L: Style>() {
    let fs = Recorder::<L>::new();
    fs.answer(How::Panic);
    let mut wire = Wire::new(fs.clone(), fs.lock.clone());
    fs.answer(How::Answer);
    wire.expect(&proto::access(1, 0), &[]);
    assert_eq!(wire.end().stats.panics, 1);
}

/// The kernel sends DESTROY for fuseblk mounts; otherwise the end of the session is it.
fn destroy_comes_once<L: Style>() {
    let (fs, mut wire) = recorded::<L>();
    wire.expect(&proto::destroy(), &[]);
    assert_eq!(fs.further_calls(), ["destroy"]);
    wire.end();
    let none: [&str; 0] = [];
    assert_eq!(fs.further_calls(), none);
}

fn destroy_panics<L: Style>() {
    for on_panic in [OnPanic::End, OnPanic::Continue, OnPanic::Poison] {
        let fs = Recorder::<L>::new();
        let mut wire = Wire::with(fs.clone(), fs.lock.clone(), |builder| {
            builder.on_panic(on_panic)
        });
        fs.answer(How::Panic);
        wire.handle.terminate();
        let ended = wire.wait_or_panic();
        match on_panic {
            OnPanic::End => {
                let panic = ended.unwrap_err();
                assert_eq!(panic.downcast_ref::<&str>(), Some(&PANIC));
            }
            _ => assert_eq!(ended.unwrap().unwrap().stats.panics, 1),
        }
        assert_eq!(fs.further_calls(), ["init", "destroy"]);
        wire.assert_lock_free();
        wire.assert_closed();
    }
}

/// llfuse's way: EIO to that caller, and `run` resumes the panic.
fn a_panic_ends_the_session<L: Style>() {
    let fs = Recorder::<L>::new();
    let mut wire = Wire::with(fs.clone(), fs.lock.clone(), |builder| {
        builder.on_panic(OnPanic::End)
    });
    fs.answer(How::Panic);
    wire.expect_error(&proto::lookup(1, b"name"), Errno::EIO);
    let panic = wire.wait_or_panic().unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&PANIC));
    assert_eq!(fs.further_calls(), ["init", "lookup 1 \"name\"", "destroy"]);
    wire.assert_lock_free();
    wire.assert_closed();
}

/// A handler that runs when the session is told to end goes on, and its answer is sent.
fn handlers_in_flight_are_answered<L: Style>() {
    let (started, starts) = mpsc::channel();
    let (go, goes) = mpsc::channel::<()>();
    let goes = Mutex::new(goes);
    let fs = Probe::<L>::new(move |_, _| {
        started.send(()).unwrap();
        await_from(&goes.lock());
        Ok(ENTRY)
    });
    let mut wire = Wire::new(fs, L::lock());
    let unique = wire.send(&proto::lookup(1, b"name"));
    await_from(&starts);
    wire.handle.terminate();
    go.send(()).unwrap();
    let entry = proto::entry_out(&ENTRY);
    assert_eq!(wire.receive(), proto::reply(unique, &entry));
    assert_eq!(wire.end().reason, Reason::Terminated);
}

fn a_terminate_in_a_handler<L: Style>() {
    let handle = Arc::new(Mutex::new(None::<fuse3::Handle>));
    let its = Arc::clone(&handle);
    let fs = Probe::<L>::new(move |_, _| {
        its.lock().as_ref().unwrap().terminate();
        enoent()
    });
    let mut wire = Wire::new(fs, L::lock());
    *handle.lock() = Some(wire.handle.clone());
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    let end = wire.wait().unwrap();
    assert_eq!(end.reason, Reason::Terminated);
    assert_eq!(
        end.stats.requests,
        [
            (Operation::Init, 1),
            (Operation::Destroy, 1),
            (Operation::Lookup, 1)
        ]
    );
}

/// `run` returns at once then; after the end, `terminate` does nothing.
#[test]
fn a_terminate_before_the_session_runs() {
    let fs = Recorder::<Concurrent>::new();
    let (session, mut wire) = Wire::mount(fs.clone(), Concurrent, |builder| builder);
    let handle = session.handle();
    handle.terminate();
    wire.run(session);
    assert_eq!(wire.wait().unwrap().reason, Reason::Terminated);
    handle.terminate();
    let none: [&str; 0] = [];
    assert_eq!(fs.further_calls(), none);
}

fn serve<F: Filesystem>(session: Session<F>) -> JoinHandle<Stopped<F>> {
    thread::spawn(|| match session.serve().unwrap() {
        Served::Stopped(stopped) => stopped,
        Served::Ended(end) => panic!("{end:?}"),
    })
}

/// `FUSE_NOTIFY_RESEND`.
fn resend() -> Vec<u8> {
    proto::notification(7, &proto::Bytes::new())
}

/// What a worker may have read when it was stopped comes once more, but for what is deferred.
fn a_session_serves_again<L: Style>() {
    let (sender, receiver) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, name| {
        if name != "later" {
            return enoent();
        }
        let (reply, deferred) = cx.defer();
        sender.send(reply).unwrap();
        Err(deferred.into())
    });
    let (session, mut wire) = Wire::mount(fs, L::lock(), |builder| builder);
    let serving = serve(session);
    wire.init(InitIn::default());
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    let later = wire.send(&proto::lookup(1, b"later"));
    let reply = await_from(&receiver);
    wire.handle.terminate();
    let stopped = serving.join().unwrap();
    wire.assert_silent();

    let serving = serve(stopped.again());
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    wire.handle.terminate();
    let stopped = serving.join().unwrap();
    reply.send(Err(Errno::EACCES.into()));
    assert_eq!(wire.receive(), proto::error(later, libc::EACCES));

    let session = stopped.again();
    wire.assert_silent();
    let serving = serve(session);
    assert_eq!(wire.receive(), resend());
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    wire.handle.terminate();
    let end = serving.join().unwrap().close();
    assert_eq!(end.reason, Reason::Terminated);
    assert_eq!(end.stats.total(), 6);
    wire.assert_closed();
}

/// It ends the next time, and none is lost.
#[test]
fn a_terminate_at_any_time_counts() {
    let fs = Recorder::<Concurrent>::new();
    let (mut session, wire) = Wire::mount(fs.clone(), Concurrent, |builder| builder);
    for time in 0..1000 {
        let serving = serve(session);
        wire.handle.terminate();
        let stopped = serving.join().unwrap();
        assert_eq!(stopped.reason(), Reason::Terminated);
        session = stopped.again();
        if time > 0 {
            // Room for the next one.
            assert_eq!(wire.receive(), resend());
        }
    }
}

/// A session that is dropped instead of run ends the connection, too.
#[test]
fn a_session_that_is_never_run() {
    let fs = Recorder::<Concurrent>::new();
    let (session, mut wire) = Wire::mount(fs.clone(), Concurrent, |builder| builder);
    drop(session);
    wire.assert_closed();
}

/// A lookup whose reply is kept by the test.
fn keeping_the_reply<L: Style>() -> (Wire<Probe<L>>, Reply<Entry>) {
    let (sender, receiver) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, _| {
        let (reply, deferred) = cx.defer();
        sender.send(reply).unwrap();
        Err(deferred.into())
    });
    let mut wire = Wire::new(fs, L::lock());
    wire.send(&proto::lookup(1, b"name"));
    let reply = await_from(&receiver);
    (wire, reply)
}

/// They keep the memory of libfuse's session, but not the file system. The connection ends all the same, so that no client
/// waits for what will not come: nothing is sent any more, and nothing taken back.
fn replies_outstanding_at_the_end<L: Style>() {
    for answer in [Some(Ok(ENTRY)), Some(enoent()), None] {
        let (mut wire, reply) = keeping_the_reply::<L>();
        wire.handle.terminate();
        let end = wire.wait_or_panic().unwrap().unwrap();
        wire.assert_closed();
        // The session's share of the file system went with it.
        let fs = Arc::into_inner(end.fs).unwrap();
        match answer {
            Some(answer) => reply.send(answer),
            None => drop(reply),
        }
        assert!(fs.taken_back.lock().is_empty());
    }
}

/// A file system that keeps its own replies is not kept by them, not in its fields and not under its lock.
fn replies_in_the_file_system_at_the_end<L: Style>() {
    let (sender, receiver) = mpsc::channel();
    let kept = Mutex::new(Vec::new());
    let fs = Probe::<L>::new(move |cx, _| {
        let (reply, deferred) = cx.defer();
        kept.lock().push(reply);
        sender.send(()).unwrap();
        Err(deferred.into())
    });
    let mut wire = Wire::new(fs, L::lock());
    for _ in 0..3 {
        wire.send(&proto::lookup(1, b"name"));
        await_from(&receiver);
    }
    wire.handle.terminate();
    let end = wire.wait_or_panic().unwrap().unwrap();
    wire.assert_closed();
    let fs = Arc::downgrade(&end.fs);
    drop(end);
    assert_eq!(fs.strong_count(), 0, "the replies keep the file system");
}

/// A lost connection is an error: nobody asked for it.
#[test]
fn the_connection_is_lost() {
    let (fs, wire) = recorded::<Concurrent>();
    let error = wire.close().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert_eq!(fs.further_calls(), ["destroy"]);
}

/// A request that is shorter than its header.
#[test]
fn a_message_that_is_no_request() {
    let (fs, wire) = recorded::<Concurrent>();
    wire.send_raw(b"short");
    let error = wire.wait().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert_eq!(fs.further_calls(), ["destroy"]);
}

/// Nobody could have the lock for a handler.
#[test]
fn run_with_the_lock_held() {
    let fs = Recorder::<Locked>::new();
    let lock = fs.lock.clone();
    let (session, mut wire) = Wire::mount(fs.clone(), lock.clone(), |builder| builder);
    let guard = lock.lock().unwrap();
    let error = session.run().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EDEADLK));
    drop(guard);
    wire.assert_closed();
}

/// As long as one worker is left, requests are answered, however many handlers wait. Workers are started as they are
/// needed, and counted.
fn blocked_handlers<L: Style>() {
    const WORKERS: usize = 12;
    let gate = Arc::new((Condvar::new(), AtomicUsize::new(0), AtomicBool::new(false)));
    let its = Arc::clone(&gate);
    let fs = Probe::<L>::new(move |cx, name| {
        let (condvar, came, open) = &*its;
        if name == "wait" {
            came.fetch_add(1, Ordering::SeqCst);
            cx.wait_while(condvar, None, |_| !open.load(Ordering::SeqCst))?;
        }
        enoent()
    });
    let workers = u32::try_from(WORKERS).unwrap();
    let mut wire = Wire::with(fs, L::lock(), |builder| builder.workers(workers));
    let (condvar, came, open) = &*gate;
    assert_eq!(wire.handle.stats().workers, 0);
    let mut waiting = Vec::new();
    for blocked in 1..WORKERS {
        waiting.push(wire.send(&proto::lookup(1, b"wait")));
        until("the handler waits", || {
            came.load(Ordering::SeqCst) == blocked
        });
        wire.expect_error(&proto::lookup(1, b"do not"), Errno::ENOENT);
        let workers = wire.handle.stats().workers;
        let most = if fuse3::sys::LIMITS_THREADS {
            WORKERS
        } else {
            usize::MAX
        };
        assert!(blocked < workers && workers <= most, "{workers}");
    }
    // The last one; the next request has to wait.
    waiting.push(wire.send(&proto::lookup(1, b"wait")));
    until("all wait", || came.load(Ordering::SeqCst) == WORKERS);
    waiting.push(wire.send(&proto::lookup(1, b"do not")));
    thread::sleep(Duration::from_millis(20));
    wire.assert_silent();
    open.store(true, Ordering::SeqCst);
    condvar.notify_all();
    let mut replies: Vec<_> = waiting.iter().map(|_| wire.receive()).collect();
    let mut expected: Vec<_> = waiting
        .iter()
        .map(|unique| proto::error(*unique, libc::ENOENT))
        .collect();
    replies.sort();
    expected.sort();
    assert_eq!(replies, expected);
    let workers = wire.end().stats.workers;
    assert_eq!(workers == WORKERS, fuse3::sys::LIMITS_THREADS, "{workers}");
}

/// Only the thread that forks would go to the background: others would be gone, with the locks that they held.
#[test]
fn with_other_threads_it_does_not_go_to_the_background() {
    let (stop, stops) = mpsc::channel::<()>();
    let other = thread::spawn(move || stops.recv());
    let fs = Recorder::<Concurrent>::new();
    let (session, _wire) = Wire::mount(fs.clone(), Concurrent, |builder| builder);
    let error = session.daemonize(false).unwrap_err();
    assert!(error.to_string().contains("threads"), "{error}");
    drop(stop);
    other.join().unwrap().unwrap_err();
}
