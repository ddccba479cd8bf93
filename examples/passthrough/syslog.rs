//! Where lines go in the background, which has no stderr: `fuse_log_enable_syslog()`, for this crate's lines, too.

use std::ffi::CString;

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Syslog;

/// What is logged from now on goes to syslog(3).
pub(crate) fn enable() {
    let (options, facility) = (libc::LOG_PID | libc::LOG_CONS, libc::LOG_DAEMON);
    // SAFETY: the C library keeps the pointer to the name, which is there for ever.
    unsafe { libc::openlog(c"passthrough-hp".as_ptr(), options, facility) };
    log::set_max_level(LevelFilter::Debug);
    if log::set_logger(&Syslog).is_err() {
        unreachable!("no other logger has been set");
    }
}

impl Log for Syslog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let priority = match record.level() {
            Level::Error => libc::LOG_ERR,
            Level::Warn => libc::LOG_WARNING,
            Level::Info => libc::LOG_INFO,
            Level::Debug | Level::Trace => libc::LOG_DEBUG,
        };
        // A name may be part of it, and no name has a NUL byte.
        let Ok(line) = CString::new(record.args().to_string()) else {
            return;
        };
        // SAFETY: the format takes one string, which is NUL-terminated and lives.
        unsafe { libc::syslog(priority, c"%s".as_ptr(), line.as_ptr()) };
    }

    fn flush(&self) {}
}
