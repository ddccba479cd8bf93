//! Which directories the kernel keeps locked for the request that a thread handles.

use std::cell::Cell;

use crate::conn::conn::Conn;
use crate::notify::notification::Notification;
use crate::types::ino::Ino;

#[derive(Clone, Copy)]
struct Handled {
    /// Of which connection.
    conn: usize,
    directories: [Ino; 2],
}

thread_local! {
    static HANDLED: Cell<Option<Handled>> = const { Cell::new(None) };
}

/// While it lives, this thread handles a request for which the kernel keeps directories locked.
pub(crate) struct Current(Option<Handled>);

impl Current {
    /// Of `mknod`, `mkdir`, `symlink`, `create`, `unlink`, `rmdir`, `rename` and `link`: the directories whose names they
    /// change, which the kernel has locked on its own behalf whoever calls (fs/namei.c). Of other requests it depends on the
    /// caller, and nothing is noted.
    pub(crate) fn enter(conn: &Conn, directories: [Ino; 2]) -> Self {
        let conn = conn.id();
        Self(HANDLED.replace(Some(Handled { conn, directories })))
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        HANDLED.set(self.0);
    }
}

/// The kernel does nothing for `notification` until this thread has answered.
pub(super) fn waits_for_itself(conn: &Conn, notification: &Notification) -> bool {
    let handled = HANDLED.get().filter(|it| it.conn == conn.id());
    let both = handled.zip(notification.entry());
    both.is_some_and(|(it, (parent, _))| it.directories.contains(&parent))
}
