use std::task::{Context, Waker};

use parking_lot::Mutex;

use crate::types::errno::Errno;

/// How a future is told that nobody waits for it any more.
///
/// Whoever tells it only wakes it: it is dropped where it is polled, on its own thread.
#[derive(Debug, Default)]
pub(crate) struct Cancel(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Option<Errno>,
    waker: Option<Waker>,
}

impl Cancel {
    /// The future is dropped, and its request answered with `errno`, unless it has been already.
    pub(crate) fn cancel(&self, errno: Errno) {
        let mut state = self.0.lock();
        state.told.get_or_insert(errno);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What was told; or from now on it wakes this task.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Option<Errno> {
        // A waker's clone and drop are the runtime's code, which does not run under the mutex.
        let waker = cx.waker().clone();
        let mut state = self.0.lock();
        let before = state.waker.replace(waker);
        let told = state.told;
        drop(state);
        drop(before);
        told
    }
}
