use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::lock::thread::ThreadId;
use crate::types::operation::Operation;

/// What a session has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// How many requests of each operation came, of those that came at all.
    pub requests: Vec<(Operation, u64)>,
    /// How many answers the kernel did not take, mostly for interrupted callers. What they gave out was taken back.
    pub not_taken: u64,
    /// How many handlers, and callbacks of interrupts, panicked.
    pub panics: u64,
    /// On how many threads requests have come so far: libfuse starts another one when a request comes and all are in
    /// handlers, up to [`Builder::workers`](crate::Builder::workers), and keeps them. When they are all in handlers that
    /// wait, the next request waits, too.
    pub workers: usize,
}

impl SessionStats {
    /// Requests of all operations.
    pub fn total(&self) -> u64 {
        self.requests.iter().map(|(_, count)| count).sum()
    }
}

/// Counts for [`SessionStats`].
#[derive(Debug)]
pub(crate) struct Counters {
    /// One for each worker, or for a few: a counter that all of them write to costs each request a cache miss.
    requests: [Requests; 16],
    not_taken: AtomicU64,
    panics: AtomicU64,
    workers: AtomicUsize,
    /// Which of all sessions it is.
    session: u64,
}

thread_local! {
    /// The session whose requests come on this thread; 0 before the first. One of libfuse's serves one session only.
    static SERVED: Cell<u64> = const { Cell::new(0) };
}

/// Requests of each operation, in cache lines of their own.
#[derive(Debug)]
#[repr(align(64))]
struct Requests([AtomicU64; Operation::ALL.len()]);

impl Requests {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; Operation::ALL.len()])
    }
}

impl Counters {
    pub(crate) fn new() -> Self {
        static SESSIONS: AtomicU64 = AtomicU64::new(1);
        Self {
            requests: [const { Requests::new() }; 16],
            not_taken: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            workers: AtomicUsize::new(0),
            session: SESSIONS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Counts a request, and with the first one of a thread the thread.
    #[inline]
    pub(crate) fn request(&self, operation: Operation) {
        if SERVED.get() != self.session {
            self.worker();
        }
        self.called(operation);
    }

    #[cold]
    fn worker(&self) {
        SERVED.set(self.session);
        self.workers.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call that need not be on a worker.
    #[inline]
    pub(crate) fn called(&self, operation: Operation) {
        let Requests(here) = &self.requests[ThreadId::current().count() % self.requests.len()];
        here[operation as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn not_taken(&self) {
        self.not_taken.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    fn requests(&self, operation: Operation) -> u64 {
        let counts = self
            .requests
            .iter()
            .map(|Requests(here)| &here[operation as usize]);
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// A request came that is not INIT, so that INIT was answered.
    pub(crate) fn settled(&self) -> bool {
        let mut operations = Operation::ALL.iter();
        operations.any(|operation| *operation != Operation::Init && self.requests(*operation) > 0)
    }

    pub(crate) fn stats(&self) -> SessionStats {
        let requests = Operation::ALL.iter();
        let requests = requests.map(|operation| (*operation, self.requests(*operation)));
        SessionStats {
            requests: requests.filter(|(_, count)| *count > 0).collect(),
            not_taken: self.not_taken.load(Ordering::Relaxed),
            panics: self.panics.load(Ordering::Relaxed),
            workers: self.workers.load(Ordering::Relaxed),
        }
    }
}
