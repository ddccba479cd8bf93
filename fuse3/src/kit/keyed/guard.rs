use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use crate::kit::keyed::table::Table;
use crate::lock::{order::Taken, site::Site};

/// A key of [`KeyedLocks`](crate::kit::KeyedLocks) that this thread has taken. Dropping it releases the key.
///
/// It borrows nothing: it is kept while the global lock is taken, released and yielded. It stays with its thread, so
/// that debug builds know in which order locks are taken; [`into_owned`](Self::into_owned) gives it to another one.
#[must_use = "the key is released when the guard is dropped"]
pub struct KeyGuard<K: Eq + Hash> {
    /// What a thread holds is noted for that thread: it is not `Send`.
    _taken: Taken,
    owned: OwnedKeyGuard<K>,
}

/// A key of [`KeyedLocks`](crate::kit::KeyedLocks), whoever has the guard. Dropping it releases the key, on any thread.
#[must_use = "the key is released when the guard is dropped"]
pub struct OwnedKeyGuard<K: Eq + Hash> {
    table: Arc<Table<K>>,
    key: Arc<K>,
}

impl<K: Eq + Hash> KeyGuard<K> {
    pub(super) fn new(owned: OwnedKeyGuard<K>, site: Site) -> KeyGuard<K> {
        let table = &owned.table;
        KeyGuard {
            _taken: table.order.take(table.noted(&owned.key), site),
            owned,
        }
    }

    /// The key.
    pub fn key(&self) -> &K {
        self.owned.key()
    }

    /// The same, for another thread or a task to keep and to release.
    ///
    /// S3QL's upload workers release "locks that the handler took".
    pub fn into_owned(self) -> OwnedKeyGuard<K> {
        self.owned
    }
}

impl<K: Eq + Hash> OwnedKeyGuard<K> {
    /// The key has been taken for it.
    pub(super) fn new(table: Arc<Table<K>>, key: Arc<K>) -> OwnedKeyGuard<K> {
        OwnedKeyGuard { table, key }
    }

    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Eq + Hash> Drop for OwnedKeyGuard<K> {
    fn drop(&mut self) {
        self.table.release(&self.key);
    }
}

impl<K: Eq + Hash + fmt::Debug> fmt::Debug for KeyGuard<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyGuard").field(self.key()).finish()
    }
}

impl<K: Eq + Hash + fmt::Debug> fmt::Debug for OwnedKeyGuard<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedKeyGuard").field(self.key()).finish()
    }
}
