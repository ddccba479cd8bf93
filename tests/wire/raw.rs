//! The raw request, which C code answers, and the raw session. The tests are the C code.

use std::ffi::c_int;
use std::mem;
use std::panic::panic_any;
use std::ptr::NonNull;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use fuse3::reply::RawReply;
use fuse3::session::OnPanic;
use fuse3::{Attr, Concurrent, Entry, Errno, Ino, Operation, Reason, Reply, sys};

use crate::harness::{Wire, until};
use crate::logger::PANIC;
use crate::probe::{Probe, await_from, enoent};
use crate::proto::{self, Bytes};
use crate::recorder::{Style, in_both_styles};

in_both_styles! {
    answered_in_the_handler answered_by_another_thread taken_back statistics_add_up the_end_waits too_late too_late_for_c
    interrupts_are_unregistered asked the_session
}

/// Of `enum fuse_notify_code`.
const INVAL_INODE: i32 = 2;

const MODE: u32 = libc::S_IFREG | 0o640;

/// What C code has answered, in Rust.
fn entry(ino: u64) -> Entry {
    let attr = Attr {
        nlink: 0,
        blksize: 0,
        ..Attr::new(Ino(0), MODE)
    };
    Entry {
        ino: Ino(ino),
        ..Entry::new(attr, Duration::ZERO)
    }
}

/// `fuse_reply_entry()`, as C code calls it.
fn reply_entry(req: sys::fuse_req_t, ino: u64) -> c_int {
    // SAFETY: numbers and a `struct stat`, for which zero is a value.
    let mut param: sys::fuse_entry_param = unsafe { mem::zeroed() };
    param.ino = ino;
    param.attr.st_mode = MODE;
    // SAFETY: `req` is of a `RawReply` that lives, nobody else answers it, and `param` lives.
    unsafe { sys::fuse_reply_entry(req, &raw const param) }
}

fn answered_in_the_handler<L: Style>() {
    let fs = Probe::<L>::new(|cx, _| {
        let (reply, deferred) = cx.defer();
        let raw = reply.into_raw().unwrap();
        let result = reply_entry(raw.as_ptr(), 7);
        raw.answered(result);
        Err(deferred.into())
    });
    let mut wire = Wire::new(fs, L::lock());
    for _ in 0..3 {
        wire.expect(&proto::lookup(1, b"name"), &proto::entry_out(&entry(7)));
    }
    wire.end();
}

/// A library with a queue and threads of its own.
fn answered_by_another_thread<L: Style>() {
    let (queue, requests) = mpsc::channel::<(RawReply<Entry>, u64)>();
    let library = thread::spawn(move || {
        let all: Vec<_> = (0..50).map(|_| await_from(&requests)).collect();
        for (raw, ino) in all.into_iter().rev() {
            assert_eq!(reply_entry(raw.as_ptr(), ino), 0);
            // It need not say so.
            drop(raw);
        }
    });
    let fs = Probe::<L>::new(move |cx, name| {
        let (reply, deferred) = cx.defer();
        let ino = name.to_str().unwrap().parse().unwrap();
        queue.send((reply.into_raw().unwrap(), ino)).unwrap();
        Err(deferred.into())
    });
    let mut wire = Wire::new(fs, L::lock());
    let inos = 1000..1050_u64;
    let send = |ino: u64| wire.send(&proto::lookup(1, ino.to_string().as_bytes()));
    let mut expected: Vec<_> = inos
        .map(send)
        .zip(1000..)
        .map(|(unique, ino)| proto::reply(unique, &proto::entry_out(&entry(ino))))
        .collect();
    let mut received: Vec<_> = expected.iter().map(|_| wire.receive()).collect();
    library.join().unwrap();
    received.sort();
    expected.sort();
    assert!(received == expected);
    wire.end();
}

/// C code refuses; then the handler answers, or nobody does, which is EIO.
fn taken_back<L: Style>() {
    for answers in [true, false] {
        let fs = Probe::<L>::new(move |cx, _| {
            let (reply, deferred) = cx.defer::<Entry>();
            let raw = reply.into_raw().unwrap();
            assert!(format!("{raw:?}").starts_with("RawReply { req: 0x"));
            // SAFETY: nothing has been done with the request.
            let mut reply: Reply<Entry> = unsafe { raw.take_back() };
            assert!(!reply.interrupted());
            reply.on_interrupt(|| panic!("nobody interrupts it"));
            if answers {
                reply.send(Ok(entry(9)));
            } else {
                drop(reply);
            }
            Err(deferred.into())
        });
        let mut wire = Wire::new(fs, L::lock());
        if answers {
            wire.expect(&proto::lookup(1, b"name"), &proto::entry_out(&entry(9)));
        } else {
            wire.expect_error(&proto::lookup(1, b"name"), Errno::EIO);
        }
        assert_eq!(wire.end().stats.panics, 0);
    }
}

/// Each request is counted once, and each answer that the kernel does not take; C code takes back what that gave out.
fn statistics_add_up<L: Style>() {
    let (sender, results) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, name| {
        if name == "here" {
            return enoent();
        }
        let (reply, deferred) = cx.defer();
        let raw = reply.into_raw().unwrap();
        let result = reply_entry(raw.as_ptr(), 7);
        raw.answered(result);
        sender.send(result).unwrap();
        Err(deferred.into())
    });
    let mut wire = Wire::new(fs, L::lock());
    for _ in 0..2 {
        wire.expect(&proto::lookup(1, b"raw"), &proto::entry_out(&entry(7)));
        assert_eq!(await_from(&results), 0);
    }
    wire.expect_error(&proto::lookup(1, b"here"), Errno::ENOENT);
    wire.refuse_for_good();
    wire.send(&proto::lookup(1, b"raw"));
    assert_eq!(await_from(&results), -libc::EPIPE);
    let stats = &wire.handle;
    until("it is counted", || stats.stats().not_taken == 1);
    let end = wire.end();
    let lookups = end.stats.requests.iter();
    let lookups: Vec<_> = lookups
        .filter(|(operation, _)| *operation == Operation::Lookup)
        .collect();
    assert_eq!(lookups, [&(Operation::Lookup, 4)]);
    assert_eq!((end.stats.not_taken, end.stats.panics), (1, 0));
    assert_eq!(*end.fs.taken_back.lock(), [""; 0]);
}

/// The session is told to end, and C code answers after that, on the descriptor that is open yet.
fn the_end_waits<L: Style>() {
    let (sender, requests) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, _| {
        let (reply, deferred) = cx.defer::<Entry>();
        sender.send(reply.into_raw().unwrap()).unwrap();
        Err(deferred.into())
    });
    let mut wire = Wire::new(fs, L::lock());
    let (one, two) = (
        wire.send(&proto::lookup(1, b"one")),
        wire.send(&proto::lookup(1, b"two")),
    );
    let raws = [await_from(&requests), await_from(&requests)];
    let handle = wire.handle.clone();
    handle.terminate();
    // Notifications go nowhere once the loop is over.
    until("the loop ends", || {
        handle.with_raw_session(|_| ()).is_none()
    });
    for raw in raws {
        thread::sleep(Duration::from_millis(20));
        assert_eq!(reply_entry(raw.as_ptr(), 7), 0);
    }
    let mut received = [wire.receive(), wire.receive()];
    received.sort();
    let mut expected = [one, two].map(|unique| proto::reply(unique, &proto::entry_out(&entry(7))));
    expected.sort();
    assert_eq!(received, expected);
    wire.end();
}

/// A reply that is kept beyond the end is worth nothing to C code.
fn too_late<L: Style>() {
    let (sender, replies) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, _| {
        let (reply, deferred) = cx.defer::<Entry>();
        sender.send(reply).unwrap();
        Err(deferred.into())
    });
    let mut wire = Wire::new(fs, L::lock());
    wire.send(&proto::lookup(1, b"name"));
    let reply = await_from(&replies);
    wire.end();
    assert!(reply.into_raw().is_none());
}

/// While the end waits for one request, C code gets no other, and its client an answer.
fn too_late_for_c<L: Style>() {
    let (sender, replies) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, _| {
        let (reply, deferred) = cx.defer::<Entry>();
        sender.send(reply).unwrap();
        Err(deferred.into())
    });
    let mut wire = Wire::new(fs, L::lock());
    let kept = wire.send(&proto::lookup(1, b"kept"));
    let raw = await_from(&replies).into_raw().unwrap();
    let late = wire.send(&proto::lookup(1, b"late"));
    let mut reply = Some(await_from(&replies));
    wire.handle.terminate();
    until("it is too late", || {
        let raw = reply.take().and_then(Reply::into_raw);
        // SAFETY: nothing has been done with the request.
        reply = raw.map(|raw| unsafe { raw.take_back() });
        reply.is_none()
    });
    assert_eq!(wire.receive(), proto::error(late, libc::EIO));
    assert_eq!(reply_entry(raw.as_ptr(), 7), 0);
    assert_eq!(
        wire.receive(),
        proto::reply(kept, &proto::entry_out(&entry(7)))
    );
    drop(raw);
    wire.end();
}

/// A library keeps a request, and is told of the end, which waits for it.
fn told(end: impl FnOnce(Wire<Probe<Concurrent>>, Vec<u8>)) {
    let (sender, requests) = mpsc::channel();
    let fs = Probe::<Concurrent>::new(move |cx, name| {
        if name == "panic" {
            panic_any(PANIC);
        }
        let (reply, deferred) = cx.defer::<Entry>();
        sender.send(reply.into_raw().unwrap()).unwrap();
        Err(deferred.into())
    });
    let mut wire = Wire::with(fs, Concurrent, |builder| {
        builder.handle_signals(true).on_panic(OnPanic::End)
    });
    let unique = wire.send(&proto::lookup(1, b"kept"));
    let raw = await_from(&requests);
    let handle = wire.handle.clone();
    assert!(!handle.is_ending());
    let library = thread::spawn(move || {
        until("the end is told", || handle.is_ending());
        // Where the connection was aborted, nobody takes it.
        let result = reply_entry(raw.as_ptr(), 7);
        raw.answered(result);
    });
    end(wire, proto::reply(unique, &proto::entry_out(&entry(7))));
    library.join().unwrap();
}

/// Whatever brings it about. One test, since the signal is for all sessions of the process that handle signals: there are
/// no others.
#[test]
fn the_end_is_told() {
    told(|wire, answer| {
        // SAFETY: the process handles the signal, since it has a session that does.
        assert_eq!(unsafe { libc::raise(libc::SIGTERM) }, 0);
        assert_eq!(wire.receive(), answer);
        let handle = wire.handle.clone();
        assert_eq!(wire.wait().unwrap().reason, Reason::Signal(libc::SIGTERM));
        assert!(handle.is_ending());
    });
    told(|wire, answer| {
        wire.handle.terminate();
        assert_eq!(wire.receive(), answer);
        assert_eq!(wire.wait().unwrap().reason, Reason::Terminated);
    });
    told(|mut wire, answer| {
        let panicked = wire.send(&proto::lookup(1, b"panic"));
        let received = [wire.receive(), wire.receive()];
        assert!(received.contains(&answer));
        assert!(received.contains(&proto::error(panicked, libc::EIO)));
        assert!(wire.wait_or_panic().is_err());
    });
    // The kernel's end is closed: what `run` makes of that is not the matter here.
    told(|wire, _| drop(wire.close()));
}

/// What Rust had registered is gone, so that C code can register its own.
fn interrupts_are_unregistered<L: Style>() {
    let (sender, requests) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, _| {
        let (mut reply, deferred) = cx.defer::<Entry>();
        reply.on_interrupt(|| panic!("it is not registered any more"));
        sender.send(reply.into_raw().unwrap()).unwrap();
        Err(deferred.into())
    });
    let mut wire = Wire::new(fs, L::lock());
    let unique = wire.send(&proto::lookup(1, b"name"));
    let raw = await_from(&requests);
    wire.send(&proto::interrupt(unique));
    let req = raw.as_ptr();
    until("the interrupt comes", || {
        // SAFETY: the request is not answered yet.
        unsafe { sys::fuse_req_interrupted(req) != 0 }
    });
    // SAFETY: as above, and nobody else answers it.
    let result = unsafe { sys::fuse_reply_err(req, libc::EINTR) };
    raw.answered(result);
    assert_eq!(wire.receive(), proto::error(unique, libc::EINTR));
    let stats = wire.end().stats;
    assert_eq!((stats.panics, stats.not_taken), (0, 0));
}

/// `fuse_req_ctx()` of the raw request says what the context says.
fn asked<L: Style>() {
    let fs = Probe::<L>::new(|cx, _| {
        let req = cx.raw_request().unwrap();
        // SAFETY: the request is not answered yet.
        let ctx = unsafe { sys::fuse_req_ctx(req.as_ptr()) };
        // SAFETY: it is part of the request.
        let ctx = unsafe { &*ctx };
        assert_eq!(
            (Some(ctx.uid), Some(ctx.gid), ctx.pid),
            (cx.uid(), cx.gid(), cx.pid())
        );
        let (reply, deferred) = cx.defer::<Entry>();
        assert_eq!(cx.raw_request(), None);
        let raw = reply.into_raw().unwrap();
        assert_eq!(NonNull::new(raw.as_ptr()), Some(req));
        // SAFETY: nothing has been done with the request.
        unsafe { raw.take_back() }.send(enoent());
        Err(deferred.into())
    });
    let mut wire = Wire::new(fs, L::lock());
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    assert_eq!(wire.end().stats.panics, 0);
}

/// A notification of libfuse's own is sent by it, and not any more when the session has ended.
fn the_session<L: Style>() {
    let wire = Wire::new(Probe::<L>::new(|_, _| enoent()), L::lock());
    let handle = wire.handle.clone();
    let inval = || {
        handle.with_raw_session(|session| {
            // SAFETY: the session lives while this runs; nothing is locked, and no request handled.
            unsafe { sys::fuse_lowlevel_notify_inval_inode(session.as_ptr(), 5, 0, 0) }
        })
    };
    assert_eq!(inval(), Some(0));
    let expected = proto::notification(INVAL_INODE, &Bytes::new().u64(5).i64(0).i64(0));
    assert_eq!(wire.receive(), expected);
    wire.end();
    assert_eq!(inval(), None);
}
