use std::fmt;
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::kit::keyed::guard::{KeyGuard, OwnedKeyGuard};
use crate::kit::keyed::{table::Table, wait::KeyWait};
use crate::lock::{clock::Deadline, proof, proof::NotHolding, site::Site, sleeper::Sleeper};

/// S3QL's `MultiLock`: a lock for each key, as an inode's number or a block of it.
///
/// Keys are whatever is `Eq + Hash`. A key that nobody has is not known here and costs nothing; one that somebody has costs
/// about 70 bytes, and a queue when somebody waits. Those that wait are served in the order in which they came, threads and
/// tasks alike, and nobody passes them. Clones are the same locks.
///
/// # Order with the global lock
///
/// Keys come *before* the global lock: a thread that has a key may wait for the global lock, so one that holds the global
/// lock must not wait for a key. What waits takes the proof that the thread does not ([`NotHolding`]); what does not wait,
/// [`try_lock`](Self::try_lock), is for everyone. The guard is kept while the global lock is taken again:
///
/// ```
/// use fuse3::{GlobalLock, Locked};
/// use fuse3::kit::KeyedLocks;
/// use std::collections::HashMap;
///
/// struct Cache {
///     blocks: HashMap<u64, Vec<u8>>,
/// }
///
/// /// However many ask for a block, it is downloaded once.
/// fn block(cache: &mut Locked<'_, Cache>, locks: &KeyedLocks<u64>, number: u64) -> Vec<u8> {
///     if let Some(block) = cache.blocks.get(&number) {
///         return block.clone();
///     }
///     let key = cache.released(|proof| locks.lock(number, proof));
///     // Whoever had the key before may have downloaded it.
///     if !cache.blocks.contains_key(&number) {
///         let block = cache.released(|_| download(number));
///         cache.blocks.insert(number, block);
///     }
///     drop(key);
///     cache.blocks[&number].clone()
/// }
/// # fn download(number: u64) -> Vec<u8> { vec![number as u8] }
///
/// let lock = GlobalLock::new(Cache { blocks: HashMap::new() });
/// let locks = KeyedLocks::new();
/// assert_eq!(block(&mut lock.lock()?, &locks, 7), [7]);
/// assert!(locks.is_empty());
/// # Ok::<(), fuse3::lock::LockError>(())
/// ```
///
/// # Without a global lock
///
/// In a [`Concurrent`](crate::Concurrent) file system the context of the handler is the proof:
///
/// ```
/// use fuse3::{Answer, Concurrent, Context, Filesystem, Ino};
/// use fuse3::kit::KeyedLocks;
/// use std::ffi::OsStr;
///
/// struct Fs {
///     directories: KeyedLocks<Ino>,
/// }
///
/// impl Filesystem for Fs {
///     type Lock = Concurrent;
///
///     fn unlink(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<()> {
///         let _directory = self.directories.lock(parent, cx);
///         Ok(std::fs::remove_file(name)?)
///     }
/// }
/// ```
///
/// # Several keys
///
/// Two threads that each have a key and wait for the other's wait for ever. [`lock_all`](Self::lock_all) takes several in
/// one order. Where keys are taken one by one, take them in an order that is the same everywhere.
///
/// # A panic
///
/// A thread that panics releases its keys. There is no poisoning.
pub struct KeyedLocks<K> {
    table: Arc<Table<K>>,
}

impl<K: Eq + Hash> KeyedLocks<K> {
    /// Locks that nobody has.
    pub fn new() -> KeyedLocks<K> {
        KeyedLocks {
            table: Arc::new(Table::new()),
        }
    }

    /// `acquire(key)`: takes the key, and waits for it as long as it takes.
    ///
    /// # Panics
    ///
    /// If the thread holds a global lock in spite of its proof: one that it took beside it, or another one.
    ///
    /// In debug builds, if the thread has this key already and would wait for itself; and if it holds a lock that has been
    /// waited for with one of these keys held, a [`sync::Mutex`](crate::lock::sync::Mutex) or a key of other `KeyedLocks`, so
    /// that two threads could wait for each other. Of keys in an [`OwnedKeyGuard`] it is not known who holds them.
    #[track_caller]
    pub fn lock(&self, key: K, proof: &mut impl NotHolding) -> KeyGuard<K> {
        proof::check(proof, "KeyedLocks::lock");
        self.wait(key, Deadline::Never)
            .expect("a wait without a deadline ends with the key")
    }

    /// `acquire(key, timeout)`: takes the key, and waits for it at most so long. `None` if the time was up.
    ///
    /// The clock is the monotonic one. Zero does not wait. One that is given the key just when its time is up has it.
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock).
    #[track_caller]
    pub fn try_lock_for(
        &self,
        key: K,
        timeout: Duration,
        proof: &mut impl NotHolding,
    ) -> Option<KeyGuard<K>> {
        if timeout.is_zero() {
            return self.try_lock(key);
        }
        proof::check(proof, "KeyedLocks::try_lock_for");
        self.wait(key, Deadline::after(Some(timeout)))
    }

    /// `acquire_nowait(key)`: takes the key if nobody has it. Does not wait, and so needs no proof.
    #[track_caller]
    pub fn try_lock(&self, key: K) -> Option<KeyGuard<K>> {
        let site = Site::caller();
        let key = self.table.take(key).ok()?;
        Some(self.guard(key, site))
    }

    /// Takes several keys, each once, in the order of `Ord`, so that two callers never wait for each other: the two
    /// directories of a rename. The guards are in that order.
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock).
    #[track_caller]
    pub fn lock_all(
        &self,
        keys: impl IntoIterator<Item = K>,
        proof: &mut impl NotHolding,
    ) -> Vec<KeyGuard<K>>
    where
        K: Ord,
    {
        let lock = |key| self.lock(key, proof);
        in_order(keys).map(lock).collect()
    }

    /// `await acquire(key)`: the key, once it is this task's. On any executor.
    ///
    /// Tasks have no proof to give: no guard of the global lock is held across an `await` in a future that is `Send`. For a
    /// time-out, drop the future.
    ///
    /// ```
    /// # use fuse3::kit::KeyedLocks;
    /// # async fn fetch(number: u64) -> Vec<u8> { vec![] }
    /// async fn block(locks: KeyedLocks<u64>, number: u64) -> Vec<u8> {
    ///     let _key = locks.lock_async(number).await;
    ///     fetch(number).await
    /// }
    /// ```
    pub fn lock_async(&self, key: K) -> KeyWait<K> {
        KeyWait::new(Arc::clone(&self.table), key)
    }

    /// [`lock_all`](Self::lock_all) for tasks: the future takes several keys, each once, in the order of `Ord`. If it is dropped, it
    /// releases the keys that it has taken.
    pub fn lock_all_async<I>(
        &self,
        keys: I,
    ) -> impl Future<Output = Vec<OwnedKeyGuard<K>>> + use<K, I>
    where
        K: Ord,
        I: IntoIterator<Item = K>,
    {
        let waits: Vec<_> = in_order(keys).map(|key| self.lock_async(key)).collect();
        async {
            let mut guards = Vec::new();
            for wait in waits {
                guards.push(wait.await);
            }
            guards
        }
    }

    /// Whether somebody has the key.
    pub fn is_locked(&self, key: &K) -> bool {
        self.table.is_taken(key)
    }

    /// How many wait for the key.
    pub fn waiters(&self, key: &K) -> usize {
        self.table.waiting(key)
    }

    /// How many keys somebody has.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Nobody has any key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys there is room for. The room goes when the keys go.
    pub fn capacity(&self) -> usize {
        self.table.room()
    }

    #[track_caller]
    fn wait(&self, key: K, deadline: Deadline) -> Option<KeyGuard<K>> {
        let site = Site::caller();
        self.table.order.wait(self.table.noted(&key), site);
        // Most keys are free: no place to sleep is needed.
        let key = match self.table.take(key) {
            Ok(key) => return Some(self.guard(key, site)),
            Err(key) => key,
        };
        // The thread waits as a task does: its sleeper is the waker.
        let sleeper = Sleeper::current();
        let waker = Waker::from(Arc::clone(&sleeper));
        let mut cx = Context::from_waker(&waker);
        let mut wait = pin!(self.lock_async(key));
        let mut polled = wait.as_mut().poll(&mut cx);
        if polled.is_pending() {
            sleeper.sleep(deadline);
            polled = wait.poll(&mut cx);
        }
        match polled {
            Poll::Ready(owned) => Some(KeyGuard::new(owned, site)),
            Poll::Pending => None,
        }
    }

    fn guard(&self, key: Arc<K>, site: Site) -> KeyGuard<K> {
        KeyGuard::new(OwnedKeyGuard::new(Arc::clone(&self.table), key), site)
    }
}

impl<K> Clone for KeyedLocks<K> {
    fn clone(&self) -> Self {
        KeyedLocks {
            table: Arc::clone(&self.table),
        }
    }
}

impl<K: Eq + Hash> Default for KeyedLocks<K> {
    fn default() -> Self {
        KeyedLocks::new()
    }
}

impl<K: Eq + Hash> fmt::Debug for KeyedLocks<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedLocks")
            .field("locked", &self.len())
            .finish_non_exhaustive()
    }
}

/// Each key once, in the order that all take them in.
fn in_order<K: Ord>(keys: impl IntoIterator<Item = K>) -> impl Iterator<Item = K> {
    let mut keys: Vec<K> = keys.into_iter().collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::locking::Concurrent;

    #[test]
    fn a_thread_whose_time_is_up_leaves_the_queue() {
        let locks = KeyedLocks::new();
        let _held = locks.try_lock(1).unwrap().into_owned();
        Concurrent.unlocked(|proof| {
            for _ in 0..10 {
                let late = locks.try_lock_for(1, Duration::from_nanos(1), proof);
                assert!(late.is_none());
                assert!(locks.table.queued(&1) <= 1);
            }
        });
    }

    #[test]
    fn what_crosses_threads_may() {
        fn send<T: Send>() {}
        fn sync<T: Sync>() {}
        send::<KeyedLocks<u64>>();
        sync::<KeyedLocks<u64>>();
        send::<OwnedKeyGuard<String>>();
        sync::<OwnedKeyGuard<String>>();
        send::<KeyWait<u64>>();
    }
}
