//! The end of a session with futures in flight.

use std::ffi::OsStr;

use super::*;

in_both_styles! {
    the_end_waits the_end_is_impatient the_end_at_the_limit left_behind
}

/// As it does for handlers.
fn the_end_waits<L: Style>() {
    let (fs, permits, most) = waiting_for_permits::<L>();
    let mut wire = Wire::new(fs, L::lock());
    let unique = wire.send(&proto::lookup(1, b"wait"));
    until("it is in flight", || most.load(Ordering::SeqCst) == 1);
    wire.handle.terminate();
    thread::sleep(Duration::from_millis(50));
    wire.assert_silent();
    permits.add_permits(1);
    let entry = proto::entry_out(&ENTRY);
    assert_eq!(wire.receive(), proto::reply(unique, &entry));
    let end = wire.wait().unwrap();
    Arc::into_inner(end.fs).unwrap();
}

fn the_end_is_impatient<L: Style>() {
    let (fs, begins, drops) = waiting_for_ever::<L>();
    let patience = Duration::from_millis(30);
    let mut wire = Wire::with(fs, L::lock(), |builder| builder.task_patience(patience));
    let mut expected = [(); 3].map(|()| {
        let unique = wire.send(&proto::lookup(1, b"name"));
        await_from(&begins);
        proto::error(unique, libc::ECONNABORTED)
    });
    wire.handle.terminate();
    let mut received = [(); 3].map(|()| wire.receive());
    received.sort();
    expected.sort();
    assert_eq!(received, expected);
    assert_eq!(drops.try_iter().count(), 3);
    let end = wire.wait().unwrap();
    Arc::into_inner(end.fs).unwrap();
}

/// Handlers that wait for others' futures to end are waited for, too: they do not.
fn the_end_at_the_limit<L: Style>() {
    let (fs, begins, drops) = waiting_for_ever::<L>();
    let mut wire = Wire::with(fs, L::lock(), |builder| {
        builder
            .max_tasks(1)
            .task_patience(Duration::from_millis(30))
    });
    let mut expected = [(); 3].map(|()| {
        let unique = wire.send(&proto::lookup(1, b"name"));
        proto::error(unique, libc::ECONNABORTED)
    });
    let handle = wire.handle.clone();
    until("all are with handlers", || handle.stats().total() == 4);
    await_from(&begins);
    wire.handle.terminate();
    let mut received = [(); 3].map(|()| wire.receive());
    received.sort();
    expected.sort();
    assert_eq!(received, expected);
    wire.wait().unwrap();
    assert_eq!(drops.try_iter().count(), 3);
}

/// A future that blocks its thread cannot be dropped. The session ends without it.
fn left_behind<L: Style>() {
    let (begun, begins) = mpsc::channel();
    let (go, goes) = mpsc::channel::<()>();
    let goes = Arc::new(Mutex::new(goes));
    let (dropped, drops) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, _| {
        let (begun, goes) = (begun.clone(), Arc::clone(&goes));
        let dropped = Dropped(dropped.clone());
        cx.spawn(move |_| async move {
            let _dropped = dropped;
            begun.send(()).unwrap();
            await_from(&goes.lock());
            Ok(ENTRY)
        })
    });
    let mut wire = Wire::with(fs, L::lock(), |builder| {
        builder.task_patience(Duration::ZERO)
    });
    wire.send(&proto::lookup(1, b"name"));
    await_from(&begins);
    wire.handle.terminate();
    let end = wire.wait_or_panic().unwrap().unwrap();
    wire.assert_closed();
    // Once in each style, and in `local`.
    let told = logger::count("futures that do not return from `poll` are left behind");
    assert!((1..=3).contains(&told), "{told}");
    // It goes on, and has nobody to answer any more.
    go.send(()).unwrap();
    await_from(&drops);
    assert!(end.fs.taken_back.lock().is_empty());
}

/// Its kernel's answers are taken back, by a `forget` that runs something in the background.
struct Late {
    forgets: Mutex<mpsc::Sender<()>>,
}

impl Filesystem for Late {
    type Lock = Concurrent;

    /// Leaves the answer to a thread of the runtime that sends it when the runtime is shut down, and not before.
    fn lookup(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<Entry> {
        let (reply, deferred) = cx.defer();
        cx.background(move |_| async move {
            let (dropped, drops) = mpsc::channel();
            let dropped = Dropped(dropped);
            tokio::spawn(async move {
                let _dropped = dropped;
                std::future::pending::<()>().await;
            });
            tokio::task::spawn_blocking(move || {
                await_from(&drops);
                reply.send(Ok(ENTRY));
            });
        });
        Err(deferred.into())
    }

    fn forget(&self, cx: &mut Context<'_, Self>, _: Ino, _: u64) {
        cx.background(|_| async {});
        self.forgets.lock().send(()).unwrap();
    }
}

/// There is nobody who would shut another runtime down.
#[test]
fn a_forget_while_the_runtime_is_shut_down_makes_no_other() {
    let (forgets, forgotten) = mpsc::channel();
    let fs = Late {
        forgets: Mutex::new(forgets),
    };
    let mut wire = Wire::new(fs, Concurrent);
    wire.refuse_for_good();
    let handle = wire.handle.clone();
    wire.send(&proto::lookup(1, b"name"));
    until("the lookup came", || handle.stats().total() == 2);
    handle.terminate();
    wire.wait().unwrap();
    await_from(&forgotten);
    let told = logger::count("a future in the background was not run");
    assert_eq!(told, 1);
}
