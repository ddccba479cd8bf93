//! One thread for all futures, whose state it has for itself.

use std::cell::Cell;
use std::future::pending;
use std::panic::panic_any;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

use fuse3::Notifier;
use fuse3::context::Guard;
use fuse3::notify::Blocking;
use fuse3::notify::NotifyError;
use fuse3::session::{OnPanic, Served};
use fuse3::tasks::unblock;
use fuse3::tasks::{Local, LocalError};
use fuse3::{Context, Errno, Filesystem, Ino, Operation};
use parking_lot::Mutex;
use tokio::task::{spawn_local, yield_now};
use tokio::time::sleep;

use crate::harness::Wire;
use crate::logger::PANIC;
use crate::probe::{Probe, await_from, enoent};
use crate::proto;
use crate::recorder::{ENTRY, Style, entry};
use crate::tasks::Dropped;

/// What no other thread may have.
struct State {
    count: u64,
    shared: Rc<Cell<u64>>,
    _dropped: Option<Dropped>,
}

impl State {
    fn new() -> Self {
        Self {
            count: 0,
            shared: Rc::default(),
            _dropped: None,
        }
    }
}

type Single = Local<State>;

impl Style for Single {
    const LOCKED: bool = false;

    fn lock() -> Self {
        Local::new(State::new)
    }

    fn blocking<R>(&self, notifier: &Notifier, send: impl FnOnce(&Blocking<'_>) -> R) -> R {
        self.unlocked(|proof| send(&notifier.blocking(proof)))
    }

    fn take(&self) {}

    fn released(_: &mut &Self, f: impl FnOnce()) {
        f();
    }
}

/// Handlers run on many workers; what they spawn runs on one thread, a piece at a time.
#[test]
fn what_stands_between_awaits_is_atomic() {
    const COUNT: u64 = 200;
    let fs = Probe::<Single>::new(|cx, _| {
        cx.spawn_local(|_, mut state| async move {
            let shared = state.with(|it| Rc::clone(&it.shared));
            for _ in 0..3 {
                // Nobody else is between these two.
                let before = shared.get();
                thread::yield_now();
                shared.set(before + 1);
                yield_now().await;
            }
            enoent()
        })
    });
    let mut wire = Wire::new(fs, Single::lock());
    for _ in 0..COUNT {
        wire.send(&proto::lookup(1, b"name"));
    }
    for _ in 0..COUNT {
        assert_eq!(wire.receive()[4..8], (-libc::ENOENT).to_ne_bytes());
    }
    let count = wire.lock.call(|state| state.shared.get());
    assert_eq!(count, Ok(3 * COUNT));
    assert_eq!(wire.end().stats.panics, 0);
}

/// Timers, closures that block, and futures beside it; answers of the thread, and of a handler that asks it.
#[test]
fn what_a_future_may_do() {
    let fs = Probe::<Single>::new(|cx, name| {
        if name == "call" {
            let count = cx.call(|state| {
                state.count += 1;
                state.count
            });
            return Ok(entry(count.map_err(|_| Errno::EIO)?));
        }
        cx.spawn_local(|_, mut state| async move {
            sleep(Duration::from_millis(1)).await;
            let three = unblock(|| 3).await;
            let mut its = state.clone();
            let beside = spawn_local(async move { its.with(|it| it.count += three) });
            beside.await.map_err(|_| Errno::EIO)?;
            Ok(entry(state.with(|it| it.count)))
        })
    });
    let mut wire = Wire::new(fs, Single::lock());
    let lookup = |name: &[u8]| proto::lookup(1, name);
    wire.expect(&lookup(b"call"), &proto::entry_out(&entry(1)));
    wire.expect(&lookup(b"spawn"), &proto::entry_out(&entry(4)));
    wire.expect(&lookup(b"call"), &proto::entry_out(&entry(5)));
    wire.end();
}

/// On its own thread, and before the answer.
#[test]
fn an_interrupt_drops_the_future() {
    let (begun, begins) = mpsc::channel();
    let (dropped, drops) = mpsc::channel();
    let fs = Probe::<Single>::new(move |cx, _| {
        let (begun, dropped) = (begun.clone(), Dropped(dropped.clone()));
        cx.spawn_local(move |_, _| async move {
            let _both = (dropped, Rc::new(()));
            begun.send(thread::current().id()).unwrap();
            pending().await
        })
    });
    let mut wire = Wire::new(fs, Single::lock());
    let unique = wire.send(&proto::lookup(1, b"name"));
    let thread = await_from(&begins);
    wire.send(&proto::interrupt(unique));
    assert_eq!(wire.receive(), proto::error(unique, libc::EINTR));
    assert_eq!(drops.try_recv(), Ok(thread));
    wire.end();
}

#[test]
fn a_panic_answers_eio() {
    let fs = Probe::<Single>::new(|cx, name| match name.to_str().unwrap() {
        "first" => cx.spawn_local(|_, _| -> std::future::Ready<_> { panic_any(PANIC) }),
        "later" => cx.spawn_local(|_, _| async {
            yield_now().await;
            panic_any(PANIC)
        }),
        "with" => cx.spawn_local(|_, mut state| async move { state.with(|_| panic_any(PANIC)) }),
        "call" => cx
            .call(|_| panic_any(PANIC))
            .map_err(|_| Errno::EAGAIN.into()),
        _ => cx.spawn_local(|_, mut state| async move {
            state.with(|it| it.count += 1);
            enoent()
        }),
    });
    let mut wire = Wire::new(fs, Single::lock());
    for name in [b"first".as_slice(), b"later", b"with", b"call"] {
        wire.expect_error(&proto::lookup(1, name), Errno::EIO);
    }
    // The thread lives, and so does the state.
    wire.expect_error(&proto::lookup(1, b"good"), Errno::ENOENT);
    assert_eq!(wire.lock.call(|state| state.count), Ok(1));
    assert_eq!(wire.end().stats.panics, 4);
}

#[test]
fn a_panic_ends_the_session() {
    let fs = Probe::<Single>::new(|cx, _| cx.spawn_local(|_, _| async { panic_any(PANIC) }));
    let mut wire = Wire::with(fs, Single::lock(), |builder| builder.on_panic(OnPanic::End));
    wire.expect_error(&proto::lookup(1, b"name"), Errno::EIO);
    let panic = wire.wait_or_panic().unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&PANIC));
    wire.assert_closed();
}

/// A clone of the state, in a `with` of the state.
#[test]
fn with_inside_of_with() {
    let fs = Probe::<Single>::new(|cx, _| {
        cx.spawn_local(|_, mut state| async move {
            let mut other = state.clone();
            let inner = state.with(|_| {
                let nested = std::panic::AssertUnwindSafe(|| other.with(|_| ()));
                std::panic::catch_unwind(nested).unwrap_err()
            });
            let text = inner.downcast_ref::<&str>().copied().unwrap_or("");
            assert!(text.contains("inside of another"), "{text}");
            enoent()
        })
    });
    let mut wire = Wire::new(fs, Single::lock());
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    assert_eq!(wire.end().stats.panics, 0);
}

/// There is no thread but while the session runs, and it does not ask itself.
#[test]
fn whom_the_thread_can_be_asked_by() {
    let local = Single::lock();
    assert_eq!(local.call(|_| ()), Err(LocalError::NotRunning));
    let its = local.clone();
    let fs = Probe::<Single>::new(move |cx, _| {
        let its = its.clone();
        cx.spawn_local(|_, _| async move {
            assert_eq!(its.call(|_| ()), Err(LocalError::SameThread));
            enoent()
        })
    });
    let mut wire = Wire::new(fs, local.clone());
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    assert_eq!(local.call(|state| state.count), Ok(0));
    assert_eq!(wire.end().stats.panics, 0);
    assert_eq!(local.call(|_| ()), Err(LocalError::NotRunning));
    // It is one session's.
    let fs = Probe::<Single>::new(|_, _| enoent());
    let (session, mut wire) = Wire::mount(fs, local, |builder| builder);
    let error = session.run().unwrap_err();
    assert!(error.to_string().contains("another session"), "{error}");
    wire.assert_closed();
}

/// The kernel may wait for a future of that thread.
#[test]
fn its_thread_sends_no_notification_that_waits() {
    let notifier = Arc::new(Mutex::new(None::<Notifier>));
    let its = Arc::clone(&notifier);
    let local = Single::lock();
    let lock = local.clone();
    let fs = Probe::<Single>::new(move |cx, _| {
        let (its, lock) = (Arc::clone(&its), lock.clone());
        cx.spawn_local(|_, _| async move {
            let notifier = its.lock().clone().unwrap();
            let blocking = |lock: &Single| {
                lock.unlocked(|proof| notifier.blocking(proof).inval_inode(Ino(7), ..))
            };
            assert_eq!(blocking(&lock), Err(NotifyError::Deadlock));
            // Queued ones it may send, and on another thread it may wait.
            notifier.inval_inode(Ino(8), ..);
            enoent()
        })
    });
    let mut wire = Wire::new(fs, local);
    *notifier.lock() = Some(wire.handle.notifier());
    let unique = wire.send(&proto::lookup(1, b"name"));
    let mut received = [wire.receive(), wire.receive()];
    received.sort_by_key(Vec::len);
    assert_eq!(received[0], proto::error(unique, libc::ENOENT));
    assert_eq!(received[1][16..24], 8_u64.to_ne_bytes());
    assert_eq!(wire.end().stats.panics, 0);
}

/// `destroy` finds the state, which is dropped after it, on its thread, which then ends.
struct Ending(Mutex<mpsc::Sender<u64>>);

impl Filesystem for Ending {
    type Lock = Single;

    fn destroy(&self, local: &mut Guard<'_, Self>) {
        let count = local.call(|state| state.count).unwrap();
        self.0.lock().send(count).unwrap();
    }

    fn forget(&self, cx: &mut Context<'_, Self>, _: Ino, nlookup: u64) {
        cx.call(move |state| state.count += nlookup).unwrap();
    }
}

#[test]
fn the_state_goes_last() {
    let (sender, destroyed) = mpsc::channel();
    let (dropped, drops) = mpsc::channel();
    let (made, makes) = mpsc::channel::<ThreadId>();
    let local = Local::new(move || {
        made.send(thread::current().id()).unwrap();
        State {
            _dropped: Some(Dropped(dropped)),
            ..State::new()
        }
    });
    let (session, mut wire) = Wire::mount(Ending(Mutex::new(sender)), local, |builder| builder);
    makes.try_recv().unwrap_err();
    wire.run(session);
    wire.init(proto::InitIn::default());
    wire.send(&proto::forget(7, 5));
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOSYS);
    wire.has_come(Operation::Forget);
    drops.try_recv().unwrap_err();
    wire.end();
    assert_eq!(destroyed.try_recv(), Ok(5));
    assert_eq!(drops.try_recv(), Ok(makes.recv().unwrap()));
}

/// As futures elsewhere.
#[test]
fn the_end_waits() {
    let (begun, begins) = mpsc::channel();
    let fs = Probe::<Single>::new(move |cx, _| {
        let begun = begun.clone();
        cx.spawn_local(move |_, _| async move {
            begun.send(()).unwrap();
            sleep(Duration::from_millis(30)).await;
            Ok(ENTRY)
        })
    });
    let mut wire = Wire::new(fs, Single::lock());
    let unique = wire.send(&proto::lookup(1, b"name"));
    await_from(&begins);
    wire.handle.terminate();
    let entry = proto::entry_out(&ENTRY);
    assert_eq!(wire.receive(), proto::reply(unique, &entry));
    let end = wire.wait().unwrap();
    Arc::into_inner(end.fs).unwrap();
}

/// A future that blocks the thread, in a session that does not wait for it.
#[test]
fn left_behind() {
    let (begun, begins) = mpsc::channel();
    let (go, goes) = mpsc::channel::<()>();
    let goes = Mutex::new(Some(goes));
    let (dropped, drops) = mpsc::channel();
    let fs = Probe::<Single>::new(move |cx, _| {
        let (begun, goes) = (begun.clone(), goes.lock().take().unwrap());
        cx.spawn_local(move |_, _| async move {
            begun.send(()).unwrap();
            await_from(&goes);
            enoent()
        })
    });
    let local = Local::new(move || State {
        _dropped: Some(Dropped(dropped)),
        ..State::new()
    });
    let patience = Duration::from_millis(1);
    let mut wire = Wire::with(fs, local, |builder| builder.task_patience(patience));
    wire.send(&proto::lookup(1, b"name"));
    await_from(&begins);
    wire.handle.terminate();
    wire.wait_or_panic().unwrap().unwrap();
    wire.assert_closed();
    drops.try_recv().unwrap_err();
    go.send(()).unwrap();
    await_from(&drops);
}

/// What makes the state panics: `run` does, and nothing is served.
#[test]
fn no_state() {
    let local = Single::new(|| panic_any(PANIC));
    let fs = Probe::<Single>::new(|_, _| enoent());
    let (session, mut wire) = Wire::mount(fs, local.clone(), |builder| builder);
    wire.run(session);
    let panic = wire.wait_or_panic().unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&PANIC));
    wire.assert_closed();
    assert_eq!(local.call(|_| ()), Err(LocalError::NotRunning));
}

/// Futures elsewhere are fine beside it.
#[test]
fn other_futures() {
    let fs = Probe::<Single>::new(|cx, _| {
        let its = Local::clone(cx);
        cx.spawn(|_| async move {
            let count = unblock(move || its.call(|state| state.count)).await;
            assert_eq!(count, Ok(0));
            enoent()
        })
    });
    let mut wire = Wire::new(fs, Single::lock());
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    assert_eq!(wire.end().stats.panics, 0);
}

/// A session that is dropped unrun has made nothing, and leaves it to another one.
#[test]
fn never_run() {
    let (made, makes) = mpsc::channel();
    let local = Local::new(move || {
        made.send(()).unwrap();
        State::new()
    });
    let fs = Probe::<Single>::new(|_, _| enoent());
    let (session, mut wire) = Wire::mount(fs, local.clone(), |builder| builder);
    drop(session);
    wire.assert_closed();
    assert_eq!(makes.try_recv(), Err(mpsc::TryRecvError::Empty));
    let mut wire = Wire::new(Probe::<Single>::new(|_, _| enoent()), local);
    makes.try_recv().unwrap();
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    wire.end();
}

/// A session that stops and serves again has the same thread, and the same state. What is in flight meanwhile is answered.
#[test]
fn served_again() {
    let (begun, begins) = mpsc::channel();
    let fs = Probe::<Single>::new(move |cx, name| {
        let (begun, waits) = (begun.clone(), name == "wait");
        cx.spawn_local(move |_, mut state| async move {
            begun.send(()).unwrap();
            if waits {
                sleep(Duration::from_millis(30)).await;
            }
            Ok(entry(state.with(|it| {
                it.count += 1;
                it.count
            })))
        })
    });
    let (session, mut wire) = Wire::mount(fs, Single::lock(), |builder| builder);
    let serving = thread::spawn(|| session.serve().unwrap());
    wire.init(proto::InitIn::default());
    wire.expect(&proto::lookup(1, b"name"), &proto::entry_out(&entry(1)));
    await_from(&begins);
    let unique = wire.send(&proto::lookup(1, b"wait"));
    await_from(&begins);
    wire.handle.terminate();
    let Served::Stopped(stopped) = serving.join().unwrap() else {
        panic!("it has ended");
    };
    let answered = proto::reply(unique, &proto::entry_out(&entry(2)));
    assert_eq!(wire.receive(), answered);
    wire.run(stopped.again());
    let unique = wire.send(&proto::lookup(1, b"name"));
    let answered = proto::reply(unique, &proto::entry_out(&entry(3)));
    let mut received = wire.receive();
    if received[8..16] == [0; 8] {
        // The kernel is asked to send requests again.
        received = wire.receive();
    }
    assert_eq!(received, answered);
    wire.end();
}
