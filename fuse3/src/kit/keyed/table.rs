use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;

use crate::kit::keyed::waiter::Waiter;
use crate::lock::order::{Kind, Node};

/// Who waits for which key.
///
/// # Invariants
///
/// A key is in the map exactly while somebody has it. The mutex is held for no more than a look into the map: nobody is
/// woken under it, and no key is dropped.
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
    waiters: VecDeque<Arc<Waiter>>,
    /// How many of them have left since the last were removed. More, if they had been taken out.
    left: usize,
}

/// Room for so many keys is never given back.
const KEPT_ROOM: usize = 32;

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
        if !cfg!(debug_assertions) {
            return 0;
        }
        let keys = self.keys.lock();
        let taken = keys.get_key_value(key);
        taken.map_or(0, |(key, _)| Arc::as_ptr(key).addr() as u64)
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

    /// Takes the key if it is free; else one that `waker` wakes queues for it.
    pub(super) fn ask(&self, key: K, waker: Waker) -> Result<Arc<K>, (Arc<K>, Arc<Waiter>)> {
        let key = Arc::new(key);
        let mut keys = self.keys.lock();
        let Some(queue) = keys.get_mut(&*key) else {
            keys.insert(Arc::clone(&key), None);
            drop(keys);
            return Ok(key);
        };
        let waiter = Waiter::new(waker);
        let queue = queue.get_or_insert_default();
        queue.waiters.push_back(Arc::clone(&waiter));
        drop(keys);
        Err((key, waiter))
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
    fn next(&self, key: &Arc<K>) -> Option<Arc<Waiter>> {
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
        let room = keys.capacity();
        if keys.len() < room / 8 {
            keys.shrink_to(KEPT_ROOM.max(room / 4));
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
            .partition::<VecDeque<_>, _>(|waiter| waiter.has_left());
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
        let queue = keys.get(key).and_then(Option::as_ref);
        let waiters = queue.into_iter().flat_map(|queue| &queue.waiters);
        waiters.filter(|it| !it.has_left()).count()
    }

    /// How many keys there is room for.
    pub(super) fn room(&self) -> usize {
        self.keys.lock().capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl<K: Eq + Hash> Table<K> {
        /// How many are in the key's queue, those that have left included.
        pub(in crate::kit::keyed) fn queued(&self, key: &K) -> usize {
            let keys = self.keys.lock();
            let queue = keys.get(key).and_then(Option::as_ref);
            queue.map_or(0, |queue| queue.waiters.len())
        }
    }

    fn queue(table: &Table<u32>) -> (Arc<u32>, Arc<Waiter>) {
        let asked = table.ask(1, Waker::noop().clone());
        asked.expect_err("the key is taken")
    }

    #[test]
    fn those_that_have_left_are_removed() {
        let table = Table::new();
        let held = table.take(1).unwrap();
        let patient = queue(&table);
        for _ in 0..100 {
            let (key, waiter) = queue(&table);
            assert!(!waiter.leave());
            table.leave(&key);
            assert!(table.queued(&1) <= 2, "{}", table.queued(&1));
            assert_eq!(table.waiting(&1), 1);
        }
        table.release(&held);
        assert!(patient.1.is_granted(Waker::noop()));
        table.release(&patient.0);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn most_of_those_that_wait_may_have_left_before_they_are_removed() {
        let table = Table::new();
        let _held = table.take(1).unwrap();
        let waiting: Vec<_> = (0..100).map(|_| queue(&table)).collect();
        for (left, (key, waiter)) in (1..=51).zip(&waiting) {
            assert_eq!(table.queued(&1), 100, "{left} have left");
            assert!(!waiter.leave());
            table.leave(key);
        }
        assert_eq!(table.queued(&1), 49);
    }

    #[test]
    fn the_room_for_keys_shrinks_when_an_eighth_of_it_is_used() {
        let table = Table::new();
        let keys: Vec<_> = (0..2_000).map(|key| table.take(key).unwrap()).collect();
        let mut room = table.room();
        for (left, key) in (0..keys.len()).rev().zip(&keys) {
            table.release(key);
            // Some places cannot be used again before the table shrinks: it loses one of them at a time.
            let before = std::mem::replace(&mut room, table.room());
            let shrinks = before - room > 1;
            if left >= before / 8 || before < KEPT_ROOM * 2 {
                assert!(!shrinks, "{left} of {before}, and then {room}");
            } else if left < (before - 1) / 8 {
                assert!(
                    shrinks && room >= before / 4,
                    "{left} of {before}, and then {room}"
                );
            }
        }
        assert!((1..KEPT_ROOM * 2).contains(&room), "{room}");
    }

    #[test]
    fn a_key_keeps_its_number_while_somebody_has_it() {
        let table = Table::new();
        assert_eq!(table.noted(&1), 0);
        let held = table.take(1).unwrap();
        let number = table.noted(&1);
        let (next, _waiter) = queue(&table);
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
