//! What the handlers and the threads share.

use std::sync::Arc;
use std::time::Duration;

use fuse3::kit::KeyedLocks;
use fuse3::lock::Condvar;
use fuse3::{GlobalLock, Locked};

use crate::backend::Backend;
use crate::blocks::BlockId;
use crate::state::State;

/// The lock is held. What takes this may release it; what takes the [`State`] cannot.
pub(crate) type Held<'a> = Locked<'a, State>;

/// What a thread may have to itself while it does not hold the global lock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Key {
    /// To download or to upload a block.
    Block(BlockId),
    /// To commit.
    Commit,
}

pub(crate) struct Settings {
    /// How long the commit thread pauses.
    pub(crate) period: Duration,
    /// How many threads upload.
    pub(crate) uploaders: usize,
    /// `copy` hands the lock to others.
    pub(crate) yields: bool,
}

/// The order of the locks: a key, then the global lock. So a key is waited for with the global lock released, and kept while
/// that is taken again.
pub(crate) struct Cache {
    pub(crate) lock: Arc<GlobalLock<State>>,
    pub(crate) keys: KeyedLocks<Key>,
    pub(crate) backend: Backend,
    pub(crate) settings: Settings,
    /// Wakes the commit thread.
    pub(crate) wake: Condvar,
}
