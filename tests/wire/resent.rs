//! Requests that the kernel sends again, to a session that goes on where another has stopped.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use fuse3::handover::{Baggage, Handover};
use fuse3::session::Served;
use fuse3::{Answer, Concurrent, Context, Entry, Errno, Filesystem, Ino, Session};
use parking_lot::{Condvar, Mutex};

use crate::proto::{self, InitIn};
use crate::recorder::ENTRY;

/// `FUSE_UNIQUE_RESEND`.
const RESENT: u64 = 1 << 63;
/// `FUSE_NOTIFY_RESEND` as a message: 16 bytes, code 7, no number.
const RESEND: [u32; 4] = [16, 7, 0, 0];
const DEADLINE: Duration = Duration::from_secs(30);

/// Which names were looked up, and whether that was a repetition. `first` waits for `second`.
#[derive(Clone, Default)]
struct Names(Arc<(Mutex<BTreeMap<String, bool>>, Condvar)>, Running);

/// How many handlers run, and the most that ever did.
type Running = Arc<(AtomicUsize, AtomicUsize)>;

impl Filesystem for Names {
    type Lock = Concurrent;

    fn lookup(&self, cx: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
        let name = name.to_str().unwrap().to_owned();
        let (running, most) = &*self.1;
        let now = running.fetch_add(1, Ordering::SeqCst) + 1;
        most.fetch_max(now, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(1));
        running.fetch_sub(1, Ordering::SeqCst);
        let (names, changed) = &*self.0;
        let mut names = names.lock();
        let waits = name == "first";
        names.insert(name, cx.is_resent());
        changed.notify_all();
        let alone = |names: &mut BTreeMap<_, _>| waits && !names.contains_key("second");
        if changed
            .wait_while_for(&mut names, alone, DEADLINE)
            .timed_out()
        {
            return Err(Errno::ETIMEDOUT.into());
        }
        Ok(ENTRY)
    }

    fn forget(&self, cx: &mut Context<'_, Self>, ino: Ino, _: u64) {
        let (names, changed) = &*self.0;
        names.lock().insert(format!("forget {ino}"), cx.is_resent());
        changed.notify_all();
    }
}

fn receive(kernel: &UnixDatagram) -> io::Result<Vec<u8>> {
    let mut message = vec![0; 1 << 16];
    let length = kernel.recv(&mut message)?;
    message.truncate(length);
    Ok(message)
}

/// Serves INIT, hands the session over, and has the successor find `requests`. What it answers, and what it has looked up.
fn go_on(
    workers: u32,
    requests: &[Vec<u8>],
    answers: usize,
) -> (Vec<Vec<u8>>, BTreeMap<String, bool>) {
    let (answered, names) = go_on_with(Names::default(), workers, requests, answers);
    let names = names.0.0.lock().clone();
    (answered, names)
}

fn go_on_with(
    names: Names,
    workers: u32,
    requests: &[Vec<u8>],
    answers: usize,
) -> (Vec<Vec<u8>>, Names) {
    let (kernel, server) = UnixDatagram::pair().unwrap();
    kernel.set_read_timeout(Some(DEADLINE)).unwrap();
    let builder = || Session::builder(names.clone(), Concurrent).workers(workers);
    let session = builder().mount_fd(server).unwrap();
    let handle = session.handle();
    let serving = thread::spawn(|| session.serve().unwrap());
    kernel
        .send(&proto::init(InitIn::default()).bytes(2))
        .unwrap();
    receive(&kernel).unwrap();
    handle.terminate();
    let Served::Stopped(stopped) = serving.join().unwrap() else {
        panic!("it has ended");
    };
    let (ours, its) = UnixStream::pair().unwrap();
    let successor = thread::scope(|scope| {
        let taken = scope.spawn(|| {
            let handover = Handover::receive(its).unwrap();
            builder().take_over(handover).unwrap()
        });
        stopped
            .hand_over(&ours, |_, _| Ok(Baggage::default()))
            .unwrap();
        taken.join().unwrap()
    });
    // The recorded INIT is answered as it was. A kernel refuses that.
    let again = receive(&kernel).unwrap();
    assert_eq!(again[8..16], 2_u64.to_ne_bytes());
    for request in requests {
        kernel.send(request).unwrap();
    }
    let handle = successor.handle();
    let serving = thread::spawn(|| successor.run().unwrap());
    let resend = RESEND.map(u32::to_ne_bytes).concat();
    assert_eq!(receive(&kernel).unwrap(), resend);
    let mut answered: Vec<_> = (0..answers).map(|_| receive(&kernel).unwrap()).collect();
    answered.sort();
    // What has no answer was served, too, since the end waits for it.
    handle.terminate();
    serving.join().unwrap();
    (answered, names)
}

fn told(names: &[(&str, bool)]) -> BTreeMap<String, bool> {
    let names = names
        .iter()
        .map(|(name, is_resent)| ((*name).to_owned(), *is_resent));
    names.collect()
}

fn replies(uniques: &[u64]) -> Vec<Vec<u8>> {
    let body = proto::entry_out(&ENTRY);
    let mut replies: Vec<_> = uniques.iter().map(|it| proto::reply(*it, &body)).collect();
    replies.sort();
    replies
}

#[test]
fn a_handler_is_told_that_its_request_has_been_sent_before() {
    let lookup = |unique, name: &[u8]| proto::lookup(1, name).bytes(unique);
    let requests = [
        proto::forget(9, 1).bytes(RESENT | 4),
        lookup(RESENT | 6, b"again"),
        lookup(RESENT | 8, b"and again"),
        lookup(10, b"new"),
        lookup(12, b"newer"),
    ];
    let (answered, names) = go_on(10, &requests, 4);
    assert_eq!(answered, replies(&[RESENT | 6, RESENT | 8, 10, 12]));
    let told = told(&[
        ("forget 9", false),
        ("again", true),
        ("and again", true),
        ("new", false),
        ("newer", false),
    ]);
    assert_eq!(names, told);
}

#[test]
fn one_may_wait_for_another() {
    let lookup = |unique, name: &[u8]| proto::lookup(1, name).bytes(unique);
    let both = [lookup(RESENT | 6, b"first"), lookup(RESENT | 8, b"second")];
    let (answered, _) = go_on(2, &both, 2);
    assert_eq!(answered, replies(&[RESENT | 6, RESENT | 8]));
    // The second is one for the loop.
    let both = [lookup(RESENT | 6, b"first"), lookup(8, b"second")];
    let (answered, names) = go_on(2, &both, 2);
    assert_eq!(answered, replies(&[RESENT | 6, 8]));
    assert_eq!(names, told(&[("first", true), ("second", false)]));
}

/// No more handlers run at the same time than the session has workers.
#[test]
fn as_many_as_there_are_workers() {
    let lookup = |unique, name: &str| proto::lookup(1, name.as_bytes()).bytes(RESENT | unique);
    let requests: Vec<_> = (0..20).map(|n| lookup(2 * n + 4, &n.to_string())).collect();
    for workers in [1, 3] {
        let (answered, names) = go_on_with(Names::default(), workers, &requests, 20);
        let uniques: Vec<_> = (0..20).map(|n| RESENT | (2 * n + 4)).collect();
        assert_eq!(answered, replies(&uniques));
        assert!(names.0.0.lock().values().all(|is_resent| *is_resent));
        let most = names.1.1.load(Ordering::SeqCst);
        assert!(most <= workers as usize, "{most} ran, of {workers}");
    }
}
