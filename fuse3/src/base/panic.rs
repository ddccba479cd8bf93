//! Where panics of the application end.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Drops what the application threw or returned: its destructor might panic in its turn.
pub(crate) fn discard<T>(value: T) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        mem::forget(again);
    }
}
