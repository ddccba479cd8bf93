//! Which locks a thread holds, and in which order threads have taken them: debug builds only.
//!
//! Two threads that take two locks in different orders wait for each other for ever, if they happen to do so at once. The
//! graph has an edge from a lock to another for "the second was waited for with the first held", in any thread, at any
//! time. So the order is found to be wrong by the first that takes it the other way round, whether or not another thread
//! is there at that moment. Tries do not wait, and make no edge to what they take.

use std::fmt;

/// What kind of lock it is, for the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Global,
    Mutex,
    Keys,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Global => "global lock",
            Kind::Mutex => "mutex",
            Kind::Keys => "key of KeyedLocks",
        })
    }
}

#[cfg(debug_assertions)]
pub(crate) use tracked::{Node, Taken, held};
#[cfg(not(debug_assertions))]
pub(crate) use untracked::{Node, Taken, held};

#[cfg(debug_assertions)]
mod tracked {
    use std::cell::RefCell;
    use std::collections::{BTreeMap, BTreeSet, HashSet};
    use std::marker::PhantomData;
    use std::ops::RangeInclusive;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use parking_lot::Mutex;

    use super::Kind;
    use crate::lock::{site::Site, thread::ThreadId};

    /// A lock, or the locks of one table, in the graph.
    #[derive(Debug)]
    pub(crate) struct Node {
        kind: Kind,
        /// No other lock ever gets it, as one may get the address. Not set before the lock is taken first.
        id: OnceLock<u64>,
    }

    /// A lock that the thread holds. Dropped, it is noted that it does so no more.
    #[derive(Debug)]
    pub(crate) struct Taken {
        id: u64,
        key: u64,
        /// The list is that of the thread.
        not_send: PhantomData<*mut ()>,
    }

    #[derive(Clone, Copy)]
    struct Held {
        id: u64,
        /// Which of the table's keys it is.
        key: u64,
        kind: Kind,
        site: Site,
    }

    struct Locks(RefCell<Vec<Held>>);

    thread_local! {
        static HELD: Locks = const { Locks(RefCell::new(Vec::new())) };
    }

    /// Somebody waited for the second lock with the first one held.
    type Edge = (Held, Held);

    struct Graph {
        /// By the lock that was held and the one that was waited for.
        edges: BTreeMap<(u64, u64), Edge>,
        /// By the lock that was waited for and the one that was held, so that a lock can be taken out.
        back: BTreeSet<(u64, u64)>,
    }

    static GRAPH: Mutex<Graph> = Mutex::new(Graph {
        edges: BTreeMap::new(),
        back: BTreeSet::new(),
    });

    /// Nothing is known any more while the thread ends: `None`.
    fn with<R>(f: impl FnOnce(&mut Vec<Held>) -> R) -> Option<R> {
        HELD.try_with(|held| f(&mut held.0.borrow_mut())).ok()
    }

    /// Where the thread has taken a lock of this kind, if it holds one. The last.
    pub(crate) fn held(kind: Kind) -> Option<Site> {
        let site = |held: &mut Vec<Held>| held.iter().rfind(|it| it.kind == kind).map(|it| it.site);
        with(site).flatten()
    }

    impl Node {
        pub(crate) const fn new(kind: Kind) -> Node {
            Node {
                kind,
                id: OnceLock::new(),
            }
        }

        fn id(&self) -> u64 {
            static COUNT: AtomicU64 = AtomicU64::new(0);
            *self
                .id
                .get_or_init(|| COUNT.fetch_add(1, Ordering::Relaxed))
        }

        fn held(&self, key: u64, site: Site) -> Held {
            Held {
                id: self.id(),
                key,
                kind: self.kind,
                site,
            }
        }

        /// The thread is about to wait for it. Panics if that might be for ever, and says with whom.
        #[track_caller]
        pub(crate) fn wait(&self, key: u64, site: Site) {
            // A second panic would end the process and say less.
            if std::thread::panicking() {
                return;
            }
            let waited = self.held(key, site);
            let held = with(|held| held.clone()).unwrap_or_default();
            if let Some(mistake) = held.iter().find_map(|held| mistake(held, &waited)) {
                panic!("{mistake}");
            }
        }

        /// The thread has taken it.
        pub(crate) fn enter(&self, key: u64, site: Site) {
            let taken = self.held(key, site);
            with(|held| held.push(taken));
        }

        /// The thread has released it.
        pub(crate) fn leave(&self, key: u64) {
            leave(self.id(), key);
        }

        /// The thread has taken it, as long as what is returned lives.
        pub(crate) fn take(&self, key: u64, site: Site) -> Taken {
            self.enter(key, site);
            Taken {
                id: self.id(),
                key,
                not_send: PhantomData,
            }
        }
    }

    fn leave(id: u64, key: u64) {
        with(|held| {
            if let Some(last) = held.iter().rposition(|it| (it.id, it.key) == (id, key)) {
                held.remove(last);
            }
        });
    }

    impl Drop for Node {
        fn drop(&mut self) {
            if let Some(id) = self.id.get() {
                GRAPH.lock().remove(*id);
            }
        }
    }

    impl Drop for Taken {
        fn drop(&mut self) {
            leave(self.id, self.key);
        }
    }

    impl Drop for Locks {
        fn drop(&mut self) {
            for held in self.0.get_mut() {
                crate::base::log::error!(
                    "thread {} ended while it held the {} that it took at {}: it is never released, unless the destructor of a \
                     thread-local still does so",
                    ThreadId::current().tid(),
                    held.kind,
                    held.site
                );
            }
        }
    }

    /// What is wrong with waiting for the one while holding the other.
    fn mistake(held: &Held, waited: &Held) -> Option<String> {
        let are_global = held.kind == Kind::Global && waited.kind == Kind::Global;
        if held.id == waited.id {
            // The global lock says so itself, by an error. Other keys of one table are no business of the graph.
            let is_itself = !are_global && held.key == waited.key;
            let (kind, site) = (held.kind, held.site);
            return is_itself.then(|| {
                format!("this thread took this {kind} already, at {site}: it would wait for itself")
            });
        }
        if are_global {
            return Some(format!(
                "at {} this thread waits for the global lock of one session while it holds that of another, which it took \
                 at {}: a thread holds one at a time",
                waited.site, held.site
            ));
        }
        GRAPH.lock().add(held, waited)
    }

    impl Graph {
        /// Adds an edge. If there is a way back, says so instead.
        fn add(&mut self, held: &Held, waited: &Held) -> Option<String> {
            if self.edges.contains_key(&(held.id, waited.id)) {
                return None;
            }
            if let Some(back) = self.way(waited.id, held.id, &mut HashSet::new()) {
                return Some(inversion(held, waited, &back));
            }
            self.edges.insert((held.id, waited.id), (*held, *waited));
            self.back.insert((waited.id, held.id));
            None
        }

        /// The way from a lock to another, if there is one that does not lead through those that were seen.
        fn way(&self, from: u64, to: u64, seen: &mut HashSet<u64>) -> Option<Vec<&Edge>> {
            let mut edges = self.edges.range(all_of(from));
            edges.find_map(|(&(_, next), edge)| {
                if !seen.insert(next) {
                    return None;
                }
                let mut way = match next == to {
                    true => Vec::new(),
                    false => self.way(next, to, seen)?,
                };
                way.insert(0, edge);
                Some(way)
            })
        }

        fn remove(&mut self, id: u64) {
            let after = self.edges.range(all_of(id)).map(|(&edge, _)| edge);
            let before = self.back.range(all_of(id)).map(|&(to, from)| (from, to));
            for (from, to) in after.chain(before).collect::<Vec<_>>() {
                self.edges.remove(&(from, to));
                self.back.remove(&(to, from));
            }
        }
    }

    /// The keys that begin with this lock.
    fn all_of(id: u64) -> RangeInclusive<(u64, u64)> {
        (id, 0)..=(id, u64::MAX)
    }

    fn inversion(held: &Held, waited: &Held, back: &[&Edge]) -> String {
        let mut text = format!(
            "lock-order inversion: at {} this thread waits for the {} while it holds the {} that it took at {}",
            waited.site, waited.kind, held.kind, held.site
        );
        text.extend(back.iter().map(|(held, waited)| {
            format!(
                "; the {} was waited for at {} with the {} held that was taken at {}",
                waited.kind, waited.site, held.kind, held.site
            )
        }));
        text += ": threads that do so at once wait for each other for ever";
        text
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_lock_that_is_gone_leaves_no_edge() {
            let [a, b, c] = [Kind::Mutex; 3].map(Node::new);
            let both = |first: &Node, second: &Node| {
                let _first = first.take(0, Site::caller());
                second.wait(0, Site::caller());
            };
            both(&a, &b);
            both(&b, &c);
            both(&a, &c);
            let ids = [a.id(), b.id(), c.id()];
            let edges = || {
                let graph = GRAPH.lock();
                let after = ids.map(|id| graph.edges.range(all_of(id)).count());
                let before = ids.map(|id| graph.back.range(all_of(id)).count());
                (after[0], before[2], after[1] + before[1] > 0)
            };
            assert_eq!(edges(), (2, 2, true));
            drop(b);
            assert_eq!(edges(), (1, 1, false));
            drop(c);
            assert_eq!(edges(), (0, 0, false));
        }
    }
}

/// In release builds nothing is noted.
#[cfg(not(debug_assertions))]
mod untracked {
    use std::marker::PhantomData;

    use super::Kind;
    use crate::lock::site::Site;

    #[derive(Debug)]
    pub(crate) struct Node;

    #[derive(Debug)]
    pub(crate) struct Taken(PhantomData<*mut ()>);

    #[inline]
    pub(crate) fn held(_: Kind) -> Option<Site> {
        None
    }

    impl Node {
        pub(crate) const fn new(_: Kind) -> Node {
            Node
        }

        #[inline]
        pub(crate) fn wait(&self, _: u64, _: Site) {}

        #[inline]
        pub(crate) fn enter(&self, _: u64, _: Site) {}

        #[inline]
        pub(crate) fn leave(&self, _: u64) {}

        #[inline]
        pub(crate) fn take(&self, _: u64, _: Site) -> Taken {
            Taken(PhantomData)
        }
    }
}
