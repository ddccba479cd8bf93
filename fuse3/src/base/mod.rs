//! What every other folder uses, and which uses none of them: log lines, where panics end, cancellation, what
//! signals do, system calls.

pub(crate) mod action;
pub(crate) mod cancel;
pub(crate) mod log;
pub(crate) mod os;
pub(crate) mod panic;
