//! Waking the thread that runs libfuse's loop, where `fuse_session_exit()` does not.

use std::ffi::c_int;
use std::io;
use std::mem;
use std::ptr;

use parking_lot::Mutex;

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
/// `timer` exists, and sends the signal in `SIGNAL`, which has a handler, to the thread that made this value; that thread drops it too,
/// since the type is not `Send`.
pub(crate) struct Wake {
    timer: libc::timer_t,
    /// The thread's signal mask from before.
    mask: libc::sigset_t,
}

/// How many [`Wake`]s there are, and the signal that they share.
static SIGNAL: Mutex<(usize, c_int)> = Mutex::new((0, 0));

/// Between two signals: a wake-up that was lost is made up for after it.
const AGAIN: libc::timespec = libc::timespec {
    tv_sec: 0,
    tv_nsec: 1_000_000,
};

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
        let result = create_timer(signal).and_then(|timer| match unblock(signal) {
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
        let soon = libc::timespec {
            tv_sec: 0,
            tv_nsec: 1,
        };
        let times = libc::itimerspec {
            it_interval: AGAIN,
            it_value: soon,
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
    match unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) } {
        0 => Ok(timer),
        _ => Err(io::Error::last_os_error()),
    }
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

/// Returns the mask from before.
fn unblock(signal: c_int) -> io::Result<libc::sigset_t> {
    // SAFETY: `sigset_t` is integers, for which zero is a value.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    let mut before = set;
    // SAFETY: `set` lives, and `signal` is one.
    unsafe { libc::sigaddset(&raw mut set, signal) };
    // SAFETY: both sets live.
    match unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, &raw mut before) } {
        0 => Ok(before),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

extern "C" fn nothing(_signal: c_int) {}

fn take_signal() -> io::Result<c_int> {
    let mut shared = SIGNAL.lock();
    if shared.0 == 0 {
        shared.1 = install()?;
    }
    shared.0 += 1;
    Ok(shared.1)
}

fn give_signal() {
    let mut shared = SIGNAL.lock();
    shared.0 -= 1;
    if shared.0 == 0 {
        // SAFETY: a signal that nobody sends any more goes back to what it was.
        unsafe { libc::signal(shared.1, libc::SIG_DFL) };
    }
}

/// A handler that does nothing, for a signal that had none.
fn install() -> io::Result<c_int> {
    for signal in (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev() {
        // SAFETY: `struct sigaction` is integers, pointers and a mask, for which zero is a value.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        // SAFETY: `action` lives; a null action asks only.
        if unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) } == 0
            && action.sa_sigaction == libc::SIG_DFL
            && timers_send(signal)?
        {
            action.sa_sigaction = nothing as extern "C" fn(c_int) as usize;
            // No SA_RESTART: the signal is to interrupt.
            action.sa_flags = 0;
            // SAFETY: `action` lives, and its handler does nothing.
            return match unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } {
                0 => Ok(signal),
                _ => Err(io::Error::last_os_error()),
            };
        }
    }
    Err(io::Error::other(
        "every real-time signal has a handler; libfuse before 3.18 needs one to be woken by",
    ))
}
