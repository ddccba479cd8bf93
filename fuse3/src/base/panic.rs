//! Where panics of the application end.

use std::any::Any;
use std::cell::Cell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

/// Drops what the application threw or returned: its destructor might panic in its turn.
pub(crate) fn discard<T>(value: T) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        mem::forget(again);
    }
}

thread_local! {
    static NESTED: Cell<u64> = const { Cell::new(0) };
}

/// Runs what drops something of the application's. A panic of that does not leave it while another one unwinds, which would end
/// the process: it is logged, and counted with the other ([`nested`]).
pub(crate) fn contain(drop_it: impl FnOnce()) {
    if !thread::panicking() {
        drop_it();
    } else if let Err(payload) = catch_unwind(AssertUnwindSafe(drop_it)) {
        crate::base::log::error!(
            "a destructor panicked while a panic unwound: {}",
            text(&*payload)
        );
        NESTED.set(NESTED.get() + 1);
        discard(payload);
    }
}

/// How many panics of this thread ended while another one unwound, since this was asked last.
pub(crate) fn nested() -> u64 {
    NESTED.take()
}

/// What a panic was called with, for the log.
pub(crate) fn text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or(payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text")
}
