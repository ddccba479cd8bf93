//! Which request a thread handles, in debug builds, so that a notification that would wait for it is caught.

use super::Notification;
use crate::{Ino, Operation};

/// While it lives, the thread handles this request.
#[derive(Debug)]
pub(crate) struct Current {
    #[cfg(debug_assertions)]
    before: Option<debug::Handled>,
}

#[cfg(debug_assertions)]
impl Current {
    pub(crate) fn enter(session: usize, operation: Operation, ino: Ino) -> Self {
        let handled = debug::Handled {
            session,
            operation,
            ino,
            related: ino,
        };
        Self {
            before: debug::HANDLED.replace(Some(handled)),
        }
    }
}

#[cfg(debug_assertions)]
impl Drop for Current {
    fn drop(&mut self) {
        debug::HANDLED.set(self.before);
    }
}

/// What a thread handles, to be taken to another one.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Captured {
    #[cfg(debug_assertions)]
    handled: Option<debug::Handled>,
}

#[cfg(feature = "tokio")]
impl Captured {
    /// What this thread handles.
    pub(crate) fn here() -> Self {
        Self {
            #[cfg(debug_assertions)]
            handled: debug::HANDLED.get(),
        }
    }

    /// While the result lives, this thread handles it.
    pub(crate) fn enter(self) -> Current {
        Current {
            #[cfg(debug_assertions)]
            before: debug::HANDLED.replace(self.handled),
        }
    }
}

#[cfg(not(debug_assertions))]
impl Current {
    #[inline(always)]
    pub(crate) fn enter(_session: usize, _operation: Operation, _ino: Ino) -> Self {
        Self {}
    }
}

/// The request is about this directory too.
#[inline(always)]
pub(crate) fn related(ino: Ino) {
    #[cfg(debug_assertions)]
    if let Some(handled) = debug::HANDLED.get() {
        debug::HANDLED.set(Some(debug::Handled {
            related: ino,
            ..handled
        }));
    }
    #[cfg(not(debug_assertions))]
    let _ = ino;
}

/// Panics when `notification` would wait for the request that this thread handles.
#[inline(always)]
#[track_caller]
pub(super) fn check(session: usize, notification: &Notification) {
    #[cfg(debug_assertions)]
    if let Some(handled) = debug::HANDLED.get() {
        if handled.session == session {
            debug::check(handled, notification);
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = (session, notification);
}

#[cfg(debug_assertions)]
mod debug {
    use std::cell::Cell;

    use super::Notification;
    use crate::{Ino, Operation};

    #[derive(Clone, Copy, Debug)]
    pub(super) struct Handled {
        pub(super) session: usize,
        pub(super) operation: Operation,
        pub(super) ino: Ino,
        /// The other directory of `rename`, that of the new name of `link`; else `ino`.
        pub(super) related: Ino,
    }

    thread_local! {
        pub(super) static HANDLED: Cell<Option<Handled>> = const { Cell::new(None) };
    }

    impl Handled {
        fn is_of(self, ino: Ino) -> bool {
            ino == self.ino || ino == self.related
        }

        /// The kernel keeps pages of the file locked meanwhile (fs/fuse/file.c).
        fn locks_pages(self) -> bool {
            matches!(self.operation, Operation::Read | Operation::Write)
        }

        /// The kernel keeps the inode locked meanwhile (`i_rwsem`: fs/namei.c, fs/readdir.c, fs/attr.c, fs/xattr.c, fs/fuse/).
        fn locks_inode(self) -> bool {
            matches!(
                self.operation,
                Operation::Lookup
                    | Operation::Readdir
                    | Operation::Readdirplus
                    | Operation::Mknod
                    | Operation::Mkdir
                    | Operation::Unlink
                    | Operation::Rmdir
                    | Operation::Symlink
                    | Operation::Rename
                    | Operation::Link
                    | Operation::Create
                    | Operation::Setattr
                    | Operation::Setxattr
                    | Operation::Removexattr
                    | Operation::Write
                    | Operation::Fallocate
                    | Operation::CopyFileRange
                    | Operation::Lseek
            )
        }
    }

    #[track_caller]
    pub(super) fn check(handled: Handled, notification: &Notification) {
        let waits = match notification {
            Notification::InvalInode { offset, .. } if *offset < 0 => false,
            Notification::InvalInode { ino, .. } | Notification::Store { ino, .. } => {
                handled.locks_pages() && handled.is_of(*ino)
            }
            Notification::InvalEntry { parent, .. } | Notification::ExpireEntry { parent, .. } => {
                handled.locks_inode() && handled.is_of(*parent)
            }
            Notification::Delete { parent, child, .. } => {
                handled.locks_inode() && (handled.is_of(*parent) || handled.is_of(*child))
            }
            Notification::Retrieve { .. }
            | Notification::IncrementEpoch
            | Notification::Prune { .. }
            | Notification::Resend => false,
        };
        assert!(
            !waits,
            "a blocking {notification}, sent while {} of inode {} is handled, waits for that {} in \
             the kernel, for ever: queue it (Notifier::{}), or send it from another thread",
            handled.operation,
            handled.ino,
            handled.operation,
            notification.name(),
        );
    }
}
