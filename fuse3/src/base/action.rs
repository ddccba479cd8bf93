//! What a signal does: sigaction(2).

use std::ffi::c_int;
use std::io;
use std::mem;
use std::ptr;

/// A function that a signal calls.
pub(crate) type Handler = extern "C" fn(c_int);

/// What `signal` does now.
pub(crate) fn current(signal: c_int) -> io::Result<libc::sigaction> {
    // SAFETY: `struct sigaction` is integers, pointers and a mask, for which zero is a value.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: `action` lives; a null action asks only.
    match unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) } {
        0 => Ok(action),
        _ => Err(io::Error::last_os_error()),
    }
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
    match unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
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
    // SAFETY: `before` lives, and sigaction(2) returned it for this signal, as the caller promises.
    if unsafe { libc::sigaction(signal, before, ptr::null_mut()) } != 0 {
        crate::base::log::error!(
            "the handler of signal {signal} was not restored: {}",
            io::Error::last_os_error()
        );
    }
}
