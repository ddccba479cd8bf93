use std::mem::{replace, swap};
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;

/// A task or a thread that waits for a key. It is given the key or leaves; the first of them counts.
#[derive(Debug)]
pub(super) struct Waiter(Mutex<State>);

#[derive(Debug)]
enum State {
    Waiting(Waker),
    Granted,
    Left,
}

impl Waiter {
    pub(super) fn new(waker: Waker) -> Arc<Waiter> {
        Arc::new(Waiter(Mutex::new(State::Waiting(waker))))
    }

    /// Gives it the key, unless it waits no more. Tells whether.
    pub(super) fn grant(&self) -> bool {
        let mut state = self.0.lock();
        if !matches!(*state, State::Waiting(_)) {
            return false;
        }
        let before = replace(&mut *state, State::Granted);
        drop(state);
        // A waker is the runtime's, and may do anything: it is called with nothing held.
        if let State::Waiting(waker) = before {
            waker.wake();
        }
        true
    }

    /// Whether it has been given the key. If not, `waker` is woken when it is.
    pub(super) fn is_granted(&self, waker: &Waker) -> bool {
        let mut next = State::Waiting(waker.clone());
        let mut state = self.0.lock();
        match &mut *state {
            // The earlier waker is dropped with nothing held, for the same reason.
            before @ State::Waiting(_) => swap(before, &mut next),
            State::Granted => return true,
            State::Left => {}
        }
        drop(state);
        false
    }

    /// It waits no more. Tells whether it has been given the key, which is another's then.
    pub(super) fn leave(&self) -> bool {
        let before = replace(&mut *self.0.lock(), State::Left);
        matches!(before, State::Granted)
    }

    /// It waits no more. One that is still in the queue has been given nothing.
    pub(super) fn has_left(&self) -> bool {
        !matches!(*self.0.lock(), State::Waiting(_))
    }
}
