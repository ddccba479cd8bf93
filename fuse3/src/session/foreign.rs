//! A session that somebody else made.

use std::ffi::c_uint;
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::conn::conn::{Conn, Host, TERMINATED};
use crate::conn::{interruption::Interruption, panics::OnPanic, undo::Undo, wake::Wake};
use crate::lock::global::GlobalLock;
use crate::notify::{hub::Hub, notifier::Notifier};
use crate::session::{loopconfig::LoopConfig, session::ERROR_ABORTED, session::Reason};
use crate::sys;
use crate::types::operation::Operation;

/// A `struct fuse_session` that C code made and mounted, with a `struct fuse_lowlevel_ops` of its own: run by this crate, told
/// to end from anywhere, and with queued notifications.
///
/// The C code calls `fuse_session_new()`, `fuse_session_mount()`, and afterwards `fuse_session_unmount()` and
/// `fuse_session_destroy()`. Its handlers are called as they are, without any lock; that is for them to take. libfuse cancels its
/// threads over io_uring at the end, in handlers, too (`fuse_uring_stop()`, 3.18): the lock stays held for ever by one that goes
/// with it, so that pthread_setcancelstate(3) disables that before the lock is taken, and restores it after the release.
///
/// It is there before the session is, so that a signal handler has something to end. It serves one session, once.
#[derive(Debug)]
pub struct ForeignSession {
    conn: Arc<Conn>,
    notifications: Arc<Hub>,
    /// It was run.
    used: AtomicBool,
    /// It was told to end, perhaps before there was a session.
    terminated: AtomicBool,
}

impl Default for ForeignSession {
    fn default() -> Self {
        let conn = Conn::new(OnPanic::Continue, Interruption::default());
        Self {
            notifications: Hub::new(Arc::clone(&conn), None),
            conn,
            used: AtomicBool::new(false),
            terminated: AtomicBool::new(false),
        }
    }
}

impl ForeignSession {
    /// For a session to come.
    pub fn new() -> Self {
        Self::default()
    }

    /// `fuse_session_loop_mt()`: serves requests until the file system is unmounted, [`terminate`](Self::terminate) is
    /// called, or a signal comes that `fuse_set_signal_handlers()` has set a handler for.
    ///
    /// Handlers run on at most `workers` threads (libfuse before 3.12 has no limit), and this thread waits. When it returns,
    /// the workers have ended, the file system is still mounted, and nothing here uses the session any more.
    ///
    /// `lock` is what the handlers take: what waits for the kernel is refused to a thread that holds it.
    ///
    /// # Errors
    ///
    /// EDEADLK when this thread holds `lock`; EBUSY when it was run before; EAGAIN when no worker could be started; of the
    /// loop.
    ///
    /// # Safety
    ///
    /// `session` came from `fuse_session_new()` and is mounted; nobody else runs it, unmounts it or destroys it until this
    /// has returned.
    pub unsafe fn run<S: Send + 'static>(
        &self,
        session: NonNull<sys::fuse_session>,
        lock: &Arc<GlobalLock<S>>,
        workers: c_uint,
        clone_fd: bool,
    ) -> io::Result<Reason> {
        if lock.is_held() {
            return Err(io::Error::from_raw_os_error(libc::EDEADLK));
        }
        let config = LoopConfig::new(workers, None, clone_fd)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        let wake = Wake::if_needed()?;
        // What failed before has changed nothing.
        if self.used.swap(true, Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(libc::EBUSY));
        }
        let conn = &self.conn;
        // SAFETY: nobody else runs, unmounts or destroys it before this returns (the caller), and `conn` is closed below.
        unsafe { conn.attach(session, false) };
        // After `wake`, and so gone before it, whatever happens.
        let wakes = wake.as_ref().map(|wake| conn.wakes_by(wake));
        // From now on `terminate` finds the session; before, it left this.
        if self.terminated.load(Ordering::SeqCst) {
            conn.end(TERMINATED);
        }
        let host: Arc<dyn Host> = Arc::new(Arc::clone(lock));
        conn.open(Arc::downgrade(&host));
        // SAFETY: the session lives, is mounted, and is run by nobody else (the caller); `config` lives.
        let result = unsafe { sys::fuse_session_loop_mt(session.as_ptr(), config.as_ptr()) };
        drop(wakes);
        self.notifications.close();
        conn.hush();
        conn.close();
        match (conn.reason(), result) {
            (0, signal @ 1..) => Ok(Reason::Signal(signal)),
            (0, 0 | ERROR_ABORTED) => Ok(Reason::Unmounted),
            // It could not start a worker. (EPERM, which has the number, is of a descriptor that nobody has mounted.)
            (0, -1) => Err(io::Error::from_raw_os_error(libc::EAGAIN)),
            (0, error) => Err(io::Error::from_raw_os_error(-error)),
            _ => Ok(Reason::Terminated),
        }
    }

    /// The `init` of the session has been called, and the kernel's protocol is 7.`proto_minor` (`struct fuse_conn_info`).
    ///
    /// Notifications are sent from then on. What the kernel does not take yet, since libfuse answers after `init`, is tried
    /// again.
    pub fn begun(&self, proto_minor: u32) {
        self.conn.set_minor(proto_minor);
        self.notifications.ready();
    }

    /// `fuse_session_exit()`: makes [`run`](Self::run) return, also if it is called before.
    ///
    /// From any thread, from a handler, which goes on, and from a signal handler: it takes no lock and allocates nothing.
    pub fn terminate(&self) {
        self.terminated.store(true, Ordering::SeqCst);
        self.conn.end(TERMINATED);
    }

    /// `run` has been called.
    pub fn is_used(&self) -> bool {
        self.used.load(Ordering::SeqCst)
    }

    /// What tells the kernel that its caches are out of date.
    pub fn notifier(&self) -> Notifier {
        Notifier::new(Arc::clone(&self.notifications))
    }
}

/// Of a session in C, its lock is all that is known.
impl<S: Send + 'static> Host for Arc<GlobalLock<S>> {
    fn holds_lock(&self) -> bool {
        self.is_held()
    }

    /// What took the lock is all that is known of what came.
    fn is_settled(&self) -> bool {
        let stats = self.stats();
        let past = stats.operations.iter().map(|it| it.operation);
        let now = stats.holder.map(|it| it.operation);
        let mut operations = past.chain(now).flatten();
        operations.any(|operation| operation != Operation::Init)
    }

    /// The C code's own answers give out what only it can take back; nothing else answers.
    fn undo(self: Arc<Self>, _undo: Undo) {}
}
