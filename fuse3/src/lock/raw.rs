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
//! 2. While `QUEUED` is set, only a thread that has the queue's mutex releases.
//! 3. While the lock is free and somebody is queued, the first in the queue has
//!    been woken and has yet to run.
//! 4. The owner, the operation, the site, the time and the counters are written by the
//!    holder alone, or for the next holder by the one that hands the lock over.
//!
//! A thread that finds the lock free may take it, whoever is queued. All of the
//! fairness is in the release, which need not leave it free.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::lock::clock::{self, Deadline};
use crate::lock::counters::{self, Counters};
use crate::lock::error::LockError;
use crate::lock::queue::{Claim, Entry, Queue, Waiter};
use crate::lock::site::{Site, SiteCell};
use crate::lock::thread::{Owner, ThreadId};
use crate::types::operation::Operation;

/// How often the first in the queue can be passed by threads that came later.
///
/// A release with somebody waiting leaves the lock free and wakes the first, so
/// that running threads get on with it until that one runs. After it was left
/// free for the same thread this many times, a release hands it over instead.
///
/// The bound is exact, since a thread can pass the first only after a release
/// left the lock free for it. It is for each place in the queue: were it for the
/// whole way, a long queue would have nothing but hand-overs, and each of those
/// leaves the lock idle until a thread has been scheduled.
pub(super) const PASSED_AT_MOST: u32 = 16;

const LOCKED: u32 = 1;
const QUEUED: u32 = 2;

/// Rounds of spinning, of 2, 4, 8, ... pauses, before a thread queues.
const SPIN_ROUNDS: u32 = 5;

/// Where sections that serve no request are counted.
const OTHER: usize = Operation::ALL.len();

/// In this order, what each holder writes is in two cache lines: one up to
/// `acquisitions`, and its counters.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct RawLock {
    word: AtomicU32,
    owner: Owner,
    /// The holder's place in `sections`.
    slot: AtomicUsize,
    /// Where the holder took it.
    site: SiteCell,
    /// The clock of its section when the holder got the lock.
    since: AtomicU64,
    acquisitions: AtomicU64,
    sections: [Counters; OTHER + 1],
    queue: Mutex<Queue>,
}

/// The thread that has the lock, as others see it.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) thread: ThreadId,
    pub(super) operation: Option<Operation>,
    pub(super) site: Option<&'static Location<'static>>,
    pub(super) since: u64,
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
            site: SiteCell::none(),
            since: AtomicU64::new(0),
            acquisitions: AtomicU64::new(0),
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
        site: Site,
    ) -> Result<(), LockError> {
        let claim = Claim {
            thread: ThreadId::current(),
            operation,
            site,
        };
        if self
            .word
            .compare_exchange(0, LOCKED, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
        {
            self.begin(claim);
            Ok(())
        } else {
            self.acquire_contended(claim, timeout)
        }
    }

    /// Gives the lock up. Only for the thread that holds it.
    #[inline]
    pub(super) fn release(&self) {
        self.end();
        if self
            .word
            .compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            self.release_to_queue();
        }
    }

    /// Hands the lock to the first in the queue and queues behind the last, up
    /// to `count` times. Tells how often. Only for the thread that holds it.
    #[inline]
    pub(super) fn yield_(&self, count: usize, site: Site) -> usize {
        let mut handed_over = 0;
        while handed_over < count && self.is_wanted() && self.hand_over(site) {
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
        let slot = self.slot.load(Ordering::Relaxed);
        Operation::ALL.get(slot).copied()
    }

    pub(super) fn acquisitions(&self) -> u64 {
        self.acquisitions.load(Ordering::Relaxed)
    }

    /// What is known of the holder.
    ///
    /// It belongs together as a rule, and always once the lock has been held for a
    /// moment. The holder does not pay for more.
    pub(super) fn holder(&self) -> Option<Holder> {
        let mut tries = 0..100;
        loop {
            let acquisitions = self.acquisitions();
            let thread = self.owner.get()?;
            let holder = Holder {
                thread,
                operation: self.operation(),
                site: self.site.get(),
                since: self.since.load(Ordering::Relaxed),
            };
            let is_at_rest = self.owner.is(thread) && self.acquisitions() == acquisitions;
            if is_at_rest || tries.next().is_none() {
                return Some(holder);
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
        self.word.load(Ordering::Relaxed) & QUEUED != 0
    }

    /// Notes that this thread has the lock from now on.
    #[inline]
    fn begin(&self, claim: Claim) {
        self.note_holder(claim);
        counters::add(&self.acquisitions, 1);
    }

    fn begin_after_waiting(&self, claim: Claim, since: u64) {
        self.begin(claim);
        let waited = clock::ticks().saturating_sub(since);
        self.sections[slot(claim.operation)].add_waited(waited);
    }

    #[inline]
    fn note_holder(&self, claim: Claim) {
        self.since
            .store(clock::of_section(claim.operation), Ordering::Relaxed);
        self.slot.store(slot(claim.operation), Ordering::Relaxed);
        self.site.set(claim.site);
        self.owner.set(claim.thread);
    }

    /// Notes that the holder has the lock no longer.
    #[inline]
    fn end(&self) {
        let slot = self.slot.load(Ordering::Relaxed);
        let now = clock::of_section(Operation::ALL.get(slot).copied());
        let held = now.saturating_sub(self.since.load(Ordering::Relaxed));
        self.sections[slot].add_section(held);
        self.owner.clear();
    }

    /// Takes the lock if it is free.
    fn try_take(&self) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & LOCKED == 0 {
            match self.word.compare_exchange_weak(
                word,
                word | LOCKED,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(changed) => word = changed,
            }
        }
        false
    }

    #[cold]
    fn acquire_contended(&self, claim: Claim, timeout: Option<Duration>) -> Result<(), LockError> {
        if self.owner.is(claim.thread) {
            return Err(LockError::AlreadyHeld);
        }
        if self.try_take() {
            self.begin(claim);
            return Ok(());
        }
        if timeout == Some(Duration::ZERO) {
            return Err(LockError::TimedOut);
        }
        let deadline = Deadline::after(timeout);
        let since = clock::ticks();
        if !self.spin() && !self.wait_in_queue(claim, since, deadline) {
            return Err(LockError::TimedOut);
        }
        self.begin_after_waiting(claim, since);
        Ok(())
    }

    /// Waits a moment for the holder, unless others wait already.
    fn spin(&self) -> bool {
        for round in 1..=SPIN_ROUNDS {
            match self.word.load(Ordering::Relaxed) {
                LOCKED => (0..1 << round).for_each(|_| std::hint::spin_loop()),
                word if word & LOCKED == 0 => {
                    if self.try_take() {
                        return true;
                    }
                }
                _ => return false,
            }
        }
        false
    }

    fn wait_in_queue(&self, claim: Claim, since: u64, deadline: Deadline) -> bool {
        let mut queue = self.queue.lock();
        if !self.announce_waiter() {
            return true;
        }
        let waiter = self.enter(&mut queue, claim, since);
        self.wait(queue, &waiter, deadline)
    }

    /// Queues the calling thread behind the last.
    fn enter(&self, queue: &mut Queue, claim: Claim, since: u64) -> Arc<Waiter> {
        let waiter = Waiter::current();
        queue.entries.push_back(Entry {
            waiter: Arc::clone(&waiter),
            claim,
            since,
            offers: 0,
            woken: false,
        });
        waiter
    }

    /// Sees to it that the holder's release looks at the queue, whose mutex the
    /// caller has. If there is no holder, the caller has the lock: false.
    fn announce_waiter(&self) -> bool {
        loop {
            if self.try_take() {
                return false;
            }
            match self.word.compare_exchange_weak(
                LOCKED,
                LOCKED | QUEUED,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                // By invariant 2 it stays so until the mutex is let go.
                Err(word) if word == LOCKED | QUEUED => return true,
                Err(_) => {}
            }
        }
    }

    /// Waits for the lock in the queue. Tells whether the thread has it.
    fn wait(
        &self,
        mut queue: MutexGuard<'_, Queue>,
        waiter: &Arc<Waiter>,
        deadline: Deadline,
    ) -> bool {
        loop {
            if waiter.is_granted() {
                return true;
            }
            if let Some(head) = queue.head_is(waiter) {
                // Whoever passed it must wake it again.
                head.woken = false;
                if self.try_take() {
                    self.leave(&mut queue, waiter);
                    return true;
                }
            }
            let is_late = waiter.sleep(&mut queue, deadline);
            // The lock may have been handed over, or have become free, after
            // the time was up and before this thread ran. Whoever did that
            // counts on it: it must not leave without the lock then.
            if is_late && !waiter.is_granted() {
                let taken = self.try_take();
                self.leave(&mut queue, waiter);
                queue.time_outs += u64::from(!taken);
                return taken;
            }
        }
    }

    /// Takes a waiter out of the queue while the lock is held.
    fn leave(&self, queue: &mut Queue, waiter: &Arc<Waiter>) {
        queue.remove(waiter);
        if queue.entries.is_empty() {
            self.word.fetch_and(!QUEUED, Ordering::Relaxed);
        }
    }

    /// Frees the lock for the first in the queue, or gives it to it.
    #[cold]
    fn release_to_queue(&self) {
        let mut queue = self.queue.lock();
        let next = match queue.entries.front_mut() {
            // The last one's time was up in between.
            None => {
                self.word.store(0, Ordering::Release);
                None
            }
            Some(head) if head.offers >= PASSED_AT_MOST => self.grant_to_head(&mut queue),
            Some(head) => {
                head.offers += 1;
                let asleep = !std::mem::replace(&mut head.woken, true);
                let next = asleep.then(|| Arc::clone(&head.waiter));
                self.word.store(QUEUED, Ordering::Release);
                next
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
        if queue.entries.is_empty() {
            self.word.fetch_and(!QUEUED, Ordering::Relaxed);
        }
        self.note_holder(head.claim);
        head.waiter.grant();
        Some(head.waiter)
    }

    /// Gives the lock to the first in the queue, and waits for it behind the
    /// last. Not so if nobody waits any more.
    #[cold]
    fn hand_over(&self, site: Site) -> bool {
        let mut queue = self.queue.lock();
        if queue.entries.is_empty() {
            return false;
        }
        let claim = Claim {
            thread: ThreadId::current(),
            operation: self.operation(),
            site,
        };
        let since = clock::ticks();
        self.end();
        let waiter = self.enter(&mut queue, claim, since);
        if let Some(next) = self.grant_to_head(&mut queue) {
            MutexGuard::unlocked(&mut queue, || next.wake());
        }
        self.wait(queue, &waiter, Deadline::Never);
        self.begin_after_waiting(claim, since);
        true
    }
}

#[cfg(test)]
mod tests;
