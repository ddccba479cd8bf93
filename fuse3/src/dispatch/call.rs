use std::ffi::OsStr;
use std::sync::Weak;

use crate::base::cancel::Uncancelled;
use crate::conn::request::Request;
use crate::dispatch::context::Caller;
use crate::dispatch::core::Core;
use crate::dispatch::report::Reporting;
use crate::dispatch::{context::Context, filesystem::Filesystem};
use crate::lock::locking::{Library, Locking};
use crate::notify::current::Current;
use crate::notify::error::NotifyError;
use crate::reply::answer::{Answer, Unanswered};
use crate::reply::answer::{Asked, Payload};
use crate::reply::deferred::Outlived;
use crate::sys;
use crate::types::{errno::Errno, operation::Operation};

/// A request on its way to its handler. Everything that trampolines have in common is here.
pub(crate) struct Call<'c, F: Filesystem> {
    core: &'c Core<F>,
    request: Request,
    asked: Asked,
    _uncancelled: Uncancelled,
}

impl<'c, F: Filesystem> Call<'c, F> {
    /// # Safety
    ///
    /// libfuse passed `req` to a slot of the table of `F`, and nobody else answers it.
    #[inline]
    pub(crate) unsafe fn take(req: sys::fuse_req_t, asked: Asked) -> Self {
        let uncancelled = Uncancelled::new();
        // SAFETY: the caller promises that libfuse passed `req` to a handler.
        let userdata = unsafe { sys::fuse_req_userdata(req) };
        // SAFETY: the session that has the table of `F` was made with its `Core<F>` as userdata, which outlives its loop.
        let core = unsafe { &*userdata.cast::<Core<F>>() };
        // SAFETY: the caller promises it.
        let request = unsafe { Request::take(req) };
        Self {
            core,
            request,
            asked,
            _uncancelled: uncancelled,
        }
    }

    /// The session, for what may outlive it.
    pub(crate) fn session(&self) -> Weak<dyn Outlived> {
        self.core.session()
    }

    /// Runs the handler with the lock held, and sends what it returns with the lock released.
    ///
    /// When the handler panics, unwinding drops the context and with it the guard. The panic is recorded
    /// before the caller gets its EIO.
    #[inline]
    pub(crate) fn answer<T: Payload>(
        self,
        operation: Operation,
        handler: impl FnOnce(&'c F, &mut Context<'_, F>) -> Answer<T>,
    ) {
        let Self {
            core,
            request,
            asked,
            _uncancelled,
        } = self;
        core.counters.request(operation);
        let _turn = core.turn();
        let _busy = core.busy(operation, asked.ino);
        let mut request = Some(request);
        let mut answer = core.guarded(operation, || {
            let guard = core.lock.enter(operation, Library(())).map_err(|error| {
                // A handler leaked its guard on this worker.
                crate::base::log::error!(
                    "{operation} was not called: {error}; the caller gets EDEADLK"
                );
                Errno::EDEADLK
            })?;
            // Asked with the lock held, so that nobody who waited for it comes after a panic.
            if core.refuses(operation) {
                return Err(Errno::EIO.into());
            }
            let mut cx = Context::new(guard, Caller::default(), &mut request, asked, Some(core));
            let _poisons = core.poisons();
            let _current = Current::enter(core.notifications.id(), operation, asked.ino);
            handler(&core.fs, &mut cx)
        });
        core.guarded(operation, || {
            match (&answer, request) {
                (Some(answer), request) => settle(core, operation, asked, request, answer),
                // Whether the caller takes the EIO or is gone makes no difference.
                (None, Some(request)) => drop(request.err(Errno::EIO)),
                // The handler deferred its answer and then panicked: the deferred one counts.
                (None, None) => {}
            }
            // What the file system answered with is dropped here, where a panic of it is caught.
            answer = None;
        });
    }

    /// `Setxattr` of this name asks for a report, not for its handler.
    pub(crate) fn is_stacktrace(&self, name: &OsStr) -> bool {
        self.core.is_stacktrace(self.asked.ino, name)
    }

    /// Logs the report; the lock is not taken.
    #[cold]
    pub(crate) fn stacktrace(self) {
        self.core.counters.request(Operation::Setxattr);
        crate::base::log::warn!(
            "what the threads of the file system do:\n{}",
            self.core.report()
        );
        // Whether the caller waits for it makes no difference.
        let _ = self.request.ok();
    }

    /// The same for `forget`, which the kernel wants no answer to.
    pub(crate) fn forget(
        self,
        operation: Operation,
        handler: impl FnOnce(&'c F, &mut Context<'_, F>),
    ) {
        let Self {
            core,
            request,
            asked,
            _uncancelled,
        } = self;
        core.counters.request(operation);
        let _turn = core.turn();
        let caller = Caller::of(&request);
        request.none();
        core.call_unanswered(operation, caller, asked, handler);
    }
}

impl<F: Filesystem> Call<'_, F> {
    /// `retrieve_reply`, which no handler is called for, and the kernel wants no answer to.
    pub(crate) fn retrieved(self, ticket: usize, offset: u64, data: Result<Vec<u8>, NotifyError>) {
        let Self {
            core,
            request,
            asked,
            _uncancelled,
        } = self;
        core.counters.request(Operation::RetrieveReply);
        request.none();
        core.notifications
            .retrieved(ticket, asked.ino, offset, data);
    }
}

/// Sends the answer, and takes back what it gave out when the kernel does not take it.
#[inline(always)]
fn settle<F: Filesystem, T: Payload>(
    core: &Core<F>,
    operation: Operation,
    asked: Asked,
    request: Option<Request>,
    answer: &Answer<T>,
) {
    match (answer, request) {
        (Ok(payload), Some(request)) => {
            if payload.send(request, asked).is_err() {
                core.undo(payload.undo(asked));
            }
        }
        // An error that is not taken leaves nothing to undo.
        (Err(Unanswered::Errno(errno)), Some(request)) => drop(request.err(*errno)),
        (Err(Unanswered::Deferred(_)), None) => {}
        (Err(Unanswered::Deferred(_)), Some(_)) => {
            crate::base::log::error!("{operation} returned the deferred answer of another request");
        }
        (Ok(payload), None) => {
            crate::base::log::error!(
                "{operation} both deferred its answer and returned one; the deferred one counts"
            );
            core.undo(payload.undo(asked));
        }
        (Err(Unanswered::Errno(errno)), None) => {
            crate::base::log::error!(
                "{operation} both deferred its answer and returned {errno:?}; the deferred one counts"
            );
        }
    }
}
