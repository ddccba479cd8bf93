use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

/// After so long, the log says what is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many requests C code is to answer, which the end of what they belong to waits for.
#[derive(Debug, Default)]
pub(crate) struct Lent {
    state: Mutex<State>,
    none: Condvar,
}

#[derive(Debug, Default)]
struct State {
    count: usize,
    closed: bool,
}

impl Lent {
    /// One more; false when it is too late.
    pub(crate) fn begin(&self) -> bool {
        let mut state = self.state.lock();
        if !state.closed {
            state.count += 1;
        }
        !state.closed
    }

    /// One less.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.count -= 1;
        if state.count == 0 {
            self.none.notify_all();
        }
    }

    /// Waits until there is none, and refuses others.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let mut said = false;
        while state.count > 0 {
            if said {
                self.none.wait(&mut state);
            } else if self.none.wait_for(&mut state, PATIENCE).timed_out() && state.count > 0 {
                said = true;
                let count = state.count;
                // The logger is the application's, and may have to do with a RawReply.
                MutexGuard::unlocked(&mut state, || {
                    crate::base::log::warn!(
                        "the session ends when the last RawReply is gone; there are {count} yet"
                    );
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    #[test]
    fn the_end_waits_for_the_last() {
        let (lent, gone) = (Lent::default(), AtomicBool::new(false));
        assert!(lent.begin() && lent.begin());
        thread::scope(|scope| {
            scope.spawn(|| {
                lent.close();
                assert!(gone.load(Ordering::SeqCst));
            });
            while lent.begin() {
                lent.end();
                thread::yield_now();
            }
            lent.end();
            thread::sleep(Duration::from_millis(20));
            gone.store(true, Ordering::SeqCst);
            lent.end();
        });
        assert!(!lent.begin());
        lent.close();
    }
}
