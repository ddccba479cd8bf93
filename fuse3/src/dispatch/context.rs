//! What a handler is given: who asks, what is held, and how the answer is taken away.
//!
//! [`Context`] is the first argument of each handler. It derefs to the [`Guard`] of the lock. [`Caller`] is who asks, and
//! [`SecurityContext`] what the kernel wants a new inode to have for SELinux and its like.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::io::ErrorKind::{NotConnected, PermissionDenied, Unsupported};
use std::ops::{Deref, DerefMut};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::pin::pin;
use std::ptr::NonNull;
use std::sync::{Arc, Once};
use std::task::{self, Poll, Waker};
use std::time::Duration;

use crate::base::{log, panic::discard};
use crate::conn::interrupt::Interrupts;
use crate::conn::{conn::Conn, interruption::Interruption, pending::Ticket};
use crate::conn::{request::Request, resent};
use crate::dispatch::{core::Core, filesystem::Filesystem};
use crate::lock::clock::Deadline;
use crate::lock::condvar::{Condvar, Woken};
use crate::lock::locking::{Concurrent, Library, Locking};
use crate::lock::proof::{self, NotHolding};
use crate::lock::sleeper::{Sleeper, Waking};
use crate::notify::current::Current;
use crate::reply::answer::{Answer, Asked};
use crate::reply::deferred::{Deferred, Reply};
use crate::reply::{passthrough::BackingId, payload::Payload};
use crate::sys;
use crate::types::{capabilities::Capabilities, errno::Errno, ino::Ino};
use crate::types::{operation::Operation, setting::SettingError};

pub use crate::types::caller::{Caller, SecurityContext};

/// What the lock of the file system `F` gives a handler: [`Locked`](crate::Locked), or [`NoLock`](crate::lock::NoLock).
pub type Guard<'a, F> = <<F as Filesystem>::Lock as Locking>::Guard<'a>;

/// `struct fuse_ctx`, llfuse's `RequestContext`: who asks, and what the handler holds meanwhile.
///
/// It derefs to the [guard](Guard), and through it to the state under the global lock.
pub struct Context<'a, F: Filesystem> {
    guard: Guard<'a, F>,
    /// It is the caller's, so that a handler that panics does not take it along.
    duty: &'a mut Duty,
    asked: &'a Asked,
    /// `None` in a test of a handler.
    pub(super) core: Option<&'a Core<F>>,
}

/// The duty to answer.
pub(crate) enum Duty {
    /// The handler's.
    Here(Request),
    /// It was taken away from the handler of a request of this caller.
    Away(Ticket, Caller),
    /// There is none: of `forget`, and where the library takes something back.
    None(Caller),
    /// The request is answered.
    Done,
}

impl<'a, F: Filesystem> Context<'a, F> {
    pub(crate) fn new(
        guard: Guard<'a, F>,
        duty: &'a mut Duty,
        asked: &'a Asked,
        core: Option<&'a Core<F>>,
    ) -> Self {
        Self {
            guard,
            duty,
            asked,
            core,
        }
    }

    fn request(&self) -> Option<&Request> {
        match &*self.duty {
            Duty::Here(request) => Some(request),
            Duty::Away(..) | Duty::None(_) | Duty::Done => None,
        }
    }

    fn living_request(&self) -> io::Result<&Request> {
        let gone = || io::Error::from_raw_os_error(libc::ESRCH);
        self.request().ok_or_else(gone)
    }

    /// The answer of a handler that the file system does not have. The log says so, the first time in a session, and louder if
    /// `init` has asked for what the kernel sends it for.
    #[cold]
    pub(super) fn unhandled<T>(&self, operation: Operation) -> Answer<T> {
        if self
            .core
            .is_some_and(|core| core.serving.is_first_unhandled(operation))
        {
            let duty = match operation {
                Operation::Getlk | Operation::Setlk => Capabilities::POSIX_LOCKS,
                Operation::Flock => Capabilities::FLOCK_LOCKS,
                Operation::Getxattr | Operation::Setxattr => Capabilities::POSIX_ACL,
                _ => Capabilities::empty(),
            };
            let why = "is answered ENOSYS: the file system has no handler for it";
            if !duty.is_empty() && self.has(duty) {
                log::warn!("{operation} {why}, though init asked for {duty:?}");
            } else {
                log::debug!("{operation} {why}");
            }
        }
        Err(Errno::ENOSYS.into())
    }

    /// Whether `init` has asked for it, and it was there. Not in a test of a handler.
    pub(crate) fn has(&self, capability: Capabilities) -> bool {
        let agreement = self.core.and_then(|core| core.conn().agreement());
        agreement.is_some_and(|agreement| agreement.granted.contains(capability))
    }

    /// While the result lives, notifications that the kernel would have wait for this request are refused: it keeps these
    /// directories locked.
    pub(super) fn locks(&self, directories: [Ino; 2]) -> Option<Current> {
        self.core
            .map(|core| Current::enter(core.conn(), directories))
    }

    /// Logs, once, that the file system serves an attribute of this name and nobody checks permissions by it.
    pub(super) fn check_acl<T>(&self, name: &OsStr, answer: Answer<T>) -> Answer<T> {
        static TOLD: Once = Once::new();
        let is_acl = name.as_bytes().starts_with(b"system.posix_acl_");
        if is_acl && answer.is_ok() && !self.has(Capabilities::POSIX_ACL) {
            TOLD.call_once(|| {
                log::warn!(
                    "{name:?} is served without POSIX_ACL: the kernel does not check permissions by it; ask for \
                     Capabilities::POSIX_ACL in init, or answer ENOTSUP"
                );
            });
        }
        answer
    }

    /// Who asks; [`Caller::NOBODY`] when the library takes something back by itself.
    pub fn caller(&self) -> Caller {
        match &*self.duty {
            Duty::Here(request) => request.caller(),
            Duty::Away(_, caller) | Duty::None(caller) => *caller,
            Duty::Done => Caller::NOBODY,
        }
    }

    /// `fuse_ctx::uid`, as [`Caller::uid`] has it.
    pub fn uid(&self) -> Option<u32> {
        self.caller().uid
    }

    /// `fuse_ctx::gid`.
    pub fn gid(&self) -> Option<u32> {
        self.caller().gid
    }

    /// `fuse_ctx::pid`.
    pub fn pid(&self) -> i32 {
        self.caller().pid
    }

    /// `fuse_ctx::umask`.
    pub fn umask(&self) -> u32 {
        self.caller().umask
    }

    /// `fuse_req_getgroups()`, llfuse's `get_sup_groups`: the supplementary groups of the caller.
    ///
    /// libfuse reads them from /proc, so that they are those of now, not of the time of the request, and only to be had
    /// for callers of this pid namespace.
    ///
    /// # Errors
    ///
    /// EIO when the caller has ended, and without /proc; ESRCH when there is no request.
    pub fn groups(&self) -> io::Result<Vec<u32>> {
        self.living_request()?.groups()
    }

    /// `fuse_req_secctx_count()`, `fuse_req_secctx_next()`: the security contexts that what is being made is to have, as
    /// extended attributes: for SELinux one, `security.selinux`.
    ///
    /// The kernel sends them with `mknod`, `mkdir`, `symlink`, `create` and `tmpfile`, when `init` has asked for
    /// [`SECURITY_CTX`](crate::Capabilities::SECURITY_CTX); then a file system sets them with what it makes, so that nobody
    /// sees it without. There are none otherwise.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported) with libfuse before 3.19, which does not offer `SECURITY_CTX` either; EIO
    /// when what the kernel sent cannot be read; ESRCH when there is no request (any more).
    pub fn security_contexts(&self) -> io::Result<Vec<SecurityContext>> {
        self.living_request()?.security_contexts()
    }

    /// The `fuse_req_t` itself, for what [`sys`](crate::sys) and C code may ask of a request; `None` where there is no answer
    /// to give (any more): in `forget`, and after [`defer`](Self::defer).
    ///
    /// It is there until the context is dropped, or the answer taken away. It may be asked: `fuse_req_ctx()`,
    /// `fuse_req_getgroups()`, `fuse_req_interrupted()` and the like; and given to functions that want a request and do nothing
    /// with it, such as `fuse_add_direntry()`.
    ///
    /// It is not answered: that is the handler's duty, by what it returns; C code that is to answer is given
    /// [`Reply::into_raw`]. `fuse_req_interrupt_func()` is what [`on_interrupt`](Self::on_interrupt) and
    /// [`wait_while`](Self::wait_while) use, and `fuse_req_userdata()` is the library's.
    pub fn raw_request(&self) -> Option<NonNull<sys::fuse_req>> {
        NonNull::new(self.request()?.as_ptr())
    }

    /// `fuse_req_is_uring()`: the request came over io_uring, and not over the session's descriptor.
    ///
    /// So come all but FORGET and INTERRUPT when [`Handle::connection`](crate::Handle::connection) grants
    /// [`OVER_IO_URING`](crate::Capabilities::OVER_IO_URING), which takes the mount option `io_uring`, a libfuse from 3.18 on
    /// that was built with liburing, and `Y` in /sys/module/fuse/parameters/enable_uring. libfuse then has one thread for each
    /// processor, bound to it, which serves what programs on that processor ask for, one after the other: a handler that waits
    /// keeps others waiting, so that it defers its answer rather.
    ///
    /// False as well where there is no answer to give (any more).
    pub fn is_uring(&self) -> bool {
        self.request().is_some_and(Request::is_uring)
    }

    /// `fuse_req_interrupted()`: the caller was sent a signal that [counts](Interruption), and waits only for this request to end.
    ///
    /// The kernel sends INTERRUPT for a request that a handler has, and waits for the answer all the same, whatever the
    /// signal: until it comes, not even SIGKILL ends the caller. So whatever may take long asks now and then, waits by
    /// [`wait_while`](Self::wait_while), or is told by [`on_interrupt`](Self::on_interrupt). EINTR is the answer then; for a signal
    /// that does not end the caller, the system call fails with it, also where SA_RESTART was asked for. Which signals
    /// count is a [setting](crate::Builder::interruption): by default those that end the caller.
    ///
    /// An interrupt is read by a worker: with one worker, it comes when the handler has returned. None ever comes over
    /// io_uring, where only signals that end the caller are noticed, and in a session whose `init` asked for `no_interrupt`; then
    /// all of these wait as if nobody was interrupted. False as well where there is no answer to give (any more): in `forget`, and
    /// after `defer`, which hands this over to [`Reply::interrupted`].
    ///
    /// It is true as well once the session was told to end, or its connection is gone (`umount -f`): the end waits for the
    /// handlers.
    pub fn interrupted(&self) -> bool {
        let request = self.request().zip(self.core.map(Core::conn));
        request
            .is_some_and(|(request, conn)| conn.is_lost() || request.standing(&conn.watch).counts())
    }

    /// `FUSE_UNIQUE_RESEND`: the kernel has sent this request before, and got no answer: to this session, or to one whose mount it
    /// [took over](crate::handover).
    ///
    /// Whether it has been carried out nobody knows; [the guide](crate::guide::upgrades) says for each operation what that means.
    /// The kernel sends again from Linux 6.9 on, and says so for all that it sends again. False in a future, which asks
    /// before it is spawned, and in [`forget`](Filesystem::forget).
    pub fn is_resent(&self) -> bool {
        resent::is_resent()
    }

    /// Which signals of the caller count from now on, for this request alone, whose answer may be taken away: `setlk` waits for as
    /// long as somebody else pleases, and says [`Any`](Interruption::Any). An interrupt that has come already counts, too.
    ///
    /// It registers for interrupts, as [`on_interrupt`](Self::on_interrupt). Without an answer to give it does nothing.
    pub fn set_interruption(&mut self, interruption: Interruption) {
        if let Some(interrupts) = interrupts(self.duty, self.core) {
            interrupts.set_by(interruption);
        }
    }

    /// `fuse_req_interrupt_func()`: runs `f` when the caller is interrupted by a signal that [counts](Interruption), or immediately
    /// if it has been.
    ///
    /// For what can be told to stop, when it would otherwise take long:
    ///
    /// ```
    /// # use fuse3::{Answer, Concurrent, Context, Data, FileInfo, Filesystem, Ino, ReadBuf};
    /// # use std::sync::{Arc, Once};
    /// # struct Download;
    /// # impl Download {
    /// #     fn begin(_: Ino, _: u64, _: usize) -> Arc<Self> { Arc::new(Self) }
    /// #     fn cancel(&self) {}
    /// #     fn finish(&self) -> std::io::Result<Vec<u8>> { Ok(Vec::new()) }
    /// # }
    /// # struct Fs;
    /// impl Filesystem for Fs {
    ///     type Lock = Concurrent;
    ///
    ///     fn read(
    ///         &self,
    ///         cx: &mut Context<'_, Self>,
    ///         ino: Ino,
    ///         _: &FileInfo,
    ///         offset: u64,
    ///         out: ReadBuf,
    ///     ) -> Answer<Data<'_>> {
    ///         let download = Download::begin(ino, offset, out.size());
    ///         let it = Arc::clone(&download);
    ///         cx.on_interrupt(move || it.cancel());
    ///         let data = download.finish()?; // EINTR once it is cancelled
    ///         Ok(out.copy_from(&data))
    ///     }
    /// }
    /// ```
    ///
    /// `f` runs on a thread of its own that holds nothing, so that it may take the global lock. It runs at most once, and
    /// is not started once the request is answered; if it was started before, it may go on beside and after the answer. The request is
    /// unregistered before it is answered, and what `f` has captured is dropped then, when it did not run. A second call
    /// replaces what the first has registered. A panic of `f` counts as one of a handler.
    ///
    /// After [`defer`](Self::defer), which takes the registration along, it is [`Reply::on_interrupt`]. Where there is no
    /// answer to give, `f` is dropped. [`interrupted`](Self::interrupted) describes when the kernel
    /// sends interrupts.
    ///
    /// Requests that register nothing pay nothing for it; the first call for a request allocates.
    pub fn on_interrupt(&mut self, f: impl FnOnce() + Send + 'static) {
        let interrupts = interrupts(self.duty, self.core);
        if let Some((interrupts, core)) = interrupts.zip(self.core) {
            discard(interrupts.set(core.conn().callback(f)));
        }
    }

    /// Waits for `condvar` while `condition` holds, with the lock released, until the time is up or the caller is
    /// interrupted: `wait_event_interruptible()` of a handler.
    ///
    /// `condition` is asked with the lock held, before the first wait and after each. A notification after it has been
    /// asked is not missed, not without a lock either, as long as what it looks at changes before the notification.
    /// [`Woken::Notified`] means that it does not hold any more, also where it never did; then nobody was asked to
    /// notify, or interrupt. Without `timeout` it waits for ever.
    ///
    /// A lock that is waited for, in the concurrent style; `condition` does what it waits for as soon as it can:
    ///
    /// ```
    /// # use fuse3::{Answer, Concurrent, Context, Filesystem};
    /// # use fuse3::lock::Condvar;
    /// # use std::sync::Mutex;
    /// struct Fs {
    ///     locked: Mutex<bool>,
    ///     freed: Condvar,
    /// }
    ///
    /// # impl Filesystem for Fs { type Lock = Concurrent; }
    /// impl Fs {
    ///     fn lock(&self, cx: &mut Context<'_, Self>) -> Answer<()> {
    ///         cx.wait_while(&self.freed, None, |_| {
    ///             let mut locked = self.locked.lock().unwrap();
    ///             let taken = !std::mem::replace(&mut *locked, true);
    ///             !taken
    ///         })?;
    ///         Ok(())
    ///     }
    ///
    ///     fn unlock(&self) {
    ///         *self.locked.lock().unwrap() = false;
    ///         self.freed.notify_one();
    ///     }
    /// }
    /// ```
    ///
    /// And a pause that ends early: `cx.wait_while(&Condvar::new(), Some(pause), |_| true)?`.
    ///
    /// # Errors
    ///
    /// EINTR when the caller is interrupted, by a signal that [counts](Interruption), while `condition` holds, and within
    /// 50 milliseconds when the session was told to end, or its connection is gone. [`interrupted`](Self::interrupted) describes when
    /// the kernel sends interrupts. If there is no request to interrupt, this waits as [`Locked::wait`](crate::Locked::wait) does.
    ///
    /// # Panics
    ///
    /// In debug builds, before the lock is released, if the thread holds a [`sync::Mutex`](crate::lock::sync::Mutex).
    pub fn wait_while(
        &mut self,
        condvar: &Condvar,
        timeout: Option<Duration>,
        condition: impl FnMut(&mut Guard<'a, F>) -> bool,
    ) -> Result<Woken, Errno> {
        self.wait_watched(self.core.map(Core::conn), condvar, timeout, condition)
    }

    /// The same, told of the end of `conn` alone, if of any.
    pub(super) fn wait_watched(
        &mut self,
        conn: Option<&'a Arc<Conn>>,
        condvar: &Condvar,
        timeout: Option<Duration>,
        mut condition: impl FnMut(&mut Guard<'a, F>) -> bool,
    ) -> Result<Woken, Errno> {
        let deadline = Deadline::after(timeout);
        loop {
            // Queued first, and asked then: what is notified in between is for this thread.
            let ticket = condvar.enter(deadline);
            if !condition(&mut self.guard) {
                return Ok(Woken::Notified);
            }
            match self.asleep(conn, ticket.sleeper(), || ticket.wait())? {
                Waking::TimedOut if condition(&mut self.guard) => return Ok(Woken::TimedOut),
                Waking::TimedOut => return Ok(Woken::Notified),
                Waking::Notified | Waking::Interrupted => {}
            }
        }
    }

    /// `sleep` is on `sleeper`, with the lock released. EINTR when it was interrupted, or there was no need to.
    fn asleep(
        &mut self,
        conn: Option<&'a Arc<Conn>>,
        sleeper: Arc<Sleeper>,
        sleep: impl FnOnce() -> Waking,
    ) -> Result<Waking, Errno> {
        let interrupts = interrupts(self.duty, self.core);
        let _watching = conn.zip(interrupts).map(|(conn, it)| conn.watch.wait(it));
        let armed = interrupts.map(|interrupts| interrupts.arm(sleeper));
        if let Some(None) = armed {
            return Err(Errno::EINTR);
        }
        match F::Lock::asleep(&mut self.guard, sleep, Library(())) {
            Waking::Interrupted => Err(Errno::EINTR),
            waking => Ok(waking),
        }
    }

    /// Waits for `future`, with the lock released, until it is ready or the caller is interrupted: for a
    /// [key](crate::kit::KeyedLocks::lock_async), or for what a task sends.
    ///
    /// It is polled on this thread with the lock held, so the future must not take the lock. It is dropped when the caller is interrupted.
    ///
    /// ```
    /// # use fuse3::{Answer, Attr, Context, FileInfo, Filesystem, GlobalLock, Ino};
    /// # use fuse3::kit::KeyedLocks;
    /// # use std::{sync::Arc, time::Duration};
    /// # struct Fs { blocks: KeyedLocks<u64> }
    /// # impl Filesystem for Fs { type Lock = Arc<GlobalLock<()>>; }
    /// # impl Fs {
    /// fn drop_block(&self, cx: &mut Context<'_, Self>, block: u64) -> Answer<()> {
    ///     let _key = cx.block_on(self.blocks.lock_async(block))?;
    ///     // This handler has the block, and the lock.
    ///     Ok(())
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// EINTR, as [`wait_while`](Self::wait_while).
    ///
    /// # Panics
    ///
    /// As [`wait_while`](Self::wait_while).
    pub fn block_on<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Errno> {
        let mut future = pin!(future);
        loop {
            let sleeper = Sleeper::current();
            let waker = Waker::from(Arc::clone(&sleeper));
            let mut task = task::Context::from_waker(&waker);
            if let Poll::Ready(value) = future.as_mut().poll(&mut task) {
                return Ok(value);
            }
            let sleep = || sleeper.sleep(Deadline::Never);
            self.asleep(self.core.map(Core::conn), Arc::clone(&sleeper), sleep)?;
        }
    }

    /// Takes the answer away, to be given later and from anywhere.
    ///
    /// The handler returns the second value as its error, which is of the type of its answer:
    ///
    /// ```
    /// # use fuse3::{Answer, Concurrent, Context, Entry, Errno, Filesystem, Ino};
    /// # use std::ffi::OsStr;
    /// # struct Fs;
    /// impl Filesystem for Fs {
    ///     type Lock = Concurrent;
    ///
    ///     fn lookup(&self, cx: &mut Context<'_, Self>, _: Ino, _name: &OsStr) -> Answer<Entry> {
    ///         let (reply, deferred) = cx.defer();
    ///         std::thread::spawn(move || reply.send(Err(Errno::ENOENT.into())));
    ///         Err(deferred.into())
    ///     }
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// When the answer has been taken away already, and in `forget`, `init` and `destroy`, which have none.
    pub fn defer<T: Payload + 'static>(&mut self) -> (Reply<T>, Deferred<T>) {
        let Some(conn) = self.core.map(Core::conn) else {
            panic!("Context::defer: a test of a handler has no session to answer");
        };
        let caller = self.caller();
        match std::mem::replace(self.duty, Duty::Done) {
            Duty::Here(request) => {
                let ticket = conn.defer(request);
                *self.duty = Duty::Away(ticket, caller);
                let reply = Reply::new(Some(ticket), *self.asked, Arc::clone(conn));
                (reply, Deferred::new())
            }
            before => {
                *self.duty = before;
                panic!(
                    "Context::defer: there is no answer to take away, or it was taken away before"
                );
            }
        }
    }

    /// `fuse_passthrough_open()`: lets the kernel read and write `file` by itself.
    ///
    /// Asked for with [`Capabilities::PASSTHROUGH`] in `init`. The kernel keeps the file open; `file` may be closed.
    ///
    /// # Errors
    ///
    /// `Unsupported`, with what is lacking, where passthrough was not negotiated: with libfuse before 3.17, Linux before 6.9, and
    /// a file system that did not ask for it. `PermissionDenied` without CAP_SYS_ADMIN. Otherwise what the kernel says: ELOOP for
    /// a file on too many layers ([`Connection::set_max_backing_stack_depth`]), EOPNOTSUPP for one that cannot be read.
    ///
    /// [`Connection::set_max_backing_stack_depth`]: crate::Connection::set_max_backing_stack_depth
    pub fn open_backing(&self, file: impl AsFd) -> io::Result<BackingId> {
        let over = || io::Error::new(NotConnected, "there is no session");
        let conn = self.core.map(Core::conn).ok_or_else(over)?;
        let agreement = conn.agreement().ok_or_else(over)?;
        if !agreement.granted.contains(Capabilities::PASSTHROUGH) {
            let offered = agreement.capable & Capabilities::known();
            return Err(if offered.contains(Capabilities::PASSTHROUGH) {
                io::Error::new(Unsupported, "init did not ask for PASSTHROUGH")
            } else {
                SettingError::NotOffered(Capabilities::PASSTHROUGH).into()
            });
        }
        BackingId::open(conn, file.as_fd()).map_err(|errno| match errno {
            None => over(),
            Some(Errno::EPERM) => {
                io::Error::new(PermissionDenied, "passthrough needs CAP_SYS_ADMIN")
            }
            Some(errno) => io::Error::from_raw_os_error(errno.raw()),
        })
    }
}

/// What waits for an interrupt, where there may be one.
fn interrupts<'d>(
    duty: &'d mut Duty,
    core: Option<&Core<impl Filesystem>>,
) -> Option<&'d Arc<Interrupts>> {
    match (duty, core) {
        (Duty::Here(request), Some(core)) => Some(request.interrupts(&core.conn().watch)),
        _ => None,
    }
}

impl<'a, F: Filesystem> Deref for Context<'a, F> {
    type Target = Guard<'a, F>;

    fn deref(&self) -> &Self::Target {
        &self.guard
    }
}

impl<F: Filesystem> DerefMut for Context<'_, F> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.guard
    }
}

impl<F: Filesystem> fmt::Debug for Context<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("caller", &self.caller())
            .finish_non_exhaustive()
    }
}

impl<F: Filesystem<Lock = Concurrent>> proof::sealed::Sealed for Context<'_, F> {}
impl<F: Filesystem<Lock = Concurrent>> NotHolding for Context<'_, F> {}
