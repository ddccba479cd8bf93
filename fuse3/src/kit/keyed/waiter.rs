use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;

use crate::lock::sleeper::{Sleeper, Waking};

/// Who waits for a key.
#[derive(Clone, Debug)]
pub(super) enum Waiter {
    Thread(Arc<Sleeper>),
    Task(Arc<Task>),
}

impl Waiter {
    /// Gives it the key, unless it waits no more. Tells whether.
    pub(super) fn grant(&self) -> bool {
        match self {
            Waiter::Thread(sleeper) => sleeper.wake(Waking::Notified),
            Waiter::Task(task) => task.grant(),
        }
    }

    /// It waits no more. One that is still in the queue has been given nothing.
    pub(super) fn has_left(&self) -> bool {
        match self {
            Waiter::Thread(sleeper) => sleeper.is_awake(),
            Waiter::Task(task) => !matches!(*task.0.lock(), State::Waiting(_)),
        }
    }
}

/// A task that waits. It is given the key or leaves; the first of them counts.
#[derive(Debug)]
pub(super) struct Task(Mutex<State>);

#[derive(Debug)]
enum State {
    Waiting(Waker),
    Granted,
    Left,
}

impl Task {
    pub(super) fn new(waker: Waker) -> Arc<Task> {
        Arc::new(Task(Mutex::new(State::Waiting(waker))))
    }

    fn grant(&self) -> bool {
        let mut state = self.0.lock();
        if !matches!(*state, State::Waiting(_)) {
            return false;
        }
        let before = std::mem::replace(&mut *state, State::Granted);
        drop(state);
        // A waker is the runtime's, and may do anything: it is called with nothing held.
        if let State::Waiting(waker) = before {
            waker.wake();
        }
        true
    }

    /// Whether the task has been given the key. If not, `waker` is woken when it is.
    pub(super) fn is_granted(&self, waker: &Waker) -> bool {
        let mut next = State::Waiting(waker.clone());
        let mut state = self.0.lock();
        match &mut *state {
            // The earlier waker is dropped with nothing held, for the same reason.
            before @ State::Waiting(_) => std::mem::swap(before, &mut next),
            State::Granted => return true,
            State::Left => {}
        }
        drop(state);
        false
    }

    /// The task waits no more. Tells whether it has been given the key, which is another's then.
    pub(super) fn leave(&self) -> bool {
        let before = std::mem::replace(&mut *self.0.lock(), State::Left);
        matches!(before, State::Granted)
    }
}
