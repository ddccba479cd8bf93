use std::fmt;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::kit::keyed::{guard::OwnedKeyGuard, table::Table, waiter::Waiter};

/// The wait of a task for a key: [`KeyedLocks::lock_async`](crate::kit::KeyedLocks::lock_async).
///
/// It queues when it is polled first. Dropped, it leaves the queue; if it was given the key meanwhile, the next in the
/// queue is given it.
///
/// # Panics
///
/// When it is polled again after it was ready.
#[must_use = "nothing waits before it is awaited"]
pub struct KeyWait<K: Eq + Hash> {
    table: Arc<Table<K>>,
    state: State<K>,
}

enum State<K> {
    New(K),
    Queued(Arc<K>, Arc<Waiter>),
    Done,
}

// Nothing of it is ever pinned.
impl<K: Eq + Hash> Unpin for KeyWait<K> {}

impl<K: Eq + Hash> KeyWait<K> {
    pub(super) fn new(table: Arc<Table<K>>, key: K) -> KeyWait<K> {
        KeyWait {
            table,
            state: State::New(key),
        }
    }
}

impl<K: Eq + Hash> Future for KeyWait<K> {
    type Output = OwnedKeyGuard<K>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<OwnedKeyGuard<K>> {
        let this = self.get_mut();
        // A waker's `clone` may panic, as any code of a runtime: it is called while the state is in its place, so that
        // the drop of this finds what it has to give back.
        let waker = match &this.state {
            State::New(_) => Some(cx.waker().clone()),
            State::Queued(_, waiter) if !waiter.is_granted(cx.waker()) => return Poll::Pending,
            State::Queued(..) | State::Done => None,
        };
        let taken = match (std::mem::replace(&mut this.state, State::Done), waker) {
            (State::New(key), Some(waker)) => match this.table.ask(key, waker) {
                Ok(key) => key,
                Err((key, waiter)) => {
                    this.state = State::Queued(key, waiter);
                    return Poll::Pending;
                }
            },
            (State::Queued(key, _), _) => key,
            (State::New(_) | State::Done, _) => panic!("a KeyWait was polled after it was ready"),
        };
        Poll::Ready(OwnedKeyGuard::new(Arc::clone(&this.table), taken))
    }
}

impl<K: Eq + Hash> Drop for KeyWait<K> {
    fn drop(&mut self) {
        let State::Queued(key, waiter) = &self.state else {
            return;
        };
        if waiter.leave() {
            self.table.release(key);
        } else {
            self.table.leave(key);
        }
    }
}

impl<K: Eq + Hash> fmt::Debug for KeyWait<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_queued = matches!(self.state, State::Queued(..));
        f.debug_struct("KeyWait")
            .field("queued", &is_queued)
            .finish_non_exhaustive()
    }
}
