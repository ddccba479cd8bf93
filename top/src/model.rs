//! What is shown: the last snapshot, and what has changed since the one before.

use std::cmp::Reverse;
use std::io;
use std::time::Duration;

use crate::snapshot::{Operation, Snapshot};

/// By what the operations are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    #[default]
    Rate,
    Count,
    Slow,
    Name,
}

impl Sort {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Count => "count",
            Self::Slow => "p99",
            Self::Name => "name",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Rate => Self::Count,
            Self::Count => Self::Slow,
            Self::Slow => Self::Name,
            Self::Name => Self::Rate,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) now: Snapshot,
    before: Option<Snapshot>,
    /// Why there is no newer one.
    pub(crate) trouble: Option<String>,
    pub(crate) sort: Sort,
    pub(crate) paused: bool,
}

impl Model {
    pub(crate) fn new(now: Snapshot) -> Self {
        Self {
            now,
            before: None,
            trouble: None,
            sort: Sort::default(),
            paused: false,
        }
    }

    /// The session was asked, and this came of it.
    pub(crate) fn update(&mut self, next: io::Result<Snapshot>) {
        match next {
            Ok(next) => {
                self.trouble = None;
                let before = std::mem::replace(&mut self.now, next);
                // The socket may be that of another session now.
                let is_same = before.pid == self.now.pid && before.uptime < self.now.uptime;
                self.before = is_same.then_some(before);
            }
            Err(error) => {
                self.trouble = Some(match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                        "the session has ended".to_owned()
                    }
                    _ => error.to_string(),
                });
            }
        }
    }

    pub(crate) fn sort_otherwise(&mut self) {
        self.sort = self.sort.next();
    }

    /// How many a second, of what has grown from `before` to `now`.
    fn rate(&self, count: impl Fn(&Snapshot) -> u64) -> Option<f64> {
        let before = self.before.as_ref()?;
        let time = self.now.uptime.saturating_sub(before.uptime);
        if time < Duration::from_millis(1) {
            return None;
        }
        let grown = count(&self.now).saturating_sub(count(before));
        #[expect(clippy::cast_precision_loss, reason = "it is shown with a few digits")]
        let grown = grown as f64;
        Some(grown / time.as_secs_f64())
    }

    /// Requests of an operation a second; `None` before the second look.
    pub(crate) fn rate_of(&self, name: &str) -> Option<f64> {
        let count = |of: &Snapshot| {
            let mut operations = of.operations.iter();
            let operation = operations.find(|operation| operation.name == name);
            operation.map_or(0, |operation| operation.count)
        };
        self.rate(count)
    }

    /// Requests of all operations a second.
    pub(crate) fn rate_of_all(&self) -> Option<f64> {
        self.rate(|of| of.operations.iter().map(|operation| operation.count).sum())
    }

    /// How often the lock is taken a second.
    pub(crate) fn rate_of_lock(&self) -> Option<f64> {
        self.rate(|of| of.lock.as_ref().map_or(0, |lock| lock.acquisitions))
    }

    /// In the order that was asked for.
    pub(crate) fn operations(&self) -> Vec<&Operation> {
        let mut all: Vec<_> = self.now.operations.iter().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        match self.sort {
            Sort::Rate => {
                let rate = |it: &Operation| self.rate_of(&it.name).unwrap_or(0.0);
                all.sort_by(|a, b| rate(b).total_cmp(&rate(a)));
            }
            Sort::Count => all.sort_by_key(|operation| Reverse(operation.count)),
            Sort::Slow => all.sort_by_key(|operation| Reverse(operation.times[1])),
            Sort::Name => {}
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::EXAMPLE;

    fn later() -> Snapshot {
        let later = EXAMPLE.replace("uptime 86.", "uptime 88.");
        let later = later.replace("read 11079", "read 11179");
        Snapshot::parse(&later.replace("lock 20113", "lock 20313")).unwrap()
    }

    #[test]
    fn rates_are_what_has_grown_in_the_sessions_own_time() {
        let mut model = Model::new(Snapshot::parse(EXAMPLE).unwrap());
        assert_eq!(model.rate_of("read"), None);
        model.update(Ok(later()));
        assert_eq!(model.rate_of("read"), Some(50.0));
        assert_eq!(model.rate_of("lookup"), Some(0.0));
        assert_eq!(model.rate_of_all(), Some(50.0));
        assert_eq!(model.rate_of_lock(), Some(100.0));
        // Another session, which has the socket now.
        model.update(Ok(Snapshot::parse(EXAMPLE).unwrap()));
        assert_eq!(model.rate_of("read"), None);
    }

    #[test]
    fn a_session_that_is_gone_is_told_and_comes_back() {
        let mut model = Model::new(Snapshot::parse(EXAMPLE).unwrap());
        model.update(Err(io::ErrorKind::NotFound.into()));
        assert_eq!(model.trouble.as_deref(), Some("the session has ended"));
        assert_eq!(model.now.pid, 4698);
        model.update(Err(io::Error::other("something else")));
        assert_eq!(model.trouble.as_deref(), Some("something else"));
        model.update(Ok(later()));
        assert_eq!(model.trouble, None);
    }

    #[test]
    fn operations_are_sorted_in_four_ways() {
        let mut model = Model::new(Snapshot::parse(EXAMPLE).unwrap());
        model.update(Ok(later()));
        for expected in ["read", "read", "read", "lookup", "read"] {
            let first = &model.operations()[0].name;
            assert_eq!(first, expected, "{:?}", model.sort);
            model.sort_otherwise();
        }
    }
}
