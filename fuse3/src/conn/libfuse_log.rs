//! What libfuse says in its log, which goes where the lines of this crate go.
//!
//! libfuse logs from wherever it is, and a logger may do anything. So:
//!
//! - a thread that may be cancelled (libfuse's workers, while they read a request) cannot be while it logs: wrapper.h;
//! - in a signal handler that interrupted a line on its way from here to the logger, which may hold a lock, and in the handler of
//!   a fatal signal, which may have interrupted malloc(3), libfuse's lines are written to stderr by write(2) and nothing else is
//!   called;
//! - this crate's own handlers, and [`Handle::terminate`](crate::Handle::terminate), which may be called in others, log
//!   nothing. Another handler of the application's that calls `fuse_log()` itself calls the logger, which is no more
//!   async-signal-safe there than it is anywhere;
//! - a logger that panics is caught.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::mem;
use std::ptr;
use std::sync::{Arc, Once, Weak};

use ::log::Level;

use crate::base::log::{is_logging, no_logger, write};
use crate::conn::{conn::Conn, panics::Trouble};
use crate::sys;

thread_local! {
    /// What libfuse says on this thread, while it is asked why a call failed. A line is added to it outside of the cell, so
    /// that a signal handler that logs meanwhile finds nothing to add to, and not a borrow.
    static HEARD: Cell<Option<String>> = const { Cell::new(None) };
    /// The session whose `init` has returned on this thread last, and whether it cannot do without io_uring.
    static BEGUN: RefCell<(Weak<Conn>, bool)> = const { RefCell::new((Weak::new(), false)) };
    /// libfuse could not start a thread from this one.
    static NO_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Sends libfuse's log here, from now on and for the whole process.
pub(crate) fn capture_libfuse() {
    static ONCE: Once = Once::new();
    // SAFETY: `sink` is a function with the lifetime of the program; `Once` keeps other threads from the call.
    ONCE.call_once(|| unsafe { sys::fuse3_set_log_sink(Some(sink)) });
}

/// Runs `call`, and returns besides its result what libfuse said on this thread meanwhile.
pub(crate) fn listen<R>(call: impl FnOnce() -> R) -> (R, String) {
    HEARD.set(Some(String::new()));
    let result = call();
    let heard = HEARD.take().unwrap_or_default();
    (result, heard.trim().to_owned())
}

/// `init` has returned. What libfuse could not begin after that, on this thread, it says in its log and nowhere else.
pub(crate) fn begun(conn: &Arc<Conn>, needs_io_uring: bool) {
    BEGUN.set((Arc::downgrade(conn), needs_io_uring));
}

fn begins_without_io_uring() {
    // None on a thread that is ending, or in a signal handler that interrupted `begun`.
    let begun = BEGUN.try_with(|begun| begun.try_borrow().ok().map(|begun| begun.clone()));
    let Ok(Some((conn, needs_it))) = begun else {
        return;
    };
    let Some(conn) = conn.upgrade() else {
        return;
    };
    conn.set_without_io_uring();
    if needs_it {
        let what = "libfuse could not begin to use io_uring: it was built without liburing, or its queues could not be made, which its \
                    log says";
        let error = io::Error::new(io::ErrorKind::Unsupported, what);
        conn.trouble(Trouble::Init(error));
    }
}

/// The result of `run`, which is libfuse's loop, on this thread: EAGAIN where libfuse could not start a first worker, for
/// which it returns -1, as for an EPERM, and the reason is in its log alone.
pub(crate) fn looping(run: impl FnOnce() -> c_int) -> c_int {
    NO_THREAD.set(false);
    match run() {
        -1 if NO_THREAD.get() => -libc::EAGAIN,
        result => result,
    }
}

/// libfuse calls it with cancellation switched off (wrapper.h) and a formatted line.
extern "C" fn sink(level: c_int, message: *const c_char) {
    // SAFETY: wrapper.h passes its own buffer, which `vsnprintf` has terminated.
    let message = unsafe { CStr::from_ptr(message) };
    if is_logging() || in_fatal_handler() {
        return write_at_once(message);
    }
    let text = message.to_string_lossy();
    if text.starts_with("fuse: failed to start io-uring") {
        begins_without_io_uring();
    } else if text.starts_with("fuse: error creating thread") {
        NO_THREAD.set(true);
    }
    let level =
        match sys::fuse_log_level::try_from(level).unwrap_or(sys::fuse_log_level_FUSE_LOG_ERR) {
            sys::fuse_log_level_FUSE_LOG_WARNING => Level::Warn,
            sys::fuse_log_level_FUSE_LOG_NOTICE | sys::fuse_log_level_FUSE_LOG_INFO => Level::Info,
            sys::fuse_log_level_FUSE_LOG_DEBUG => Level::Debug,
            _ => Level::Error,
        };
    let heard = HEARD.try_with(|heard| {
        let said = heard.take();
        let listening = said.is_some();
        heard.set(said.map(|said| said + &*text));
        listening
    });
    if heard.unwrap_or(false) {
        return;
    }
    if no_logger() {
        // As libfuse would.
        return write_at_once(message);
    }
    write("libfuse", level, format_args!("{}", text.trim_end()));
}

/// Whether this is the handler of a signal that a fault or abort(3) sends, as `fuse_set_fail_signal_handlers()` installs
/// one. The kernel blocks the signal meanwhile. Who blocks all of them does so on purpose.
fn in_fatal_handler() -> bool {
    use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP};
    const FATAL: [c_int; 6] = [SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV];
    // SAFETY: `sigset_t` is integers, for which zero is a value.
    let mut blocked: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: `blocked` lives; a null set asks only.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &raw mut blocked) };
    let count = FATAL
        .iter()
        // SAFETY: `blocked` lives, and these are signals.
        .filter(|signal| unsafe { libc::sigismember(&raw const blocked, **signal) } == 1)
        .count();
    (1..FATAL.len()).contains(&count)
}

/// Async-signal-safe.
fn write_at_once(message: &CStr) {
    let bytes = message.to_bytes();
    // SAFETY: `bytes` live, and are as many. If stderr takes none, there is nowhere left to say so.
    unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
}
