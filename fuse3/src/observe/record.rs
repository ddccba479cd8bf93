use std::sync::Arc;
use std::time::Instant;

use crate::lock::{meter, meter::Times};
use crate::observe::observer::{Observed, Outcome};
use crate::observe::observers::Observers;
use crate::types::errno::Errno;

/// A request that observers have been told of, and are to be told the end of.
#[derive(Debug)]
pub(crate) struct Record {
    observers: Arc<Observers>,
    request: Observed,
    begun: Instant,
    /// Once the handler has returned.
    times: Option<Times>,
}

/// Tells that a handler has returned: see [`Record::stop`].
pub(crate) struct Handled(Arc<Observers>, Observed);

impl Record {
    pub(super) fn new(observers: Arc<Observers>, request: Observed) -> Self {
        Self {
            observers,
            request,
            begun: Instant::now(),
            times: None,
        }
    }

    /// The handler has returned, on this thread, or was never called; `None` where that has been told.
    pub(crate) fn stop(&mut self) -> Option<Handled> {
        if self.times.is_some() {
            return None;
        }
        self.times = Some(meter::end());
        Some(Handled(Arc::clone(&self.observers), self.request))
    }

    /// It was answered with `errno`, and the answer was `taken`.
    pub(crate) fn ended(self, errno: Option<Errno>, taken: bool) {
        let Times { waited, held } = self.times.unwrap_or_default();
        let outcome = Outcome {
            errno,
            taken,
            took: self.begun.elapsed(),
            waited,
            held,
        };
        self.observers.tell("ended", |observer| {
            observer.ended(&self.request, &outcome);
        });
    }
}

impl Handled {
    /// The answer is given, or was `deferred`.
    pub(crate) fn tell(self, deferred: bool) {
        let Self(observers, request) = self;
        observers.tell("handled", |observer| observer.handled(&request, deferred));
    }
}
