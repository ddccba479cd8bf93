//! Futures that answer: by what they run, what ends them, and what may go wrong.

mod end;
mod runtime;

use std::future::pending;
use std::panic::panic_any;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use fuse3::ReadBuf;
use fuse3::session::{OnPanic, Served, Stopped};
use fuse3::tasks::unblock;
use fuse3::{Answer, Concurrent, Context, Data, Entry, Errno, FileInfo, Filesystem, Handle, Ino};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::harness::{DEADLINE, Wire, until};
use crate::logger::{self, PANIC};
use crate::probe::{Probe, await_from, enoent};
use crate::proto;
use crate::recorder::{ENTRY, Locked, Style, entry, in_both_styles};

in_both_styles! {
    answers_of_every_kind many_at_once interrupted interrupted_before_it_runs interrupts_meet_answers
    a_panic_answers_eio a_panic_ends_the_session a_panic_where_nobody_looks an_answer_that_is_not_taken
    at_the_limit_others_get_the_lock interrupted_at_the_limit no_more_than_the_limit
    in_the_background blocking_work
}

/// Says when it is dropped, and on which thread.
pub(crate) struct Dropped(pub(crate) mpsc::Sender<thread::ThreadId>);

impl Drop for Dropped {
    fn drop(&mut self) {
        // The test may be over.
        let _ = self.0.send(thread::current().id());
    }
}

/// What a lookup is told by its name.
async fn by_name(name: String) -> Answer<Entry> {
    yield_now().await;
    match name.as_str() {
        "errno" => Err(Errno::ENOTEMPTY.into()),
        "io" => Err(std::io::Error::from_raw_os_error(libc::EUCLEAN))?,
        "later" => {
            sleep(Duration::from_millis(5)).await;
            Ok(ENTRY)
        }
        _ => Ok(entry(name.parse().map_err(|_| Errno::EINVAL)?)),
    }
}

fn answers_of_every_kind<L: Style>() {
    let fs = Probe::<L>::new(|cx, name| {
        let name = name.to_str().unwrap().to_owned();
        cx.spawn(|_| async move { by_name(name).await })
    });
    let mut wire = Wire::new(fs, L::lock());
    wire.expect(&proto::lookup(1, b"7"), &proto::entry_out(&entry(7)));
    wire.expect(&proto::lookup(1, b"later"), &proto::entry_out(&ENTRY));
    wire.expect_error(&proto::lookup(1, b"errno"), Errno::ENOTEMPTY);
    let euclean = Errno::from_raw(libc::EUCLEAN);
    wire.expect_error(&proto::lookup(1, b"io"), euclean);
    wire.expect_error(&proto::lookup(1, b"none"), Errno::EINVAL);
    let end = wire.end();
    assert_eq!(end.stats.panics, 0);
    // Nobody has a share of it any more.
    Arc::into_inner(end.fs).unwrap();
}

/// All are in flight when the last one comes, which lets them go, the last one first.
fn many_at_once<L: Style>() {
    const COUNT: u64 = 200;
    let waiting = Arc::new(Mutex::new(Vec::new()));
    let its = Arc::clone(&waiting);
    let fs = Probe::<L>::new(move |cx, name| {
        let ino: u64 = name.to_str().unwrap().parse().unwrap();
        let (go, goes) = oneshot::channel::<()>();
        its.lock().push(go);
        cx.spawn(move |_| async move {
            goes.await.map_err(|_| Errno::EIO)?;
            Ok(entry(ino))
        })
    });
    let mut wire = Wire::with(fs, L::lock(), |builder| builder.workers(2));
    let mut expected = Vec::new();
    for ino in 1000..1000 + COUNT {
        let unique = wire.send(&proto::lookup(1, ino.to_string().as_bytes()));
        expected.push(proto::reply(unique, &proto::entry_out(&entry(ino))));
    }
    until("all are in flight", || {
        waiting.lock().len() == expected.len()
    });
    wire.assert_silent();
    for go in waiting.lock().drain(..).rev() {
        go.send(()).unwrap();
    }
    let mut received: Vec<_> = expected.iter().map(|_| wire.receive()).collect();
    received.sort();
    expected.sort();
    assert!(received == expected);
    wire.end();
}

/// Futures that wait for ever, each of which says when it begins and when it is dropped.
fn waiting_for_ever<L: Style>() -> (
    Probe<L>,
    mpsc::Receiver<()>,
    mpsc::Receiver<thread::ThreadId>,
) {
    let (begun, begins) = mpsc::channel();
    let (dropped, drops) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, _| {
        let (begun, dropped) = (begun.clone(), Dropped(dropped.clone()));
        cx.spawn(move |_| async move {
            let _dropped = dropped;
            begun.send(()).unwrap();
            pending().await
        })
    });
    (fs, begins, drops)
}

/// The future is dropped where it is, before the answer.
fn interrupted<L: Style>() {
    let (fs, begins, drops) = waiting_for_ever::<L>();
    let mut wire = Wire::new(fs, L::lock());
    let [first, second] = [(); 2].map(|()| {
        let unique = wire.send(&proto::lookup(1, b"name"));
        await_from(&begins);
        unique
    });
    wire.send(&proto::interrupt(second));
    assert_eq!(wire.receive(), proto::error(second, libc::EINTR));
    drops.try_recv().unwrap();
    // The other one goes on waiting.
    drops.try_recv().unwrap_err();
    wire.send(&proto::interrupt(first));
    assert_eq!(wire.receive(), proto::error(first, libc::EINTR));
    drops.try_recv().unwrap();
    let end = wire.end();
    assert_eq!(end.stats.panics, 0);
    Arc::into_inner(end.fs).unwrap();
}

/// It never runs then.
fn interrupted_before_it_runs<L: Style>() {
    let (begun, begins) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, _| {
        begun.send(()).unwrap();
        until("it is interrupted", || cx.interrupted());
        cx.spawn(|_| async { unreachable!("it was interrupted") })
    });
    let mut wire = Wire::new(fs, L::lock());
    for _ in 0..20 {
        let unique = wire.send(&proto::lookup(1, b"name"));
        await_from(&begins);
        wire.send(&proto::interrupt(unique));
        assert_eq!(wire.receive(), proto::error(unique, libc::EINTR));
    }
    assert_eq!(wire.end().stats.panics, 0);
}

/// At the same moment, over and over: each request is answered once, and its future is gone.
fn interrupts_meet_answers<L: Style>() {
    const ROUNDS: u32 = 500;
    let alive = Arc::new(());
    let its = Arc::clone(&alive);
    let fs = Probe::<L>::new(move |cx, _| {
        let alive = Arc::clone(&its);
        cx.spawn(move |_| async move {
            let _alive = alive;
            for _ in 0..3 {
                yield_now().await;
            }
            enoent()
        })
    });
    let mut wire = Wire::new(fs, L::lock());
    for round in 0..ROUNDS {
        let unique = wire.send(&proto::lookup(1, b"name"));
        if round % 5 == 0 {
            thread::yield_now();
        }
        wire.send(&proto::interrupt(unique));
        loop {
            let reply = wire.receive();
            let number = u64::from_ne_bytes(reply[8..16].try_into().unwrap());
            if number == unique {
                let one_of = [libc::ENOENT, libc::EINTR].map(|errno| proto::error(unique, errno));
                assert!(one_of.contains(&reply), "{reply:?}");
                break;
            }
            // An interrupt that came when there was nothing to interrupt any more.
            assert_eq!(reply, proto::error(number, libc::EAGAIN));
        }
    }
    // Besides the file system's and this one.
    until("the futures are gone", || Arc::strong_count(&alive) == 2);
    wire.handle.terminate();
}

fn a_panic_answers_eio<L: Style>() {
    let (dropped, drops) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, name| {
        let dropped = Dropped(dropped.clone());
        match name.to_str().unwrap() {
            "at once" => cx.spawn(|_| -> std::future::Ready<_> { panic_any(PANIC) }),
            "later" => cx.spawn(move |_| async move {
                let _dropped = dropped;
                yield_now().await;
                panic_any(PANIC)
            }),
            _ => cx.spawn(|_| async { enoent() }),
        }
    });
    let mut wire = Wire::new(fs, L::lock());
    wire.expect_error(&proto::lookup(1, b"at once"), Errno::EIO);
    wire.assert_lock_free();
    wire.expect_error(&proto::lookup(1, b"later"), Errno::EIO);
    drops.recv_timeout(DEADLINE).unwrap();
    wire.expect_error(&proto::lookup(1, b"good"), Errno::ENOENT);
    assert_eq!(wire.end().stats.panics, 2);
}

/// llfuse's way, where pyfuse3 lets its client hang.
fn a_panic_ends_the_session<L: Style>() {
    let fs = Probe::<L>::new(|cx, _| {
        cx.spawn(|_| async {
            yield_now().await;
            panic_any(PANIC)
        })
    });
    let mut wire = Wire::with(fs, L::lock(), |builder| builder.on_panic(OnPanic::End));
    wire.expect_error(&proto::lookup(1, b"name"), Errno::EIO);
    let panic = wire.wait_or_panic().unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&PANIC));
    wire.assert_closed();
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic_any(PANIC);
    }
}

/// In a destructor of a future: of one that has answered, and of one that was interrupted.
fn a_panic_where_nobody_looks<L: Style>() {
    let (begun, begins) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, name| {
        let (begun, waits) = (begun.clone(), name == "wait");
        let captured = PanicsWhenDropped;
        cx.spawn(move |_| {
            // It is the future that has it, from the beginning to the end.
            let it = Box::new(captured);
            std::future::poll_fn(move |_| {
                let _it = &it;
                begun.send(()).unwrap();
                match waits {
                    true => std::task::Poll::Pending,
                    false => std::task::Poll::Ready(Ok(ENTRY)),
                }
            })
        })
    });
    let mut wire = Wire::new(fs, L::lock());
    wire.expect(&proto::lookup(1, b"name"), &proto::entry_out(&ENTRY));
    await_from(&begins);
    let unique = wire.send(&proto::lookup(1, b"wait"));
    await_from(&begins);
    wire.send(&proto::interrupt(unique));
    assert_eq!(wire.receive(), proto::error(unique, libc::EINTR));
    assert_eq!(wire.end().stats.panics, 2);
}

/// The kernel never gives back what such an answer gave out.
fn an_answer_that_is_not_taken<L: Style>() {
    let fs = Probe::<L>::new(|cx, _| cx.spawn(|_| async { Ok(entry(7)) }));
    let mut wire = Wire::new(fs, L::lock());
    wire.refuse_for_good();
    wire.send(&proto::lookup(1, b"name"));
    let handle = wire.handle.clone();
    until("it was not taken", || handle.stats().not_taken == 1);
    let end = wire.end();
    assert_eq!(*end.fs.taken_back.lock(), ["forget 7 1"]);
}

/// Lookups of `wait` wait in their futures for a permit; others are answered by their handler.
fn waiting_for_permits<L: Style>() -> (Probe<L>, Arc<Semaphore>, Arc<AtomicUsize>) {
    let permits = Arc::new(Semaphore::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (its, count) = (Arc::clone(&permits), Arc::new(AtomicUsize::new(0)));
    let its_most = Arc::clone(&most);
    let fs = Probe::<L>::new(move |cx, name| {
        if name != "wait" {
            return enoent();
        }
        let (permits, count, most) = (Arc::clone(&its), Arc::clone(&count), Arc::clone(&its_most));
        cx.spawn(move |_| async move {
            most.fetch_max(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            permits.acquire().await.map_err(|_| Errno::EIO)?.forget();
            count.fetch_sub(1, Ordering::SeqCst);
            Ok(ENTRY)
        })
    });
    (fs, permits, most)
}

/// A handler waits on its worker for one of two futures to end, with the lock released.
fn at_the_limit_others_get_the_lock<L: Style>() {
    let (fs, permits, most) = waiting_for_permits::<L>();
    let mut wire = Wire::with(fs, L::lock(), |builder| builder.max_tasks(2).workers(3));
    let mut expected = Vec::new();
    for _ in 0..4 {
        let unique = wire.send(&proto::lookup(1, b"wait"));
        expected.push(proto::reply(unique, &proto::entry_out(&ENTRY)));
    }
    until("two are in flight", || most.load(Ordering::SeqCst) == 2);
    // Two handlers wait; the third worker is free, and so is the lock.
    wire.expect_error(&proto::lookup(1, b"other"), Errno::ENOENT);
    permits.add_permits(4);
    let mut received: Vec<_> = expected.iter().map(|_| wire.receive()).collect();
    received.sort();
    expected.sort();
    assert!(received == expected);
    assert_eq!(most.load(Ordering::SeqCst), 2);
    wire.end();
}

/// It is told while another worker is there to read it.
fn interrupted_at_the_limit<L: Style>() {
    let (fs, permits, most) = waiting_for_permits::<L>();
    // None means one.
    let mut wire = Wire::with(fs, L::lock(), |builder| builder.max_tasks(0).workers(3));
    let first = wire.send(&proto::lookup(1, b"wait"));
    until("one is in flight", || most.load(Ordering::SeqCst) == 1);
    let second = wire.send(&proto::lookup(1, b"wait"));
    wire.expect_error(&proto::lookup(1, b"other"), Errno::ENOENT);
    wire.send(&proto::interrupt(second));
    assert_eq!(wire.receive(), proto::error(second, libc::EINTR));
    permits.add_permits(1);
    let entry = proto::entry_out(&ENTRY);
    assert_eq!(wire.receive(), proto::reply(first, &entry));
    assert_eq!(most.load(Ordering::SeqCst), 1);
    wire.end();
}

/// However they end, and however many handlers wait. No wake-up is lost.
fn no_more_than_the_limit<L: Style>() {
    const COUNT: usize = 600;
    let now = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let its = Arc::clone(&now);
    let fs = Probe::<L>::new(move |cx, name| {
        let ino: u64 = name.to_str().unwrap().parse().unwrap();
        let its = Arc::clone(&its);
        cx.spawn(move |_| async move {
            let (now, most) = &*its;
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..ino % 4 {
                yield_now().await;
            }
            now.fetch_sub(1, Ordering::SeqCst);
            match ino % 7 {
                0 => panic_any(PANIC),
                _ => enoent(),
            }
        })
    });
    let mut wire = Wire::with(fs, L::lock(), |builder| builder.max_tasks(3));
    for _ in 0..COUNT / 20 {
        for ino in 0..20 {
            wire.send(&proto::lookup(1, ino.to_string().as_bytes()));
        }
        for _ in 0..20 {
            wire.receive();
        }
    }
    assert!(now.1.load(Ordering::SeqCst) <= 3);
    assert_eq!(
        wire.end().stats.panics,
        3 * u64::try_from(COUNT / 20).unwrap()
    );
}

thread_local! {
    /// Says when the thread ends.
    static ENDS: Mutex<Option<Dropped>> = const { Mutex::new(None) };
}

/// A future that answers nothing is waited for at the end, and what it does is seen.
fn in_the_background<L: Style>() {
    let done = Arc::new(AtomicBool::new(false));
    let its = Arc::clone(&done);
    let fs = Probe::<L>::new(move |cx, name| {
        let (done, panics) = (Arc::clone(&its), name == "panic");
        cx.background(move |_| async move {
            if panics {
                panic_any(PANIC);
            }
            sleep(Duration::from_millis(20)).await;
            done.store(true, Ordering::SeqCst);
        });
        enoent()
    });
    let mut wire = Wire::new(fs, L::lock());
    wire.expect_error(&proto::lookup(1, b"panic"), Errno::ENOENT);
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    assert_eq!(wire.end().stats.panics, 1);
    assert!(done.load(Ordering::SeqCst));
}

/// On threads of its own, as many as there are; a panic of it is the future's.
fn blocking_work<L: Style>() {
    let meet = Arc::new(std::sync::Barrier::new(4));
    let fs = Probe::<L>::new(move |cx, name| {
        let (meet, panics) = (Arc::clone(&meet), name == "panic");
        cx.spawn(move |_| async move {
            unblock(move || match panics {
                true => panic_any(PANIC),
                false => meet.wait(),
            })
            .await;
            enoent()
        })
    });
    // The one thread of the runtime is free meanwhile.
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let handle = runtime.handle().clone();
    let mut wire = Wire::with(fs, L::lock(), |builder| builder.runtime(handle));
    let mut sent = [(); 4].map(|()| wire.send(&proto::lookup(1, b"name")));
    let mut received = [(); 4].map(|()| wire.receive());
    received.sort();
    sent.sort_unstable();
    assert_eq!(
        received,
        sent.map(|unique| proto::error(unique, libc::ENOENT))
    );
    wire.expect_error(&proto::lookup(1, b"panic"), Errno::EIO);
    assert_eq!(wire.end().stats.panics, 1);
}

/// Futures take the global lock between awaits, beside handlers that hold it.
#[test]
fn futures_and_handlers_take_turns() {
    let lock = Locked::default();
    let its = Arc::clone(&lock);
    let counts = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let counted = Arc::clone(&counts);
    let fs = Probe::<Locked>::new(move |cx, name| {
        let counts = Arc::clone(&counted);
        let once = move || {
            let (inside, times) = &*counts;
            assert_eq!(
                inside.fetch_add(1, Ordering::SeqCst),
                0,
                "two have the lock"
            );
            thread::yield_now();
            inside.fetch_sub(1, Ordering::SeqCst);
            times.fetch_add(1, Ordering::SeqCst);
        };
        if name == "handler" {
            once();
            return enoent();
        }
        let lock = Arc::clone(&its);
        cx.spawn(move |_| async move {
            for _ in 0..3 {
                let guard = lock.lock().map_err(|_| Errno::EDEADLK)?;
                once();
                drop(guard);
                yield_now().await;
            }
            enoent()
        })
    });
    let mut wire = Wire::new(fs, lock);
    for _ in 0..50 {
        for name in [b"handler".as_slice(), b"future"] {
            wire.send(&proto::lookup(1, name));
        }
    }
    for _ in 0..100 {
        assert_eq!(wire.receive()[4..8], (-libc::ENOENT).to_ne_bytes());
    }
    assert_eq!(counts.1.load(Ordering::SeqCst), 50 * 4);
    assert_eq!(wire.end().stats.panics, 0);
}

/// A future has the buffer of the request, and gives it back full.
struct Reading(Arc<Notify>);

impl Filesystem for Reading {
    type Lock = Concurrent;

    fn read(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        cx.spawn(move |fs| async move {
            if offset > 0 {
                fs.0.notified().await;
            }
            Ok(out.copy_from(format!("from {offset}").as_bytes()))
        })
    }
}

#[test]
fn a_read_answers_owned_data() {
    let asked = Arc::new(Notify::new());
    let mut wire = Wire::new(Reading(Arc::clone(&asked)), Concurrent);
    let file = || proto::File::new(9);
    wire.expect(&proto::read(7, file(), 0, 4096), b"from 0");
    let unique = wire.send(&proto::read(7, file(), 5, 4096));
    // More than was asked for.
    wire.expect_error(&proto::read(7, file(), 0, 3), Errno::EIO);
    asked.notify_one();
    assert_eq!(wire.receive(), proto::reply(unique, b"from 5"));
    wire.end();
}

/// The kernel does not wait for what goes on behind a handler.
#[test]
fn a_notification_from_behind_its_request() {
    let notifier = Arc::new(Mutex::new(None::<fuse3::Notifier>));
    let its = Arc::clone(&notifier);
    let fs = Probe::<Concurrent>::new(move |cx, _| {
        let notifier = its.lock().clone().unwrap();
        cx.background(move |_| async move {
            let sent = Concurrent.unlocked(|it| notifier.blocking(it).inval_entry(Ino(1), "name"));
            assert_eq!(sent, Ok(()));
        });
        enoent()
    });
    let mut wire = Wire::new(fs, Concurrent);
    *notifier.lock() = Some(wire.handle.notifier());
    wire.send(&proto::lookup(1, b"name"));
    // In whatever order.
    wire.receive();
    wire.receive();
    assert_eq!(wire.end().stats.panics, 0);
}
