//! Where futures run, and how many at the same time.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fuse3::{Answer, Attr, Builder, Concurrent, Context, FileInfo, Filesystem, Ino, Session};
use tokio::runtime;
use tokio::sync::Semaphore;

use crate::fixture::{Mount, require_mount, until};

/// The threads that began a future each, which then waits until it may go on.
struct Begun {
    threads: Mutex<Vec<Option<String>>>,
    go_on: Semaphore,
}

impl Begun {
    fn count(&self) -> usize {
        self.threads.lock().unwrap().len()
    }
}

/// Each stat of the root is a future.
struct Held(Arc<Begun>);

impl Filesystem for Held {
    type Lock = Concurrent;

    fn getattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        cx.spawn(move |fs| async move {
            let thread = thread::current().name().map(str::to_owned);
            fs.0.threads.lock().unwrap().push(thread);
            fs.0.go_on.acquire().await.unwrap().forget();
            Ok((Attr::new(ino, libc::S_IFDIR | 0o755), Duration::ZERO))
        })
    }
}

const CLIENTS: usize = 4;

/// Has `CLIENTS` stat the root at once; `expected` of their futures begin before one may go on. Returns the threads of all.
fn held(ask: impl FnOnce(Builder<Held>) -> Builder<Held>, expected: usize) -> Vec<Option<String>> {
    let begun = Arc::new(Begun {
        threads: Mutex::default(),
        go_on: Semaphore::new(0),
    });
    let fs = Held(Arc::clone(&begun));
    let mount = Mount::new(ask(Session::builder(fs, Concurrent)));
    let path = mount.path();
    thread::scope(|clients| {
        for _ in 0..CLIENTS {
            clients.spawn(|| rustix::fs::stat(path).unwrap());
        }
        until(|| begun.count() >= expected);
        // Time for one too many.
        thread::sleep(Duration::from_millis(100));
        let count = begun.count();
        begun.go_on.add_permits(2 * CLIENTS);
        assert_eq!(count, expected);
    });
    mount.end();
    let threads = begun.threads.lock().unwrap().clone();
    assert!(threads.len() >= CLIENTS, "{threads:?}");
    threads
}

#[test]
fn no_more_futures_at_once_than_max_tasks() {
    require_mount!(not over io_uring: "each processor has one worker");
    held(|b| b, CLIENTS);
    held(|b| b.max_tasks(2), 2);
    held(|b| b.max_tasks(None), CLIENTS);
}

#[test]
fn futures_run_on_the_runtime_that_was_asked_for() {
    require_mount!(not over io_uring: "each processor has one worker");
    let mut theirs = runtime::Builder::new_multi_thread();
    let theirs = theirs
        .worker_threads(1)
        .thread_name("theirs")
        .build()
        .unwrap();
    let name = Some("theirs".to_owned());
    let threads = held(|b| b.runtime(theirs.handle().clone()), CLIENTS);
    assert!(threads.iter().all(|thread| *thread == name), "{threads:?}");
    let threads = held(|b| b, CLIENTS);
    assert!(!threads.contains(&name), "{threads:?}");
}
