//! The runtime: the session's own, and the program's.

use super::*;

in_both_styles! {
    the_runtime_ends_with_the_session the_users_runtime the_users_runtime_ends
}

fn the_runtime_ends_with_the_session<L: Style>() {
    let (sender, receiver) = mpsc::channel();
    let (names, named) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, _| {
        let (sender, names) = (sender.clone(), names.clone());
        cx.spawn(move |_| async move {
            ENDS.with(|it| *it.lock() = Some(Dropped(sender)));
            names
                .send(thread::current().name().map(str::to_owned))
                .unwrap();
            enoent()
        })
    });
    let mut wire = Wire::new(fs, L::lock());
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    assert_eq!(await_from(&named).as_deref(), Some("fuse3-tasks"));
    receiver.try_recv().unwrap_err();
    wire.end();
    receiver.try_recv().expect("its thread has ended");
}

/// Its threads run the futures, and it goes on when the session has ended.
fn the_users_runtime<L: Style>() {
    let fs = Probe::<L>::new(|cx, _| {
        cx.spawn(|_| async {
            let name = thread::current().name().map(str::to_owned);
            Ok(entry(if name.as_deref() == Some("mine") {
                7
            } else {
                8
            }))
        })
    });
    let mine = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("mine")
        .build();
    let runtime = mine.unwrap();
    let handle = runtime.handle().clone();
    let mut wire = Wire::with(fs, L::lock(), |builder| builder.runtime(handle));
    wire.expect(&proto::lookup(1, b"name"), &proto::entry_out(&entry(7)));
    wire.end();
    assert_eq!(runtime.block_on(runtime.spawn(async { 5 })).unwrap(), 5);
}

/// With it go its futures, and their requests are answered; so are those that come afterwards.
fn the_users_runtime_ends<L: Style>() {
    let (fs, begins, drops) = waiting_for_ever::<L>();
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle().clone();
    let mut wire = Wire::with(fs, L::lock(), |builder| builder.runtime(handle));
    let unique = wire.send(&proto::lookup(1, b"name"));
    await_from(&begins);
    drop(runtime);
    await_from(&drops);
    assert_eq!(wire.receive(), proto::error(unique, libc::EIO));
    wire.expect_error(&proto::lookup(1, b"name"), Errno::EIO);
    wire.end();
}

/// It would block the one thread that its futures need.
#[test]
fn run_inside_of_its_runtime() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    let fs = Probe::<Concurrent>::new(|cx, _| cx.spawn(|_| async { enoent() }));
    let (session, mut wire) = Wire::mount(fs, Concurrent, |builder| builder.runtime(handle));
    let ran = runtime.spawn(async { session.run() });
    let panic = runtime.block_on(ran).unwrap_err();
    assert!(panic.is_panic());
    wire.assert_closed();
    // Beside it, on one of its threads for that, it is fine.
    let handle = runtime.handle().clone();
    let fs = Probe::<Concurrent>::new(|cx, _| cx.spawn(|_| async { enoent() }));
    let (session, mut wire) = Wire::mount(fs, Concurrent, |builder| builder.runtime(handle));
    runtime.block_on(async {
        let ran = tokio::task::spawn_blocking(|| session.run());
        let asked = tokio::task::spawn_blocking(move || {
            wire.init(proto::InitIn::default());
            wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
            wire.handle.terminate();
        });
        timeout(DEADLINE, asked).await.unwrap().unwrap();
        timeout(DEADLINE, ran).await.unwrap().unwrap().unwrap();
    });
}

/// What becomes of a session with a future in flight, which only this thread runs, when it is given up on this thread.
fn given_up(give_up: fn(Stopped<Probe<Concurrent>>)) {
    let (tell, told) = mpsc::channel();
    // Should it wait for ever, the test does not.
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (begun, begins) = mpsc::channel();
        let release = Arc::new(Notify::new());
        let its = Arc::clone(&release);
        let fs = Probe::<Concurrent>::new(move |cx, _| {
            let (begun, release) = (begun.clone(), Arc::clone(&its));
            cx.spawn(move |_| async move {
                begun.send(()).unwrap();
                release.notified().await;
                enoent()
            })
        });
        let handle = runtime.handle().clone();
        let (session, mut wire) = Wire::mount(fs, Concurrent, |builder| builder.runtime(handle));
        let task = runtime.spawn(async move {
            let serving = tokio::task::spawn_blocking(|| session.serve());
            let asked = tokio::task::spawn_blocking(move || {
                wire.init(proto::InitIn::default());
                let unique = wire.send(&proto::lookup(1, b"name"));
                await_from(&begins);
                wire.handle.terminate();
                (wire, unique)
            });
            let (mut wire, unique) = asked.await.unwrap();
            let Served::Stopped(stopped) = serving.await.unwrap().unwrap() else {
                panic!("it has ended");
            };
            give_up(stopped);
            // It is not closed before the future has answered.
            release.notify_one();
            let answered = tokio::task::spawn_blocking(move || {
                assert_eq!(wire.receive(), proto::error(unique, libc::ENOENT));
                wire.assert_closed();
            });
            answered.await.unwrap();
        });
        runtime.block_on(task).unwrap();
        tell.send(()).unwrap();
    });
    told.recv_timeout(DEADLINE).unwrap();
}

#[test]
fn dropped_inside_of_its_runtime() {
    given_up(drop);
}

/// It cannot give the file system back before it has ended.
#[test]
fn closed_inside_of_its_runtime() {
    given_up(|stopped| {
        let close = std::panic::AssertUnwindSafe(|| stopped.close());
        let payload = std::panic::catch_unwind(close).unwrap_err();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or(payload.downcast_ref::<String>().map(String::as_str));
        assert!(text.unwrap().contains("runtime"), "{text:?}");
    });
}

/// Nobody tells a session that is closed to end; futures that wait for it learn of it all the same.
#[test]
fn a_close_is_told() {
    let (begun, begins) = mpsc::channel();
    let (go, handle) = (Arc::new(Notify::new()), Arc::new(OnceLock::<Handle>::new()));
    let its = (Arc::clone(&go), Arc::clone(&handle));
    let fs = Probe::<Concurrent>::new(move |cx, _| {
        let (begun, (go, handle)) = (begun.clone(), its.clone());
        cx.spawn(move |_| async move {
            begun.send(()).unwrap();
            go.notified().await;
            while !handle.get().unwrap().is_ending() {
                sleep(Duration::from_millis(1)).await;
            }
            enoent()
        })
    });
    let (session, mut wire) = Wire::mount(fs, Concurrent, |builder| builder);
    handle.set(session.handle()).unwrap();
    let serving = thread::spawn(|| session.serve());
    wire.init(proto::InitIn::default());
    let unique = wire.send(&proto::lookup(1, b"name"));
    await_from(&begins);
    wire.handle.terminate();
    assert!(wire.handle.is_ending());
    let Served::Stopped(stopped) = serving.join().unwrap().unwrap() else {
        panic!("it has ended");
    };
    assert!(!wire.handle.is_ending());
    go.notify_one();
    thread::spawn(|| stopped.close());
    assert_eq!(wire.receive(), proto::error(unique, libc::ENOENT));
    wire.assert_closed();
}
