//! The connection of a session to the kernel: whether it is open, and the way to it for what is outside of a handler.

use std::ffi::c_int;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use parking_lot::{RwLock, RwLockReadGuard};

use crate::conn::connection::{Agreement, Connection};
use crate::conn::drain::{drain, resend};
use crate::conn::interruption::Interruption;
use crate::conn::message::trouble_with;
use crate::conn::panics::{OnPanic, Troubles};
use crate::conn::stats::{Counters, SessionStats};
use crate::conn::watch::Watch;
use crate::conn::{pending::Pending, undo::Undo, wake::Wake};
use crate::observe::observers::Observers;
use crate::sys;
use crate::types::capabilities::Capabilities;

/// Why a session was told to end; signal numbers are positive.
pub(crate) const TERMINATED: c_int = -1;
/// A handler panicked, or `init` failed.
pub(crate) const TROUBLE: c_int = -2;

/// How long the end waits for a notification on its way before it does something for it.
const PATIENCE: Duration = Duration::from_millis(20);

/// What a connection asks of the session above it.
pub(crate) trait Host: Send + Sync {
    /// The calling thread holds the global lock of the session.
    fn holds_lock(&self) -> bool;

    /// A request has come that is not INIT: the kernel has got the answer to that.
    fn is_settled(&self) -> bool;

    /// Takes back what an answer gave out that the kernel did not take.
    fn undo(self: Arc<Self>, undo: Undo);
}

/// A `fuse_session`, from before it is mounted until nobody needs it any more.
///
/// Everything that reaches libfuse from outside of a handler asks here: deferred answers, notifications, poll handles, backing
/// files, C code, signal handlers. It knows nothing of the file system, so that it is compiled once.
///
/// # Invariants
///
/// - `raw` points to a session that has not been destroyed from [`attach`](Self::attach) on until [`destroy`](Self::destroy),
///   or the end of the run of a session that C has made. It is then null in `told`, and `gate` is shut.
/// - While `gate` is open, the session's descriptor is open.
/// - While `told` is not null, it is `raw`. Whoever uses it is counted in `users`, and [`hush`](Self::hush) waits for them.
///   Nothing there blocks or allocates, so that it is safe in a signal handler.
#[derive(Default)]
pub(crate) struct Conn {
    raw: OnceLock<Raw>,
    /// The session is to be destroyed with this value, or by `destroy`.
    owned: AtomicBool,
    gate: RwLock<Gate>,
    /// No notification is begun any more.
    closing: AtomicBool,
    /// Another process serves the mount from now on.
    left: AtomicBool,
    host: OnceLock<Weak<dyn Host>>,
    pub(super) pending: Pending,
    counters: Counters,
    pub(super) troubles: Troubles,
    /// Who is told of its threads and requests.
    pub(crate) observers: Option<Arc<Observers>>,
    /// There is something to do around a handler: [`enclose`](Self::enclose).
    pub(super) encloses: bool,
    pub(crate) watch: Arc<Watch>,
    /// Minor version of the kernel's protocol; 0 until `init` has returned.
    minor: AtomicU32,
    /// A member of what `raw` points to, once `init` has returned.
    info: AtomicPtr<sys::fuse_conn_info>,
    /// libfuse has said that it could not begin to use io_uring, which `info` does not show.
    without_io_uring: AtomicBool,
    /// A handler panicked, and the state may be broken.
    poisoned: AtomicBool,

    // For signal handlers, too:
    told: AtomicPtr<sys::fuse_session>,
    /// How many threads may be using what they read from `told` and `wake`.
    users: AtomicUsize,
    /// The first reason that was given; 0 for none yet.
    reason: AtomicI32,
    /// How many [`Hold`]s there are.
    holds: AtomicUsize,
    /// What wakes the thread that runs the loop, while it does and libfuse needs it.
    wake: AtomicPtr<Wake>,
    /// The loop was seen to end, or is over for good.
    over: AtomicBool,
}

#[derive(Clone, Copy)]
struct Raw(NonNull<sys::fuse_session>);

// SAFETY: libfuse allows several threads to reply, to notify and to call `fuse_session_exit()`. The rest, from the mount to
// `fuse_session_destroy()`, is done by one thread after the other: the one that has the `Session`, and at last whoever drops
// the `Conn`.
unsafe impl Send for Raw {}
// SAFETY: as for `Send`.
unsafe impl Sync for Raw {}

/// Who may pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Gate {
    /// Nobody: it is not mounted yet, or has ended.
    #[default]
    Shut,
    /// Answers and what belongs to them: no notification is begun any more.
    Answers,
    /// All.
    Open,
}

/// While it lives, the session lives and its descriptor is open.
pub(crate) struct Pass<'c> {
    session: NonNull<sys::fuse_session>,
    _gate: RwLockReadGuard<'c, Gate>,
}

impl Pass<'_> {
    pub(crate) fn session(&self) -> NonNull<sys::fuse_session> {
        self.session
    }

    /// The session's descriptor.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: it is open while this value lives (invariant of `Conn`).
        unsafe { BorrowedFd::borrow_raw(self.descriptor()) }
    }

    pub(crate) fn descriptor(&self) -> c_int {
        // SAFETY: the session lives while this value does.
        unsafe { sys::fuse_session_fd(self.session.as_ptr()) }
    }
}

impl Conn {
    pub(crate) fn new(on_panic: OnPanic, interruption: Interruption) -> Arc<Self> {
        Self::observed(on_panic, interruption, None)
    }

    /// One whose threads and requests observers are told of.
    pub(crate) fn observed(
        on_panic: OnPanic,
        interruption: Interruption,
        observers: Option<Arc<Observers>>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| {
            let this = Weak::clone(this);
            let is_lost = move || this.upgrade().is_none_or(|this| this.is_lost());
            let mut conn = Self::default();
            conn.troubles.on_panic = on_panic;
            conn.encloses = on_panic == OnPanic::Poison || observers.is_some();
            conn.observers = observers;
            conn.watch = Watch::new(interruption, is_lost);
            conn
        })
    }

    /// From now on it is this session's, which can be told to end. It need not be mounted yet.
    ///
    /// # Safety
    ///
    /// `session` came from libfuse and is in no other hands. Where it is not `owned`, it is not destroyed before
    /// [`close`](Self::close) has returned.
    pub(crate) unsafe fn attach(&self, session: NonNull<sys::fuse_session>, owned: bool) {
        if self.raw.set(Raw(session)).is_ok() {
            self.owned.store(owned, Ordering::SeqCst);
            self.told.store(session.as_ptr(), Ordering::SeqCst);
        }
    }

    /// The session for its owner, who mounts, runs, unmounts and destroys it.
    pub(crate) fn session(&self) -> Option<NonNull<sys::fuse_session>> {
        self.raw.get().map(|raw| raw.0)
    }

    /// The session is mounted: who may pass, passes from now on.
    pub(crate) fn open(&self, host: Weak<dyn Host>) {
        // A session is mounted once.
        let _ = self.host.set(host);
        *self.gate.write() = Gate::Open;
    }

    pub(crate) fn host(&self) -> Option<Arc<dyn Host>> {
        self.host.get()?.upgrade()
    }

    /// The calling thread holds the session's global lock.
    pub(crate) fn holds_lock(&self) -> bool {
        self.host().is_some_and(|host| host.holds_lock())
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What the session has done so far.
    pub(crate) fn stats(&self) -> SessionStats {
        let observers = self.observers.as_ref();
        SessionStats {
            latencies: observers.map_or_else(Vec::new, |it| it.latencies()),
            ..self.counters.stats()
        }
    }

    /// Tells sessions apart.
    pub(crate) fn id(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// For answers, and what belongs to them; `None` when the session has ended.
    ///
    /// Recursive: what an answer is made of may send another one, and whoever waits to shut the gate waits for those who have
    /// passed.
    pub(crate) fn pass(&self) -> Option<Pass<'_>> {
        self.pass_from(Gate::Answers)
    }

    /// For notifications, which wait for the kernel; `None` when the session is ending.
    pub(crate) fn pass_to_notify(&self) -> Option<Pass<'_>> {
        self.pass_from(Gate::Open).filter(|_| !self.is_closing())
    }

    /// No notification is begun any more.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Whether another process serves the mount from now on, and answers what this one has not.
    pub(crate) fn set_left(&self, left: bool) {
        self.left.store(left, Ordering::SeqCst);
    }

    pub(crate) fn is_left(&self) -> bool {
        self.left.load(Ordering::SeqCst)
    }

    fn pass_from(&self, least: Gate) -> Option<Pass<'_>> {
        let gate = self.gate.read_recursive();
        let session = self.session()?;
        (*gate >= least).then_some(Pass {
            session,
            _gate: gate,
        })
    }

    /// `init` has returned, which was given `info`.
    pub(crate) fn begun(&self, info: NonNull<sys::fuse_conn_info>) {
        self.info.store(info.as_ptr(), Ordering::SeqCst);
    }

    /// The kernel's protocol is 7.`minor`.
    pub(crate) fn set_minor(&self, minor: u32) {
        self.minor.store(minor, Ordering::SeqCst);
    }

    /// 0 until `init` has returned.
    pub(crate) fn minor(&self) -> u32 {
        self.minor.load(Ordering::SeqCst)
    }

    /// Requests come by the descriptor after all.
    pub(crate) fn set_without_io_uring(&self) {
        self.without_io_uring.store(true, Ordering::SeqCst);
    }

    /// What the session runs with; `None` before a request after INIT has come, and after the end.
    pub(crate) fn agreement(&self) -> Option<Agreement> {
        self.counters.settled().then(|| self.agreement_of_loop())?
    }

    /// The same, for a caller that knows that INIT is not being handled: such a request has come, or the loop has ended.
    pub(crate) fn agreement_of_loop(&self) -> Option<Agreement> {
        let user = self.user();
        user.session()?;
        let info = NonNull::new(self.info.load(Ordering::SeqCst))?;
        // SAFETY: libfuse's `struct fuse_conn_info` is a member of the session, which lives while `user` does (invariant).
        // libfuse writes to it before it answers INIT, and never after that: both callers come later.
        let mut agreement = unsafe { Connection::agreed(info) };
        if self.without_io_uring.load(Ordering::SeqCst) {
            agreement.granted -= Capabilities::OVER_IO_URING;
        }
        Some(agreement)
    }

    /// From now on, or until now, requests are refused. Whoever has the lock after this one knows.
    pub(crate) fn set_poisoned(&self, poisoned: bool) {
        self.poisoned.store(poisoned, Ordering::SeqCst);
    }

    #[inline]
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }
}

/// How it is told to end, from any thread and from a signal handler.
impl Conn {
    /// Counts the calling thread. What `told` and `wake` point to lives while the result does.
    fn user(&self) -> User<'_> {
        self.users.fetch_add(1, Ordering::SeqCst);
        User(self)
    }

    /// Waits until nobody uses what it has read of `told` and `wake`.
    ///
    /// A signal handler that interrupts this very thread has returned before the thread goes on, so that the wait ends.
    fn settle(&self) {
        while self.users.load(Ordering::SeqCst) != 0 {
            thread::yield_now();
        }
    }

    /// From now on, telling it wakes the loop by `wake`, until the result is dropped.
    pub(crate) fn wakes_by<'w>(&'w self, wake: &'w Wake) -> WakesBy<'w> {
        self.wake
            .store(ptr::from_ref(wake).cast_mut(), Ordering::SeqCst);
        WakesBy(self)
    }

    /// There is no loop any more, and will not be.
    pub(crate) fn set_over(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// The first reason that was given, 0 for none.
    pub(crate) fn reason(&self) -> c_int {
        self.reason.load(Ordering::SeqCst)
    }

    /// The session was told to end, or its loop ends by itself: what has no end of its own is waited for no longer.
    ///
    /// Async-signal-safe.
    pub(crate) fn is_over(&self) -> bool {
        let user = self.user();
        let is_exited = |session: NonNull<sys::fuse_session>| {
            // SAFETY: the session lives while `user` does (invariant).
            unsafe { sys::fuse_session_exited(session.as_ptr()) != 0 }
        };
        if user.session().is_none_or(is_exited) {
            // Before 3.18 libfuse forgets it when its loop returns.
            self.set_over();
        }
        self.reason() != 0 || self.over.load(Ordering::SeqCst)
    }

    /// The session is over, as above, or its connection is gone, which the loop need not know yet: all workers may be in handlers.
    pub(crate) fn is_lost(&self) -> bool {
        let is_severed = |pass: Pass<'_>| trouble_with(pass.descriptor()) != 0;
        self.is_over() || self.pass().is_none_or(is_severed)
    }

    /// Lets the loop go on while it lives; `None` when the session was told to end before.
    ///
    /// For what waits for the kernel, which waits for requests to be answered.
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
        let user = self.user();
        if user.session().is_some() {
            // Only the first reason counts.
            let _ = self
                .reason
                .compare_exchange(0, reason, Ordering::SeqCst, Ordering::SeqCst);
            if self.holds.load(Ordering::SeqCst) == 0 {
                user.exit();
            }
        }
    }

    /// The loop has ended, and may be run again: why it was told to end is forgotten. Whoever tells it meanwhile means the
    /// next time.
    pub(crate) fn again(&self) {
        self.reason.store(0, Ordering::SeqCst);
        // Who gave the reason from before has set libfuse's flag by then.
        self.settle();
        if let Some(session) = self.session() {
            // SAFETY: the session lives until `destroy`, which only the caller's `Session` calls, and runs no loop. Before 3.18
            // libfuse has done so itself.
            unsafe { sys::fuse_session_reset(session.as_ptr()) };
        }
        // Nor does anybody note any more that it had ended.
        self.settle();
        self.over.store(false, Ordering::SeqCst);
        if self.reason() != 0 {
            self.user().exit();
        }
    }
}

/// A thread that uses what `told` and `wake` of its connection point to.
struct User<'c>(&'c Conn);

impl User<'_> {
    fn session(&self) -> Option<NonNull<sys::fuse_session>> {
        NonNull::new(self.0.told.load(Ordering::SeqCst))
    }

    /// Ends the loop.
    fn exit(&self) {
        if let Some(session) = self.session() {
            // SAFETY: the session lives while this value does (invariant of `Conn`); libfuse sets a flag, and from 3.18 on
            // posts a semaphore.
            unsafe { sys::fuse_session_exit(session.as_ptr()) };
        }
        // SAFETY: it is null, or what `wakes_by` borrows until its result is dropped, which waits for this value.
        if let Some(wake) = unsafe { self.0.wake.load(Ordering::SeqCst).as_ref() } {
            wake.wake();
        }
    }
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, Ordering::SeqCst);
    }
}

/// While it lives, telling the session to end wakes its loop: [`Conn::wakes_by`].
pub(crate) struct WakesBy<'w>(&'w Conn);

impl Drop for WakesBy<'_> {
    fn drop(&mut self) {
        self.0.wake.store(ptr::null_mut(), Ordering::SeqCst);
        self.0.settle();
    }
}

/// While it lives, the loop goes on: [`Conn::hold`].
pub(crate) struct Hold<'c>(&'c Conn);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let user = self.0.user();
        if self.0.holds.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.reason() != 0 {
            user.exit();
        }
    }
}

/// The end, in this order; each does nothing the second time.
impl Conn {
    /// From now on nobody tells it to end.
    pub(crate) fn hush(&self) {
        self.told.store(ptr::null_mut(), Ordering::SeqCst);
        self.settle();
    }

    /// From now on no notification is begun; those on their way are over.
    ///
    /// What waits for the kernel waits for requests that nobody serves any more: these are answered here.
    pub(crate) fn close_to_notifications(&self) {
        self.closing.store(true, Ordering::SeqCst);
        let mut asked_again = false;
        loop {
            if let Some(mut gate) = self.gate.try_write_for(PATIENCE) {
                *gate = (*gate).min(Gate::Answers);
                return;
            }
            if self.is_left() {
                // The successor answers them.
                continue;
            }
            let Some(pass) = self.pass() else { return };
            if !asked_again && self.minor() >= 40 {
                // Whatever was deferred, and is not answered yet, comes once more, to be answered here. Where it fails,
                // what is deferred is waited for.
                let _ = resend(pass.descriptor());
            }
            asked_again = true;
            drain(pass.fd());
        }
    }

    /// Waits until C code has answered what it was lent. From then on nobody passes, and what was deferred is not answered
    /// any more.
    pub(crate) fn close(&self) {
        self.watch.end();
        self.pending.close_to_c();
        *self.gate.write() = Gate::Shut;
        self.pending.free_all();
    }

    /// `fuse_session_destroy()`, which calls the `destroy` of the table if the kernel has not, and closes the descriptor if
    /// it was not unmounted.
    pub(crate) fn destroy(&self) {
        let owned = self.owned.swap(false, Ordering::SeqCst);
        if let Some(session) = self.session().filter(|_| owned) {
            // SAFETY: the session is ours and was not destroyed before (`owned`), nobody tells it (`hush`), nobody passes and
            // no request is left (`close`), and its loop has ended or never ran.
            unsafe { sys::fuse_session_destroy(session.as_ptr()) };
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        // Of one that was not even mounted.
        self.hush();
        self.close();
        self.destroy();
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn")
            .field("gate", &*self.gate.read_recursive())
            .field("reason", &self.reason())
            .field("minor", &self.minor())
            .finish_non_exhaustive()
    }
}
