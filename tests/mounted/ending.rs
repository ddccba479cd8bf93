//! `Handle::terminate`: from a handler, a thread and a signal handler; what is in flight; what is left.

use std::ffi::c_int;
use std::fs::File;
use std::io::Read;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use fuse3::{GlobalLock, Handle, Operation, Reason};

use crate::child::{self, this_test};
use crate::fixture::{Gate, Mount, MountPoint, TempDir, require_mount, until};
use crate::probe::{Books, Probe};

/// In which `run` is to return when nothing is going on.
const SOON: Duration = Duration::from_millis(100);

/// Where a handler finds the handle of its session.
type Place = Arc<OnceLock<Handle>>;

/// A mount that terminates itself at the first read of a file.
fn terminating() -> Mount<Probe> {
    let place = Place::default();
    let handle = Arc::clone(&place);
    let mount = Probe::new().on(move |_, operation, _| {
        if operation == Operation::Read {
            handle.get().unwrap().terminate();
        }
        Ok(())
    });
    let mount = mount.mount();
    place.set(mount.handle()).unwrap();
    mount
}

/// The session is up, and nothing is going on.
fn settle(mount: &Mount<Probe>) {
    mount.path().metadata().unwrap();
    thread::sleep(Duration::from_millis(20));
}

#[track_caller]
fn assert_soon(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "{what}: run returned after {median:.2?} (median), {longest:.2?} (longest of {})",
        times.len()
    );
    assert!(median < SOON, "{what}: run returned after {median:?}");
    // On a busy machine a thread may have to wait for a processor; a wake-up that is lost is never made up for.
    assert!(
        longest < 20 * SOON,
        "{what}: run returned after {longest:?}"
    );
}

#[test]
fn a_thread_ends_an_idle_mount() {
    require_mount!(not over io_uring: "libfuse takes its time to end the ring");
    let times = (0..10).map(|_| {
        let mut mount = Probe::new().mount();
        settle(&mount);
        let start = Instant::now();
        mount.handle().terminate();
        assert_eq!(mount.ended().reason, Reason::Terminated);
        mount.returned_after(start)
    });
    assert_soon("a thread", times.collect());
}

#[test]
fn a_handler_ends_its_own_session_and_is_answered() {
    require_mount!(not over io_uring: "answers at the end are lost with the ring");
    let times = (0..10).map(|_| {
        let mut mount = terminating();
        let mut file = File::open(mount.join("file")).unwrap();
        settle(&mount);
        let start = Instant::now();
        assert_eq!(file.read(&mut [0; 7]).unwrap(), 7);
        assert_eq!(mount.ended().reason, Reason::Terminated);
        mount.returned_after(start)
    });
    assert_soon("a handler", times.collect());
}

#[test]
fn an_open_file_elsewhere_does_not_keep_it_from_ending() {
    require_mount!(not over io_uring: "the kernel says ECONNABORTED");
    let times = (0..10).map(|_| {
        let mut mount = Probe::new().mount();
        let mut file = File::open(mount.join("file")).unwrap();
        let start = Instant::now();
        mount.handle().terminate();
        assert_eq!(mount.ended().reason, Reason::Terminated);
        let error = file.read(&mut [0]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTCONN));
        mount.returned_after(start)
    });
    assert_soon("with an open file", times.collect());
}

#[test]
fn it_may_be_told_before_it_runs_and_after_it_has_ended() {
    require_mount!();
    let dir = MountPoint::new();
    let session = Probe::new().builder().mount(dir.path()).unwrap();
    session.handle().terminate();
    let mut mount = Mount::run(dir, session);
    assert_eq!(mount.ended().reason, Reason::Terminated);
    let handle = mount.handle();
    drop(mount);
    handle.terminate();
    handle.clone().terminate();
}

/// Numbers that are random enough (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Now, or up to 2 ms from now: around the moment at which the loop begins to wait.
    fn pause(&mut self) {
        if self.below(4) > 0 {
            let pause = Duration::from_micros(self.below(2000));
            let start = Instant::now();
            while start.elapsed() < pause {
                std::hint::spin_loop();
            }
        }
    }
}

#[test]
fn no_wake_up_of_a_thread_is_lost() {
    require_mount!(not over io_uring: "libfuse takes its time to end the ring");
    let mut random = Random(1);
    let times = (0..400).map(|_| {
        let dir = MountPoint::new();
        let session = Probe::new().builder().mount(dir.path()).unwrap();
        let handle = session.handle();
        thread::scope(|scope| {
            let teller = scope.spawn(|| {
                random.pause();
                let start = Instant::now();
                handle.terminate();
                start
            });
            let mut mount = Mount::run(dir, session);
            assert_eq!(mount.ended().reason, Reason::Terminated);
            mount.returned_after(teller.join().unwrap())
        })
    });
    assert_soon("400 threads", times.collect());
}

#[test]
fn no_wake_up_of_a_handler_is_lost() {
    require_mount!(not over io_uring: "answers at the end are lost with the ring");
    let mut random = Random(2);
    let times = (0..300).map(|_| {
        let mut mount = terminating();
        let mut file = File::open(mount.join("file")).unwrap();
        random.pause();
        let start = Instant::now();
        assert_eq!(file.read(&mut [0; 7]).unwrap(), 7);
        assert_eq!(mount.ended().reason, Reason::Terminated);
        mount.returned_after(start)
    });
    assert_soon("300 handlers", times.collect());
}

/// What the signal handler terminates.
static TOLD: AtomicPtr<Handle> = AtomicPtr::new(ptr::null_mut());

extern "C" fn tell(_: c_int) {
    // SAFETY: the pointer is null, or of a handle that is never freed.
    if let Some(handle) = unsafe { TOLD.load(Ordering::SeqCst).as_ref() } {
        handle.terminate();
    }
}

#[test]
fn no_wake_up_of_a_signal_handler_is_lost() {
    require_mount!();
    child::run(this_test!(), || {
        // SAFETY: `struct sigaction` is integers, pointers and a mask, for which zero is a value.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        action.sa_sigaction = tell as extern "C" fn(c_int) as usize;
        // With it, the signal alone does not end a wait.
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: `action` lives; its handler loads a pointer and calls what may be called in a signal handler.
        unsafe { libc::sigaction(libc::SIGUSR2, &raw const action, ptr::null_mut()) };
        let mut random = Random(3);
        let times = (0..300).map(|_| {
            let mut mount = Probe::new().mount();
            TOLD.store(Box::into_raw(Box::new(mount.handle())), Ordering::SeqCst);
            random.pause();
            let start = Instant::now();
            // SAFETY: no precondition.
            let me = unsafe { libc::getpid() };
            // SAFETY: no memory is involved. One of the threads without a mask takes it: it may be the loop's.
            unsafe { libc::kill(me, libc::SIGUSR2) };
            assert_eq!(mount.ended().reason, Reason::Terminated);
            mount.returned_after(start)
        });
        assert_soon("300 signal handlers", times.collect());
    });
}

#[test]
fn handlers_in_flight_are_waited_for_and_answered() {
    require_mount!(not over io_uring: "answers at the end are lost with the ring");
    let gate = Arc::new(Gate::default());
    let waiting = Arc::clone(&gate);
    let probe = Probe::new().on(move |cx, operation, _| {
        if operation == Operation::Read {
            cx.released(|_| waiting.pass());
        }
        Ok(())
    });
    let mut mount = probe.mount();
    let mut file = File::open(mount.join("file")).unwrap();
    let reader = thread::spawn(move || (file.read(&mut [0; 7]).unwrap(), Instant::now()));
    gate.came(1);
    mount.handle().terminate();
    thread::sleep(Duration::from_millis(200));
    let opened = Instant::now();
    gate.open();
    assert_eq!(mount.ended().reason, Reason::Terminated);
    let after = mount.returned_after(opened);
    assert!(!after.is_zero(), "run returned before the handler");
    // One run on a machine that may be busy; `assert_soon` looks at the medians of many.
    assert!(
        after < 10 * SOON,
        "run returned {after:?} after the handler"
    );
    assert_eq!(reader.join().unwrap().0, 7);
}

#[test]
fn requests_that_wait_for_the_lock_are_answered() {
    require_mount!(not over io_uring: "each processor has one worker");
    let lock = Arc::new(GlobalLock::new(Books::default()));
    let mut mount = Mount::new(Probe::new().builder_with(Arc::clone(&lock)));
    let files: Vec<File> = (0..5)
        .map(|number| File::open(mount.join(format!("f{number}"))).unwrap())
        .collect();
    // The standard library asks for the time of birth: the kernel sends STATX, which libfuse 3.18 delivers, and when the
    // answer is ENOSYS, GETATTR, and from then on GETATTR alone. Each stat below is to be one request.
    files[0].metadata().unwrap();
    let guard = lock.lock().unwrap();
    let stats: Vec<_> = files
        .into_iter()
        .map(|file| thread::spawn(move || file.metadata().map(drop)))
        .collect();
    until(|| lock.stats().waiters.len() == 5);
    mount.handle().terminate();
    thread::sleep(Duration::from_millis(100));
    assert!(stats.iter().all(|stat| !stat.is_finished()));
    drop(guard);
    assert_eq!(mount.ended().reason, Reason::Terminated);
    for stat in stats {
        stat.join().unwrap().unwrap();
    }
}

fn count(dir: &str) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

#[test]
fn neither_thread_nor_descriptor_is_left() {
    require_mount!();
    child::run(this_test!(), || {
        // The first mount of all opens what stays open: a random seed, standard handles.
        let once = || {
            let dir = TempDir::new();
            let session = Probe::new().builder().mount(dir.path()).unwrap();
            let handle = session.handle();
            let path = dir.path().to_owned();
            let client = thread::spawn(move || {
                for number in 0..8 {
                    File::open(path.join(format!("f{number}"))).unwrap();
                }
                handle.terminate();
            });
            assert_eq!(session.run().unwrap().reason, Reason::Terminated);
            client.join().unwrap();
        };
        once();
        // A thread that has been joined may be listed a moment longer.
        let settled = |expected: usize| {
            until(|| count("/proc/self/task") <= expected);
        };
        let (threads, descriptors) = (1 + usize::from(is_test_thread()), count("/proc/self/fd"));
        settled(threads);
        for _ in 0..20 {
            once();
            settled(threads);
            assert_eq!(count("/proc/self/fd"), descriptors);
        }
    });
}

/// libtest has a thread of its own for the test.
fn is_test_thread() -> bool {
    // SAFETY: no precondition.
    let thread = unsafe { libc::gettid() };
    // SAFETY: no precondition.
    let process = unsafe { libc::getpid() };
    thread != process
}
