//! SIGINT, SIGTERM and SIGHUP, with `handle_signals` and without. Each test in a process of its own.

use std::ffi::c_int;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use fuse3::Reason;

use crate::child::{self, this_test};
use crate::fixture::{Mount, require_mount, until};
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
fn raise(signal: c_int) {
    // SAFETY: no precondition.
    let me = unsafe { libc::getpid() };
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::kill(me, signal) }, 0);
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
