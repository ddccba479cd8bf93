use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::base::log;
use crate::dispatch::{context::Context, core::Core, filesystem::Filesystem};
use crate::reply::deferred::{Deferred, Reply};
use crate::reply::{answer::Answer, payload::Payload};
use crate::tasks::in_flight::{Place, Room};
use crate::tasks::local::{Local, LocalState};
use crate::tasks::task::Task;
use crate::types::errno::Errno;

impl<'a, F: Filesystem> Context<'a, F> {
    /// Answers by a future: pyfuse3's `async def` handlers. With the feature `tokio`.
    ///
    /// `f` is called at once, and given the file system; the future that it makes runs on the
    /// [runtime](crate::Builder::runtime) of the session. What is returned here is what the handler returns:
    ///
    /// ```
    /// # use fuse3::{Answer, Attr, Concurrent, Context, Entry, Errno, FileInfo, Filesystem, Ino};
    /// # use std::ffi::{OsStr, OsString};
    /// # use std::{sync::Arc, time::Duration};
    /// # struct CloudFs;
    /// # impl CloudFs {
    /// #     async fn ask(&self, _: Ino, _: OsString) -> std::io::Result<Attr> { unimplemented!() }
    /// #     async fn fetch(&self, _: Ino) -> Answer<(Attr, Duration)> { unimplemented!() }
    /// # }
    /// impl Filesystem for CloudFs {
    ///     type Lock = Concurrent;
    ///
    ///     fn getattr(
    ///         &self, cx: &mut Context<'_, Self>, ino: Ino, _: Option<&FileInfo>,
    ///     ) -> Answer<(Attr, Duration)> {
    ///         cx.spawn(|fs: Arc<Self>| async move { fs.fetch(ino).await })
    ///     }
    ///
    ///     fn lookup(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<Entry> {
    ///         let name = name.to_owned(); // a future keeps nothing that is borrowed
    ///         cx.spawn(move |fs: Arc<Self>| async move {
    ///             let attr = fs.ask(parent, name).await?; // an `io::Error` or `Errno` is the answer
    ///             Ok(Entry::new(attr, Duration::from_secs(1)))
    ///         })
    ///     }
    /// }
    /// ```
    ///
    /// [`ReadBuf`](crate::ReadBuf) and [`DirBuf`](crate::DirBuf) are owned, and go into the future; the answer of a read then owns its data, too
    /// ([`copy_from`](crate::ReadBuf::copy_from), [`share`](crate::ReadBuf::share)).
    ///
    /// - When the caller gets a signal that [counts](crate::session::Interruption), one that ends it unless set otherwise, the future is
    ///   dropped at the await where it is, and the caller gets EINTR.
    /// - A panic answers EIO and counts as one of a handler: [`OnPanic`](crate::session::OnPanic).
    /// - At the end of a session, futures in flight are waited for and answered, as handlers are; see
    ///   [`task_patience`](crate::Builder::task_patience). While a session is [stopped](crate::Session::serve), they go on and answer.
    /// - At the limit of [`max_tasks`](crate::Builder::max_tasks) this waits, with the lock released.
    /// - Blocking work wants [`unblock`](crate::tasks::unblock); other futures that go beside this one, `tokio::spawn`.
    ///
    /// # The global lock
    ///
    /// A future runs without it, and may take it between awaits by `fs.lock.lock()`, where the file system has a share of
    /// the lock. [`Locked`](crate::Locked) is not [`Send`], so that it is a compile error to hold it across an await. Taking it waits on a
    /// thread of the runtime for whoever holds it: where handlers hold it for long, do it inside of
    /// [`unblock`](crate::tasks::unblock).
    ///
    /// # Errors
    ///
    /// That the answer comes later ([`Unanswered::Deferred`](crate::reply::Unanswered::Deferred)). EINTR when the caller was interrupted while this waited
    /// at the limit; what the system said, as EAGAIN, when the session's own runtime could not be made; ENOTCONN after the
    /// end of the session.
    ///
    /// # Panics
    ///
    /// As [`defer`](Self::defer).
    pub fn spawn<T, Fut>(&mut self, f: impl FnOnce(Arc<F>) -> Fut) -> Answer<T>
    where
        T: Payload + 'static,
        Fut: Future<Output = Answer<T>> + Send + 'static,
    {
        let core = self.session_core();
        let future = f(Arc::clone(&core.fs));
        let place = self.place()?;
        let no_runtime =
            |error: &io::Error| log::error!("there is no runtime for futures: {error}");
        let runtime = core.serving.tasks.runtime().inspect_err(no_runtime)?;
        let (reply, deferred) = self.defer_for(&place);
        runtime.spawn(Task::new(future, Some(reply), core.conn(), place));
        Err(deferred.into())
    }

    /// Runs a future that answers nothing: of [`forget`](Filesystem::forget), and of what goes on after the answer.
    ///
    /// As [`spawn`](Self::spawn), but that nobody interrupts it. A future that cannot be run is logged, and dropped.
    ///
    /// # Panics
    ///
    /// Outside of a session.
    pub fn background<Fut>(&mut self, f: impl FnOnce(Arc<F>) -> Fut)
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        let core = self.session_core();
        let future = f(Arc::clone(&core.fs));
        let future = async move {
            future.await;
            Ok(())
        };
        // A runtime is made only while there is a place: after the end nobody would shut it down.
        let spawned = self.place().and_then(|place| {
            let runtime = core.serving.tasks.runtime()?;
            runtime.spawn(Task::<(), _>::new(future, None, core.conn(), place));
            Ok(())
        });
        if let Err(errno) = spawned {
            log::error!("a future in the background was not run: {errno}");
        }
    }

    /// The session, without a borrow of the context.
    fn session_core(&self) -> &'a Core<F> {
        self.core.expect("a session lives while its handlers run")
    }

    /// A place for a future, waited for at the limit.
    fn place(&mut self) -> Result<Place, Errno> {
        let core = self.session_core();
        let tasks = &core.serving.tasks;
        // The end waits for this handler, and has patience with futures only.
        let enter = || tasks.enter(|| core.conn().is_over());
        let mut room = enter();
        while let Room::Full = room {
            self.wait_watched(None, &tasks.room, Some(LOOK), |_| {
                room = enter();
                matches!(room, Room::Full)
            })?;
        }
        match room {
            Room::Free(place) => Ok(place),
            Room::Full | Room::Closed => Err(Errno::ENOTCONN),
        }
    }

    /// Takes the answer away; an interrupt drops the future at `place`.
    fn defer_for<T: Payload + 'static>(&mut self, place: &Place) -> (Reply<T>, Deferred<T>) {
        let (mut reply, deferred) = self.defer();
        let cancel = Arc::clone(&place.cancel);
        reply.on_interrupt(move || cancel.cancel(Errno::EINTR));
        // One that has come before starts no thread that might be late.
        if reply.is_told() {
            place.cancel.cancel(Errno::EINTR);
        }
        (reply, deferred)
    }
}

impl<F: Filesystem<Lock = Local<S>>, S: 'static> Context<'_, F> {
    /// Answers by a future on the session's own thread, which need not be [`Send`]: see [`Local`].
    ///
    /// `f` is called there, and given the state besides. Everything else is as with [`spawn`](Self::spawn), so are the errors.
    ///
    /// # Panics
    ///
    /// As [`defer`](Self::defer).
    pub fn spawn_local<T, Fut>(
        &mut self,
        f: impl FnOnce(Arc<F>, LocalState<S>) -> Fut + Send + 'static,
    ) -> Answer<T>
    where
        T: Payload + 'static,
        Fut: Future<Output = Answer<T>> + 'static,
    {
        let core = self.session_core();
        let place = self.place()?;
        let (reply, deferred) = self.defer_for(&place);
        let conn = Arc::clone(core.conn());
        let fs = Arc::clone(&core.fs);
        core.lock.post(Box::new(move |state| {
            let state = state.clone();
            // `f` is called inside of the future, where a panic of it is caught.
            let future = async move { f(fs, state).await };
            tokio::task::spawn_local(Task::new(future, Some(reply), &conn, place));
        }));
        Err(deferred.into())
    }
}

/// How often a handler at the limit looks whether the session ends, which nobody can tell it: a signal handler does not
/// wake threads.
const LOOK: Duration = Duration::from_millis(20);
