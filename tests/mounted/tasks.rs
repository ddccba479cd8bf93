//! Handlers that answer by futures, with clients that are killed, and clients that are not.

use std::ffi::OsStr;
use std::fs;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fuse3::session::OnPanic;
use fuse3::tasks::Local;
use fuse3::{
    Answer, Attr, Builder, Concurrent, Context, Data, Entry, Errno, FileInfo, Filesystem, Ino,
};
use fuse3::{Open, Opened, ReadBuf, Session};
use tokio::task::yield_now;

use crate::child::{self, this_test};
use crate::fixture::{
    DEADLINE, Mount, MountPoint, TempDir, Watchdog, force_unmount, is_mounted, require_mount,
    timed, until,
};

/// How many futures began, and how many were dropped before their end.
#[derive(Default)]
struct Counts {
    begun: AtomicUsize,
    dropped: AtomicUsize,
}

struct Dropped(Arc<Counts>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// Lookups of `for-ever` take that long, `panics` does so after a while, and all others find nothing.
struct Waiting(Arc<Counts>);

impl Filesystem for Waiting {
    type Lock = Concurrent;

    fn lookup(&self, cx: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
        if name == "panics" {
            return cx.spawn(|fs| async move {
                fs.0.begun.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(300)).await;
                panic!("a panic on purpose");
            });
        }
        if name != "for-ever" {
            return cx.spawn(|_| async { Err(Errno::ENOENT.into()) });
        }
        cx.spawn(|fs| {
            let dropped = Dropped(Arc::clone(&fs.0));
            async move {
                dropped.0.begun.fetch_add(1, Ordering::SeqCst);
                pending().await
            }
        })
    }

    fn getattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        cx.spawn(
            move |_| async move { Ok((Attr::new(ino, libc::S_IFDIR | 0o755), Duration::ZERO)) },
        )
    }
}

/// The kernel tells, the future is dropped, and the client is gone: with one worker, too, which a future does not occupy.
#[test]
fn a_killed_client_drops_the_future() {
    require_mount!();
    for workers in [1, 30] {
        let counts = Arc::new(Counts::default());
        let builder = Session::builder(Waiting(Arc::clone(&counts)), Concurrent);
        let mount = Mount::new(builder.workers(workers));
        let mut client = Command::new("cat")
            .arg(mount.join("for-ever"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until(|| counts.begun.load(Ordering::SeqCst) == 1);
        assert_eq!(counts.dropped.load(Ordering::SeqCst), 0);
        let start = Instant::now();
        client.kill().unwrap();
        client.wait().unwrap();
        let took = start.elapsed();
        assert!(took < DEADLINE / 2, "the client waited {took:?}");
        until(|| counts.dropped.load(Ordering::SeqCst) == 1);
        mount.end();
    }
}

/// Without patience for what never ends, the end is soon, and the client knows.
#[test]
fn the_end_with_a_future_in_flight() {
    require_mount!();
    let counts = Arc::new(Counts::default());
    let builder = Session::builder(Waiting(Arc::clone(&counts)), Concurrent);
    let mut mount = Mount::new(builder.task_patience(Duration::from_millis(50)));
    let path = mount.join("for-ever");
    let client = thread::spawn(move || fs::metadata(path));
    until(|| counts.begun.load(Ordering::SeqCst) == 1);
    mount.handle().terminate();
    let (took, _) = timed(|| mount.ended());
    assert!(took < DEADLINE / 2, "it took {took:?}");
    let error = client.join().unwrap().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ECONNABORTED));
    assert_eq!(counts.dropped.load(Ordering::SeqCst), 1);
}

/// When the loop has ended, too.
#[test]
fn left_mounted_after_a_panic_at_the_end() {
    require_mount!();
    let counts = Arc::new(Counts::default());
    let dir = TempDir::new();
    let session = Session::builder(Waiting(Arc::clone(&counts)), Concurrent)
        .on_panic(OnPanic::EndMounted)
        .mount(dir.path())
        .unwrap();
    let _watchdog = Watchdog::new(dir.path());
    let handle = session.handle();
    let serving = thread::spawn(|| catch_unwind(AssertUnwindSafe(|| session.run())).map(drop));
    let path = dir.path().join("panics");
    let client = thread::spawn(move || fs::metadata(path));
    until(|| counts.begun.load(Ordering::SeqCst) == 1);
    handle.terminate();
    assert!(serving.join().unwrap().is_err());
    assert!(client.join().unwrap().is_err());
    assert!(is_mounted(dir.path()));
    force_unmount(dir.path());
}

/// One file, that has in it how often it was opened. Nothing guards the number.
struct Counting;

const FILE: Ino = Ino(2);

fn attr(ino: Ino) -> Attr {
    match ino {
        FILE => Attr {
            size: 20,
            ..Attr::new(ino, libc::S_IFREG | 0o444)
        },
        _ => Attr::new(ino, libc::S_IFDIR | 0o755),
    }
}

impl Filesystem for Counting {
    type Lock = Local<u64>;

    fn lookup(&self, cx: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
        let found = name == "count";
        cx.spawn_local(move |_, _| async move {
            match found {
                true => Ok(Entry::new(attr(FILE), Duration::ZERO)),
                false => Err(Errno::ENOENT.into()),
            }
        })
    }

    fn getattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        cx.spawn_local(move |_, _| async move { Ok((attr(ino), Duration::ZERO)) })
    }

    fn open(&self, cx: &mut Context<'_, Self>, _: Ino, _: Open) -> Answer<Opened> {
        cx.spawn_local(|_, mut count| async move {
            yield_now().await;
            count.with(|count| *count += 1);
            Ok(Opened::default().direct_io(true))
        })
    }

    fn read(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        cx.spawn_local(move |_, mut count| async move {
            let text = count.with(|count| count.to_string());
            let at = usize::try_from(offset).unwrap_or(usize::MAX);
            Ok(out.copy_from(text.as_bytes().get(at..).unwrap_or(&[])))
        })
    }
}

/// How many threads this process has.
fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// Neither the runtime nor the single thread is there before the session runs, so that the process may fork after the
/// mount; nor after it.
#[test]
fn no_thread_before_the_session_and_none_after_it() {
    require_mount!();
    child::run(this_test!(), || {
        fn ask<F: Filesystem>(builder: Builder<F>) {
            let before = threads();
            let dir = MountPoint::new();
            let session = builder.mount(dir.path()).unwrap();
            assert_eq!(threads(), before, "threads of a session that does not run");
            let mount = Mount::run(dir, session);
            assert!(!mount.join("name").exists());
            mount.end();
            until(|| threads() == before);
        }
        ask(Session::builder(Waiting(Arc::default()), Concurrent));
        ask(Session::builder(Counting, Local::new(|| 0)));
    });
}

#[test]
fn a_file_system_of_one_thread() {
    require_mount!();
    for workers in [1, 30] {
        let local = Local::new(|| 0);
        let builder = Session::builder(Counting, local.clone());
        let mount = Mount::new(builder.workers(workers));
        let path = mount.join("count");
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        fs::read(&path).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), "121");
        assert_eq!(local.call(|count| *count), Ok(121));
        mount.end();
    }
}
