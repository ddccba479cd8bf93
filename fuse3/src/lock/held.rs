//! How many global locks the thread holds, in release builds too.

use std::cell::Cell;

thread_local! {
    /// Without a destructor, so that it is right while the thread ends.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// The thread has taken a global lock.
#[inline]
pub(super) fn enter() {
    HELD.set(HELD.get() + 1);
}

/// The thread has released a global lock.
#[inline]
pub(super) fn leave() {
    // A guard stays with its thread, which has called `enter` for it.
    HELD.set(HELD.get().saturating_sub(1));
}

/// The thread holds a global lock, whichever, and whatever its proof says.
#[inline]
pub(crate) fn holds_a_lock() -> bool {
    HELD.get() > 0
}
