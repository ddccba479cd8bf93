use std::collections::BTreeMap;
use std::time::Instant;

use parking_lot::Mutex;

use crate::lock::thread::{ThreadId, Tid};
use crate::types::{ino::Ino, operation::Operation};

/// Which request each thread serves: what a [`Report`](crate::session::Report) tells.
///
/// Each request pays for it with two turns of a mutex that all workers share, so that it is there on request only.
#[derive(Debug, Default)]
pub(crate) struct Activity(Mutex<BTreeMap<Tid, Serving>>);

/// What a thread serves, and since when.
pub(crate) type Serving = (Operation, Ino, Instant);

/// While it lives, the thread serves that request.
pub(crate) struct Busy<'a> {
    activity: &'a Activity,
    thread: Tid,
    before: Option<Serving>,
}

impl Activity {
    /// The calling thread serves a request, until [`end`](Self::end).
    pub(crate) fn begin(&self, operation: Operation, ino: Ino) {
        self.insert(ThreadId::current().tid(), operation, ino);
    }

    pub(crate) fn end(&self) {
        self.0.lock().remove(&ThreadId::current().tid());
    }

    /// The same while the result lives, within another request perhaps.
    pub(crate) fn busy(&self, operation: Operation, ino: Ino) -> Busy<'_> {
        let thread = ThreadId::current().tid();
        Busy {
            activity: self,
            thread,
            before: self.insert(thread, operation, ino),
        }
    }

    fn insert(&self, thread: Tid, operation: Operation, ino: Ino) -> Option<Serving> {
        let serving = (operation, ino, Instant::now());
        self.0.lock().insert(thread, serving)
    }

    pub(crate) fn of(&self, thread: Tid) -> Option<Serving> {
        self.0.lock().get(&thread).copied()
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut serving = self.activity.0.lock();
        match self.before {
            Some(before) => serving.insert(self.thread, before),
            None => serving.remove(&self.thread),
        };
    }
}
