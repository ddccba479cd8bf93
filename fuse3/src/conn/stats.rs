use std::cell::Cell;
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::observe::latency::Latency;
use crate::types::operation::Operation;

/// What a session has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// How many requests of each operation came, of those that came at all.
    pub requests: Vec<(Operation, u64)>,
    /// How many answers the kernel did not take, mostly for interrupted callers. What they gave out was taken back. Those of
    /// `release` and `releasedir` are among them when the file system is unmounted before they are sent: nobody waits for them.
    pub not_taken: u64,
    /// How many handlers, and callbacks of interrupts, panicked.
    pub panics: u64,
    /// On how many threads requests have come so far: libfuse starts another one when a request comes and all are in
    /// handlers, up to [`Builder::workers`](crate::Builder::workers), and keeps them. When they are all in handlers that
    /// wait, the next request waits, too.
    pub workers: usize,
    /// How long the requests of each operation took, where an [`Observer`](crate::observe::Observer) measures it, as
    /// [`Histograms`](crate::observe::Histograms) does; empty otherwise.
    pub latencies: Vec<Latency>,
}

impl SessionStats {
    /// Requests of all operations.
    pub fn total(&self) -> u64 {
        self.requests.iter().map(|(_, count)| count).sum()
    }
}

/// A line for the session, and one for each operation.
impl fmt::Display for SessionStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        let Self {
            workers,
            not_taken,
            panics,
            ..
        } = self;
        write!(
            f,
            "{total} requests on {workers} workers; {not_taken} answers not taken, {panics} panics"
        )?;
        if !self.latencies.is_empty() {
            writeln!(f)?;
            Latency::heading(f)?;
        }
        for latency in &self.latencies {
            write!(f, "\n{latency}")?;
        }
        // Of the others, INIT above all, the number alone is known.
        let measured = |operation| self.latencies.iter().any(|it| it.operation == operation);
        for (operation, count) in &self.requests {
            if !measured(*operation) {
                write!(f, "\n{operation:<16} {count:>10}")?;
            }
        }
        Ok(())
    }
}

/// Counts for [`SessionStats`].
///
/// # Invariants
///
/// `session` is of no other value, before or after, and `workers` only grows: an entry lives as long as this value.
#[derive(Debug)]
pub(crate) struct Counters {
    session: u64,
    /// One for each of the first [`MOST`] threads that requests have come on, which alone writes to it.
    #[expect(
        clippy::vec_box,
        reason = "an entry stays where it is when the vector grows"
    )]
    workers: Mutex<Vec<Box<Requests>>>,
    /// Of what is called elsewhere.
    others: Requests,
    /// None before the first request that is not INIT.
    threads: AtomicUsize,
    not_taken: AtomicU64,
    panics: AtomicU64,
}

/// Threads may come and go as long as a session lasts.
const MOST: usize = 64;

/// Requests of each operation, in cache lines of their own.
#[derive(Debug)]
#[repr(align(64))]
struct Requests([AtomicU64; Operation::ALL.len()]);

/// Where the calling thread counts, of which session; 0 before its first request. A thread of libfuse's serves one session only.
#[derive(Clone, Copy)]
struct Served {
    session: u64,
    /// Null where it shares `others`.
    requests: *const Requests,
}

thread_local! {
    static SERVED: Cell<Served> = const { Cell::new(Served::of(0)) };
}

impl Served {
    const fn of(session: u64) -> Self {
        let requests = ptr::null();
        Self { session, requests }
    }
}

impl Requests {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; Operation::ALL.len()])
    }
}

impl Default for Counters {
    fn default() -> Self {
        static SESSIONS: AtomicU64 = AtomicU64::new(1);
        Self {
            session: SESSIONS.fetch_add(1, Ordering::Relaxed),
            workers: Mutex::default(),
            others: Requests::new(),
            threads: AtomicUsize::new(0),
            not_taken: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }
}

impl Counters {
    /// Counts a request, and with the first one of a thread the thread.
    #[inline]
    pub(crate) fn request(&self, operation: Operation) {
        let mut served = SERVED.get();
        if served.session != self.session {
            served = self.worker();
        }
        // SAFETY: it is null, or an entry of `workers`, which lives as long as `self`: `session` says that it is of this value
        // (invariant).
        match unsafe { served.requests.as_ref() } {
            Some(Requests(here)) => {
                let count = &here[operation as usize];
                // Nobody else writes to it.
                count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }
            None => self.called(operation),
        }
    }

    #[cold]
    fn worker(&self) -> Served {
        let mut served = Served::of(self.session);
        let mut workers = self.workers.lock();
        if workers.len() < MOST {
            let requests = Box::new(Requests::new());
            served.requests = &raw const *requests;
            workers.push(requests);
        }
        drop(workers);
        self.threads.fetch_add(1, Ordering::Release);
        SERVED.set(served);
        served
    }

    /// Counts a call that need not be on a worker, and is not for a request, or is INIT.
    pub(crate) fn called(&self, operation: Operation) {
        let Requests(here) = &self.others;
        here[operation as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn not_taken(&self) {
        self.not_taken.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn panics(&self, count: u64) {
        self.panics.fetch_add(count, Ordering::Relaxed);
    }

    /// A request has come that is not INIT, so that INIT was answered. What libfuse wrote before is visible then.
    pub(crate) fn settled(&self) -> bool {
        self.threads.load(Ordering::Acquire) > 0
    }

    pub(crate) fn stats(&self) -> SessionStats {
        let workers = self.workers.lock();
        let count = |operation: Operation| {
            let all = workers.iter().map(|worker| &**worker);
            let count = |it: &Requests| it.0[operation as usize].load(Ordering::Relaxed);
            all.chain([&self.others]).map(count).sum()
        };
        let requests = Operation::ALL.iter();
        let requests = requests.map(|operation| (*operation, count(*operation)));
        SessionStats {
            requests: requests.filter(|(_, count)| *count > 0).collect(),
            not_taken: self.not_taken.load(Ordering::Relaxed),
            panics: self.panics.load(Ordering::Relaxed),
            workers: self.threads.load(Ordering::Relaxed),
            latencies: Vec::new(),
        }
    }
}
