//! SIGINT, SIGTERM and SIGHUP, with `handle_signals` and without. Each test in a process of its own.

use std::env;
use std::ffi::c_int;
use std::fs;
use std::mem;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fuse3::{MountError, Reason, Session};

use crate::child::{self, this_test};
use crate::client::{Client, part, say, wait_to_go_on};
use crate::fixture::{DEADLINE, Mount, MountPoint, TempDir, is_mounted, require_mount, until};
use crate::probe::Probe;

const SIGNALS: [c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The last signal that [`own`] was called for.
static SEEN: AtomicI32 = AtomicI32::new(0);

extern "C" fn own(signal: c_int) {
    SEEN.store(signal, Ordering::SeqCst);
}

fn own_handler() -> usize {
    own as extern "C" fn(c_int) as usize
}

fn set(signal: c_int, handler: usize) {
    // SAFETY: `struct sigaction` is integers, pointers and a mask, for which zero is a value.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler;
    // SAFETY: `action` lives, and its handler stores a number.
    let result = unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    assert_eq!(result, 0);
}

fn handler(signal: c_int) -> usize {
    // SAFETY: `struct sigaction` is integers, pointers and a mask, for which zero is a value.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: `action` lives; a null action asks only.
    let result = unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) };
    assert_eq!(result, 0);
    action.sa_sigaction
}

/// To the process, as `kill` sends it.
pub(crate) fn raise(signal: c_int) {
    // SAFETY: no precondition.
    let me = unsafe { libc::getpid() };
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::kill(me, signal) }, 0);
}

/// To this thread, before it goes on.
fn raise_here(signal: c_int) {
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

fn set_all(handler: usize) {
    SIGNALS.iter().for_each(|signal| set(*signal, handler));
}

#[track_caller]
fn assert_all(expected: usize) {
    assert!(SIGNALS.iter().all(|signal| handler(*signal) == expected));
}

/// Mounted, and not running.
fn waiting(dir: &Path) -> Session<Probe> {
    let builder = Probe::new().builder().handle_signals(true);
    builder.mount(dir).unwrap()
}

fn handling() -> Mount<Probe> {
    let mount = Mount::new(Probe::new().builder().handle_signals(true));
    // The session is up, with its handlers installed, once it has answered.
    mount.path().metadata().unwrap();
    mount
}

#[test]
fn each_ends_the_session_which_says_so_and_restores_the_handlers() {
    require_mount!();
    child::run(this_test!(), || {
        for before in [libc::SIG_DFL, own_handler()] {
            for signal in SIGNALS {
                SIGNALS.iter().for_each(|signal| set(*signal, before));
                set(libc::SIGUSR1, own_handler());
                let mut mount = handling();
                assert_ne!(handler(signal), before);
                assert_eq!(handler(libc::SIGUSR1), own_handler());
                raise(signal);
                assert_eq!(mount.ended().reason, Reason::Signal(signal));
                assert!(SIGNALS.iter().all(|signal| handler(*signal) == before));
                assert_eq!(handler(libc::SIGUSR1), own_handler());
            }
        }
        assert_eq!(SEEN.load(Ordering::SeqCst), 0, "the old handler was called");
        set(libc::SIGHUP, own_handler());
        drop(handling());
        raise(libc::SIGHUP);
        // Another thread may be the one that it is delivered to.
        until(|| SEEN.load(Ordering::SeqCst) == libc::SIGHUP);
    });
}

#[test]
fn one_that_comes_before_run_ends_it_at_once() {
    require_mount!();
    child::run(this_test!(), || {
        for before in [libc::SIG_DFL, own_handler()] {
            for signal in SIGNALS {
                set_all(before);
                let dir = MountPoint::new();
                let session = waiting(dir.path());
                assert!(SIGNALS.iter().all(|signal| handler(*signal) != before));
                // The default action would end the process.
                raise_here(signal);
                let mut mount = Mount::run(dir, session);
                let start = Instant::now();
                assert_eq!(mount.ended().reason, Reason::Signal(signal));
                assert!(mount.returned_after(start) < DEADLINE / 2);
                assert_all(before);
            }
        }
        assert_eq!(SEEN.load(Ordering::SeqCst), 0, "the old handler was called");
    });
}

#[test]
fn one_ends_all_sessions_that_are_not_running_yet() {
    require_mount!();
    child::run(this_test!(), || {
        set_all(libc::SIG_DFL);
        let dirs = [TempDir::new(), TempDir::new(), TempDir::new()];
        let sessions = dirs.each_ref().map(|dir| waiting(dir.path()));
        raise_here(libc::SIGINT);
        // The first one counts.
        raise_here(libc::SIGTERM);
        let [one, two, three] = sessions;
        assert_eq!(one.run().unwrap().reason, Reason::Signal(libc::SIGINT));
        drop(two);
        assert_ne!(handler(libc::SIGINT), libc::SIG_DFL);
        raise_here(libc::SIGHUP);
        assert_eq!(three.run().unwrap().reason, Reason::Signal(libc::SIGINT));
        assert_all(libc::SIG_DFL);
        assert!(dirs.iter().all(|dir| !is_mounted(dir.path())));
    });
}

#[test]
fn a_session_that_is_never_run_restores_the_handlers() {
    require_mount!();
    child::run(this_test!(), || {
        for before in [libc::SIG_DFL, own_handler()] {
            for raised in [false, true] {
                set_all(before);
                let dir = TempDir::new();
                let session = waiting(dir.path());
                if raised {
                    raise_here(libc::SIGTERM);
                }
                drop(session);
                assert!(!is_mounted(dir.path()));
                assert_all(before);
            }
        }
        assert_eq!(SEEN.load(Ordering::SeqCst), 0, "the old handler was called");
        raise_here(libc::SIGTERM);
        assert_eq!(SEEN.load(Ordering::SeqCst), libc::SIGTERM);
    });
}

#[test]
fn a_mount_that_fails_restores_the_handlers() {
    require_mount!();
    child::run(this_test!(), || {
        for kept in [false, true] {
            set_all(own_handler());
            let dir = TempDir::new();
            let builder = Probe::new().builder().handle_signals(true);
            // The kernel takes no source that is longer than a page.
            let builder = builder.fsname("x".repeat(10_000)).keep_mounted(kept);
            let error = builder.mount(dir.path()).unwrap_err();
            assert!(matches!(error, MountError::Failed(..)), "{error}");
            assert_all(own_handler());
        }
    });
}

/// strace(1) sees the handlers before the mount, and until it is gone.
#[test]
fn they_are_in_place_for_as_long_as_it_is_mounted() {
    require_mount!();
    let Some(calls) = child::traced(this_test!(), "rt_sigaction,mount,umount2", || {
        set_all(libc::SIG_DFL);
        let dir = TempDir::new();
        let session = waiting(dir.path());
        session.handle().terminate();
        assert_eq!(session.run().unwrap().reason, Reason::Terminated);
    }) else {
        return;
    };
    // rt_sigaction(SIGTERM, {sa_handler=0x55d0c0ffee, ..}, NULL, 8) = 0
    let what = |call: &str| {
        if call.contains("umount2(") {
            Some("unmounted")
        } else if call.contains("mount(") {
            Some("mounted")
        } else if call.contains("rt_sigaction(SIGTERM, {sa_handler=SIG_DFL") {
            Some("default")
        } else if call.contains("rt_sigaction(SIGTERM, {") {
            Some("handled")
        } else {
            None
        }
    };
    // Whether mounting is possible is tried first, and the test sets the default.
    let calls: Vec<_> = calls.lines().filter_map(what).collect();
    let tried = ["mounted", "unmounted", "default"];
    let test = ["handled", "mounted", "unmounted", "default"];
    assert_eq!(calls, [&tried[..], &test[..]].concat());
}

/// The session's process says that it is mounted, and runs it a moment later.
#[test]
fn a_program_that_is_told_to_end_before_it_serves() {
    if let Some((_, dir)) = part(this_test!()) {
        set_all(libc::SIG_DFL);
        let session = waiting(&dir);
        say("mounted");
        wait_to_go_on();
        return say(format!("{:?}", session.run().unwrap().reason));
    }
    require_mount!();
    for signal in SIGNALS {
        let dir = TempDir::new();
        let mut program = Client::new(this_test!(), "server", dir.path());
        assert_eq!(program.says(), "mounted");
        program.signal(signal);
        program.go_on();
        assert_eq!(program.says(), format!("Signal({signal})"));
        program.ends();
        assert!(!is_mounted(dir.path()));
    }
}

/// What a program that daemonizes ends with after a signal.
const SIGNALLED: i32 = 7;

/// Where `daemonizing` leaves the number of the process that serves.
fn server() -> PathBuf {
    env::temp_dir().join("server")
}

/// Starts a program of one thread, which daemonizes, and whose `init` takes its time; its process.
fn daemonizing(dir: &Path, before: impl FnOnce()) -> libc::pid_t {
    let init = || {
        fs::write(server(), std::process::id().to_string())?;
        thread::sleep(Duration::from_millis(500));
        Ok(())
    };
    let builder = Probe::new().on_init(init).builder().handle_signals(true);
    set_all(libc::SIG_DFL);
    // SAFETY: the child does what it may after a fork of a process with one thread more (libtest's main thread, which
    // waits and holds no lock of the allocator).
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let session = builder.mount(dir);
        before();
        let session = session.map_err(std::io::Error::from);
        let end = session.and_then(|session| session.daemonize(false)?.run());
        let status = match end.map(|end| end.reason) {
            Ok(Reason::Signal(libc::SIGTERM)) => SIGNALLED,
            Ok(Reason::Unmounted) => 0,
            _ => 1,
        };
        // SAFETY: ends the child at once, without what the parent has registered.
        unsafe { libc::_exit(status) };
    }
    pid
}

fn status(pid: libc::pid_t) -> i32 {
    let start = Instant::now();
    let mut status = 0;
    // SAFETY: `status` lives.
    while unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } == 0 {
        assert!(start.elapsed() < DEADLINE, "it does not end");
        thread::sleep(Duration::from_millis(1));
    }
    assert!(libc::WIFEXITED(status), "{status:#x}");
    libc::WEXITSTATUS(status)
}

#[test]
fn one_that_comes_before_daemonizing() {
    require_mount!();
    child::run(this_test!(), || {
        let dir = TempDir::new();
        let pid = daemonizing(dir.path(), || raise_here(libc::SIGTERM));
        // The process in the foreground waits for the one in the background, which has unmounted then.
        assert_eq!(status(pid), SIGNALLED);
        assert!(!is_mounted(dir.path()));
    });
}

/// The process that is in the foreground gets it, while the one in the background is about to begin.
#[test]
fn one_that_comes_while_it_daemonizes_is_passed_on() {
    require_mount!();
    child::run(this_test!(), || {
        let dir = TempDir::new();
        let pid = daemonizing(dir.path(), || ());
        until(|| is_mounted(dir.path()));
        thread::sleep(Duration::from_millis(100));
        // SAFETY: no memory is involved; the process is a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
        assert_eq!(status(pid), SIGNALLED);
        assert!(!is_mounted(dir.path()));
    });
}

/// Without a signal, it is the session that goes on in the background, with the handlers that it had.
#[test]
fn they_are_in_place_after_daemonizing() {
    require_mount!();
    child::run(this_test!(), || {
        let dir = TempDir::new();
        let pid = daemonizing(dir.path(), || ());
        assert_eq!(status(pid), 0);
        assert!(is_mounted(dir.path()));
        let server = fs::read_to_string(server()).unwrap().parse().unwrap();
        assert_ne!(server, pid);
        // SAFETY: no memory is involved; nobody waits for the process while it is mounted.
        assert_eq!(unsafe { libc::kill(server, libc::SIGTERM) }, 0);
        until(|| !is_mounted(dir.path()));
    });
}

#[test]
fn what_is_ignored_stays_ignored() {
    require_mount!();
    child::run(this_test!(), || {
        set(libc::SIGHUP, libc::SIG_IGN);
        set(libc::SIGTERM, libc::SIG_DFL);
        let mut mount = handling();
        raise(libc::SIGHUP);
        assert_eq!(handler(libc::SIGHUP), libc::SIG_IGN);
        mount.path().metadata().unwrap();
        raise(libc::SIGTERM);
        assert_eq!(mount.ended().reason, Reason::Signal(libc::SIGTERM));
        assert_eq!(handler(libc::SIGHUP), libc::SIG_IGN);
    });
}

#[test]
fn a_handler_that_was_installed_meanwhile_is_left_alone() {
    require_mount!();
    child::run(this_test!(), || {
        set(libc::SIGINT, libc::SIG_DFL);
        let mount = handling();
        set(libc::SIGINT, own_handler());
        mount.end();
        assert_eq!(handler(libc::SIGINT), own_handler());
    });
}

#[test]
fn all_sessions_end_that_handle_them() {
    require_mount!();
    child::run(this_test!(), || {
        set(libc::SIGTERM, libc::SIG_DFL);
        let (mut one, mut two, mut other) = (handling(), handling(), Probe::new().mount());
        other.path().metadata().unwrap();
        raise(libc::SIGTERM);
        assert_eq!(one.ended().reason, Reason::Signal(libc::SIGTERM));
        assert_eq!(two.ended().reason, Reason::Signal(libc::SIGTERM));
        assert_eq!(handler(libc::SIGTERM), libc::SIG_DFL);
        other.path().metadata().unwrap();
        other.handle().terminate();
        assert_eq!(other.ended().reason, Reason::Terminated);
    });
}

#[test]
fn without_it_no_signal_is_touched() {
    require_mount!();
    child::run(this_test!(), || {
        let mut signals = SIGNALS.to_vec();
        signals.extend([libc::SIGUSR1, libc::SIGUSR2, libc::SIGPIPE, libc::SIGQUIT]);
        let before: Vec<_> = signals.iter().map(|signal| handler(*signal)).collect();
        let mount = Probe::new().mount();
        mount.path().metadata().unwrap();
        let during: Vec<_> = signals.iter().map(|signal| handler(*signal)).collect();
        assert_eq!(during, before);
        mount.end();
        let after: Vec<_> = (1..=libc::SIGRTMAX()).map(handler_or_default).collect();
        let own = after.iter().filter(|handler| **handler > 1).count();
        // Rust's own, for stack overflow: SIGSEGV and SIGBUS. The signal that woke the loop is given back.
        assert!(own <= 2, "{after:?}");
    });
}

/// glibc keeps two real-time signals to itself.
fn handler_or_default(signal: c_int) -> usize {
    if (32..libc::SIGRTMIN()).contains(&signal) {
        libc::SIG_DFL
    } else {
        handler(signal)
    }
}
