use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::kit::keyed::waiter::Waiter;
use crate::lock::order::{Kind, Node};

/// Who waits for which key.
///
/// # Invariants
///
/// A key is in the map exactly while somebody has it. The mutex is held for no more than a look into the map: nobody is
/// woken under it, and no key is dropped.
#[derive(Debug)]
pub(super) struct Table<K> {
    keys: Mutex<Keys<K>>,
    pub(super) order: Node,
}

/// The key is shared by the table, the guard and those that wait, so that it need not be `Clone`. A queue is made for the
/// first that waits.
type Keys<K> = HashMap<Arc<K>, Option<Box<Queue>>>;

/// Those that wait, first come first served.
#[derive(Debug, Default)]
struct Queue {
    waiters: VecDeque<Waiter>,
    /// How many of them have left since the last were removed. More, if they had been taken out.
    left: usize,
}

/// What a request for a key came to.
pub(super) enum Asked<K> {
    /// The key was free, and is the caller's.
    Taken(Arc<K>),
    /// The caller is in the queue.
    Queued(Arc<K>),
}

/// A table with room for no more than this stays as it is.
const KEPT_ROOM: usize = 64;

impl<K: Eq + Hash> Table<K> {
    pub(super) fn new() -> Table<K> {
        Table {
            keys: Mutex::new(HashMap::new()),
            order: Node::new(Kind::Keys),
        }
    }

    /// Which key it is, for debug builds, which note what a thread holds; 0 if nobody has it. Two keys may have one hash, so it is
    /// the place that the key has while it is taken.
    pub(super) fn noted(&self, key: &K) -> u64 {
        if cfg!(debug_assertions) {
            {
                let keys = self.keys.lock();
                keys.get_key_value(key)
                    .map_or(0, |(key, _)| Arc::as_ptr(key).addr() as u64)
            }
        } else {
            0
        }
    }

    /// Takes the key if it is free.
    pub(super) fn take(&self, key: K) -> Result<Arc<K>, K> {
        let mut keys = self.keys.lock();
        if keys.contains_key(&key) {
            drop(keys);
            return Err(key);
        }
        let key = Arc::new(key);
        keys.insert(Arc::clone(&key), None);
        Ok(key)
    }

    /// Takes the key if it is free; else `waiter` queues.
    pub(super) fn ask(&self, key: K, waiter: Waiter) -> Asked<K> {
        let key = Arc::new(key);
        let mut keys = self.keys.lock();
        if let Some(queue) = keys.get_mut(&*key) {
            let queue = queue.get_or_insert_default();
            queue.waiters.push_back(waiter);
            drop(keys);
            return Asked::Queued(key);
        }
        keys.insert(Arc::clone(&key), None);
        drop(keys);
        Asked::Taken(key)
    }

    /// Gives the key to the one that waits longest. If nobody waits, nobody has it.
    ///
    /// While one after the other is asked whether it still waits, the key is taken, so that nobody else gets it.
    pub(super) fn release(&self, key: &Arc<K>) {
        while let Some(next) = self.next(key) {
            if next.grant() {
                return;
            }
        }
    }

    /// The one that waits longest, out of the queue. If there is none, the key is gone.
    fn next(&self, key: &Arc<K>) -> Option<Waiter> {
        let mut keys = self.keys.lock();
        let Entry::Occupied(mut entry) = keys.entry(Arc::clone(key)) else {
            return None;
        };
        let queue = entry.get_mut().as_deref_mut();
        if let Some(next) = queue.and_then(|queue| queue.waiters.pop_front()) {
            return Some(next);
        }
        let gone = entry.remove_entry();
        // What many keys needed at once is given back, at a cost that so many releases have paid for.
        if keys.capacity() > KEPT_ROOM && keys.len() < keys.capacity() / 8 {
            let room = keys.len() * 2;
            keys.shrink_to(room.max(KEPT_ROOM / 2));
        }
        drop(keys);
        drop(gone);
        None
    }

    /// Notes that one that waits for the key has left.
    ///
    /// Those that have left are removed together, when they are more than those that have not: one by one, many that leave
    /// at once would be searched for among each other.
    pub(super) fn leave(&self, key: &Arc<K>) {
        let mut keys = self.keys.lock();
        let Some(Some(queue)) = keys.get_mut(&**key) else {
            return;
        };
        queue.left += 1;
        if queue.left * 2 <= queue.waiters.len() {
            return;
        }
        queue.left = 0;
        let (gone, waiting) = std::mem::take(&mut queue.waiters)
            .into_iter()
            .partition::<VecDeque<_>, _>(Waiter::has_left);
        queue.waiters = waiting;
        drop(keys);
        // A task's waker may do anything, and is dropped with nothing held.
        drop(gone);
    }

    pub(super) fn is_taken(&self, key: &K) -> bool {
        self.keys.lock().contains_key(key)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.lock().len()
    }

    /// How many wait for the key.
    pub(super) fn waiting(&self, key: &K) -> usize {
        let keys = self.keys.lock();
        let Some(queue) = keys.get(key).and_then(Option::as_ref) else {
            return 0;
        };
        queue.waiters.iter().filter(|it| !it.has_left()).count()
    }

    /// How many are in the key's queue, those that have left included.
    #[cfg(test)]
    pub(super) fn queued(&self, key: &K) -> usize {
        let keys = self.keys.lock();
        let queue = keys.get(key).and_then(Option::as_ref);
        queue.map_or(0, |queue| queue.waiters.len())
    }

    /// How many keys there is room for.
    pub(super) fn room(&self) -> usize {
        self.keys.lock().capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::clock::Deadline;
    use crate::lock::sleeper::{Sleeper, Waking};

    fn queue(table: &Table<u32>) -> (Arc<u32>, Arc<Sleeper>) {
        let sleeper = Sleeper::current();
        match table.ask(1, Waiter::Thread(Arc::clone(&sleeper))) {
            Asked::Queued(key) => (key, sleeper),
            Asked::Taken(_) => panic!("the key is taken"),
        }
    }

    #[test]
    fn those_that_have_left_are_removed() {
        let table = Table::new();
        let held = table.take(1).unwrap();
        let patient = queue(&table);
        for _ in 0..100 {
            let (key, sleeper) = queue(&table);
            let late = Deadline::after(Some(std::time::Duration::ZERO));
            assert_eq!(sleeper.sleep(late), Waking::TimedOut);
            table.leave(&key);
            assert!(table.queued(&1) <= 2, "{}", table.queued(&1));
            assert_eq!(table.waiting(&1), 1);
        }
        table.release(&held);
        assert!(patient.1.is_awake());
        table.release(&patient.0);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_key_keeps_its_number_while_somebody_has_it() {
        let table = Table::new();
        assert_eq!(table.noted(&1), 0);
        let held = table.take(1).unwrap();
        let number = table.noted(&1);
        let (next, _sleeper) = queue(&table);
        table.release(&held);
        assert_eq!(table.noted(&next), number);
        let _other = table.take(2).unwrap();
        if cfg!(debug_assertions) {
            assert!(number > 0 && table.noted(&2) != number);
        }
        table.release(&next);
        assert_eq!(table.noted(&1), 0);
    }
}
