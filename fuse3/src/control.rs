use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};
use std::thread;

use crate::sys;

/// Why a session was told to end; signal numbers are positive.
pub(crate) const TERMINATED: c_int = -1;
/// A handler panicked, or `init` failed.
pub(crate) const TROUBLE: c_int = -2;

/// How a session is told to end, from any thread and from a signal handler.
///
/// # Invariants
///
/// While `session` is not null it points to a session that has not been destroyed and whose descriptor is open. [`close`]
/// makes it null and waits until nobody uses what it pointed to. Nothing here blocks or allocates, so that it is safe in a
/// signal handler.
///
/// [`close`]: Control::close
#[derive(Debug)]
pub(crate) struct Control {
    session: AtomicPtr<sys::fuse_session>,
    /// How many threads may be using what they read from `session`.
    users: AtomicUsize,
    /// The first reason that was given; 0 for none yet.
    reason: AtomicI32,
}

impl Control {
    pub(crate) const fn new() -> Self {
        Self {
            session: AtomicPtr::new(ptr::null_mut()),
            users: AtomicUsize::new(0),
            reason: AtomicI32::new(0),
        }
    }

    /// From now on, `session` can be told to end.
    pub(crate) fn open(&self, session: *mut sys::fuse_session) {
        self.session.store(session, Ordering::SeqCst);
    }

    /// From now on, nobody tells it any more.
    ///
    /// A signal handler that interrupts this very thread has returned before the thread goes on, so that the wait ends.
    pub(crate) fn close(&self) {
        self.session.store(ptr::null_mut(), Ordering::SeqCst);
        while self.users.load(Ordering::SeqCst) != 0 {
            thread::yield_now();
        }
    }

    /// The first reason that was given, 0 for none.
    pub(crate) fn reason(&self) -> c_int {
        self.reason.load(Ordering::SeqCst)
    }

    /// Tells the session to end, unless it has. Async-signal-safe.
    pub(crate) fn end(&self, reason: c_int) {
        self.users.fetch_add(1, Ordering::SeqCst);
        let session = self.session.load(Ordering::SeqCst);
        if !session.is_null() {
            // Only the first reason counts.
            let _ = self
                .reason
                .compare_exchange(0, reason, Ordering::SeqCst, Ordering::SeqCst);
            // SAFETY: the session lives while `users` counts this thread (invariant); libfuse sets a flag, and from 3.18
            // on posts a semaphore.
            unsafe { sys::fuse_session_exit(session) };
            // SAFETY: as above.
            wake(unsafe { sys::fuse_session_fd(session) });
        }
        self.users.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Wakes a worker that waits for a request on the FUSE descriptor `fd`.
///
/// Before 3.18 `fuse_session_exit()` wakes nobody: each worker waits in read(2), and the thread that runs the loop waits
/// for a worker to end. A signal could be lost between their looking at the flag and their waiting. A request cannot: the
/// kernel keeps it until a worker has read it. So the kernel is asked for one, with a FUSE_NOTIFY_RETRIEVE of no bytes of
/// the root, which it answers by queueing a NOTIFY_REPLY. The reply has a number that libfuse never gave out, so that
/// libfuse drops it; the worker then looks at the flag and ends, and with it the loop.
///
/// When the kernel refuses, the connection is gone already (and every read(2) on it returns) or not begun: then the INIT
/// request is waiting, and wakes a worker itself.
fn wake(fd: c_int) {
    // struct fuse_out_header { len, error: FUSE_NOTIFY_RETRIEVE, unique: 0 },
    // struct fuse_notify_retrieve_out { notify_unique, nodeid: FUSE_ROOT_ID, offset, size, padding },
    // include/uapi/linux/fuse.h.
    #[repr(C)]
    struct Retrieve {
        len: u32,
        code: i32,
        unique: u64,
        notify_unique: u64,
        nodeid: u64,
        offset: u64,
        size: u32,
        padding: u32,
    }
    let retrieve = Retrieve {
        len: 48,
        code: 5,
        unique: 0,
        notify_unique: u64::MAX,
        nodeid: 1,
        offset: 0,
        size: 0,
        padding: 0,
    };
    // SAFETY: write(2) is async-signal-safe and reads 48 bytes of `retrieve`.
    unsafe { libc::write(fd, (&raw const retrieve).cast(), size_of::<Retrieve>()) };
}
