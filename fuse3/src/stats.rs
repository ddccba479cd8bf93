use std::sync::atomic::{AtomicU64, Ordering};

use crate::Operation;

/// What a session has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// How many requests of each operation came, of those that came at all.
    pub requests: Vec<(Operation, u64)>,
    /// How many answers the kernel did not take, mostly for interrupted callers. What they gave out was taken back.
    pub not_taken: u64,
    /// How many handlers panicked.
    pub panics: u64,
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
    requests: [AtomicU64; Operation::ALL.len()],
    not_taken: AtomicU64,
    panics: AtomicU64,
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Self {
            requests: [const { AtomicU64::new(0) }; Operation::ALL.len()],
            not_taken: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }

    pub(crate) fn request(&self, operation: Operation) {
        self.requests[operation as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn not_taken(&self) {
        self.not_taken.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> SessionStats {
        let requests = Operation::ALL.iter().zip(&self.requests);
        let requests =
            requests.map(|(operation, count)| (*operation, count.load(Ordering::Relaxed)));
        SessionStats {
            requests: requests.filter(|(_, count)| *count > 0).collect(),
            not_taken: self.not_taken.load(Ordering::Relaxed),
            panics: self.panics.load(Ordering::Relaxed),
        }
    }
}
