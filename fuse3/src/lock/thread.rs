//! Who a thread is, to the lock.

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bits that a Linux thread id needs: `PID_MAX_LIMIT` is 2^22.
const TID_BITS: u32 = 22;

/// A Linux thread id, as `ps -L`, `gdb` and `/proc/self/task` show it.
///
/// The kernel gives the number of an ended thread to another one; it is for
/// people to read, and no comparison in the lock relies on it. A thread that has
/// used a lock and then forks is shown in the child with its number in the parent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Tid(u32);

impl Tid {
    pub(crate) const fn from_raw(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn as_raw(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A thread's identity, which no other thread of the process ever gets.
///
/// A pthread id is given out anew once its thread has ended, so a lock that
/// remembers one takes the newcomer for the holder. This one is a count, with
/// the Linux thread id in its low bits so that the holder can be shown.
///
/// # Invariants
///
/// The count in the upper bits starts at 1, so that the whole is never zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ThreadId(NonZeroU64);

thread_local! {
    /// Without a destructor, so that it can be read while the thread ends.
    static CURRENT: Cell<Option<ThreadId>> = const { Cell::new(None) };
}

impl ThreadId {
    /// The calling thread's.
    #[inline]
    pub(crate) fn current() -> ThreadId {
        CURRENT.get().unwrap_or_else(ThreadId::assign)
    }

    #[cold]
    fn assign() -> ThreadId {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: gettid takes nothing, touches nothing and cannot fail.
        let tid = unsafe { libc::gettid() };
        let tid = u64::from(tid.unsigned_abs()) & ((1 << TID_BITS) - 1);
        // 2^42 threads take 139 years at a thousand each second, so `count`
        // keeps its bits and what is shifted is not zero.
        let id = NonZeroU64::new((count << TID_BITS) | tid);
        let id = ThreadId(id.unwrap_or(NonZeroU64::MAX));
        CURRENT.set(Some(id));
        id
    }

    pub(crate) fn tid(self) -> Tid {
        let low = self.0.get() & ((1 << TID_BITS) - 1);
        Tid(u32::try_from(low).unwrap_or(0))
    }
}

/// A place where a thread's identity, or none, is kept for others to compare
/// with their own.
///
/// Only the thread that holds the lock writes it. It becomes a thread's identity
/// by that thread, or by the one that hands it the lock while it waits under the
/// queue's mutex, and it ceases to be that by the thread itself. So the question
/// "is it me?" needs no ordering, and nothing else may be concluded from it.
#[derive(Debug, Default)]
pub(super) struct Owner(AtomicU64);

impl Owner {
    pub(super) const fn none() -> Owner {
        Owner(AtomicU64::new(0))
    }

    #[inline]
    pub(super) fn set(&self, thread: ThreadId) {
        self.0.store(thread.0.get(), Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn is(&self, thread: ThreadId) -> bool {
        self.0.load(Ordering::Relaxed) == thread.0.get()
    }

    pub(super) fn get(&self) -> Option<ThreadId> {
        NonZeroU64::new(self.0.load(Ordering::Relaxed)).map(ThreadId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::spawn;

    #[test]
    fn a_thread_with_the_number_of_a_dead_one_is_another() {
        let ids = [(); 2].map(|()| spawn(ThreadId::current).join().unwrap());
        let [first, second] = ids.map(|id| id.0.get() >> TID_BITS);
        assert_ne!(first, second);
    }
}
