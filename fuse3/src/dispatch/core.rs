//! What the handlers of a session share.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::{log, os::spawn};
use crate::conn::conn::{Conn, Host};
use crate::conn::{connection::Connection, daemon::Waiting, options::ConnOptions};
use crate::conn::{panics::Trouble, request::Request, undo::Undo, uring::IoUring};
use crate::dispatch::activity::{Activity, Busy};
use crate::dispatch::context::{Context, Duty, Guard};
use crate::dispatch::report::{Report, Reporting};
use crate::dispatch::{filesystem::Filesystem, turns::Turns};
use crate::lock::locking::{Library, Locking};
use crate::notify::hub::Hub;
use crate::observe::observers::Observers;
use crate::reply::answer::Asked;
#[cfg(feature = "tokio")]
use crate::tasks::in_flight::Tasks;
use crate::types::{caller::Caller, ino::Ino, operation::Operation};

/// What the handlers of one session share: libfuse's `userdata`.
pub(crate) struct Core<F: Filesystem> {
    pub(crate) fs: Arc<F>,
    pub(crate) lock: F::Lock,
    pub(crate) serving: Serving,
}

/// The part that knows nothing of the file system, and is compiled once.
pub(crate) struct Serving {
    pub(crate) conn: Arc<Conn>,
    pub(crate) notifications: Arc<Hub>,
    /// What few sessions have, so that each request looks for all of it in one place.
    extras: Option<Box<Extras>>,
    /// What mount options ask of the connection.
    asked: ConnOptions,
    begun: AtomicBool,
    /// `init` has succeeded.
    initialised: AtomicBool,
    destroyed: AtomicBool,
    /// A bit for each operation that has no handler and has come.
    unhandled: AtomicU64,
    /// The process that went on in the foreground, until the session has begun.
    waiting: Mutex<Option<Waiting>>,
    #[cfg(feature = "tokio")]
    pub(crate) tasks: Arc<Tasks>,
}

/// What a session has for each of its requests, if anything.
struct Extras {
    /// Before libfuse 3.12.
    turns: Option<Turns>,
    /// Which request each worker serves, where it was asked for.
    activity: Option<Activity>,
    observers: Option<Arc<Observers>>,
    /// A report may be asked for by setxattr(2).
    stacktrace: bool,
}

/// A worker serves a request.
pub(crate) struct Serves<'e>(&'e Extras);

impl Extras {
    fn needed(workers: u32, activity: bool, stacktrace: bool, conn: &Conn) -> Option<Box<Self>> {
        let extras = Self {
            turns: Turns::needed(workers),
            activity: activity.then(Activity::default),
            observers: conn.observers.clone(),
            stacktrace,
        };
        let needed =
            extras.turns.is_some() || extras.activity.is_some() || extras.observers.is_some();
        needed.then(|| Box::new(extras))
    }

    #[cold]
    fn turn(&self, operation: Operation, ino: Ino, duty: &mut Duty) -> Serves<'_> {
        if let Some(turns) = &self.turns {
            turns.take();
        }
        if let Some(activity) = &self.activity {
            activity.begin(operation, ino);
        }
        if let Duty::Here(request) = duty {
            self.observe(operation, ino, request);
        }
        Serves(self)
    }

    fn observe(&self, operation: Operation, ino: Ino, request: &mut Request) {
        if let Some(observers) = &self.observers {
            let record = observers.begin(operation, ino, request.caller());
            request.observe(record);
        }
    }

    #[cold]
    fn end(&self) {
        if let Some(activity) = &self.activity {
            activity.end();
        }
        if let Some(turns) = &self.turns {
            turns.give();
        }
    }
}

impl Drop for Serves<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Serving {
    pub(crate) fn new(
        conn: Arc<Conn>,
        notifications: Arc<Hub>,
        workers: u32,
        activity: bool,
        stacktrace: bool,
        asked: ConnOptions,
    ) -> Self {
        Self {
            extras: Extras::needed(workers, activity, stacktrace, &conn),
            conn,
            notifications,
            asked,
            begun: AtomicBool::new(false),
            initialised: AtomicBool::new(false),
            destroyed: AtomicBool::new(false),
            unhandled: AtomicU64::new(0),
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
    /// Where they are another process's by now, they are not waited for.
    pub(crate) fn finish_tasks(&self, are_left: bool) {
        #[cfg(feature = "tokio")]
        self.tasks.finish(are_left);
        #[cfg(not(feature = "tokio"))]
        let _ = are_left;
    }

    /// How long the end waits for what is in flight; `None` for as long as it takes.
    fn patience(&self) -> Option<Duration> {
        #[cfg(feature = "tokio")]
        return self.tasks.patience();
        #[cfg(not(feature = "tokio"))]
        None
    }

    /// Waits until a handler may run, where libfuse has not seen to that. While the result lives, which is to be kept until it is
    /// answered, a [`Report`] tells that the thread serves this request. Observers are told that it has begun.
    #[inline(always)]
    pub(crate) fn turn(
        &self,
        operation: Operation,
        ino: Ino,
        duty: &mut Duty,
    ) -> Option<Serves<'_>> {
        let extras = self.extras.as_ref()?;
        Some(extras.turn(operation, ino, duty))
    }

    /// Observers are told that a request has begun that the library answers by itself.
    pub(crate) fn observe(&self, operation: Operation, ino: Ino, request: &mut Request) {
        if let Some(extras) = &self.extras {
            extras.observe(operation, ino, request);
        }
    }

    /// The calling thread is about to call a handler outside of a request that is observed.
    fn worker(&self) {
        if let Some(observers) = &self.conn.observers {
            observers.worker();
        }
    }

    /// The same, of what the library calls by itself.
    fn busy(&self, operation: Operation, ino: Ino) -> Option<Busy<'_>> {
        Some(self.activity()?.busy(operation, ino))
    }

    fn activity(&self) -> Option<&Activity> {
        self.extras.as_ref()?.activity.as_ref()
    }

    /// setxattr(2) of this name on this inode asks for a [`Report`].
    pub(crate) fn is_stacktrace(&self, ino: Ino, name: &OsStr) -> bool {
        let asked_for = self.extras.as_ref().is_some_and(|extras| extras.stacktrace);
        asked_for && ino == Ino::ROOT && name == "fuse_stacktrace"
    }

    /// The handler is not called: the state may be broken. The kernel gives back what it has all the same.
    #[inline(always)]
    pub(crate) fn refuses(&self, operation: Operation) -> bool {
        self.conn.is_poisoned() && !matches!(operation, Operation::Release | Operation::Releasedir)
    }

    /// It has no handler, and comes for the first time.
    pub(super) fn is_first_unhandled(&self, operation: Operation) -> bool {
        const { assert!(Operation::ALL.len() <= 64) };
        let bit = 1 << operation as u64;
        self.unhandled.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// `init` is about to be called.
    fn begins(&self) {
        self.conn.counters().called(Operation::Init);
        self.begun.store(true, Ordering::SeqCst);
    }

    /// `init` has returned this, or panicked.
    fn has_begun(&self, result: Option<io::Result<()>>, connection: &Connection<'_>) -> bool {
        let succeeded = matches!(result, Some(Ok(())));
        self.initialised.store(succeeded, Ordering::SeqCst);
        if let Some(Err(error)) = result {
            log::error!("init failed: {error}");
            self.conn.trouble(Trouble::Init(error));
        }
        for operation in Operation::ALL {
            if let Err(lacking) = connection.delivers(*operation) {
                log::debug!("not called in this session: {lacking}");
            }
        }
        self.conn.set_minor(connection.protocol().1);
        self.notifications.ready();
        succeeded
    }

    /// It is to be served over io_uring or not at all.
    pub(crate) fn needs_io_uring(&self) -> bool {
        self.asked.io_uring() == IoUring::On
    }

    /// The process that waits in the foreground is to end once the session has begun.
    pub(crate) fn release_when_begun(&self, waiting: Waiting) {
        *self.waiting.lock() = Some(waiting);
    }

    /// The session has begun.
    pub(crate) fn release(&self) {
        if self.conn.reason() != 0 {
            // One that is to end as soon as it begins is not taken for mounted.
            return;
        }
        let released = self.waiting.lock().take().map_or(Ok(()), Waiting::release);
        if let Err(error) = released {
            log::warn!("the process in the foreground was not told of success: {error}");
        }
    }
}

impl<F: Filesystem> Core<F> {
    pub(crate) fn conn(&self) -> &Arc<Conn> {
        &self.serving.conn
    }

    /// Calls `init`, and returns whether it succeeded.
    pub(crate) fn begin(&self, connection: &mut Connection<'_>) -> bool {
        self.serving.begins();
        let result = self.conn().guarded(&Operation::Init, || {
            let guard = self.lock.enter(Operation::Init, Library(()));
            let mut guard = guard.map_err(io::Error::other)?;
            self.fs.init(&mut guard, connection)?;
            self.serving.asked.apply(connection)
        });
        self.serving.has_begun(result, connection)
    }

    /// CUSE's INIT has been answered: the device exists. Nobody hears of it when `init` has failed.
    pub(crate) fn device_is_there(&self) {
        if !self.serving.initialised.load(Ordering::SeqCst) {
            return;
        }
        let call = |mut guard| self.fs.init_done(&mut guard);
        self.locked(Operation::Init, &"init_done", call);
        self.serving.release();
    }

    /// Calls `destroy`, once, and only after `init`.
    pub(crate) fn destroy(&self) {
        let has_begun = self.serving.begun.load(Ordering::SeqCst);
        if !has_begun || self.serving.destroyed.swap(true, Ordering::SeqCst) {
            return;
        }
        self.conn().counters().called(Operation::Destroy);
        let call = |mut guard| self.fs.destroy(&mut guard);
        self.locked(Operation::Destroy, &"destroy", call);
    }

    /// Calls the file system with the lock held. `what` is called, for the log.
    fn locked<'c>(
        &'c self,
        operation: Operation,
        what: &dyn fmt::Display,
        call: impl FnOnce(Guard<'c, F>),
    ) {
        self.conn().guarded(&operation, || {
            match self.lock.enter(operation, Library(())) {
                Ok(guard) => call(guard),
                Err(error) => log::error!("{what} was not called: {error}"),
            }
        });
    }

    /// The last of all: what the lock has for handlers ends.
    pub(crate) fn stop(&self) {
        self.lock.stop(self.serving.patience(), Library(()));
    }

    /// Takes back what an answer gave out that the kernel did not take.
    fn take_back(&self, undo: Undo) {
        let Undo { is_directory, .. } = undo;
        if let Some((ino, file)) = undo.release {
            let operation = match is_directory {
                true => Operation::Releasedir,
                false => Operation::Release,
            };
            self.take_back_by(operation, ino, |fs, cx| {
                // Nobody waits for the result of a release.
                drop(match is_directory {
                    true => fs.releasedir(cx, ino, &file),
                    false => fs.release(cx, ino, &file),
                });
            });
        }
        for ino in undo.forget {
            self.take_back_by(Operation::Forget, ino, |fs, cx| fs.forget(cx, ino, 1));
        }
    }

    fn take_back_by(
        &self,
        operation: Operation,
        ino: Ino,
        call: impl FnOnce(&F, &mut Context<'_, F>),
    ) {
        self.call_unanswered(operation, Caller::NOBODY, Asked::of(ino), |fs, cx| {
            // `destroy` is the last that a file system hears of.
            if !self.serving.destroyed.load(Ordering::SeqCst) {
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
        let mut duty = Duty::None(caller);
        let _busy = self.serving.busy(operation, asked.ino);
        let run = |guard| {
            let mut cx = Context::new(guard, &mut duty, &asked, Some(self));
            let _enclosed = self.conn().enclose(F::Lock::IS_LOCK);
            call(&self.fs, &mut cx);
        };
        // Not in a variable: with Rust before 1.89, what `format_args!` has lives for one statement.
        self.locked(
            operation,
            &format_args!("{operation} of inode {}", asked.ino),
            run,
        );
    }
}

impl<F: Filesystem> Host for Core<F> {
    fn holds_lock(&self) -> bool {
        self.lock.is_held()
    }

    fn is_settled(&self) -> bool {
        self.conn().counters().settled()
    }

    fn undo(self: Arc<Self>, undo: Undo) {
        if !self.lock.is_held() {
            return self.take_back(undo);
        }
        // Whoever sent the answer holds the lock, which the handlers want: they get it on a thread of their own, once it is
        // released.
        let spawned = spawn("fuse3-undo", move || {
            self.serving.worker();
            self.take_back(undo);
        });
        if let Err(error) = spawned {
            log::error!("what a deferred reply gave out was not taken back: {error}");
        }
    }
}

impl<F: Filesystem> Reporting for Core<F> {
    fn report(&self) -> Report {
        Report::new(self.serving.activity(), self.lock.stats())
    }
}
