//! Waking the thread that runs libfuse's loop, where `fuse_session_exit()` does not.

use std::ffi::c_int;
use std::io;
use std::mem;
use std::ptr;

use parking_lot::Mutex;

use crate::base::{action, os::checked};
use crate::sys;

/// A signal to the thread that made it, again and again from [`wake`](Wake::wake) on until it is dropped.
///
/// Before 3.18 `fuse_session_exit()` sets a flag and wakes nobody: the thread that runs the loop looks at the flag and then
/// waits in sem_wait(3), for a worker to end. A signal without SA_RESTART ends that wait. One that comes between the
/// looking and the waiting is lost, so that it has to be sent again: a timer does that, to this thread alone
/// (SIGEV_THREAD_ID). A thread that sends the signal itself could not do so from a signal handler; timer_settime(2) may
/// be called there.
///
/// The signal is the highest real-time one that nobody handles and timers send: qemu, when it runs programs of another
/// architecture, keeps some to itself.
///
/// # Invariants
///
/// `timer` exists, and sends the signal of `SHARED` to the thread that made this value; that thread drops it too, since the
/// type is not `Send`.
pub(crate) struct Wake {
    timer: libc::timer_t,
    /// The thread's signal mask from before.
    mask: libc::sigset_t,
}

/// The signal that all [`Wake`]s share.
static SHARED: Mutex<Shared> = Mutex::new(Shared {
    wakes: 0,
    signal: 0,
    before: None,
});

struct Shared {
    /// How many there are.
    wakes: usize,
    signal: c_int,
    /// What the signal did before the first of them: its default.
    before: Option<libc::sigaction>,
}

/// Nanoseconds between two signals: a wake-up that was lost is made up for after it.
const AGAIN: libc::c_long = 1_000_000;

impl Wake {
    /// For the calling thread; `None` where libfuse wakes it by itself.
    pub(crate) fn if_needed() -> io::Result<Option<Self>> {
        if sys::library_version() >= [3, 18, 0] {
            Ok(None)
        } else {
            Self::new().map(Some)
        }
    }

    fn new() -> io::Result<Self> {
        let signal = take_signal()?;
        let unblock = || action::mask(libc::SIG_UNBLOCK, &[signal]);
        let result = create_timer(signal).and_then(|timer| match unblock() {
            Ok(mask) => Ok(Self { timer, mask }),
            Err(error) => {
                // SAFETY: the timer was just created, and is used no more.
                unsafe { libc::timer_delete(timer) };
                Err(error)
            }
        });
        result.inspect_err(|_| give_signal())
    }

    /// Async-signal-safe.
    pub(crate) fn wake(&self) {
        let after = |tv_nsec| libc::timespec { tv_sec: 0, tv_nsec };
        let times = libc::itimerspec {
            it_interval: after(AGAIN),
            it_value: after(1),
        };
        // SAFETY: the timer exists (invariant), and `times` lives.
        unsafe { libc::timer_settime(self.timer, 0, &raw const times, ptr::null_mut()) };
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        // A signal that is pending for this thread is handled before the call returns, since it is not blocked.
        // SAFETY: the timer exists (invariant), and is used no more.
        unsafe { libc::timer_delete(self.timer) };
        // SAFETY: `mask` is what the same call returned before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.mask, ptr::null_mut()) };
        give_signal();
    }
}

fn create_timer(signal: c_int) -> io::Result<libc::timer_t> {
    // SAFETY: `struct sigevent` is integers and pointers, for which zero is a value.
    let mut event: libc::sigevent = unsafe { mem::zeroed() };
    event.sigev_notify = libc::SIGEV_THREAD_ID;
    event.sigev_signo = signal;
    // SAFETY: no precondition.
    event.sigev_notify_thread_id = unsafe { libc::gettid() };
    let mut timer = ptr::null_mut();
    // SAFETY: `event` and `timer` live.
    checked(unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) })?;
    Ok(timer)
}

fn timers_send(signal: c_int) -> io::Result<bool> {
    match create_timer(signal) {
        Ok(timer) => {
            // SAFETY: the timer was just created, and is used no more.
            unsafe { libc::timer_delete(timer) };
            Ok(true)
        }
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

extern "C" fn nothing(_signal: c_int) {}

fn take_signal() -> io::Result<c_int> {
    let mut shared = SHARED.lock();
    if shared.wakes == 0 {
        shared.install()?;
    }
    shared.wakes += 1;
    Ok(shared.signal)
}

fn give_signal() {
    let mut shared = SHARED.lock();
    shared.wakes -= 1;
    if shared.wakes == 0 {
        if let Some(before) = shared.before.take() {
            // SAFETY: `install` has noted both, when it asked what this signal did.
            unsafe { action::restore(shared.signal, nothing, &before) };
        }
    }
}

impl Shared {
    /// A handler that does nothing, for a signal that had none.
    fn install(&mut self) -> io::Result<()> {
        for signal in (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev() {
            // qemu refuses to say what its own signals do.
            let Ok(before) = action::current(signal) else {
                continue;
            };
            if before.sa_sigaction == libc::SIG_DFL && timers_send(signal)? {
                // No SA_RESTART: the signal is to interrupt.
                // SAFETY: `nothing` does nothing.
                unsafe { action::install(signal, nothing, 0) }?;
                self.signal = signal;
                self.before = Some(before);
                return Ok(());
            }
        }
        Err(io::Error::other(
            "every real-time signal has a handler; libfuse before 3.18 needs one to be woken by",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::action::Handler;

    /// The signal and its handler are the process's.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    fn handler_of(signal: c_int) -> usize {
        action::current(signal).unwrap().sa_sigaction
    }

    #[test]
    fn the_last_one_takes_its_handler_back() {
        let _one = ONE_AT_A_TIME.lock();
        let first = Wake::new().unwrap();
        let second = Wake::new().unwrap();
        let signal = SHARED.lock().signal;
        drop(first);
        assert_eq!(handler_of(signal), nothing as Handler as usize);
        drop(second);
        assert_eq!(handler_of(signal), libc::SIG_DFL);
    }

    /// With the default action in its place, the next such signal would end the process.
    #[test]
    fn a_handler_that_the_program_installed_meanwhile_stays() {
        extern "C" fn of_the_program(_: c_int) {}
        let _one = ONE_AT_A_TIME.lock();
        let wake = Wake::new().unwrap();
        let signal = SHARED.lock().signal;
        // SAFETY: the function does nothing.
        unsafe { action::install(signal, of_the_program, 0) }.unwrap();
        drop(wake);
        assert_eq!(handler_of(signal), of_the_program as Handler as usize);
        // The next one does not take that signal.
        let wake = Wake::new().unwrap();
        assert_ne!(SHARED.lock().signal, signal);
        drop(wake);
        assert_eq!(handler_of(signal), of_the_program as Handler as usize);
        // SAFETY: nobody sends the signal.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }

    fn is_blocked(signal: c_int) -> bool {
        // SAFETY: `sigset_t` is integers, for which zero is a value.
        let mut set: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: `set` lives; a null set asks only.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &raw mut set) };
        // SAFETY: `set` lives, and `signal` is one.
        unsafe { libc::sigismember(&raw const set, signal) == 1 }
    }

    #[test]
    fn the_thread_has_its_signal_mask_back() {
        let _one = ONE_AT_A_TIME.lock();
        let wake = Wake::new().unwrap();
        let signal = SHARED.lock().signal;
        drop(wake);
        // SAFETY: `sigset_t` is integers, for which zero is a value.
        let mut all: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: `all` lives.
        unsafe { libc::sigfillset(&raw mut all) };
        // The thread is the test's own, and ends with it.
        // SAFETY: `all` lives.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, ptr::null_mut()) };
        assert!(is_blocked(signal));
        let wake = Wake::new().unwrap();
        assert!(!is_blocked(signal), "the wake-up has to come through");
        drop(wake);
        assert!(is_blocked(signal));
    }
}
