//! SIGINT, SIGTERM and SIGHUP as ends of sessions: of all that are mounted with [`handle_signals`], and without any thread.
//!
//! [`handle_signals`]: crate::Builder::handle_signals

use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::{io, ptr, thread};

use parking_lot::Mutex;

use crate::base::action;
use crate::conn::conn::Conn;

const SIGNALS: [c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// How many sessions may handle signals at once.
const MOST: usize = 256;

/// The sessions to end. A handler reads it; only who holds `INSTALLED` writes it.
static SESSIONS: [AtomicPtr<Conn>; MOST] = [const { AtomicPtr::new(ptr::null_mut()) }; MOST];
/// Handlers that may be reading `SESSIONS`.
static READERS: AtomicUsize = AtomicUsize::new(0);
/// What was installed before, while there is a session.
static INSTALLED: Mutex<Installed> = Mutex::new(Installed {
    sessions: 0,
    before: [const { None }; SIGNALS.len()],
});

struct Installed {
    sessions: usize,
    before: [Option<libc::sigaction>; SIGNALS.len()],
}

/// While it lives, the signals end its session. With the last one, the handlers from before are installed again.
pub(crate) struct Handling {
    slot: usize,
    /// What `SESSIONS[slot]` points to.
    _conn: Arc<Conn>,
}

impl Handling {
    /// Signals that are ignored (nohup, a shell's background jobs) stay ignored.
    pub(crate) fn of(conn: &Arc<Conn>) -> io::Result<Self> {
        let mut installed = INSTALLED.lock();
        let is_free = |slot: &AtomicPtr<Conn>| slot.load(Ordering::SeqCst).is_null();
        let free = SESSIONS.iter().position(is_free);
        let slot = free.ok_or_else(|| {
            io::Error::other(format!("more than {MOST} sessions that handle signals"))
        })?;
        SESSIONS[slot].store(Arc::as_ptr(conn).cast_mut(), Ordering::SeqCst);
        installed.sessions += 1;
        let handling = Self {
            slot,
            _conn: Arc::clone(conn),
        };
        let result = match installed.sessions {
            1 => installed.install(),
            _ => Ok(()),
        };
        // Dropped, `handling` takes it.
        drop(installed);
        result.map(|()| handling)
    }
}

impl Installed {
    /// What was installed before an error is restored with the session.
    fn install(&mut self) -> io::Result<()> {
        for (signal, before) in SIGNALS.into_iter().zip(&mut self.before) {
            let current = action::current(signal)?;
            if current.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            // Calls that the signal interrupts go on: nobody but the session is to notice.
            // SAFETY: `handle` loads, stores, and ends sessions by `Conn::end`, which is made for signal handlers; it restores
            // errno.
            unsafe { action::install(signal, handle, libc::SA_RESTART) }?;
            *before = Some(current);
        }
        Ok(())
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        let mut installed = INSTALLED.lock();
        installed.sessions -= 1;
        if installed.sessions == 0 {
            for (signal, before) in SIGNALS.iter().zip(&mut installed.before) {
                if let Some(before) = before.take() {
                    // SAFETY: `install` has noted it at the same place, when it asked what this signal did.
                    unsafe { action::restore(*signal, handle, &before) };
                }
            }
        }
        SESSIONS[self.slot].store(ptr::null_mut(), Ordering::SeqCst);
        // A handler on another thread may have read the pointer; one on this thread has returned.
        while READERS.load(Ordering::SeqCst) != 0 {
            thread::yield_now();
        }
    }
}

extern "C" fn handle(signal: c_int) {
    let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
    READERS.fetch_add(1, Ordering::SeqCst);
    for slot in &SESSIONS {
        let conn = slot.load(Ordering::SeqCst);
        if !conn.is_null() {
            // SAFETY: `Handling` keeps what the slot points to until it has emptied the slot and seen no reader.
            unsafe { &*conn }.end(signal);
        }
    }
    READERS.fetch_sub(1, Ordering::SeqCst);
    // SAFETY: every thread has an errno.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: `place` is this thread's errno, which the interrupted code expects to find unchanged.
    unsafe { *place = errno };
}
