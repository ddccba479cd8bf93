//! INTERRUPT: who is told, and what may happen meanwhile.

use std::collections::HashMap;
use std::mem;
use std::panic::panic_any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use fuse3::lock::{Condvar, Woken};
use fuse3::{Concurrent, Entry, Errno, Reply};
use parking_lot::Mutex;

use crate::harness::{DEADLINE, Wire, until};
use crate::logger::PANIC;
use crate::probe::{Probe, await_from, enoent};
use crate::proto;
use crate::recorder::{ENTRY, Locked, Style, in_both_styles};

in_both_styles! {
    told told_before_it_registers never_told replaced panicked waiting notified_while_it_waits waiting_in_vain
    no_wake_up_is_lost a_deferred_reply_answers_in_its_callback a_registration_goes_with_the_reply
    interrupts_meet_answers nobody_to_tell unregistered_before_the_answer
}

/// Tells when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A signal to be waited for.
fn event() -> (mpsc::Sender<()>, mpsc::Receiver<()>) {
    mpsc::channel()
}

fn told<L: Style>() {
    let (ready, is_ready) = event();
    let fs = Probe::<L>::new(move |cx, _| {
        let (tell, told) = event();
        let here = thread::current().id();
        cx.on_interrupt(move || {
            assert_ne!(thread::current().id(), here);
            tell.send(()).unwrap();
        });
        ready.send(()).unwrap();
        await_from(&told);
        assert!(cx.interrupted());
        Err(Errno::EINTR.into())
    });
    let mut wire = Wire::new(fs, L::lock());
    let unique = wire.send(&proto::lookup(1, b"name"));
    await_from(&is_ready);
    wire.send(&proto::interrupt(unique));
    assert_eq!(wire.receive(), proto::error(unique, libc::EINTR));
    assert_eq!(wire.end().stats.panics, 0);
}

/// The interrupt is there before the request is, or before the handler registers.
fn told_before_it_registers<L: Style>() {
    for first in [true, false] {
        let fs = Probe::<L>::new(move |cx, _| {
            until("an interrupt comes", || cx.interrupted());
            let (tell, told) = event();
            cx.on_interrupt(move || tell.send(()).unwrap());
            await_from(&told);
            let waited = cx.wait_while(&Condvar::new(), None, |_| true);
            assert_eq!(waited, Err(Errno::EINTR));
            // What is there already is not waited for.
            let waited = cx.wait_while(&Condvar::new(), None, |_| false);
            assert_eq!(waited, Ok(Woken::Notified));
            Err(Errno::EINTR.into())
        });
        let mut wire = Wire::new(fs, L::lock());
        let unique = if first {
            // INIT had 2.
            wire.send(&proto::interrupt(6));
            wire.send(&proto::lookup(1, b"name"))
        } else {
            let unique = wire.send(&proto::lookup(1, b"name"));
            wire.send(&proto::interrupt(unique));
            unique
        };
        assert_eq!(wire.receive(), proto::error(unique, libc::EINTR));
        assert_eq!(wire.end().stats.panics, 0);
    }
}

/// What was not run is dropped before the answer, and never run.
fn never_told<L: Style>() {
    let dropped = Arc::new(AtomicBool::new(false));
    let (captured, ran) = (Arc::clone(&dropped), Arc::new(AtomicBool::new(false)));
    let runs = Arc::clone(&ran);
    let fs = Probe::<L>::new(move |cx, name| {
        if name == "name" {
            let (captured, runs) = (Dropped(Arc::clone(&captured)), Arc::clone(&runs));
            cx.on_interrupt(move || {
                drop(captured);
                runs.store(true, Ordering::SeqCst);
            });
            assert!(!cx.interrupted());
        }
        enoent()
    });
    if !crate::one_worker_can_be_had("interrupts::never_told") {
        return;
    }
    // The one worker reads the interrupt when it is done with the request.
    let mut wire = Wire::with(fs, L::lock(), |builder| builder.workers(1));
    let request = proto::lookup(1, b"name");
    let unique = wire.send(&request);
    assert_eq!(wire.receive(), proto::error(unique, libc::ENOENT));
    assert!(dropped.load(Ordering::SeqCst));
    // Too late. libfuse has the next request say so: EAGAIN, the kernel is to try again.
    let interrupt = wire.send(&proto::interrupt(unique));
    let next = wire.send(&proto::lookup(1, b"other"));
    let mut replies = [wire.receive(), wire.receive()];
    replies.sort();
    let mut expected = [
        proto::error(interrupt, libc::EAGAIN),
        proto::error(next, libc::ENOENT),
    ];
    expected.sort();
    assert_eq!(replies, expected);
    wire.end();
    assert!(!ran.load(Ordering::SeqCst));
}

fn replaced<L: Style>() {
    let (ready, is_ready) = event();
    let fs = Probe::<L>::new(move |cx, _| {
        let (tell, told) = mpsc::channel();
        let first = (
            Dropped(Arc::new(AtomicBool::new(false))),
            mpsc::Sender::clone(&tell),
        );
        let is_dropped = Arc::clone(&first.0.0);
        cx.on_interrupt(move || {
            let (_dropped, tell) = &first;
            tell.send(1).unwrap();
        });
        cx.on_interrupt(move || tell.send(2).unwrap());
        assert!(is_dropped.load(Ordering::SeqCst));
        ready.send(()).unwrap();
        assert_eq!(await_from(&told), 2);
        assert!(told.recv().is_err(), "both were run");
        Err(Errno::EINTR.into())
    });
    let mut wire = Wire::new(fs, L::lock());
    let unique = wire.send(&proto::lookup(1, b"name"));
    await_from(&is_ready);
    wire.send(&proto::interrupt(unique));
    assert_eq!(wire.receive(), proto::error(unique, libc::EINTR));
    assert_eq!(wire.end().stats.panics, 0);
}

/// It is counted. The handler knows nothing of it.
fn panicked<L: Style>() {
    let (ready, is_ready) = event();
    let (go, goes) = event();
    let goes = Mutex::new(goes);
    let fs = Probe::<L>::new(move |cx, _| {
        cx.on_interrupt(|| panic_any(PANIC));
        ready.send(()).unwrap();
        await_from(&goes.lock());
        enoent()
    });
    let mut wire = Wire::new(fs, L::lock());
    let unique = wire.send(&proto::lookup(1, b"name"));
    await_from(&is_ready);
    wire.send(&proto::interrupt(unique));
    let handle = wire.handle.clone();
    until("the panic is counted", || handle.stats().panics == 1);
    go.send(()).unwrap();
    assert_eq!(wire.receive(), proto::error(unique, libc::ENOENT));
    wire.end();
}

/// A callback may take the lock, which the handler has released for its wait.
fn waiting<L: Style>() {
    let (ready, is_ready) = event();
    let condvar = Condvar::new();
    let lock = L::lock();
    let its = lock.clone();
    let fs = Probe::<L>::new(move |cx, _| {
        let its = its.clone();
        let (locked, has_locked) = event();
        cx.on_interrupt(move || {
            its.take();
            locked.send(()).unwrap();
        });
        ready.send(()).unwrap();
        let waited = cx.wait_while(&condvar, None, |_| true);
        assert_eq!(waited, Err(Errno::EINTR));
        // It is not begun after the answer.
        L::released(cx, || await_from(&has_locked));
        // Nobody is queued any more.
        assert!(!condvar.notify_one());
        Err(Errno::EINTR.into())
    });
    let mut wire = Wire::new(fs, lock);
    let unique = wire.send(&proto::lookup(1, b"name"));
    await_from(&is_ready);
    thread::sleep(Duration::from_millis(5));
    wire.send(&proto::interrupt(unique));
    assert_eq!(wire.receive(), proto::error(unique, libc::EINTR));
    wire.assert_lock_free();
    wire.end();
}

fn notified_while_it_waits<L: Style>() {
    let it = Arc::new((Condvar::new(), AtomicU64::new(0)));
    let its = Arc::clone(&it);
    let fs = Probe::<L>::new(move |cx, _| {
        let (condvar, count) = &*its;
        cx.wait_while(condvar, None, |_| count.load(Ordering::SeqCst) < 3)?;
        enoent()
    });
    let mut wire = Wire::new(fs, L::lock());
    let unique = wire.send(&proto::lookup(1, b"name"));
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(2));
        it.1.fetch_add(1, Ordering::SeqCst);
        it.0.notify_one();
    }
    assert_eq!(wire.receive(), proto::error(unique, libc::ENOENT));
    wire.end();
}

fn waiting_in_vain<L: Style>() {
    let fs = Probe::<L>::new(|cx, _| {
        let condvar = Condvar::new();
        for pause in [Duration::ZERO, Duration::from_millis(3)] {
            let start = Instant::now();
            let waited = cx.wait_while(&condvar, Some(pause), |_| true)?;
            assert_eq!(waited, Woken::TimedOut);
            assert!(start.elapsed() >= pause);
        }
        assert!(!condvar.notify_one());
        // It is asked a last time when the time is up.
        let mut times = 0;
        let waited = cx.wait_while(&condvar, Some(Duration::ZERO), |_| {
            times += 1;
            times == 1
        })?;
        assert_eq!((waited, times), (Woken::Notified, 2));
        enoent()
    });
    let mut wire = Wire::new(fs, L::lock());
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    assert_eq!(wire.end().stats.panics, 0);
}

/// Handlers take turns; what is to be waited for changes without the lock, and some are interrupted meanwhile.
fn no_wake_up_is_lost<L: Style>() {
    const ROUNDS: u64 = 300;
    let it = Arc::new((Condvar::new(), Mutex::new(0)));
    let its = Arc::clone(&it);
    let fs = Probe::<L>::new(move |cx, _| {
        let (condvar, permits) = &*its;
        cx.wait_while(condvar, None, |_| {
            let mut permits = permits.lock();
            let none = *permits == 0;
            *permits -= usize::from(!none);
            none
        })?;
        enoent()
    });
    let mut wire = Wire::with(fs, L::lock(), |builder| builder.workers(6));
    let permit = || {
        *it.1.lock() += 1;
        it.0.notify_one();
    };
    let mut sent = Vec::new();
    for round in 0..ROUNDS {
        let waiting = [0; 3].map(|_| wire.send(&proto::lookup(1, b"name")));
        // Who is interrupted leaves its permit to another one, which there may be no use for.
        let interrupts = usize::try_from(round % 3).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..3 {
                    permit();
                }
            });
            for unique in &waiting[..interrupts] {
                sent.push(wire.send(&proto::interrupt(*unique)));
            }
        });
        let mut interrupted = 0;
        let mut answered = 0;
        while answered < waiting.len() {
            let reply = wire.receive();
            let unique = u64::from_ne_bytes(reply[8..16].try_into().unwrap());
            // An interrupt that came too late, or too early.
            if sent.contains(&unique) {
                assert_eq!(reply, proto::error(unique, libc::EAGAIN));
                continue;
            }
            answered += 1;
            assert!(waiting.contains(&unique));
            if reply == proto::error(unique, libc::EINTR) {
                interrupted += 1;
            } else {
                assert_eq!(reply, proto::error(unique, libc::ENOENT));
            }
        }
        let left = mem::take(&mut *it.1.lock());
        assert!(interrupted <= interrupts, "round {round}");
        assert_eq!(left, interrupted, "round {round}");
    }
    // Late interrupts may still be answered.
    wire.handle.terminate();
}

type Waiting = Mutex<HashMap<u64, Reply<Entry>>>;

/// The example of `Reply::on_interrupt`.
fn queue(waiting: &Arc<Waiting>, number: u64, mut reply: Reply<Entry>) {
    let mut replies = waiting.lock();
    let weak = Arc::downgrade(waiting);
    reply.on_interrupt(move || {
        let Some(waiting) = weak.upgrade() else {
            return;
        };
        let reply = waiting.lock().remove(&number);
        if let Some(reply) = reply {
            assert!(reply.interrupted());
            reply.send(Err(Errno::EINTR.into()));
        }
    });
    replies.insert(number, reply);
}

fn a_deferred_reply_answers_in_its_callback<L: Style>() {
    let waiting = Arc::new(Waiting::default());
    let kept = Arc::clone(&waiting);
    let fs = Probe::<L>::new(move |cx, name| {
        let number = name.to_str().unwrap().parse().unwrap();
        let (reply, deferred) = cx.defer();
        assert!(!cx.interrupted());
        queue(&kept, number, reply);
        Err(deferred.into())
    });
    let mut wire = Wire::new(fs, L::lock());
    let [first, second] = [b"1", b"2"].map(|name| wire.send(&proto::lookup(1, name)));
    until("both wait", || waiting.lock().len() == 2);
    wire.send(&proto::interrupt(second));
    assert_eq!(wire.receive(), proto::error(second, libc::EINTR));
    let granted = waiting.lock().remove(&1).unwrap();
    assert!(!granted.interrupted());
    granted.send(Ok(ENTRY));
    let entry = proto::reply(first, &proto::entry_out(&ENTRY));
    assert_eq!(wire.receive(), entry);
    // At the end they wait for no interrupt any more, and know of the end.
    wire.send(&proto::lookup(1, b"3"));
    until("it waits", || waiting.lock().len() == 1);
    let end = wire.end();
    assert_eq!(end.stats.panics, 0);
    let (_, mut last) = waiting.lock().drain().next().unwrap();
    assert!(last.interrupted());
    let ran = Arc::new(AtomicBool::new(false));
    let captured = Dropped(Arc::clone(&ran));
    last.on_interrupt(move || drop(captured));
    last.send(Ok(ENTRY));
    assert!(ran.load(Ordering::SeqCst), "what it captured is kept");
    assert!(end.fs.taken_back.lock().is_empty());
}

/// What a handler registered stays registered once it has deferred its answer.
fn a_registration_goes_with_the_reply<L: Style>() {
    let (sender, receiver) = mpsc::channel();
    let (tell, told) = event();
    let fs = Probe::<L>::new(move |cx, _| {
        let tell = tell.clone();
        cx.on_interrupt(move || tell.send(()).unwrap());
        let (reply, deferred) = cx.defer();
        // There is nobody to interrupt any more, as far as the handler knows.
        let dropped = Arc::new(AtomicBool::new(false));
        let captured = Dropped(Arc::clone(&dropped));
        cx.on_interrupt(move || drop(captured));
        assert!(dropped.load(Ordering::SeqCst));
        sender.send(reply).unwrap();
        Err(deferred.into())
    });
    let mut wire = Wire::new(fs, L::lock());
    let unique = wire.send(&proto::lookup(1, b"name"));
    let reply: Reply<Entry> = await_from(&receiver);
    wire.send(&proto::interrupt(unique));
    await_from(&told);
    assert!(reply.interrupted());
    drop(reply);
    assert_eq!(wire.receive(), proto::error(unique, libc::EIO));
    wire.end();
}

/// At the same moment, over and over. Each request is answered once, and what was registered is gone then.
fn interrupts_meet_answers<L: Style>() {
    const ROUNDS: u64 = 1000;
    let (sender, receiver) = mpsc::channel::<Reply<Entry>>();
    let alive = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&alive);
    let fs = Probe::<L>::new(move |cx, name| {
        let token = Arc::clone(&counted);
        token.fetch_add(1, Ordering::SeqCst);
        let token = Counted(token);
        cx.on_interrupt(move || drop(token));
        if name == "now" {
            return enoent();
        }
        let (reply, deferred) = cx.defer();
        sender.send(reply).unwrap();
        Err(deferred.into())
    });
    let answers = thread::spawn(move || {
        for reply in receiver {
            reply.send(enoent());
        }
    });
    let mut wire = Wire::new(fs, L::lock());
    for round in 0..ROUNDS {
        let name: &[u8] = if round % 2 == 0 { b"now" } else { b"later" };
        let unique = wire.send(&proto::lookup(1, name));
        let interrupt = wire.send(&proto::interrupt(unique));
        let deadline = Instant::now() + DEADLINE;
        loop {
            assert!(Instant::now() < deadline);
            let reply = wire.receive();
            if reply == proto::error(unique, libc::ENOENT) {
                break;
            }
            // An earlier one, or this.
            let number = u64::from_ne_bytes(reply[8..16].try_into().unwrap());
            assert!(number <= interrupt);
            assert_eq!(reply, proto::error(number, libc::EAGAIN));
        }
    }
    until("every callback is gone", || {
        alive.load(Ordering::SeqCst) == 0
    });
    // A last interrupt may be answered by nothing but the next request.
    wire.handle.terminate();
    drop(wire);
    answers.join().unwrap();
}

struct Counted(Arc<AtomicU64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// `forget` has no answer, and so no interrupt.
fn nobody_to_tell<L: Style>() {
    let (tell, told) = mpsc::channel();
    let mut wire = Wire::new(
        Forgetting::<L>(Mutex::new(tell), Default::default()),
        L::lock(),
    );
    wire.send(&proto::forget(7, 1));
    assert_eq!(await_from(&told), Ok(Woken::TimedOut));
    wire.end();
}

/// While an answer is on its way, libfuse still has the request, but not what was registered for it.
fn unregistered_before_the_answer<L: Style>() {
    for deferred in [false, true] {
        let dropped = Arc::new(AtomicBool::new(false));
        let token = Arc::clone(&dropped);
        let (tell, told) = event();
        let (sender, replies) = mpsc::channel::<Reply<Entry>>();
        let fs = Probe::<L>::new(move |cx, name| {
            if name == "other" {
                tell.send(()).unwrap();
                return enoent();
            }
            let token = Dropped(Arc::clone(&token));
            cx.on_interrupt(move || {
                drop(token);
                panic!("it is not registered any more");
            });
            if deferred {
                let (reply, deferred) = cx.defer();
                sender.send(reply).unwrap();
                return Err(deferred.into());
            }
            enoent()
        });
        // One worker has the answer; the other one takes the interrupt, and then the next request.
        let mut wire = Wire::with(fs, L::lock(), |builder| builder.workers(2));
        let stuffed = wire.refuse(true);
        let unique = wire.send(&proto::lookup(1, b"name"));
        thread::scope(|scope| {
            if deferred {
                let reply = await_from(&replies);
                scope.spawn(|| reply.send(enoent()));
            }
            until("it is unregistered", || dropped.load(Ordering::SeqCst));
            wire.send(&proto::interrupt(unique));
            let other = wire.send(&proto::lookup(1, b"other"));
            await_from(&told);
            wire.accept(stuffed);
            let mut received = [wire.receive(), wire.receive()];
            received.sort();
            let mut expected = [unique, other].map(|it| proto::error(it, libc::ENOENT));
            expected.sort();
            assert_eq!(received, expected);
        });
        assert_eq!(wire.end().stats.panics, 0);
    }
}

type Told = mpsc::Sender<Result<Woken, Errno>>;

struct Forgetting<L>(Mutex<Told>, std::marker::PhantomData<fn() -> L>);

impl<L: Style> fuse3::Filesystem for Forgetting<L> {
    type Lock = L;

    fn forget(&self, cx: &mut fuse3::Context<'_, Self>, _ino: fuse3::Ino, _nlookup: u64) {
        cx.on_interrupt(|| unreachable!());
        let soon = Duration::from_millis(1);
        let waited = cx.wait_while(&Condvar::new(), Some(soon), |_| true);
        self.0.lock().send(waited).unwrap();
    }
}

/// Handlers wait with the global lock released: another one gets it.
#[test]
fn the_lock_is_free_meanwhile() {
    let condvar = Arc::new(Condvar::new());
    let its = Arc::clone(&condvar);
    let done = Arc::new(AtomicBool::new(false));
    let is_done = Arc::clone(&done);
    let fs = Probe::<Locked>::new(move |cx, name| {
        if name == "wait" {
            cx.wait_while(&its, None, |_| !is_done.load(Ordering::SeqCst))?;
        } else {
            is_done.store(true, Ordering::SeqCst);
            its.notify_all();
        }
        enoent()
    });
    let mut wire = Wire::new(fs, Locked::default());
    let waiting = wire.send(&proto::lookup(1, b"wait"));
    until("it waits", || {
        fuse3::GlobalLock::stats(&wire.lock).holder.is_none()
    });
    let other = wire.send(&proto::lookup(1, b"notify"));
    let mut replies = [wire.receive(), wire.receive()];
    replies.sort();
    let mut expected = [waiting, other].map(|unique| proto::error(unique, libc::ENOENT));
    expected.sort();
    assert_eq!(replies, expected);
    wire.end();
}

/// A session of one worker reads the interrupt of what is deferred.
#[test]
fn one_worker_is_told_of_deferred_requests() {
    let waiting = Arc::new(Waiting::default());
    let kept = Arc::clone(&waiting);
    let fs = Probe::<Concurrent>::new(move |cx, _| {
        let (reply, deferred) = cx.defer();
        queue(&kept, 1, reply);
        Err(deferred.into())
    });
    let mut wire = Wire::with(fs, Concurrent, |builder| builder.workers(1));
    let unique = wire.send(&proto::lookup(1, b"name"));
    wire.send(&proto::interrupt(unique));
    assert_eq!(wire.receive(), proto::error(unique, libc::EINTR));
    wire.end();
}
