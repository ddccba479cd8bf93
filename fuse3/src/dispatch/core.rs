use std::any::Any;
use std::cell::Cell;
use std::ffi::{OsStr, c_int};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::base::panic::discard;
use crate::conn::connection::Connection;
use crate::conn::control::{Control, TROUBLE};
use crate::conn::daemon::Waiting;
use crate::conn::lent::Lent;
use crate::conn::options::ConnOptions;
use crate::conn::stats::Counters;
use crate::dispatch::activity::{Activity, Busy};
use crate::dispatch::context::Caller;
use crate::dispatch::report::Reporting;
use crate::dispatch::turns::{Turn, Turns};
use crate::dispatch::{context::Context, filesystem::Filesystem, report::Report};
use crate::lock::locking::{Library, Locking};
use crate::notify::current::Current;
use crate::notify::{hub::Hub, link::Asks};
use crate::reply::answer::{Asked, Undo};
use crate::reply::deferred::Outlived;
use crate::session::builder::OnPanic;
use crate::session::builder::Settings;
use crate::sys;
#[cfg(feature = "tokio")]
use crate::tasks::Tasks;
use crate::types::{ino::Ino, operation::Operation};

/// What the handlers of one session share: libfuse's `userdata`.
pub(crate) struct Core<F: Filesystem> {
    pub(crate) fs: Arc<F>,
    pub(crate) lock: F::Lock,
    pub(crate) control: Arc<Control>,
    pub(crate) notifications: Arc<Hub>,
    on_panic: OnPanic,
    turns: Option<Turns>,
    trouble: Mutex<Option<Trouble>>,
    pub(crate) counters: Arc<Counters>,
    /// Which request each worker serves, where it was asked for.
    activity: Option<Activity>,
    /// What mount options ask of the connection.
    asked: ConnOptions,
    begun: AtomicBool,
    /// `init` has succeeded.
    initialised: AtomicBool,
    destroyed: AtomicBool,
    live: OnceLock<Weak<Live<F>>>,
    /// The process that went on in the foreground, until the session has begun.
    waiting: Mutex<Option<Waiting>>,
    #[cfg(feature = "tokio")]
    pub(crate) tasks: Arc<Tasks>,
}

/// Why a session ended by itself.
pub(crate) enum Trouble {
    /// A handler panicked with this.
    Panic(Box<dyn Any + Send>),
    /// `init` failed.
    Init(io::Error),
}

/// See [`Core::poisons`].
pub(crate) struct Poisons<'c>(&'c Control);

impl Drop for Poisons<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.set_poisoned(true);
        }
    }
}

impl<F: Filesystem> Core<F> {
    pub(crate) fn new(
        fs: Arc<F>,
        lock: F::Lock,
        control: Arc<Control>,
        notifications: Arc<Hub>,
        settings: &Settings,
        stacktrace: bool,
        asked: ConnOptions,
    ) -> Self {
        Self {
            fs,
            lock,
            control,
            notifications,
            on_panic: settings.on_panic,
            turns: Turns::needed(settings.workers),
            trouble: Mutex::new(None),
            counters: Arc::new(Counters::new()),
            activity: stacktrace.then(Activity::default),
            asked,
            begun: AtomicBool::new(false),
            initialised: AtomicBool::new(false),
            destroyed: AtomicBool::new(false),
            live: OnceLock::new(),
            waiting: Mutex::new(None),
            #[cfg(feature = "tokio")]
            tasks: Arc::default(),
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn with_tasks(self, tasks: Tasks) -> Self {
        let tasks = Arc::new(tasks);
        Self { tasks, ..self }
    }

    /// The session is about to serve requests. Panics where a thread cannot wait for futures.
    pub(crate) fn check_tasks(&self) {
        #[cfg(feature = "tokio")]
        self.tasks.check();
    }

    /// Futures are in flight, and it is this thread, as far as can be told, that is to run them.
    pub(crate) fn tasks_need_this_thread(&self) -> bool {
        #[cfg(feature = "tokio")]
        return self.tasks.need_this_thread();
        #[cfg(not(feature = "tokio"))]
        false
    }

    /// The workers have ended: waits for the futures that they have spawned.
    pub(crate) fn finish_tasks(&self) {
        #[cfg(feature = "tokio")]
        self.tasks.finish();
    }

    /// How long the end waits for what is in flight; `None` for ever.
    fn patience(&self) -> Option<Duration> {
        #[cfg(feature = "tokio")]
        return self.tasks.patience();
        #[cfg(not(feature = "tokio"))]
        None
    }

    /// Waits until a handler may run, where libfuse has not seen to that. To be kept until it is answered.
    #[inline]
    pub(crate) fn turn(&self) -> Option<Turn<'_>> {
        self.turns.as_ref().map(Turns::take)
    }

    /// While it lives, a [`Report`] tells that the thread serves this request.
    #[inline]
    pub(crate) fn busy(&self, operation: Operation, ino: Ino) -> Option<Busy<'_>> {
        let activity = self.activity.as_ref()?;
        Some(activity.begin(operation, ino))
    }

    /// setxattr(2) of this name on this inode asks for a [`Report`].
    pub(crate) fn is_stacktrace(&self, ino: Ino, name: &OsStr) -> bool {
        self.activity.is_some() && ino == Ino::ROOT && name == "fuse_stacktrace"
    }

    /// The session, for what asks about it and does not keep it.
    pub(crate) fn reporting(self: &Arc<Self>) -> Weak<dyn Reporting> {
        let core: Weak<Self> = Arc::downgrade(self);
        core
    }

    /// Runs code of the file system. A panic ends here: it is counted, and by policy ends the session.
    #[inline]
    pub(crate) fn guarded<R>(&self, operation: Operation, run: impl FnOnce() -> R) -> Option<R> {
        catch_unwind(AssertUnwindSafe(run))
            .map_err(|payload| self.panicked(&operation, payload))
            .ok()
    }

    #[cold]
    fn panicked(&self, operation: &dyn fmt::Display, payload: Box<dyn Any + Send>) {
        self.counters.panic();
        let what = payload.downcast_ref::<&str>().copied();
        let what = what
            .or(payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("a value that is no text");
        crate::base::log::error!("{operation} panicked: {what}");
        match self.on_panic {
            OnPanic::End | OnPanic::EndMounted => self.trouble(Trouble::Panic(payload)),
            OnPanic::Continue => discard(payload),
            OnPanic::Poison => {
                self.control.set_poisoned(true);
                crate::base::log::error!(
                    "every request gets EIO from now on, until Handle::clear_poison"
                );
                discard(payload);
            }
        }
    }

    /// While it lives, a panic poisons the session before it releases the lock. By policy: `None`.
    #[inline]
    pub(crate) fn poisons(&self) -> Option<Poisons<'_>> {
        (self.on_panic == OnPanic::Poison).then(|| Poisons(&self.control))
    }

    /// The handler is not called: the state may be broken. The kernel gives back what it has all the same.
    #[inline]
    pub(crate) fn refuses(&self, operation: Operation) -> bool {
        self.control.is_poisoned()
            && !matches!(operation, Operation::Release | Operation::Releasedir)
    }

    fn trouble(&self, trouble: Trouble) {
        let mut first = self.trouble.lock();
        let other = match &*first {
            None => first.replace(trouble),
            Some(_) => Some(trouble),
        };
        drop(first);
        if let Some(other) = other {
            crate::base::log::warn!(
                "the session is ending for an earlier panic or error; this one is not returned"
            );
            discard(other);
        }
        self.control.end(TROUBLE);
    }

    pub(crate) fn is_in_trouble(&self) -> bool {
        self.trouble.lock().is_some()
    }

    /// The session is to be left mounted, since it ends by a panic.
    pub(crate) fn ends_mounted(&self) -> bool {
        self.on_panic == OnPanic::EndMounted
            && matches!(&*self.trouble.lock(), Some(Trouble::Panic(_)))
    }

    pub(crate) fn take_trouble(&self) -> Option<Trouble> {
        self.trouble.lock().take()
    }

    /// Calls `init`, and returns whether it succeeded.
    pub(crate) fn begin(&self, connection: &mut Connection<'_>) -> bool {
        self.counters.called(Operation::Init);
        self.begun.store(true, Ordering::SeqCst);
        let result = self.guarded(Operation::Init, || {
            match self.lock.enter(Operation::Init, Library(())) {
                Ok(mut guard) => {
                    let asked = self.fs.init(&mut guard, connection);
                    asked.and_then(|()| self.asked.apply(connection))
                }
                Err(error) => Err(io::Error::other(error)),
            }
        });
        let succeeded = matches!(result, Some(Ok(())));
        self.initialised.store(succeeded, Ordering::SeqCst);
        if let Some(Err(error)) = result {
            crate::base::log::error!("init failed: {error}");
            self.trouble(Trouble::Init(error));
        }
        let lacking = Operation::ALL
            .iter()
            .map(|operation| connection.delivers(*operation));
        for lacking in lacking.filter_map(Result::err) {
            crate::base::log::debug!("not called in this session: {lacking}");
        }
        self.notifications.ready(connection.protocol().1);
        succeeded
    }

    /// CUSE's INIT has been answered: the device is there. Nobody hears of it when `init` has failed.
    pub(crate) fn device_is_there(&self) {
        if !self.initialised.load(Ordering::SeqCst) {
            return;
        }
        self.guarded(Operation::Init, || {
            match self.lock.enter(Operation::Init, Library(())) {
                Ok(mut guard) => self.fs.init_done(&mut guard),
                Err(error) => crate::base::log::error!("init_done was not called: {error}"),
            }
        });
        self.release();
    }

    /// The process that waits in the foreground is to end once the session has begun.
    pub(crate) fn release_when_begun(&self, waiting: Waiting) {
        *self.waiting.lock() = Some(waiting);
    }

    /// The session has begun.
    pub(crate) fn release(&self) {
        if self.control.reason() != 0 {
            // One that is to end as soon as it begins is not taken for mounted.
            return;
        }
        let released = self.waiting.lock().take().map_or(Ok(()), Waiting::release);
        if let Err(error) = released {
            crate::base::log::warn!(
                "the process in the foreground was not told of success: {error}"
            );
        }
    }

    /// Calls `destroy`, once, and only after `init`.
    pub(crate) fn destroy(&self) {
        if !self.begun.load(Ordering::SeqCst) || self.destroyed.swap(true, Ordering::SeqCst) {
            return;
        }
        self.counters.called(Operation::Destroy);
        self.guarded(Operation::Destroy, || {
            match self.lock.enter(Operation::Destroy, Library(())) {
                Ok(mut guard) => self.fs.destroy(&mut guard),
                Err(error) => crate::base::log::error!("destroy was not called: {error}"),
            }
        });
    }

    /// The last of all: what the lock has for handlers ends.
    pub(crate) fn stop(&self) {
        self.lock.stop(self.patience(), Library(()));
    }

    /// Takes back what an answer gave out that the kernel did not take.
    pub(crate) fn undo(&self, undo: Undo) {
        let forget = |ino| self.take_back(Operation::Forget, ino, |fs, cx| fs.forget(cx, ino, 1));
        let release = |ino, file| {
            self.take_back(Operation::Release, ino, |fs, cx| {
                // Nobody waits for the result of a release.
                drop(fs.release(cx, ino, &file));
            });
        };
        self.counters.not_taken();
        match undo {
            Undo::Nothing => {}
            Undo::Forget(ino) => forget(ino),
            Undo::Release(ino, file) => release(ino, file),
            Undo::Releasedir(ino, file) => self.take_back(Operation::Releasedir, ino, |fs, cx| {
                // Nobody waits for the result of a release.
                drop(fs.releasedir(cx, ino, &file));
            }),
            Undo::ReleaseAndForget(ino, file) => {
                release(ino, file);
                forget(ino);
            }
            Undo::ForgetEach(inos) => inos.into_iter().for_each(forget),
        }
    }

    fn take_back(
        &self,
        operation: Operation,
        ino: Ino,
        call: impl FnOnce(&F, &mut Context<'_, F>),
    ) {
        self.call_unanswered(operation, Caller::default(), Asked::of(ino), |fs, cx| {
            // `destroy` is the last that a file system hears of.
            if !self.destroyed.load(Ordering::SeqCst) {
                call(fs, cx);
            }
        });
    }

    /// Runs a handler whose answer nobody waits for, with the lock held.
    pub(crate) fn call_unanswered<'c>(
        &'c self,
        operation: Operation,
        caller: Caller,
        asked: Asked,
        call: impl FnOnce(&'c F, &mut Context<'_, F>),
    ) {
        let mut request = None;
        let _busy = self.busy(operation, asked.ino);
        self.guarded(operation, || {
            match self.lock.enter(operation, Library(())) {
                Ok(guard) => {
                    let mut cx = Context::new(guard, caller, &mut request, asked, Some(self));
                    let _poisons = self.poisons();
                    let _current = Current::enter(self.notifications.id(), operation, asked.ino);
                    call(&self.fs, &mut cx);
                }
                Err(error) => {
                    crate::base::log::error!(
                        "{operation} of inode {} was not called: {error}",
                        asked.ino
                    )
                }
            }
        });
    }

    pub(crate) fn set_live(&self, live: &Arc<Live<F>>) {
        // Set once, by `Live::new`.
        let _ = self.live.set(Arc::downgrade(live));
    }

    /// The session, for what may outlive it.
    pub(crate) fn session(&self) -> Weak<dyn Outlived> {
        match self.live.get() {
            Some(live) => live.clone(),
            None => Weak::<Live<F>>::new(),
        }
    }

    /// The session, for a reply that outlives its handler.
    pub(crate) fn outlived(&self) -> Option<Arc<dyn Outlived>> {
        let live = self.live.get()?.upgrade()?;
        Some(live)
    }
}

impl<F: Filesystem> Reporting for Core<F> {
    fn report(&self) -> Report {
        Report::new(self.activity.as_ref(), self.lock.stats())
    }
}

impl<F: Filesystem> fmt::Debug for Core<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").finish_non_exhaustive()
    }
}

thread_local! {
    /// This thread is in `fuse_session_destroy()`.
    static DISPOSING: Cell<bool> = const { Cell::new(false) };
}

/// A `fuse_session`; destroyed when neither session nor reply holds it any more.
///
/// # Invariants
///
/// `session` came from `fuse_session_new()`, with what `core` was at first as its userdata, and is destroyed with this value.
/// Its descriptor is open while there is a `core`. Afterwards the session is nothing but the memory that requests are freed
/// with: a file system that keeps its own replies is not kept alive by them.
pub(crate) struct Live<F: Filesystem> {
    session: NonNull<sys::fuse_session>,
    /// What the handlers need, until the session has ended.
    core: RwLock<Option<Arc<Core<F>>>>,
    /// Requests that C code answers.
    lent: Lent,
}

// SAFETY: libfuse allows replies from any thread and the end of a session on another one than its start; the loop is run
// by one thread, which `Session::run` sees to by taking the session.
unsafe impl<F: Filesystem> Send for Live<F> {}
// SAFETY: as for `Send`; what is called through `&Live` at once (replies, `fuse_session_exit`) libfuse locks.
unsafe impl<F: Filesystem> Sync for Live<F> {}

impl<F: Filesystem> Live<F> {
    /// # Safety
    ///
    /// The invariants.
    pub(crate) unsafe fn new(session: NonNull<sys::fuse_session>, core: Arc<Core<F>>) -> Arc<Self> {
        let live = Arc::new(Self {
            session,
            core: RwLock::new(Some(Arc::clone(&core))),
            lent: Lent::default(),
        });
        core.set_live(&live);
        live
    }

    /// The thread is destroying a session, whose `destroy` was called before, or never will be.
    pub(crate) fn is_disposing() -> bool {
        DISPOSING.get()
    }

    /// From now on, notifications can be queued, and sent once the session runs, until [`close`](Self::close).
    pub(crate) fn open_notifications(&self, core: &Core<F>) {
        let lock = core.lock.clone();
        let counters = Arc::clone(&core.counters);
        let asks = Asks {
            is_held: Box::new(move || lock.is_held()),
            is_settled: Box::new(move || counters.settled()),
        };
        // SAFETY: the session is ours (invariant). It is destroyed with this value, and its descriptor closed by
        // `Session::end`, both of which come after `close`.
        unsafe { core.notifications.open(self.session, asks) };
    }

    pub(crate) fn session(&self) -> *mut sys::fuse_session {
        self.session.as_ptr()
    }

    /// From now on no deferred reply touches the descriptor; those that were doing it are done, and what C code was to answer
    /// is answered.
    pub(crate) fn close(&self, core: &Core<F>) {
        core.control.close();
        core.notifications.close();
        self.lent.close();
        // Whoever calls has a share of it.
        *self.core.write() = None;
    }
}

impl<F: Filesystem> Drop for Live<F> {
    fn drop(&mut self) {
        let before = DISPOSING.replace(true);
        // SAFETY: the session is ours (invariant), and its loop has ended, since `Session` held this value. Nobody will answer
        // a request: each `Reply` and `RawReply` holds this value too, and C code answers while the latter lives. One that C
        // code has left unanswered is leaked: libfuse frees none with the session, and who has it may not use it. Of the
        // userdata, which may be gone, no use is made (`is_disposing`).
        unsafe { sys::fuse_session_destroy(self.session()) };
        DISPOSING.set(before);
    }
}

impl<F: Filesystem> Outlived for Live<F> {
    fn descriptor(&self) -> c_int {
        // SAFETY: the session lives (invariant).
        unsafe { sys::fuse_session_fd(self.session()) }
    }

    fn while_open(&self, send: &mut dyn FnMut()) -> bool {
        // Recursive: what a reply is made of may send another one.
        let core = self.core.read_recursive();
        if core.is_some() {
            send();
        }
        core.is_some()
    }

    fn run(&self, callback: Box<dyn FnOnce() + Send>) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(callback)) {
            self.panicked("an interrupt callback", payload);
        }
    }

    fn panicked(&self, what: &'static str, payload: Box<dyn Any + Send>) {
        let core = self.core.read_recursive().clone();
        match core {
            Some(core) => core.panicked(&what, payload),
            None => discard(payload),
        }
    }

    fn undo(self: Arc<Self>, undo: Undo) {
        // `destroy` is the last that a file system hears of.
        let Some(core) = self.core.read_recursive().clone() else {
            return;
        };
        if !core.lock.is_held() {
            return core.undo(undo);
        }
        // Whoever sent the reply holds the lock, which the handlers want: they get it on a thread of
        // their own, once it is released.
        let spawned = thread::Builder::new()
            .name("fuse3-undo".to_owned())
            .spawn(move || core.undo(undo));
        if let Err(error) = spawned {
            crate::base::log::error!("what a deferred reply gave out was not taken back: {error}");
        }
    }

    fn lend(&self) -> bool {
        self.lent.begin()
    }

    fn returned(&self) {
        self.lent.end();
    }

    fn not_taken(&self) {
        if let Some(core) = &*self.core.read_recursive() {
            core.counters.not_taken();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::locking::Concurrent;
    use crate::reply::{deferred::Reply, raw::RawReply};
    use crate::session::{handle::Handle, session::Session};

    struct Fs;

    impl Filesystem for Fs {
        type Lock = Concurrent;
    }

    #[test]
    fn what_crosses_threads_may() {
        fn send<T: Send>() {}
        fn sync<T: Sync>() {}
        // `Live` claims it of itself; what it holds has to be so.
        send::<Core<Fs>>();
        sync::<Core<Fs>>();
        send::<Live<Fs>>();
        sync::<Live<Fs>>();
        send::<Session<Fs>>();
        send::<Handle>();
        sync::<Handle>();
        send::<Reply<()>>();
        send::<RawReply<()>>();
    }
}
