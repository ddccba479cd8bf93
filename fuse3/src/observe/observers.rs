//! The observers of a session, and the threads that they are told of.

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::panic::{discard, text};
use crate::base::{cancel::Uncancelled, log};
use crate::lock::meter;
use crate::observe::latency::Latency;
use crate::observe::observer::{Observed, Observer};
use crate::observe::record::Record;
use crate::types::{caller::Caller, ino::Ino, operation::Operation};

/// Those that a session has, at least one.
pub(crate) struct Observers {
    all: Vec<Box<dyn Observer>>,
    /// How many requests have come.
    requests: AtomicU64,
}

/// Dropped when its thread ends.
struct Worker(Arc<Observers>);

thread_local! {
    static WORKER: OnceCell<Worker> = const { OnceCell::new() };
}

impl Observers {
    /// `None` where there are none.
    pub(crate) fn new(all: Vec<Box<dyn Observer>>) -> Option<Arc<Self>> {
        let requests = AtomicU64::new(0);
        (!all.is_empty()).then(|| Arc::new(Self { all, requests }))
    }

    /// Tells each of them `what`, and catches what it panics with.
    pub(super) fn tell(&self, what: &str, tell: impl Fn(&dyn Observer)) {
        for observer in &self.all {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| tell(&**observer))) {
                log::error!("an observer panicked in {what}: {}", text(&*payload));
                discard(payload);
            }
        }
    }

    /// Of the first that has any.
    pub(crate) fn latencies(&self) -> Vec<Latency> {
        let latencies = RefCell::new(Vec::new());
        self.tell("latencies", |observer| {
            if latencies.borrow().is_empty() {
                latencies.replace(observer.latencies());
            }
        });
        latencies.into_inner()
    }

    /// The calling thread is about to call a handler. It serves no other session.
    pub(crate) fn worker(self: &Arc<Self>) {
        WORKER.with(|worker| {
            if worker.get().is_none() {
                // It was empty, and what is told below does not come here.
                let _ = worker.set(Worker(Arc::clone(self)));
                self.tell("worker_started", |observer| observer.worker_started());
            }
        });
    }

    /// A request has come on the calling thread.
    pub(crate) fn begin(
        self: &Arc<Self>,
        operation: Operation,
        ino: Ino,
        caller: Caller,
    ) -> Record {
        self.worker();
        let request = Observed {
            number: self.requests.fetch_add(1, Ordering::Relaxed) + 1,
            operation,
            ino,
            caller,
        };
        let record = Record::new(Arc::clone(self), request);
        self.tell("begun", |observer| observer.begun(&request));
        meter::begin();
        record
    }
}

impl Drop for Observers {
    fn drop(&mut self) {
        // Where a thread ends, a panic would end the process.
        self.all.drain(..).for_each(discard);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // For good: libfuse cancels a thread that has ended by itself, too, and an observer may be where that would take effect.
        mem::forget(Uncancelled::new());
        self.0
            .tell("worker_ended", |observer| observer.worker_ended());
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observers").finish_non_exhaustive()
    }
}
