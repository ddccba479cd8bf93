use parking_lot::{Condvar, Mutex};

use crate::sys;

/// The limit of handlers before libfuse 3.12, which has none of its threads: those that it starts beyond the limit wait here
/// before their handlers.
pub(crate) struct Turns {
    free: Mutex<u32>,
    freed: Condvar,
}

impl Turns {
    /// `None` where libfuse has no more threads than handlers are to run.
    pub(crate) fn needed(workers: u32) -> Option<Self> {
        (!sys::LIMITS_THREADS).then(|| Self::new(workers))
    }

    fn new(most: u32) -> Self {
        Self {
            free: Mutex::new(most),
            freed: Condvar::new(),
        }
    }

    /// Waits until a handler may run: one less then, until [`give`](Self::give).
    pub(crate) fn take(&self) {
        let mut free = self.free.lock();
        self.freed.wait_while(&mut free, |free| *free == 0);
        *free -= 1;
    }

    pub(crate) fn give(&self) {
        *self.free.lock() += 1;
        self.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    #[test]
    fn as_many_have_a_turn_as_may() {
        const MOST: u32 = 3;
        let turns = Turns::new(MOST);
        let (now, seen) = (AtomicU32::new(0), AtomicU32::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        turns.take();
                        seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                        turns.give();
                    }
                });
            }
        });
        assert!((1..=MOST).contains(&seen.load(Ordering::SeqCst)));
        assert_eq!(*turns.free.lock(), MOST);
    }

    #[test]
    fn nobody_passes_the_limit() {
        let turns = Turns::new(1);
        turns.take();
        thread::scope(|scope| {
            let next = scope.spawn(|| turns.take());
            thread::sleep(std::time::Duration::from_millis(20));
            assert!(!next.is_finished());
            turns.give();
        });
    }
}
