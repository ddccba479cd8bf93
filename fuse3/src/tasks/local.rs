use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

use crate::base::{log, os::spawn, panic::discard};
use crate::lock::error::LockError;
use crate::lock::locking::{Concurrent, Library, Locking, NoLock};
use crate::types::operation::Operation;

/// pyfuse3's style: one thread runs all futures, so that what stands between two awaits is never interrupted by another of
/// them. With the feature `tokio`; a [`Filesystem::Lock`](crate::Filesystem::Lock).
///
/// The state is made on that thread and never leaves it: neither it nor the futures need be [`Send`], and no lock guards it.
/// Handlers still run on libfuse's workers, in parallel; each answers by [`spawn_local`](crate::Context::spawn_local), or asks for
/// something by [`call`](Self::call), for there is no other way to the state.
///
/// ```
/// use fuse3::{Answer, Attr, Context, Errno, FileInfo, Filesystem, Ino};
/// use fuse3::tasks::Local;
/// use std::collections::HashMap;
/// use std::{rc::Rc, time::Duration};
///
/// struct Cache;
///
/// #[derive(Default)]
/// struct State {
///     sizes: HashMap<Ino, Rc<u64>>, // an `Rc` is fine
///     asked: u64,
/// }
///
/// impl Filesystem for Cache {
///     type Lock = Local<State>;
///
///     fn getattr(
///         &self, cx: &mut Context<'_, Self>, ino: Ino, _: Option<&FileInfo>,
///     ) -> Answer<(Attr, Duration)> {
///         cx.spawn_local(move |_fs, mut state| async move {
///             let size = state.with(|it| {
///                 it.asked += 1;
///                 it.sizes.get(&ino).cloned().ok_or(Errno::ENOENT)
///             })?;
///             tokio::task::yield_now().await; // here, and only here, other futures run
///             Ok((Attr { size: *size, ..Attr::new(ino, libc::S_IFREG | 0o444) }, Duration::ZERO))
///         })
///     }
///
///     fn forget(&self, cx: &mut Context<'_, Self>, ino: Ino, _: u64) {
///         // Nobody waits for an answer, and the thread is there while handlers run.
///         let _ = cx.call(move |state| drop(state.sizes.remove(&ino)));
///     }
/// }
///
/// # let _ =
/// fuse3::Session::builder(Cache, Local::new(State::default));
/// ```
///
/// The thread begins with [`Session::run`](crate::Session::run), and it ends, and the state is dropped there, after
/// [`destroy`](crate::Filesystem::destroy). What blocks it blocks every request: blocking work is for [`unblock`](crate::tasks::unblock).
///
/// Why the state is a type of its own, rather than `Rc`s and `RefCell`s in the file system: `&self` is shared with libfuse's
/// workers. And [`with`](LocalState::with) takes a closure, so that a reference into the state cannot be kept across an await,
/// when others change it: a `RefCell` would tell at run time only, with a panic.
pub struct Local<S: 'static>(Arc<Mutex<Phase<S>>>);

/// What is done on the thread.
type Job<S> = Box<dyn FnOnce(&LocalState<S>) + Send>;

enum Phase<S: 'static> {
    Before(Box<dyn FnOnce() -> S + Send>),
    Running(Running<S>),
    After,
}

struct Running<S: 'static> {
    jobs: UnboundedSender<Job<S>>,
    thread: JoinHandle<()>,
    /// Says whether the thread has started. Disconnected when it is about to end.
    life: Receiver<io::Result<()>>,
}

/// The state of a [`Local`] file system, on its thread: what its futures are given.
///
/// It is not [`Send`]. Futures that run side by side have a clone each, of the same state.
pub struct LocalState<S>(Rc<RefCell<S>>);

/// Why the thread of a [`Local`] was not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalError {
    /// The session does not run yet, or any more.
    NotRunning,
    /// The caller is that thread: it would wait for itself for ever.
    SameThread,
}

impl<S: 'static> Local<S> {
    /// The state is what `make` returns, which is called on the session's thread when the session is
    /// [run](crate::Session::run).
    pub fn new(make: impl FnOnce() -> S + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Phase::Before(Box::new(make)))))
    }

    /// Runs `f` on the thread, between two awaits of its futures, and waits for what it returns: trio's
    /// `from_thread.run_sync`.
    ///
    /// From any other thread, handlers included. A panic of `f` is resumed here.
    ///
    /// # Errors
    ///
    /// Each [`LocalError`], at once. On the thread itself it is [`LocalState::with`].
    pub fn call<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut S) -> R + Send + 'static,
    ) -> Result<R, LocalError> {
        if self.is_held() {
            return Err(LocalError::SameThread);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        self.post(Box::new(move |state| {
            let result = catch_unwind(AssertUnwindSafe(|| state.clone().with(f)));
            // Whoever asked waits.
            let _ = sender.send(result);
        }));
        match receiver.recv() {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(payload)) => resume_unwind(payload),
            Err(_) => Err(LocalError::NotRunning),
        }
    }

    /// [`GlobalLock::unlocked`](crate::GlobalLock::unlocked), of a lock that there is not: for notifications that wait.
    ///
    /// On the thread itself they refuse with [`NotifyError::Deadlock`](crate::notify::NotifyError::Deadlock), since the kernel may wait for a future of it.
    pub fn unlocked<R>(&self, f: impl FnOnce(&mut NoLock) -> R) -> R {
        Concurrent.unlocked(f)
    }

    /// Has the thread do it. Where there is none, `job` is dropped.
    pub(crate) fn post(&self, job: Job<S>) {
        let jobs = match &*self.0.lock() {
            Phase::Running(running) => Some(running.jobs.clone()),
            Phase::Before(_) | Phase::After => None,
        };
        // What could not be sent is dropped with the lock released; what it was to answer then says EIO.
        drop(jobs.map(|jobs| jobs.send(job)));
    }
}

impl<S: 'static> Running<S> {
    fn start(make: Box<dyn FnOnce() -> S + Send>) -> io::Result<Self> {
        let (alive, life) = mpsc::channel();
        let (jobs, mut posted) = unbounded_channel::<Job<S>>();
        let thread = spawn("fuse3-local", move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                // Whoever started it waits.
                Err(error) => return drop(alive.send(Err(error))),
            };
            let state = LocalState(Rc::new(RefCell::new(make())));
            // The same.
            let _ = alive.send(Ok(()));
            let futures = LocalSet::new();
            futures.block_on(&runtime, async {
                while let Some(job) = posted.recv().await {
                    job(&state);
                }
            });
            // Futures that nobody waits for go before the state, and before what runs them.
            drop(futures);
            drop(state);
        })?;
        match life.recv() {
            Ok(Ok(())) => Ok(Self { jobs, thread, life }),
            Ok(Err(error)) => Err(error),
            // It ends without a word only by a panic.
            Err(_) => resume_unwind(thread.join().expect_err("the thread for futures panicked")),
        }
    }

    fn is_this_thread(&self) -> bool {
        self.thread.thread().id() == thread::current().id()
    }

    /// Ends the thread, and waits for it; with `patience`, not longer.
    fn stop(self, patience: Option<Duration>) {
        if self.is_this_thread() {
            return;
        }
        drop(self.jobs);
        let is_ending = |patience| {
            let ending = self.life.recv_timeout(patience);
            matches!(ending, Err(RecvTimeoutError::Disconnected))
        };
        if !patience.is_none_or(is_ending) {
            log::error!("the thread for futures does not end, and is left behind");
        } else if let Err(payload) = self.thread.join() {
            log::error!("a destructor panicked on the thread for futures");
            discard(payload);
        }
    }
}

impl<S> LocalState<S> {
    /// Runs `f` on the state: no other future runs meanwhile.
    ///
    /// # Panics
    ///
    /// Inside of another `with` of the same state, by a clone.
    #[track_caller]
    pub fn with<R>(&mut self, f: impl FnOnce(&mut S) -> R) -> R {
        match self.0.try_borrow_mut() {
            Ok(mut state) => f(&mut state),
            Err(_) => panic!("LocalState::with was called inside of another one"),
        }
    }
}

impl<S> Clone for LocalState<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<S> fmt::Debug for LocalState<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalState").finish_non_exhaustive()
    }
}

impl<S: 'static> Clone for Local<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: 'static> fmt::Debug for Local<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &*self.0.lock() {
            Phase::Before(_) => "before the session runs",
            Phase::Running(_) => "running",
            Phase::After => "after the session",
        };
        f.debug_tuple("Local").field(&phase).finish()
    }
}

impl<S: 'static> Locking for Local<S> {
    type Guard<'a> = &'a Self;

    fn enter(&self, _operation: Operation, _by: Library) -> Result<&Self, LockError> {
        Ok(self)
    }

    /// It is the thread that every request waits for.
    fn is_held(&self) -> bool {
        matches!(&*self.0.lock(), Phase::Running(running) if running.is_this_thread())
    }

    fn start(&self, _by: Library) -> io::Result<()> {
        let mut phase = self.0.lock();
        match mem::replace(&mut *phase, Phase::After) {
            Phase::Before(make) => {
                drop(phase);
                let running = Running::start(make)?;
                *self.0.lock() = Phase::Running(running);
                Ok(())
            }
            other => {
                *phase = other;
                Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "this `Local` is another session's, which runs or has run",
                ))
            }
        }
    }

    fn stop(&self, patience: Option<Duration>, _by: Library) {
        let before = mem::replace(&mut *self.0.lock(), Phase::After);
        if let Phase::Running(running) = before {
            running.stop(patience);
        }
    }
}

impl fmt::Display for LocalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRunning => "the session does not run",
            Self::SameThread => {
                "this is the thread of the futures: they have the state as `LocalState`"
            }
        })
    }
}

impl Error for LocalError {}
