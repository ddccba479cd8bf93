//! A request on its way to its handler, and the answer on its way back.

use std::ffi::OsStr;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::base::{cancel::Uncancelled, log};
use crate::conn::{conn::Conn, request::Request};
use crate::dispatch::context::{Context, Duty};
use crate::dispatch::{core::Core, filesystem::Filesystem, report::Reporting};
use crate::lock::error::LockError;
use crate::lock::locking::{Library, Locking};
use crate::notify::{error::NotifyError, retrieve::Retrieved};
use crate::reply::answer::{Answer, Asked, Unanswered};
use crate::reply::deliver::{revoke, send};
use crate::reply::{payload::Payload, writedata::WriteData};
use crate::sys;
use crate::types::{errno::Errno, ino::Ino, operation::Operation};

/// A request on its way to its handler. Everything that trampolines have in common is here.
pub(crate) struct Call<'c, F: Filesystem> {
    core: &'c Core<F>,
    request: Request,
    asked: Asked,
    /// Over io_uring libfuse cancels its threads while they are in handlers; those that read the descriptor it has made
    /// uncancellable before it calls one (`fuse_do_work()`, lib/fuse_loop_mt.c).
    _uncancelled: Option<Uncancelled>,
}

impl<'c, F: Filesystem> Call<'c, F> {
    /// # Safety
    ///
    /// libfuse passed `req` to a slot of the table of `F`, which does not return before `'c` ends, and nobody else answers it.
    #[inline(always)]
    pub(super) unsafe fn take(req: sys::fuse_req_t, asked: Asked) -> Self {
        // SAFETY: the caller promises that libfuse passed `req` to a handler.
        let userdata = unsafe { sys::fuse_req_userdata(req) };
        // SAFETY: a session with the table of `F` is made with a `Core<F>` as its userdata (`Builder::start`), which the
        // `Session` has a share of until it has destroyed the session; so not before `'c` ends (the caller).
        let core = unsafe { &*userdata.cast::<Core<F>>() };
        // SAFETY: the caller promises it.
        let request = unsafe { Request::take(req) };
        let uncancelled = request.is_uring().then(Uncancelled::new);
        Self {
            core,
            request,
            asked,
            _uncancelled: uncancelled,
        }
    }

    /// The session, for what may outlive it.
    pub(crate) fn conn(&self) -> &'c Arc<Conn> {
        self.core.conn()
    }

    /// Runs the handler with the lock held, and sends what it returns with the lock released.
    ///
    /// When the handler panics, unwinding drops the context and with it the guard. The panic is recorded
    /// before the caller gets its EIO.
    #[inline(always)]
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
        let serving = &core.serving;
        let conn = &serving.conn;
        conn.counters().request(operation);
        let mut duty = Duty::Here(request);
        let _turn = serving.turn(operation, asked.ino, &mut duty);
        let run = || {
            let answer = match core.lock.enter(operation, Library(())) {
                Ok(guard) => {
                    let mut cx = Context::new(guard, &mut duty, &asked, Some(core));
                    let enclosed = conn.enclose(F::Lock::IS_LOCK);
                    // Asked with the lock held, so that nobody who waited for it comes after a panic.
                    if enclosed.as_ref().is_some_and(|it| it.poisons) && serving.refuses(operation)
                    {
                        Err(Errno::EIO.into())
                    } else {
                        handler(&core.fs, &mut cx)
                    }
                }
                Err(error) => Err(not_called(operation, error).into()),
            };
            // The context is gone, and with it the lock; so is what the handler was given.
            settle(conn, operation, &asked, &mut duty, &answer);
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
            conn.panicked(&operation, payload);
        }
        match duty {
            Duty::Done | Duty::None(_) => {}
            Duty::Away(ticket, _) => conn.handled(ticket),
            // The handler panicked. Whether the caller takes the EIO or is gone makes no difference.
            Duty::Here(request) => {
                let _ = request.err(Errno::EIO);
            }
        }
    }

    /// The same for an operation during which the kernel keeps these directories locked.
    #[inline(always)]
    pub(crate) fn answer_locked<T: Payload>(
        self,
        operation: Operation,
        directories: [Ino; 2],
        handler: impl FnOnce(&'c F, &mut Context<'_, F>) -> Answer<T>,
    ) {
        self.answer(operation, |fs, cx| {
            let _current = cx.locks(directories);
            handler(fs, cx)
        });
    }

    /// `Setxattr` of this name asks for a report, not for its handler.
    pub(crate) fn is_stacktrace(&self, name: &OsStr) -> bool {
        self.core.serving.is_stacktrace(self.asked.ino, name)
    }

    /// Logs the report; the lock is not taken.
    #[cold]
    pub(crate) fn stacktrace(mut self) {
        self.observe(Operation::Setxattr);
        self.conn().counters().request(Operation::Setxattr);
        log::warn!(
            "what the threads of the file system do:\n{}",
            self.core.report()
        );
        // Whether the caller waits for it makes no difference.
        let _ = self.request.ok();
    }

    /// Observers are told of it, which the library answers by itself.
    fn observe(&mut self, operation: Operation) {
        let (serving, ino) = (&self.core.serving, self.asked.ino);
        serving.observe(operation, ino, &mut self.request);
    }

    /// The same as [`answer`](Self::answer) for `forget`, which the kernel wants no answer to.
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
        core.conn().counters().request(operation);
        let caller = request.caller();
        let mut duty = Duty::Here(request);
        let _turn = core.serving.turn(operation, asked.ino, &mut duty);
        let mut record = None;
        if let Duty::Here(mut request) = duty {
            record = request.take_record();
            request.none(None);
        }
        core.call_unanswered(operation, caller, asked, handler);
        if let Some(mut record) = record {
            if let Some(handled) = record.stop() {
                handled.tell(false);
            }
            record.ended(None, true);
        }
    }

    /// `retrieve_reply`, which no handler is called for, and the kernel wants no answer to.
    pub(crate) fn retrieved(mut self, ticket: usize, offset: u64, mut data: WriteData<'_>) {
        self.observe(Operation::RetrieveReply);
        self.conn().counters().request(Operation::RetrieveReply);
        let retrieved = |data: &[u8]| Retrieved {
            ino: self.asked.ino,
            offset,
            data: data.to_vec(),
        };
        let answer = data.bytes().map(retrieved);
        let answer = answer.map_err(|error| NotifyError::Errno(error.into()));
        self.request.none(None);
        self.core.serving.notifications.answer(ticket, answer);
    }
}

#[cold]
fn not_called(operation: Operation, error: LockError) -> Errno {
    log::error!("{operation} was not called: {error}; the caller gets EDEADLK");
    Errno::EDEADLK
}

/// Sends the answer, unless it was taken away.
#[inline(always)]
fn settle<T: Payload>(
    conn: &Conn,
    operation: Operation,
    asked: &Asked,
    duty: &mut Duty,
    answer: &Answer<T>,
) {
    match mem::replace(duty, Duty::Done) {
        Duty::Here(request) => {
            if let Err(Unanswered::Deferred(_)) = answer {
                log::error!("{operation} returned the deferred answer of another request");
            }
            send(conn, request, asked, answer);
        }
        away => {
            *duty = away;
            if !matches!(answer, Err(Unanswered::Deferred(_))) {
                answered_twice(conn, operation, asked, answer);
            }
        }
    }
}

#[cold]
fn answered_twice<T: Payload>(
    conn: &Conn,
    operation: Operation,
    asked: &Asked,
    answer: &Answer<T>,
) {
    let what = match answer {
        Err(Unanswered::Errno(errno)) => format!("{errno:?}"),
        _ => "one".to_owned(),
    };
    log::error!(
        "{operation} both deferred its answer and returned {what}; the deferred one counts"
    );
    revoke(conn, asked, answer);
}
