use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::lock::{error::LockError, global::GlobalLock, guard::Locked, stats::LockStats};
use crate::types::operation::Operation;

/// What is held while a handler runs: the type [`Filesystem::Lock`](crate::Filesystem::Lock).
///
/// There are these, and no others: [`GlobalLock`], in an [`Arc`] or a `static`; [`Concurrent`]; with the feature `tokio`
/// `Local`, pyfuse3's style.
pub trait Locking: Clone + Send + Sync + 'static {
    /// What a handler has of it: [`Locked`], [`NoLock`], or the `Local` itself.
    type Guard<'a>
    where
        Self: 'a;

    /// There is a lock that handlers wait for.
    #[doc(hidden)]
    const IS_LOCK: bool = false;

    /// Takes the lock for a request.
    #[doc(hidden)]
    fn enter(&self, operation: Operation, by: Library) -> Result<Self::Guard<'_>, LockError>;

    /// Runs `sleep`, which waits, with the lock released, where there is one.
    #[doc(hidden)]
    fn asleep<R>(_guard: &mut Self::Guard<'_>, sleep: impl FnOnce() -> R, _by: Library) -> R {
        sleep()
    }

    /// The calling thread holds it.
    #[doc(hidden)]
    fn is_held(&self) -> bool {
        false
    }

    /// The session is about to serve requests.
    #[doc(hidden)]
    fn start(&self, _by: Library) -> io::Result<()> {
        Ok(())
    }

    /// The session that started it has ended. With `patience` this waits no longer for what is still going on.
    #[doc(hidden)]
    fn stop(&self, _patience: Option<Duration>, _by: Library) {}

    /// [`GlobalLock::stats`]; `None` where there is no lock.
    fn stats(&self) -> Option<LockStats> {
        None
    }
}

/// What only this library can make and name: it calls the hidden methods of [`Locking`] and implements them, and nobody else
/// does.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Library(pub(crate) ());

macro_rules! shared {
    ($($pointer:ty),*) => {$(
        impl<S: Send + 'static> Locking for $pointer {
            type Guard<'a> = Locked<'a, S>;

            const IS_LOCK: bool = true;

            fn enter(&self, operation: Operation, _by: Library) -> Result<Locked<'_, S>, LockError> {
                self.lock_for(operation)
            }

            fn asleep<R>(guard: &mut Locked<'_, S>, sleep: impl FnOnce() -> R, _by: Library) -> R {
                guard.asleep(sleep)
            }

            fn is_held(&self) -> bool {
                GlobalLock::is_held(self)
            }

            fn stats(&self) -> Option<LockStats> {
                Some(GlobalLock::stats(self))
            }
        }
    )*};
}

shared!(Arc<GlobalLock<S>>, &'static GlobalLock<S>);

/// No lock: handlers run in parallel and synchronise as they like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Concurrent;

/// What a handler of a [`Concurrent`] file system holds: nothing.
#[derive(Debug)]
pub struct NoLock(());

impl NoLock {
    /// [`Locked::released`], of a lock that there is not: for notifications that wait, and code that is the same with both.
    pub fn released<R>(&mut self, f: impl FnOnce(&mut NoLock) -> R) -> R {
        f(self)
    }
}

impl Concurrent {
    /// [`GlobalLock::unlocked`], of a lock that there is not: what a thread of a file system needs for notifications that
    /// wait.
    pub fn unlocked<R>(&self, f: impl FnOnce(&mut NoLock) -> R) -> R {
        f(&mut NoLock(()))
    }
}

impl Locking for Concurrent {
    type Guard<'a> = NoLock;

    fn enter(&self, _operation: Operation, _by: Library) -> Result<NoLock, LockError> {
        Ok(NoLock(()))
    }
}
