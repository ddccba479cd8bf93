use crate::lock::order::{self, Kind};
use crate::lock::{locking::NoLock, unlocked::Unlocked};

pub(crate) use crate::lock::held::holds_a_lock;

/// The proof that a thread does not hold the global lock.
///
/// What waits for other threads, and would deadlock under the lock, takes it: blocking notifications, keyed locks, the
/// queue of workers. It is [`Unlocked`]; where there is no lock, [`NoLock`], or the context of a handler itself.
///
/// A thread can take a lock beside its proof, and the proof can be of another lock, or of none. No type sees that. What
/// takes the proof asks as well whether the thread holds a global lock, whichever, and refuses then.
pub trait NotHolding: sealed::Sealed {}

pub(crate) mod sealed {
    pub trait Sealed {}
}

impl<S> sealed::Sealed for Unlocked<'_, S> {}
impl<S> NotHolding for Unlocked<'_, S> {}
impl sealed::Sealed for NoLock {}
impl NotHolding for NoLock {}

/// Panics if the thread holds a global lock in spite of its proof. `waiter` is the method that is about to wait.
#[inline]
#[track_caller]
pub(crate) fn check(_: &impl NotHolding, waiter: &str) {
    if holds_a_lock() {
        refuse(waiter);
    }
}

#[cold]
#[track_caller]
fn refuse(waiter: &str) -> ! {
    // Debug builds know where.
    let lock = match order::held(Kind::Global) {
        Some(taken) => format!("the global lock that it took at {taken}"),
        None => "a global lock".to_owned(),
    };
    panic!(
        "`{waiter}` waits for other threads, and this one holds {lock}, in spite of its proof that it does not"
    )
}
