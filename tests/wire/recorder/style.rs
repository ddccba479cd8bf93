//! The two styles that a test runs in.

use super::*;

/// The style of a file system: its type of lock.
pub(crate) trait Style: Locking {
    /// Whether handlers hold a lock.
    const LOCKED: bool;

    fn lock() -> Self;

    /// Sends notifications that wait, on a thread that does not hold the lock.
    fn blocking<R>(&self, notifier: &Notifier, send: impl FnOnce(&Blocking<'_>) -> R) -> R;

    /// Takes the lock, if there is one, and releases it.
    fn take(&self);

    /// Runs `f` with the lock released, if there is one.
    fn released(guard: &mut Self::Guard<'_>, f: impl FnOnce());
}

/// llfuse's style.
pub(crate) type Locked = Arc<GlobalLock<()>>;

impl Style for Locked {
    const LOCKED: bool = true;

    fn lock() -> Self {
        Arc::new(GlobalLock::new(()))
    }

    fn blocking<R>(&self, notifier: &Notifier, send: impl FnOnce(&Blocking<'_>) -> R) -> R {
        self.unlocked(|proof| send(&notifier.blocking(proof)))
            .unwrap()
    }

    fn take(&self) {
        drop(GlobalLock::lock(self).unwrap());
    }

    fn released(guard: &mut Self::Guard<'_>, f: impl FnOnce()) {
        guard.released(|_| f());
    }
}

impl Style for Concurrent {
    const LOCKED: bool = false;

    fn lock() -> Self {
        Concurrent
    }

    fn blocking<R>(&self, notifier: &Notifier, send: impl FnOnce(&Blocking<'_>) -> R) -> R {
        self.unlocked(|proof| send(&notifier.blocking(proof)))
    }

    fn take(&self) {}

    fn released(guard: &mut Self::Guard<'_>, f: impl FnOnce()) {
        guard.released(|_| f());
    }
}

/// Makes a test of each function, in both styles.
macro_rules! in_both_styles {
    ($($name:ident)*) => {
        mod locked {
            $(
                #[test]
                fn $name() {
                    super::$name::<crate::recorder::Locked>();
                }
            )*
        }
        mod concurrent {
            $(
                #[test]
                fn $name() {
                    super::$name::<fuse3::Concurrent>();
                }
            )*
        }
    };
}

pub(crate) use in_both_styles;

/// A file system without handlers.
#[derive(Debug)]
pub(crate) struct Bare<L>(std::marker::PhantomData<fn() -> L>);

impl<L> Bare<L> {
    pub(crate) fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<L: Style> Filesystem for Bare<L> {
    type Lock = L;
}
