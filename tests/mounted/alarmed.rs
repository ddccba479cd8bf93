//! Clients that get a signal each millisecond and live on: a timer with SA_RESTART, as profilers have it.

use std::ffi::{OsStr, c_int};
use std::fs;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::path::Path;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fuse3::lock::{Condvar, Locking};
use fuse3::session::Interruption;
use fuse3::tasks::Local;
use fuse3::{
    Answer, Attr, Concurrent, Context, Entry, Errno, FileInfo, Filesystem, GlobalLock, Ino, Session,
};

use crate::child::this_test;
use crate::client::{Client, part, say};
use crate::fixture::{Mount, gone_soon, require_mount, until};

/// How long a future takes.
const SHORT: Duration = Duration::from_millis(5);
/// How long a wait takes.
const LONG: Duration = Duration::from_millis(50);
/// The file that is never answered for.
const FOR_EVER: &str = "1000";
const AN_HOUR: Duration = Duration::from_secs(3600);

/// How an answer that takes a while is given.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Waits,
    Asks,
    Defers,
    Spawns,
}

/// There is a file for each number. Its attributes take a while.
struct Slow<L> {
    way: Way,
    never: Condvar,
    /// How many of the requests that are never answered have come.
    came: Arc<AtomicUsize>,
    lock: PhantomData<L>,
}

fn found(name: &OsStr) -> Answer<Entry> {
    let number = name.to_str().and_then(|name| name.parse().ok());
    let ino = Ino(number.ok_or(Errno::ENOENT)?);
    let mut entry = Entry::new(Attr::new(ino, libc::S_IFREG | 0o644), AN_HOUR);
    entry.attr_timeout = Duration::ZERO;
    Ok(entry)
}

fn attributes(ino: Ino) -> Answer<(Attr, Duration)> {
    let kind = if ino == Ino::ROOT {
        libc::S_IFDIR | 0o111
    } else {
        libc::S_IFREG
    };
    Ok((Attr::new(ino, kind | 0o644), Duration::ZERO))
}

async fn future(ino: Ino, lasts: bool) -> Answer<(Attr, Duration)> {
    tokio::time::sleep(SHORT).await;
    if lasts {
        std::future::pending::<()>().await;
    }
    attributes(ino)
}

impl<L: Locking> Filesystem for Slow<L> {
    type Lock = L;

    fn lookup(&self, _: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
        found(name)
    }

    fn getattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        if ino == Ino::ROOT {
            return attributes(ino);
        }
        let lasts = ino.0.to_string() == FOR_EVER;
        self.came.fetch_add(lasts.into(), Ordering::SeqCst);
        match self.way {
            Way::Waits => {
                cx.wait_while(&self.never, (!lasts).then_some(LONG), |_| true)?;
            }
            Way::Asks => {
                let start = Instant::now();
                while lasts || start.elapsed() < SHORT {
                    if cx.interrupted() {
                        return Err(Errno::EINTR.into());
                    }
                    cx.wait_while(&self.never, Some(Duration::from_millis(1)), |_| true)?;
                }
            }
            Way::Defers => {
                let (mut reply, deferred) = cx.defer();
                let interrupted = Arc::new(AtomicBool::new(false));
                let told = Arc::clone(&interrupted);
                reply.on_interrupt(move || told.store(true, Ordering::SeqCst));
                thread::spawn(move || {
                    thread::sleep(SHORT);
                    let is_told = || interrupted.load(Ordering::SeqCst);
                    while lasts && !is_told() {
                        thread::sleep(SHORT);
                    }
                    let errno = Err(Errno::EINTR.into());
                    reply.send(if is_told() { errno } else { attributes(ino) });
                });
                return Err(deferred.into());
            }
            Way::Spawns => return cx.spawn(move |_| future(ino, lasts)),
        }
        attributes(ino)
    }
}

/// The style of pyfuse3: futures on a thread of their own.
struct Alone(Arc<AtomicUsize>);

impl Filesystem for Alone {
    type Lock = Local<()>;

    fn lookup(&self, _: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
        found(name)
    }

    fn getattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        if ino == Ino::ROOT {
            return attributes(ino);
        }
        let lasts = ino.0.to_string() == FOR_EVER;
        self.0.fetch_add(lasts.into(), Ordering::SeqCst);
        cx.spawn_local(move |_, _| future(ino, lasts))
    }
}

extern "C" fn nothing(_: c_int) {}

/// From now on this thread gets SIGALRM each millisecond.
fn alarm_this_thread() {
    // SAFETY: zero is a value of it: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = nothing as extern "C" fn(c_int) as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the handler does nothing, and `action` lives.
    let set = unsafe { libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut()) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
    // SAFETY: zero is a value of it.
    let mut event: libc::sigevent = unsafe { mem::zeroed() };
    event.sigev_notify = libc::SIGEV_THREAD_ID;
    event.sigev_signo = libc::SIGALRM;
    // SAFETY: gettid(2) has no preconditions.
    event.sigev_notify_thread_id = unsafe { libc::gettid() };
    let mut timer = ptr::null_mut();
    // SAFETY: both live.
    let made = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) };
    assert_eq!(made, 0, "{}", io::Error::last_os_error());
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000,
    };
    let period = libc::itimerspec {
        it_interval: time,
        it_value: time,
    };
    // SAFETY: the timer was just made, and `period` lives.
    let set = unsafe { libc::timer_settime(timer, 0, &raw const period, ptr::null_mut()) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

/// The client: calls `THREADSxCALLS` of stat(2), and says how many failed with EINTR; or one that is never answered.
fn play(part: &str, mount: &Path) {
    let Some((threads, calls)) = part.split_once('x') else {
        alarm_this_thread();
        // It is to be killed.
        drop(fs::metadata(mount.join(FOR_EVER)));
        return;
    };
    let [threads, calls]: [u64; 2] = [threads, calls].map(|count| count.parse().unwrap());
    let interrupted = AtomicU64::new(0);
    thread::scope(|scope| {
        for number in 0..threads {
            let (interrupted, file) = (&interrupted, mount.join((number + 2).to_string()));
            scope.spawn(move || {
                alarm_this_thread();
                for _ in 0..calls {
                    match fs::metadata(&file) {
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                            interrupted.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    say(interrupted.into_inner());
}

/// How many calls are interrupted, of so many.
fn interrupted<F: Filesystem>(
    test: &str,
    (fs, lock): (F, F::Lock),
    by: Interruption,
    calls: &str,
) -> u64 {
    let builder = Session::builder(fs, lock).workers(70).interruption(by);
    let mount = Mount::new(builder);
    let client = Client::new(test, calls, mount.path());
    let count = client.says().parse().unwrap();
    client.ends();
    assert_eq!(mount.end().stats.panics, 0);
    count
}

/// In no style is one interrupted of so many calls, made by so many mounts each.
fn none_is_interrupted(test: &str, calls: &str, mounts: usize) {
    let fatal = Interruption::default();
    let all = |style: &str, once: &dyn Fn() -> u64| {
        let start = Instant::now();
        let count: u64 = (0..mounts).map(|_| once()).sum();
        let took = start.elapsed();
        println!("{style}: {count} of {mounts} x {calls} calls were interrupted, in {took:.1?}");
        assert_eq!(count, 0, "{style}");
    };
    for way in [Way::Waits, Way::Asks, Way::Defers, Way::Spawns] {
        let concurrent = || (slow(way), Concurrent);
        let locked = || (slow(way), Arc::new(GlobalLock::new(())));
        all(&format!("{way:?}"), &|| {
            interrupted(test, concurrent(), fatal, calls)
        });
        all(&format!("{way:?}, locked"), &|| {
            interrupted(test, locked(), fatal, calls)
        });
    }
    let local = || (Alone(Arc::default()), Local::new(|| ()));
    all("Local", &|| interrupted(test, local(), fatal, calls));
}

fn slow<L>(way: Way) -> Slow<L> {
    Slow {
        way,
        never: Condvar::new(),
        came: Arc::default(),
        lock: PhantomData,
    }
}

#[test]
fn a_signal_that_is_caught_interrupts_no_call() {
    if let Some((part, mount)) = part(this_test!()) {
        return play(&part, &mount);
    }
    require_mount!();
    none_is_interrupted(this_test!(), "8x10", 1);
}

/// A hundred thousand in each style.
#[test]
#[ignore = "takes minutes: make interrupts"]
fn a_signal_that_is_caught_interrupts_none_of_a_hundred_thousand_calls() {
    if let Some((part, mount)) = part(this_test!()) {
        return play(&part, &mount);
    }
    require_mount!();
    none_is_interrupted(this_test!(), "64x100", 16);
}

/// That it could: the same where any signal counts.
#[test]
fn a_signal_that_is_caught_interrupts_where_any_counts() {
    if let Some((part, mount)) = part(this_test!()) {
        return play(&part, &mount);
    }
    require_mount!(not over io_uring: "signals are looked for now and then");
    let any = Interruption::Any;
    let count = interrupted(this_test!(), (slow(Way::Waits), Concurrent), any, "2x5");
    assert_eq!(count, 10);
}

/// The kernel has told of the first signal and tells of no other.
#[test]
fn a_client_that_caught_a_signal_can_be_killed() {
    if let Some((part, mount)) = part(this_test!()) {
        return play(&part, &mount);
    }
    require_mount!();
    for way in [Way::Waits, Way::Asks, Way::Defers, Way::Spawns] {
        killed_in_time(
            this_test!(),
            way,
            || (slow::<Concurrent>(way), Concurrent),
            |fs| Arc::clone(&fs.came),
        );
        let lock = || (slow(way), Arc::new(GlobalLock::new(())));
        killed_in_time(this_test!(), way, lock, |fs| Arc::clone(&fs.came));
    }
    let local = || (Alone(Arc::default()), Local::new(|| ()));
    killed_in_time(this_test!(), "Local", local, |fs| Arc::clone(&fs.0));
}

fn killed_in_time<F: Filesystem>(
    test: &str,
    way: impl std::fmt::Debug,
    make: impl Fn() -> (F, F::Lock),
    came: impl Fn(&F) -> Arc<AtomicUsize>,
) {
    let (took, ()) = gone_soon(|| {
        let (fs, lock) = make();
        let came = came(&fs);
        let mount = Mount::new(Session::builder(fs, lock));
        let client = Client::new(test, "for-ever", mount.path());
        until(|| came.load(Ordering::SeqCst) > 0);
        thread::sleep(3 * LONG);
        let start = Instant::now();
        client.kill();
        let took = start.elapsed();
        assert_eq!(came.load(Ordering::SeqCst), 1, "{way:?}");
        assert_eq!(mount.end().stats.panics, 0);
        (took, ())
    });
    println!("{way:?}: gone after {took:.2?}");
}
