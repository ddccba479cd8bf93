//! The lock without the state: who has it, who is next.
//!
//! One atomic word says whether the lock is held and whether somebody is
//! queued. Taking and releasing a lock that nobody else wants touches only that
//! word and what the holder notes about itself: no mutex, no system call, no
//! allocation. Everything else happens under the mutex of the queue.
//!
//! # Invariants
//!
//! 1. `QUEUED` is set exactly when the queue is not empty. It changes only under
//!    the queue's mutex.
//! 2. `WOKEN` is set from when the first in the queue is woken until it has looked
//!    at the lock, or has left. It changes only under the queue's mutex, and it is
//!    taken back only while the lock is held.
//! 3. While `QUEUED` is set and `WOKEN` is not, only a thread that has the queue's
//!    mutex releases. So while the lock is free and somebody is queued, the first
//!    in the queue is awake, and will look.
//! 4. The owner, the operation, the place and the counters are written by the
//!    holder alone, or for the next holder by the one that hands the lock over.
//!
//! A thread that finds the lock free may take it, whoever is queued. All of the
//! fairness is in the release, which need not leave it free.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::lock::clock::{self, Deadline};
use crate::lock::queue::{Claim, Entry, PASSED_AT_MOST, Queue, Waiter};
use crate::lock::site::{Place, PlaceCell};
use crate::lock::thread::{Owner, ThreadId};
use crate::lock::{counters::Counters, error::LockError, stopwatch::Stopwatch};
use crate::types::operation::Operation;

const LOCKED: u32 = 1;
const QUEUED: u32 = 2;
const WOKEN: u32 = 4;

/// Rounds of spinning, of 2, 4, 8, ... pauses, before a thread yields the processor.
const SPIN_ROUNDS: u32 = 3;
/// Rounds of spinning and of yielding before a thread queues. With these a thread is
/// not put to sleep for sections that are over before it would be.
const ROUNDS: u32 = 10;

/// Where sections that serve no request are counted.
const OTHER: usize = Operation::ALL.len();

/// In this order, what each holder writes is in two cache lines: one up to the
/// stopwatch, and its counters.
#[repr(C, align(64))]
pub(super) struct RawLock {
    word: AtomicU32,
    owner: Owner,
    /// The holder's place in `sections`.
    slot: AtomicUsize,
    /// Where the holder took it.
    place: PlaceCell,
    stopwatch: Stopwatch,
    /// How often the first in the queue was passed, if a release has looked at the queue since it is the first.
    passed: AtomicU32,
    sections: [Counters; OTHER + 1],
    queue: Mutex<Queue>,
}

/// Which of the counters are an operation's.
#[inline]
fn slot(operation: Option<Operation>) -> usize {
    operation.map_or(OTHER, |operation| usize::from(operation as u8))
}

impl RawLock {
    pub(super) const fn new() -> RawLock {
        RawLock {
            word: AtomicU32::new(0),
            owner: Owner::none(),
            slot: AtomicUsize::new(OTHER),
            place: PlaceCell::none(),
            stopwatch: Stopwatch::new(),
            passed: AtomicU32::new(0),
            sections: [const { Counters::new() }; OTHER + 1],
            queue: Mutex::new(Queue::new()),
        }
    }

    /// Takes the lock. No time-out waits for ever, one of zero does not wait.
    #[inline]
    pub(super) fn acquire(
        &self,
        operation: Option<Operation>,
        timeout: Option<Duration>,
        place: Place,
    ) -> Result<(), LockError> {
        let me = ThreadId::current();
        let taken = self.word.compare_exchange(0, LOCKED, Acquire, Relaxed);
        if taken.is_ok() {
            self.begin(me, operation, place);
            Ok(())
        } else {
            self.acquire_contended(me, operation, place, timeout)
        }
    }

    /// Gives the lock up. Only for the thread that holds it.
    #[inline]
    pub(super) fn release(&self) {
        self.end();
        let freed = self.word.compare_exchange(LOCKED, 0, Release, Relaxed);
        if freed.is_err() {
            self.release_contended();
        }
    }

    /// Hands the lock to the first in the queue and queues behind the last, up
    /// to `count` times. Tells how often. Only for the thread that holds it.
    #[inline]
    pub(super) fn yield_(&self, count: usize, place: Place) -> usize {
        let mut handed_over = 0;
        while handed_over < count && self.is_wanted() && self.hand_over(place) {
            handed_over += 1;
        }
        handed_over
    }

    #[inline]
    pub(super) fn is_held(&self) -> bool {
        self.owner.is(ThreadId::current())
    }

    /// What the holder serves.
    pub(super) fn operation(&self) -> Option<Operation> {
        Operation::ALL.get(self.slot.load(Relaxed)).copied()
    }

    /// The thread that has the lock, and when it got it, where that is known.
    ///
    /// It belongs together as a rule, and always once the lock has been held for a
    /// moment. The holder does not pay for more.
    pub(super) fn holder(&self) -> Option<(Claim, Option<u64>)> {
        let mut tries = 0..100;
        loop {
            let slot = self.slot.load(Relaxed);
            let count = self.sections[slot].count();
            let thread = self.owner.get()?;
            let claim = Claim {
                thread,
                operation: Operation::ALL.get(slot).copied(),
                place: self.place.get(),
            };
            let since = self.stopwatch.since();
            let is_at_rest = self.owner.is(thread)
                && self.slot.load(Relaxed) == slot
                && self.sections[slot].count() == count;
            if is_at_rest || tries.next().is_none() {
                return Some((claim, since));
            }
        }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    /// The counters, each with the operation that they are of.
    pub(super) fn sections(&self) -> impl Iterator<Item = (Option<Operation>, &Counters)> {
        let operations = Operation::ALL.iter().copied().map(Some).chain([None]);
        operations.zip(&self.sections)
    }

    fn is_wanted(&self) -> bool {
        self.word.load(Relaxed) & QUEUED != 0
    }

    /// Notes that this thread has the lock from now on.
    ///
    /// What it is told comes one by one: in a [`Claim`] it would go by way of the
    /// stack, for a read that waits behind the atomic operation.
    #[inline]
    fn begin(&self, thread: ThreadId, operation: Option<Operation>, place: Place) {
        self.slot.store(slot(operation), Relaxed);
        self.place.set(place);
        self.owner.set(thread);
        let count = self.sections[slot(operation)].begin_section();
        if self.stopwatch.is_due(operation.is_some(), count) {
            self.start_stopwatch(operation.is_some(), count);
        }
    }

    /// The same, for a lock that somebody else wants as well.
    fn begin_contended(&self, claim: Claim) {
        // A thread that queued just when the last section had ended has noted its time for that one.
        self.stopwatch.clear();
        self.begin(claim.thread, claim.operation, claim.place);
    }

    #[cold]
    fn start_stopwatch(&self, is_request: bool, count: u64) {
        self.stopwatch.start(clock::now(), is_request, count);
    }

    /// Notes that the holder has the lock no longer.
    #[inline]
    fn end(&self) {
        if self.stopwatch.is_running() {
            self.stop_stopwatch();
        }
        self.owner.clear();
    }

    #[cold]
    fn stop_stopwatch(&self) {
        let section = &self.sections[self.slot.load(Relaxed)];
        match self.stopwatch.stop(clock::now()) {
            Some((time, true)) => section.add_held(time),
            Some((time, false)) => section.raise_held(time),
            None => {}
        }
    }

    /// Takes the lock if it is free.
    fn try_take(&self) -> bool {
        let taken = |word| (word & LOCKED == 0).then_some(word | LOCKED);
        self.word.fetch_update(Acquire, Relaxed, taken).is_ok()
    }

    /// Takes the lock if it is free. If it is not, its word becomes what `held` makes of it: by
    /// invariants 1 and 2 only for a caller that has the queue's mutex.
    fn take_or(&self, held: fn(u32) -> u32) -> bool {
        let next = |word| match word & LOCKED {
            0 => Some(word | LOCKED),
            _ => Some(held(word)),
        };
        let before = self.word.fetch_update(Acquire, Relaxed, next);
        before.is_ok_and(|word| word & LOCKED == 0)
    }

    /// Takes the lock if it is free, for the first in the queue, whose mutex the caller
    /// has. If it is not free, whoever releases it must look at the queue.
    fn try_take_as_first(&self) -> bool {
        self.take_or(|word| word & !WOKEN)
    }

    #[cold]
    fn acquire_contended(
        &self,
        me: ThreadId,
        operation: Option<Operation>,
        place: Place,
        timeout: Option<Duration>,
    ) -> Result<(), LockError> {
        if self.owner.is(me) {
            return Err(LockError::AlreadyHeld);
        }
        let claim = Claim {
            thread: me,
            operation,
            place,
        };
        if self.try_take() {
            self.begin_contended(claim);
            return Ok(());
        }
        let deadline = Deadline::after(timeout);
        if let Deadline::Now = deadline {
            return Err(LockError::Busy);
        }
        if self.spin() {
            self.begin_contended(claim);
            return Ok(());
        }
        self.wait_in_queue(claim, deadline)
    }

    /// Waits a moment for the holder, unless others wait already.
    fn spin(&self) -> bool {
        for round in 1..=ROUNDS {
            match self.word.load(Relaxed) {
                LOCKED if round <= SPIN_ROUNDS => {
                    (0..1 << round).for_each(|_| std::hint::spin_loop());
                }
                LOCKED => std::thread::yield_now(),
                word if word & LOCKED != 0 => return false,
                _ if self.try_take() => return true,
                _ => {}
            }
        }
        false
    }

    fn wait_in_queue(&self, claim: Claim, deadline: Deadline) -> Result<(), LockError> {
        let mut queue = self.queue.lock();
        if !self.announce_waiter() {
            drop(queue);
            self.begin_contended(claim);
            return Ok(());
        }
        let since = clock::now();
        self.stopwatch.start_uncounted(since);
        let waiter = self.enter(&mut queue, claim, since);
        self.wait(queue, &waiter, claim, deadline)?;
        self.note_wait(claim, since);
        Ok(())
    }

    /// The thread has the lock, after it has waited in the queue.
    fn note_wait(&self, claim: Claim, since: u64) {
        let now = clock::now();
        self.stopwatch.start_uncounted(now);
        self.sections[slot(claim.operation)].add_waited(now.saturating_sub(since));
    }

    /// Queues the calling thread behind the last.
    fn enter(&self, queue: &mut Queue, claim: Claim, since: u64) -> Arc<Waiter> {
        let waiter = Waiter::current();
        queue.entries.push_back(Entry {
            waiter: Arc::clone(&waiter),
            claim,
            since,
            passed: 0,
        });
        waiter
    }

    /// Sees to it that a release looks at the queue, whose mutex the caller has: the
    /// holder's, or that of the first in the queue. If the lock is free, the caller
    /// has it: false.
    fn announce_waiter(&self) -> bool {
        !self.take_or(|word| word | QUEUED)
    }

    /// Waits in the queue until the thread has the lock.
    fn wait(
        &self,
        mut queue: MutexGuard<'_, Queue>,
        waiter: &Arc<Waiter>,
        claim: Claim,
        deadline: Deadline,
    ) -> Result<(), LockError> {
        let mut is_late = false;
        // Whoever hands the lock over has noted the new holder.
        while !waiter.is_granted() {
            let is_first = queue.is_first(waiter);
            // The lock may have been handed over, or have become free, after
            // the time was up and before this thread ran. Whoever did that
            // counts on it: it must not leave without the lock then.
            let taken = if is_first {
                self.try_take_as_first()
            } else {
                is_late && self.try_take()
            };
            if taken {
                self.leave(&mut queue, waiter);
                drop(queue);
                self.begin_contended(claim);
                break;
            }
            if is_late {
                self.leave(&mut queue, waiter);
                queue.time_outs += 1;
                return Err(LockError::TimedOut);
            }
            if !self.stopwatch.is_running() {
                self.stopwatch.start_uncounted(clock::now());
            }
            is_late = waiter.sleep(&mut queue, deadline);
        }
        Ok(())
    }

    /// Takes a waiter out of the queue. If it is the first, the lock is held, and it
    /// has looked at that.
    fn leave(&self, queue: &mut Queue, waiter: &Arc<Waiter>) {
        let was_first = queue.is_first(waiter);
        queue.remove(waiter);
        self.note_left(queue, was_first);
    }

    /// The word says what the queue is after one has left it: while the lock is held,
    /// if that was the first.
    fn note_left(&self, queue: &Queue, was_first: bool) {
        let gone = match (queue.entries.is_empty(), was_first) {
            (true, _) => QUEUED | WOKEN,
            (false, true) => WOKEN,
            (false, false) => return,
        };
        self.word.fetch_and(!gone, Relaxed);
    }

    /// Frees a lock that others want.
    #[cold]
    fn release_contended(&self) {
        // While the first is on its way, it can be passed without the queue's mutex.
        let passed = self.passed.load(Relaxed);
        if passed < PASSED_AT_MOST {
            self.passed.store(passed + 1, Relaxed);
            let woken = QUEUED | WOKEN;
            let held = LOCKED | woken;
            let freed = self.word.compare_exchange(held, woken, Release, Relaxed);
            if freed.is_ok() {
                return;
            }
            self.passed.store(passed, Relaxed);
        }
        self.release_to_queue();
    }

    /// Frees the lock for the first in the queue, or gives it to it.
    fn release_to_queue(&self) {
        let mut queue = self.queue.lock();
        // A thread that queued since the section ended may have noted the time for it.
        self.stopwatch.clear();
        let passed = self.passed.load(Relaxed);
        let next = match queue.entries.front_mut() {
            // The last one's time was up in between.
            None => {
                self.word.store(0, Release);
                None
            }
            Some(head) => {
                head.set_passed(passed);
                if head.is_overdue() {
                    self.grant_to_head(&mut queue)
                } else {
                    self.passed.store(head.pass(), Relaxed);
                    let word = self.word.swap(QUEUED | WOKEN, Release);
                    let asleep = word & WOKEN == 0;
                    asleep.then(|| Arc::clone(&head.waiter))
                }
            }
        };
        drop(queue);
        if let Some(next) = next {
            next.wake();
        }
    }

    /// Makes the first in the queue the holder. It is to be woken then.
    fn grant_to_head(&self, queue: &mut Queue) -> Option<Arc<Waiter>> {
        let head = queue.entries.pop_front()?;
        queue.hand_overs += 1;
        self.note_left(queue, true);
        let claim = head.claim;
        self.begin(claim.thread, claim.operation, claim.place);
        head.waiter.grant();
        Some(head.waiter)
    }

    /// Gives the lock to the first in the queue, and waits for it behind the
    /// last. Not so if nobody waits any more.
    #[cold]
    fn hand_over(&self, place: Place) -> bool {
        let mut queue = self.queue.lock();
        if queue.entries.is_empty() {
            return false;
        }
        let claim = Claim {
            thread: ThreadId::current(),
            operation: self.operation(),
            place,
        };
        let since = clock::now();
        self.end();
        let waiter = self.enter(&mut queue, claim, since);
        if let Some(next) = self.grant_to_head(&mut queue) {
            MutexGuard::unlocked(&mut queue, || next.wake());
        }
        let waited = self.wait(queue, &waiter, claim, Deadline::Never);
        self.note_wait(claim, since);
        waited.is_ok()
    }
}

#[cfg(test)]
mod tests;
