use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::kit::work::receiver::NoMoreWork;
use crate::kit::work::sender::{Unsent, UnsentReason};
use crate::lock::clock::Deadline;

/// What senders and receivers share.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    /// There is an item, or there will be none.
    filled: Condvar,
    /// There is room, or nothing can be sent any more.
    drained: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    closed: bool,
    senders: usize,
    receivers: usize,
}

impl<T> Queue<T> {
    /// A queue that has no ends yet.
    pub(super) fn new(capacity: usize) -> Arc<Queue<T>> {
        Arc::new(Queue {
            state: Mutex::new(State {
                items: VecDeque::new(),
                closed: false,
                senders: 0,
                receivers: 0,
            }),
            filled: Condvar::new(),
            drained: Condvar::new(),
            capacity,
        })
    }

    pub(super) fn send(&self, item: T, deadline: Deadline) -> Result<(), Unsent<T>> {
        let mut state = self.state.lock();
        let mut is_late = false;
        let reason = loop {
            if state.closed {
                break UnsentReason::Closed;
            }
            if state.receivers == 0 {
                break UnsentReason::NoWorkers;
            }
            // Room that came with the end of the time is used.
            if state.items.len() < self.capacity {
                state.items.push_back(item);
                drop(state);
                self.filled.notify_one();
                return Ok(());
            }
            if is_late {
                break UnsentReason::Full;
            }
            is_late = deadline.wait(&self.drained, &mut state);
        };
        drop(state);
        Err(Unsent { item, reason })
    }

    /// `None` when the time is up.
    pub(super) fn receive(&self, deadline: Deadline) -> Result<Option<T>, NoMoreWork> {
        let mut state = self.state.lock();
        let mut is_late = false;
        loop {
            if let Some(item) = state.items.pop_front() {
                drop(state);
                self.drained.notify_one();
                return Ok(Some(item));
            }
            if state.closed || state.senders == 0 {
                return Err(NoMoreWork);
            }
            if is_late {
                return Ok(None);
            }
            is_late = deadline.wait(&self.filled, &mut state);
        }
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.wake_all();
    }

    fn wake_all(&self) {
        self.filled.notify_all();
        self.drained.notify_all();
    }

    pub(super) fn add_sender(&self) {
        self.state.lock().senders += 1;
    }

    pub(super) fn add_receiver(&self) {
        self.state.lock().receivers += 1;
    }

    pub(super) fn remove_sender(&self) {
        let mut state = self.state.lock();
        state.senders -= 1;
        if state.senders == 0 {
            drop(state);
            self.wake_all();
        }
    }

    /// Nobody will take what is left: it is dropped, and with it the keys that it holds.
    pub(super) fn remove_receiver(&self) {
        let mut state = self.state.lock();
        state.receivers -= 1;
        if state.receivers == 0 {
            let left = std::mem::take(&mut state.items);
            drop(state);
            self.wake_all();
            drop(left);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().items.len()
    }

    pub(super) fn receivers(&self) -> usize {
        self.state.lock().receivers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::MutexGuard;
    use std::thread;
    use std::time::{Duration, Instant};

    /// Runs `call`, which waits until its time is up, and `meanwhile` under the mutex when it is up.
    fn late<R: Send>(
        queue: &Queue<u32>,
        call: impl Fn(Deadline) -> R + Sync,
        meanwhile: impl Fn(&mut State<u32>),
    ) -> R {
        let attempt = |timeout| {
            thread::scope(|threads| {
                let mut state = queue.state.lock();
                let deadline = Deadline::after(Some(timeout));
                let caller = threads.spawn({
                    let call = &call;
                    move || call(deadline)
                });
                // It waits for the mutex, or in `wait`, which needs the mutex to return: its time is up by then.
                MutexGuard::unlocked(&mut state, || thread::sleep(timeout / 2));
                let Deadline::At(instant) = deadline else {
                    unreachable!("seconds are within the clock")
                };
                // On a busy machine the sleep takes longer, and the caller may have returned.
                let is_in_time = Instant::now() < instant;
                while is_in_time && Instant::now() <= instant {
                    thread::yield_now();
                }
                if is_in_time {
                    meanwhile(&mut state);
                }
                drop(state);
                let result = caller.join().expect("no panic");
                is_in_time.then_some(result)
            })
        };
        let timeouts = (0..10).map(|round| Duration::from_millis(20 << round));
        timeouts.filter_map(attempt).next().expect("a moment")
    }

    fn full() -> Arc<Queue<u32>> {
        let queue = Queue::new(1);
        queue.add_sender();
        queue.add_receiver();
        queue
    }

    #[test]
    fn room_that_comes_with_the_end_of_the_time_is_used() {
        let queue = full();
        queue.send(1, Deadline::Now).unwrap();
        let sent = late(
            &queue,
            |deadline| queue.send(2, deadline),
            |state| state.items.clear(),
        );
        assert_eq!(sent, Ok(()));
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn an_item_that_comes_with_the_end_of_the_time_is_taken() {
        let queue = full();
        let received = late(
            &queue,
            |deadline| queue.receive(deadline),
            |state| state.items.push_back(3),
        );
        assert_eq!(received, Ok(Some(3)));
    }

    #[test]
    fn a_queue_that_was_closed_says_so_whether_or_not_there_are_workers() {
        let queue = full();
        queue.close();
        queue.remove_receiver();
        let reason = queue.send(1, Deadline::Now).map_err(|unsent| unsent.reason);
        assert_eq!(reason, Err(UnsentReason::Closed));
        let open = full();
        open.remove_receiver();
        let reason = open.send(1, Deadline::Now).map_err(|unsent| unsent.reason);
        assert_eq!(reason, Err(UnsentReason::NoWorkers));
    }
}
