use std::ffi::c_int;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering};
use std::thread;

use crate::conn::connection::{Agreement, Connection};
use crate::conn::wake::Wake;
use crate::sys;
use crate::types::capabilities::Capabilities;

/// Why a session was told to end; signal numbers are positive.
pub(crate) const TERMINATED: c_int = -1;
/// A handler panicked, or `init` failed.
pub(crate) const TROUBLE: c_int = -2;

/// How a session is told to end, from any thread and from a signal handler.
///
/// # Invariants
///
/// While `session` is not null it points to a session that has not been destroyed; it need not be mounted yet. [`close`]
/// makes it null and waits until nobody uses what it pointed to. Nothing else here blocks, and nothing allocates, so that it
/// is safe in a signal handler.
///
/// [`close`]: Control::close
#[derive(Debug)]
pub(crate) struct Control {
    session: AtomicPtr<sys::fuse_session>,
    /// How many threads may be using what they read from `session`.
    users: AtomicUsize,
    /// The first reason that was given; 0 for none yet.
    reason: AtomicI32,
    /// How many [`Hold`]s there are.
    holds: AtomicUsize,
    /// What wakes the thread that runs the loop, while it does and libfuse needs it.
    wake: AtomicPtr<Wake>,
    /// A member of what `session` points to, once `init` has returned.
    conn: AtomicPtr<sys::fuse_conn_info>,
    /// libfuse has said that it could not begin to use io_uring, which `conn` does not show.
    without_io_uring: AtomicBool,
    /// A handler panicked, and the state may be broken.
    poisoned: AtomicBool,
    /// The loop is over for good.
    over: AtomicBool,
}

impl Control {
    pub(crate) const fn new() -> Self {
        Self {
            session: AtomicPtr::new(ptr::null_mut()),
            users: AtomicUsize::new(0),
            reason: AtomicI32::new(0),
            holds: AtomicUsize::new(0),
            wake: AtomicPtr::new(ptr::null_mut()),
            conn: AtomicPtr::new(ptr::null_mut()),
            without_io_uring: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
            over: AtomicBool::new(false),
        }
    }

    /// `init` has returned, which was given `conn`.
    pub(crate) fn begun(&self, conn: NonNull<sys::fuse_conn_info>) {
        self.conn.store(conn.as_ptr(), Ordering::SeqCst);
    }

    /// Requests come by the descriptor after all.
    pub(crate) fn set_without_io_uring(&self) {
        self.without_io_uring.store(true, Ordering::SeqCst);
    }

    /// What the session runs with; `None` before `init` has returned and after the end.
    pub(crate) fn agreement(&self) -> Option<Agreement> {
        self.users.fetch_add(1, Ordering::SeqCst);
        let session = self.session.load(Ordering::SeqCst);
        let conn = NonNull::new(self.conn.load(Ordering::SeqCst));
        let agreement = conn.filter(|_| !session.is_null()).map(|conn| {
            // SAFETY: libfuse's `struct fuse_conn_info` is a member of the session, which lives while `users` counts this
            // thread (invariant).
            unsafe { Connection::agreed(conn) }
        });
        self.users.fetch_sub(1, Ordering::SeqCst);
        agreement.map(|mut agreement| {
            if self.without_io_uring.load(Ordering::SeqCst) {
                agreement.granted -= Capabilities::OVER_IO_URING;
            }
            agreement
        })
    }

    /// From now on, or until now, requests are refused. Whoever has the lock after this one knows.
    pub(crate) fn set_poisoned(&self, poisoned: bool) {
        self.poisoned.store(poisoned, Ordering::SeqCst);
    }

    #[inline]
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }

    /// From now on, `session` can be told to end.
    pub(crate) fn open(&self, session: *mut sys::fuse_session) {
        self.session.store(session, Ordering::SeqCst);
    }

    /// From now on, telling it wakes the loop by `wake`, until [`close_wake`](Control::close_wake).
    ///
    /// # Safety
    ///
    /// `wake` lives until that or `close` has returned.
    pub(crate) unsafe fn open_wake(&self, wake: &Wake) {
        self.wake
            .store(ptr::from_ref(wake).cast_mut(), Ordering::SeqCst);
    }

    /// There is no loop any more, and will not be.
    pub(crate) fn set_over(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// From now on, nobody tells it any more.
    pub(crate) fn close(&self) {
        self.session.store(ptr::null_mut(), Ordering::SeqCst);
        self.close_wake();
    }

    /// From now on, what tells it wakes nobody any more.
    pub(crate) fn close_wake(&self) {
        self.wake.store(ptr::null_mut(), Ordering::SeqCst);
        self.settle();
    }

    /// The loop has ended, and may be run again: why it was told to end is forgotten. Whoever tells it meanwhile means the
    /// next time.
    pub(crate) fn again(&self) {
        self.reason.store(0, Ordering::SeqCst);
        // Who gave the reason from before has set libfuse's flag by then.
        self.settle();
        let session = self.session.load(Ordering::SeqCst);
        if !session.is_null() {
            // SAFETY: the session lives (invariant). Before 3.18 libfuse has done so itself.
            unsafe { sys::fuse_session_reset(session) };
            if self.reason() != 0 {
                self.exit(session);
            }
        }
    }

    /// Waits until nobody uses what it has read of `session` and `wake`.
    ///
    /// A signal handler that interrupts this very thread has returned before the thread goes on, so that the wait ends.
    fn settle(&self) {
        while self.users.load(Ordering::SeqCst) != 0 {
            thread::yield_now();
        }
    }

    /// The first reason that was given, 0 for none.
    pub(crate) fn reason(&self) -> c_int {
        self.reason.load(Ordering::SeqCst)
    }

    /// The session was told to end, or its loop ends by itself: what has no end of its own is waited for no longer.
    ///
    /// Async-signal-safe.
    pub(crate) fn is_over(&self) -> bool {
        self.users.fetch_add(1, Ordering::SeqCst);
        let session = self.session.load(Ordering::SeqCst);
        let over = self.reason() != 0
            // After its loop, libfuse may have forgotten that it has ended.
            || self.over.load(Ordering::SeqCst)
            || session.is_null()
            // SAFETY: the session lives while `users` counts this thread (invariant).
            || unsafe { sys::fuse_session_exited(session) } != 0;
        self.users.fetch_sub(1, Ordering::SeqCst);
        over
    }

    /// Lets the loop go on while it lives; `None` when the session was told to end before.
    ///
    /// Of what waits for the kernel, which waits for requests to be answered.
    pub(crate) fn hold(&self) -> Option<Hold<'_>> {
        self.holds.fetch_add(1, Ordering::SeqCst);
        let hold = Hold(self);
        // Either this sees the reason, or `end` sees the hold, or both: then the hold ends the loop when it is dropped.
        (self.reason() == 0).then_some(hold)
    }

    /// Tells the session to end, unless it has. Async-signal-safe.
    ///
    /// The loop ends when the last [`Hold`] is gone.
    pub(crate) fn end(&self, reason: c_int) {
        self.users.fetch_add(1, Ordering::SeqCst);
        let session = self.session.load(Ordering::SeqCst);
        if !session.is_null() {
            // Only the first reason counts.
            let _ = self
                .reason
                .compare_exchange(0, reason, Ordering::SeqCst, Ordering::SeqCst);
            if self.holds.load(Ordering::SeqCst) == 0 {
                self.exit(session);
            }
        }
        self.users.fetch_sub(1, Ordering::SeqCst);
    }

    /// `session` is what `self.session` was while `self.users` counts this thread; or this thread is the session's own, which
    /// runs no loop.
    fn exit(&self, session: *mut sys::fuse_session) {
        // SAFETY: the session lives while `users` counts this thread (invariant), or its own thread is here; libfuse sets a flag, and from 3.18
        // on posts a semaphore.
        unsafe { sys::fuse_session_exit(session) };
        // SAFETY: `close_wake` makes it null, and waits for `users`, before it ends the borrow that `open_wake` was given;
        // without a loop it is null.
        if let Some(wake) = unsafe { self.wake.load(Ordering::SeqCst).as_ref() } {
            wake.wake();
        }
    }
}

/// While it lives, the loop goes on: [`Control::hold`].
#[derive(Debug)]
pub(crate) struct Hold<'c>(&'c Control);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let control = self.0;
        control.users.fetch_add(1, Ordering::SeqCst);
        if control.holds.fetch_sub(1, Ordering::SeqCst) == 1 && control.reason() != 0 {
            let session = control.session.load(Ordering::SeqCst);
            if !session.is_null() {
                control.exit(session);
            }
        }
        control.users.fetch_sub(1, Ordering::SeqCst);
    }
}
