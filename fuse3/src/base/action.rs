//! What a signal does, and which are blocked: sigaction(2), pthread_sigmask(3).

use std::ffi::c_int;
use std::io;
use std::mem;
use std::ptr;

use crate::base::os::checked;

/// A function that a signal calls.
pub(crate) type Handler = extern "C" fn(c_int);

/// What `signal` does now.
pub(crate) fn current(signal: c_int) -> io::Result<libc::sigaction> {
    // SAFETY: `struct sigaction` is integers, pointers and a mask, for which zero is a value.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: `action` lives; a null action asks only.
    checked(unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) })?;
    Ok(action)
}

/// Has `signal` call `handler`, with these `SA_*`.
///
/// # Safety
///
/// `handler` does only what a signal handler may (signal-safety(7)), and leaves errno as it was. It is called with the signal's
/// number alone: `flags` is without `SA_SIGINFO`.
pub(crate) unsafe fn install(signal: c_int, handler: Handler, flags: c_int) -> io::Result<()> {
    // SAFETY: as in `current`.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = flags;
    // SAFETY: `action` lives, and the caller promises that its handler may run in a signal, with these flags.
    checked(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) })?;
    Ok(())
}

/// Has `signal` do what it did `before`, unless it no longer calls `ours`: what the program installed meanwhile stays.
///
/// # Safety
///
/// `before` is what [`current`] returned for this signal.
pub(crate) unsafe fn restore(signal: c_int, ours: Handler, before: &libc::sigaction) {
    if !current(signal).is_ok_and(|action| action.sa_sigaction == ours as usize) {
        return;
    }
    // SAFETY: the caller promises it.
    if let Err(error) = unsafe { set(signal, before) } {
        crate::base::log::error!("the handler of signal {signal} was not restored: {error}");
    }
}

/// Has `signal` do what it did `before`.
///
/// # Safety
///
/// `before` is what [`current`] returned for this signal.
pub(crate) unsafe fn set(signal: c_int, before: &libc::sigaction) -> io::Result<()> {
    // SAFETY: `before` lives, and sigaction(2) returned it for this signal, as the caller promises.
    checked(unsafe { libc::sigaction(signal, before, ptr::null_mut()) }).map(drop)
}

/// Blocks these signals for the calling thread, or unblocks them: `SIG_BLOCK`, `SIG_UNBLOCK`. Returns the mask from before.
///
/// Async-signal-safe.
pub(crate) fn mask(how: c_int, signals: &[c_int]) -> io::Result<libc::sigset_t> {
    // SAFETY: `sigset_t` is integers, for which zero is a value.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    let mut before = set;
    for signal in signals {
        // SAFETY: `set` lives; the call refuses what is no signal.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    // SAFETY: both sets live.
    match unsafe { libc::pthread_sigmask(how, &raw const set, &raw mut before) } {
        0 => Ok(before),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
