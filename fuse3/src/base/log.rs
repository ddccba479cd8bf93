//! Where the library says what it cannot return: the `log` crate, or stderr where the program has set no logger, so that nothing
//! is lost. A logger that panics is caught.

use std::cell::Cell;
use std::fmt;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::log::Level;

use crate::base::panic::discard;

macro_rules! error {
    ($($arg:tt)*) => { $crate::base::log::say(::log::Level::Error, format_args!($($arg)*)) };
}
macro_rules! warn_ {
    ($($arg:tt)*) => { $crate::base::log::say(::log::Level::Warn, format_args!($($arg)*)) };
}
macro_rules! info {
    ($($arg:tt)*) => { $crate::base::log::say(::log::Level::Info, format_args!($($arg)*)) };
}
/// For a logger only: a program that has none does not want it.
macro_rules! debug {
    ($($arg:tt)*) => {
        if ::log::max_level() >= ::log::Level::Debug {
            $crate::base::log::say(::log::Level::Debug, format_args!($($arg)*));
        }
    };
}
pub(crate) use {debug, error, info, warn_ as warn};

/// Says it as this crate.
pub(crate) fn say(level: Level, what: fmt::Arguments<'_>) {
    write("fuse3", level, what);
}

pub(crate) fn write(target: &str, level: Level, what: fmt::Arguments<'_>) {
    let before = LOGGING.replace(true);
    if no_logger() {
        // In one write(2), since other threads have lines, too. A closed stderr is no reason to fail a request.
        let _ = std::io::stderr().write_all(format!("{target}: {what}\n").as_bytes());
    } else {
        let log = || ::log::log!(target: target, level, "{what}");
        // A logger that panics must not end a session, or unwind into C; there is nowhere left to say so.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(log)) {
            discard(payload);
        }
    }
    LOGGING.set(before);
}

pub(crate) fn no_logger() -> bool {
    ::log::max_level() == ::log::LevelFilter::Off
}

/// The thread is in a logger. Async-signal-safe.
pub(crate) fn is_logging() -> bool {
    LOGGING.get()
}

thread_local! {
    /// Whether the thread is in a logger. Without a destructor, so that a signal handler can read it.
    static LOGGING: Cell<bool> = const { Cell::new(false) };
}
