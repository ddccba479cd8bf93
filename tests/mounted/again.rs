//! `serve`: the session stops, stays mounted, and serves again, or is closed; and `close` without serving at all.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fuse3::session::{OnPanic, Served, Stopped};
use fuse3::{End, Entry, Errno, Filesystem, Handle, Operation, Reason, Reply, Session};

use crate::child::{self, this_test};
use crate::deferring::Deferring;
use crate::fixture::{TempDir, Watchdog, force_unmount, is_mounted, require_mount, skip, until};
use crate::ignored::heed_signals;
use crate::kernel::linux;
use crate::probe::Probe;
use crate::signals;

/// A session that is stopped, and what has been called.
struct Counted {
    inits: AtomicUsize,
    destroys: AtomicUsize,
}

fn counted() -> (Probe, Arc<Counted>) {
    let counted = Arc::new(Counted {
        inits: AtomicUsize::new(0),
        destroys: AtomicUsize::new(0),
    });
    let (init, destroy) = (Arc::clone(&counted), Arc::clone(&counted));
    let probe = Probe::new()
        .on_init(move || {
            init.inits.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
        .on_destroy(move || {
            destroy.destroys.fetch_add(1, Ordering::SeqCst);
        });
    (probe, counted)
}

impl Counted {
    #[track_caller]
    fn assert(&self, inits: usize, destroys: usize) {
        assert_eq!(self.inits.load(Ordering::SeqCst), inits, "init");
        assert_eq!(self.destroys.load(Ordering::SeqCst), destroys, "destroy");
    }
}

/// Serves until it is told to stop.
fn serve<F: Filesystem>(session: Session<F>) -> JoinHandle<Stopped<F>> {
    thread::spawn(|| match session.serve().unwrap() {
        Served::Stopped(stopped) => stopped,
        Served::Ended(end) => panic!("{end:?}"),
    })
}

/// The same, told so once it has answered.
fn stopped(session: Session<Probe>, dir: &TempDir) -> Stopped<Probe> {
    let handle = session.handle();
    let serving = serve(session);
    fs::metadata(dir.path().join("file")).unwrap();
    handle.terminate();
    serving.join().unwrap()
}

fn errno(result: io::Result<impl Sized>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn a_hundred_times_while_clients_ask() {
    require_mount!(not over io_uring: "a session serves once");
    if !linux(6, 9) {
        // A request that a stopped worker has read may be lost then, INIT too.
        return skip(this_test!(), "this Linux has no FUSE_NOTIFY_RESEND");
    }
    let (probe, counted) = counted();
    let dir = TempDir::new();
    let session = probe.builder().mount(dir.path()).unwrap();
    let _watchdog = Watchdog::new(dir.path());
    let handle = session.handle();
    let serving = thread::spawn(move || {
        let mut session = session;
        for _ in 0..100 {
            session = match session.serve().unwrap() {
                Served::Stopped(stopped) => stopped.again(),
                Served::Ended(end) => panic!("{end:?}"),
            }
        }
        session
    });
    let over = AtomicBool::new(false);
    let session = thread::scope(|scope| {
        let clients = [0, 1].map(|_| {
            scope.spawn(|| {
                let mut asked = 0_u64;
                while !over.load(Ordering::SeqCst) {
                    fs::metadata(dir.path().join("file")).unwrap();
                    asked += 1;
                }
                asked
            })
        });
        while !serving.is_finished() {
            handle.terminate();
            thread::sleep(Duration::from_millis(1));
        }
        let session = serving.join().unwrap();
        over.store(true, Ordering::SeqCst);
        // What was asked just now is answered, too. The last `terminate` may have come too late for the hundredth time, and
        // ends the next.
        let done = Arc::new(AtomicBool::new(false));
        let its = Arc::clone(&done);
        let end = thread::spawn(move || {
            let mut session = session;
            loop {
                let stopped = serve(session).join().unwrap();
                if its.load(Ordering::SeqCst) {
                    return stopped;
                }
                session = stopped.again();
            }
        });
        let asked = clients.map(|client| client.join().unwrap());
        println!("{asked:?} answers");
        done.store(true, Ordering::SeqCst);
        handle.terminate();
        end.join().unwrap()
    });
    counted.assert(1, 0);
    assert!(is_mounted(dir.path()));
    let end = session.close();
    assert_eq!(end.reason, Reason::Terminated);
    counted.assert(1, 1);
    assert!(!is_mounted(dir.path()));
    assert!(Arc::into_inner(end.fs).is_some());
}

#[test]
fn after_a_signal() {
    require_mount!(not over io_uring: "a session serves once");
    child::run(this_test!(), || {
        heed_signals();
        let dir = TempDir::new();
        let builder = Probe::new().builder().handle_signals(true);
        let mut session = builder.mount(dir.path()).unwrap();
        let _watchdog = Watchdog::new(dir.path());
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
            let serving = serve(session);
            fs::metadata(dir.path().join("file")).unwrap();
            signals::raise(signal);
            let stopped = serving.join().unwrap();
            assert_eq!(stopped.reason(), Reason::Signal(signal));
            assert!(stopped.is_signal(signal));
            assert!(is_mounted(dir.path()));
            session = stopped.again();
        }
        assert_eq!(session.close().reason, Reason::Closed);
    });
}

#[test]
fn what_is_asked_meanwhile_waits() {
    require_mount!(not over io_uring: "a session serves once");
    let dir = TempDir::new();
    let session = Probe::new().builder().mount(dir.path()).unwrap();
    let _watchdog = Watchdog::new(dir.path());
    let stopped = stopped(session, &dir);
    let path = dir.path().join("another");
    let client = thread::spawn(move || fs::metadata(path).map(drop));
    thread::sleep(Duration::from_millis(50));
    assert!(!client.is_finished());
    let session = stopped.again();
    let handle = session.handle();
    let serving = serve(session);
    client.join().unwrap().unwrap();
    handle.terminate();
    serving.join().unwrap().close();
}

#[test]
fn a_terminate_meanwhile_ends_the_next_one() {
    require_mount!(not over io_uring: "a session serves once");
    let dir = TempDir::new();
    let session = Probe::new().builder().mount(dir.path()).unwrap();
    let _watchdog = Watchdog::new(dir.path());
    let handle = session.handle();
    let stopped = stopped(session, &dir);
    handle.terminate();
    let stopped = serve(stopped.again()).join().unwrap();
    assert_eq!(stopped.reason(), Reason::Terminated);
}

#[test]
fn what_was_deferred_is_answered_meanwhile() {
    require_mount!(not over io_uring: "a session serves once");
    let kept: Arc<Mutex<Vec<Reply<Entry>>>> = Arc::default();
    let dir = TempDir::new();
    let builder = Deferring::builder(Arc::clone(&kept));
    let session = builder.mount(dir.path()).unwrap();
    let _watchdog = Watchdog::new(dir.path());
    let handle = session.handle();
    let serving = serve(session);
    let path = dir.path().join("file");
    let client = thread::spawn(move || errno(fs::metadata(path)));
    until(|| kept.lock().unwrap().len() == 1);
    handle.terminate();
    let stopped = serving.join().unwrap();
    let reply = kept.lock().unwrap().pop().unwrap();
    reply.send(Err(Errno::EACCES.into()));
    assert_eq!(client.join().unwrap(), Some(libc::EACCES));
    drop(stopped);
    assert!(!is_mounted(dir.path()));
}

#[test]
fn unmounted_meanwhile() {
    require_mount!(not over io_uring: "a session serves once");
    let dir = TempDir::new();
    let session = Probe::new().builder().mount(dir.path()).unwrap();
    let _watchdog = Watchdog::new(dir.path());
    let stopped = stopped(session, &dir);
    force_unmount(dir.path());
    match stopped.again().serve().unwrap() {
        Served::Ended(end) => assert_eq!(end.reason, Reason::Unmounted),
        Served::Stopped(stopped) => panic!("{stopped:?}"),
    }
}

#[test]
fn left_mounted_by_a_choice_afterwards() {
    require_mount!(not over io_uring: "a session serves once");
    let dir = TempDir::new();
    let session = Probe::new().builder().mount(dir.path()).unwrap();
    let _watchdog = Watchdog::new(dir.path());
    let session = stopped(session, &dir).again();
    assert_eq!(session.keep_mounted(true).close().reason, Reason::Closed);
    assert_eq!(errno(fs::metadata(dir.path())), Some(libc::ENOTCONN));
    force_unmount(dir.path());
}

#[test]
fn left_mounted_after_a_panic_and_only_then() {
    require_mount!();
    let panics = |operation| {
        Probe::new().on(move |_, now, _| {
            assert!(now != operation, "a panic on purpose");
            Ok(())
        })
    };
    for operation in [Operation::Unlink, Operation::Bmap] {
        let dir = TempDir::new();
        let builder = panics(operation).builder().on_panic(OnPanic::EndMounted);
        let session = builder.mount(dir.path()).unwrap();
        let _watchdog = Watchdog::new(dir.path());
        let handle = session.handle();
        let serving = thread::spawn(|| catch_unwind(AssertUnwindSafe(|| session.run())));
        let path = dir.path().join("file");
        fs::metadata(&path).unwrap();
        let unlinked = fs::remove_file(&path);
        handle.terminate();
        let outcome = serving.join().unwrap();
        let panicked = operation == Operation::Unlink;
        assert_eq!(outcome.is_err(), panicked);
        assert_eq!(unlinked.is_err(), panicked);
        assert_eq!(is_mounted(dir.path()), panicked);
        if panicked {
            assert_eq!(errno(fs::metadata(dir.path())), Some(libc::ENOTCONN));
            force_unmount(dir.path());
        }
    }
}

#[test]
fn closed_without_having_run() {
    require_mount!();
    let (probe, counted) = counted();
    let dir = TempDir::new();
    let session = probe.builder().mount(dir.path()).unwrap();
    let end: End<Probe> = session.close();
    assert_eq!(end.reason, Reason::Closed);
    assert!(!is_mounted(dir.path()));
    // INIT waits in the kernel, and nobody has read it.
    counted.assert(0, 0);
    assert!(Arc::into_inner(end.fs).is_some());
}

#[test]
fn destroy_panics_and_close_resumes_it() {
    require_mount!(not over io_uring: "a session serves once");
    let dir = TempDir::new();
    let probe = Probe::new().on_destroy(|| panic!("a panic on purpose"));
    let session = probe.builder().mount(dir.path()).unwrap();
    let _watchdog = Watchdog::new(dir.path());
    let stopped = stopped(session, &dir);
    let closed = catch_unwind(AssertUnwindSafe(|| stopped.close()));
    assert!(closed.is_err());
    assert!(!is_mounted(dir.path()));
}

#[test]
fn its_handle_goes_on() {
    require_mount!(not over io_uring: "a session serves once");
    let dir = TempDir::new();
    let session = Probe::new().builder().mount(dir.path()).unwrap();
    let _watchdog = Watchdog::new(dir.path());
    let handle: Handle = session.handle();
    let stopped = stopped(session, &dir);
    let agreed = handle.connection();
    assert!(agreed.is_some());
    let before = handle.stats().total();
    let session = stopped.again();
    let serving = serve(session);
    fs::metadata(dir.path()).unwrap();
    assert_eq!(handle.connection(), agreed);
    assert!(handle.stats().total() > before);
    handle.terminate();
    let end = serving.join().unwrap().close();
    assert_eq!(end.stats.panics, 0);
}
