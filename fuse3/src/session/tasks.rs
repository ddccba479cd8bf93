use std::time::Duration;

use tokio::runtime::Handle;

use crate::dispatch::filesystem::Filesystem;
use crate::session::builder::Builder;

/// The options of futures. With the feature `tokio`.
impl<F: Filesystem> Builder<F> {
    /// What runs the futures of [`Context::spawn`](crate::Context::spawn): a runtime of the program's, `Handle::current()` inside
    /// of it.
    ///
    /// Unless it is set, the session has its own, with a thread for each processor. It is made when the first future is
    /// spawned, so that there is none in a session that spawns nothing, and none before [`run`](crate::Session::run); `run` ends it
    /// before it returns. It is never found out which runtime the program is in: a session that ran on one by chance
    /// would stand still when that is blocked.
    ///
    /// `run` blocks its thread, which must not be one that the runtime runs futures with:
    ///
    /// ```no_run
    /// # use fuse3::{Concurrent, Filesystem, Session};
    /// # struct Fs;
    /// # impl Filesystem for Fs { type Lock = Concurrent; }
    /// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    /// let session = Session::builder(Fs, Concurrent)
    ///     .runtime(tokio::runtime::Handle::current())
    ///     .mount("/mnt")?;
    /// let end = tokio::task::spawn_blocking(|| session.run()).await??;
    /// # Ok(()) }
    /// ```
    ///
    /// Nor do [`Session::close`](crate::Session::close) after `serve`, or a drop, belong there: both wait for futures. With a
    /// single-threaded runtime, which that would stop for ever, `run` panics there, and `close` if futures are in flight; a
    /// session that is dropped there then ends in the background, when they have. A process that returns from `main` before that
    /// leaves a dead mount: keep it alive, or `close` on `spawn_blocking`.
    ///
    /// A runtime that ends before the session does drops the futures, whose requests are answered with EIO.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.tasks.runtime = Some(runtime);
        self
    }

    /// pyfuse3's `max_tasks`: how many futures may be in flight at once, at least 1. No limit unless set.
    ///
    /// At the limit [`Context::spawn`](crate::Context::spawn) waits for one to end: with the lock released, and on its worker,
    /// so that, once all [`workers`](Self::workers) wait, further requests wait in the kernel. Interrupts do so, too, then: futures at
    /// the limit that wait for further requests to come, as a file lock does for the unlock, may wait for ever. This is why
    /// there is none unless set; pyfuse3's is 99. There are never more futures than the kernel has requests on their way:
    /// one for each thread that waits for an answer, and those in the
    /// [background](crate::Connection::set_max_background).
    ///
    /// When the session ends, those that wait are let in.
    ///
    /// pyfuse3's `min_tasks` has no equivalent: there is nothing to keep ready. Workers stay unless
    /// [`max_idle_workers`](Self::max_idle_workers) says otherwise.
    pub fn max_tasks(mut self, tasks: impl Into<Option<usize>>) -> Self {
        self.tasks.most = tasks.into().map(|most| most.max(1));
        self
    }

    /// How long [`Session::run`](crate::Session::run) waits for futures in flight when the session ends. As for handlers, for ever unless set.
    ///
    /// The futures that are still there then are dropped, and their callers get ECONNABORTED, which is what the kernel
    /// answers to waiting clients when a session ends. A future that does not return from `poll` is left behind after another
    /// second, as is a closure of [`unblock`](crate::tasks::unblock).
    ///
    /// While `run` waits for futures, no requests are read any more.
    pub fn task_patience(mut self, patience: impl Into<Option<Duration>>) -> Self {
        self.tasks.patience = patience.into();
        self
    }
}
