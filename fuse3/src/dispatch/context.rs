//! What a handler is given: who asks, what is held, and how the answer is taken away.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::time::Duration;

use crate::base::panic::discard;
use crate::conn::interrupt::Callback;
use crate::conn::request::Request;
use crate::dispatch::core::Core;
use crate::dispatch::filesystem::Filesystem;
use crate::lock::{clock::Deadline, sleeper::Waking};
use crate::lock::{
    condvar::{Condvar, Woken},
    locking::{Library, Locking},
};
use crate::notify::current;
use crate::reply::answer::{Asked, Payload};
use crate::reply::deferred::{Deferred, Reply};
use crate::sys;
use crate::types::errno::Errno;

/// What the lock of the file system `F` gives a handler: [`Locked`](crate::Locked), or [`NoLock`](crate::lock::NoLock).
pub type Guard<'a, F> = <<F as Filesystem>::Lock as Locking>::Guard<'a>;

/// `struct fuse_ctx`, llfuse's `RequestContext`: who asks, and what the handler holds meanwhile.
///
/// It derefs to the [guard](Guard), and through it to the state under the global lock.
pub struct Context<'a, F: Filesystem> {
    guard: Guard<'a, F>,
    /// Who asked, once the request is gone.
    caller: Caller,
    /// `None` once the answer was taken away, and where there is none to give. It is the caller's, so
    /// that a handler that panics does not take it along.
    request: &'a mut Option<Request>,
    asked: Asked,
    /// `None` in a test of a handler.
    core: Option<&'a Core<F>>,
}

/// `struct fuse_ctx`: the process that caused a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// File system user id, as seen from where the file system was mounted.
    pub uid: u32,
    /// File system group id.
    pub gid: u32,
    /// Thread id; 0 for the kernel itself and for a process of another pid namespace.
    pub pid: i32,
    /// The umask, of `mknod`, `mkdir` and `create`; 0 otherwise.
    pub umask: u32,
}

impl Caller {
    #[inline]
    pub(crate) fn of(request: &Request) -> Self {
        // SAFETY: the request is unanswered.
        let ctx = unsafe { sys::fuse_req_ctx(request.as_ptr()) };
        // SAFETY: `fuse_req_ctx()` returned a member of the request, which lives until it is answered.
        let ctx = unsafe { &*ctx };
        Self {
            uid: ctx.uid,
            gid: ctx.gid,
            pid: ctx.pid,
            umask: ctx.umask,
        }
    }

    /// llfuse's `get_sup_groups`: the supplementary groups of the process, as [`Context::groups`] has them, and when the
    /// request is gone, too.
    ///
    /// They are those of now, and of whoever has the number now: of a caller whose request has been answered, another
    /// process may.
    ///
    /// # Errors
    ///
    /// Without /proc, and when the process has ended; ESRCH when there is none, since `pid` is 0.
    pub fn groups(self) -> io::Result<Vec<u32>> {
        if self.pid <= 0 {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        let path = format!("/proc/{}/status", self.pid);
        let status = std::fs::read_to_string(path)?;
        let groups = status.lines().find_map(|line| line.strip_prefix("Groups:"));
        let groups = groups.ok_or(io::ErrorKind::InvalidData)?;
        let numbers = groups.split_whitespace().map(str::parse);
        numbers
            .collect::<Result<_, _>>()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// A security context of a file: an extended attribute that it is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecurityContext {
    /// The name of the attribute: `security.selinux`.
    pub name: OsString,
    /// Its value; SELinux's is text, and ends with a NUL.
    pub value: Vec<u8>,
}

impl<'a, F: Filesystem> Context<'a, F> {
    pub(crate) fn new(
        guard: Guard<'a, F>,
        caller: Caller,
        request: &'a mut Option<Request>,
        asked: Asked,
        core: Option<&'a Core<F>>,
    ) -> Self {
        Self {
            guard,
            caller,
            request,
            asked,
            core,
        }
    }

    /// The session; `None` in a test of a handler.
    pub(crate) fn core(&self) -> Option<&'a Core<F>> {
        self.core
    }

    /// Who asks; [`Caller::default`] when the library takes something back by itself.
    pub fn caller(&self) -> Caller {
        self.request.as_ref().map_or(self.caller, Caller::of)
    }

    /// `fuse_ctx::uid`.
    pub fn uid(&self) -> u32 {
        self.caller().uid
    }

    /// `fuse_ctx::gid`.
    pub fn gid(&self) -> u32 {
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
        let Some(request) = &self.request else {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        };
        let mut groups = vec![0; 32];
        loop {
            let room = i32::try_from(groups.len()).unwrap_or(i32::MAX);
            // SAFETY: the request is unanswered, and `groups` has `room` elements.
            let count =
                unsafe { sys::fuse_req_getgroups(request.as_ptr(), room, groups.as_mut_ptr()) };
            let Ok(count) = usize::try_from(count) else {
                return Err(io::Error::from_raw_os_error(-count));
            };
            let enough = count <= groups.len();
            groups.resize(count, 0);
            if enough {
                return Ok(groups);
            }
        }
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
        let Some(request) = &self.request else {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        };
        request.security_contexts()
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
        NonNull::new(self.request.as_ref()?.as_ptr())
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
        self.request.as_ref().is_some_and(Request::is_uring)
    }

    /// `fuse_req_interrupted()`: the caller was sent a signal and waits only for this request to end; EINTR ends it.
    ///
    /// The kernel sends INTERRUPT for a request that a handler has, and waits for the answer all the same, whatever the
    /// signal: until it comes, not even SIGKILL ends the caller. So whatever may take long asks now and then, waits by
    /// [`wait_while`](Self::wait_while), or is told by [`on_interrupt`](Self::on_interrupt).
    ///
    /// An interrupt is read by a worker: with one worker, it comes when the handler has returned. None ever comes over
    /// io_uring, and in a session whose `init` asked for `no_interrupt`; then all of these wait as if nobody was
    /// interrupted. False as well where there is no answer to give (any more): in `forget`, and after `defer`, which
    /// hands this over to [`Reply::interrupted`].
    pub fn interrupted(&self) -> bool {
        self.request.as_ref().is_some_and(Request::is_interrupted)
    }

    /// `fuse_req_interrupt_func()`: runs `f` when the caller is interrupted, or now if it has been.
    ///
    /// For what can be told to stop, when it would otherwise take long:
    ///
    /// ```
    /// # use fuse3::{Answer, Concurrent, Context, Data, FileInfo, Filesystem, Ino, ReadBuf};
    /// # use std::sync::Arc;
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
    /// never begins after the answer; if it has begun before, it may go on beside and after it. The request is
    /// unregistered before it is answered, and what `f` has captured is dropped then, when it did not run. A second call
    /// replaces what the first has registered. A panic of `f` counts as one of a handler.
    ///
    /// After [`defer`](Self::defer), which takes the registration along, it is [`Reply::on_interrupt`]. Where there is no
    /// answer to give, `f` is dropped. [`interrupted`](Self::interrupted) says when the kernel tells.
    ///
    /// Requests that register nothing pay nothing for it; the first call for a request allocates.
    pub fn on_interrupt(&mut self, f: impl FnOnce() + Send + 'static) {
        let session = self.core.and_then(Core::outlived);
        if let (Some(request), Some(session)) = (&mut *self.request, session) {
            discard(request.interrupts().set(Callback::new(f, session)));
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
    /// EINTR when the caller is interrupted while `condition` holds. [`interrupted`](Self::interrupted) says when the
    /// kernel tells; with no request to interrupt, it waits as [`Locked::wait`](crate::Locked::wait).
    ///
    /// # Panics
    ///
    /// In debug builds, before the lock is released, if the thread holds a [`sync::Mutex`](crate::lock::sync::Mutex).
    pub fn wait_while(
        &mut self,
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
            let interrupts = self.request.as_mut().map(Request::interrupts);
            let armed = interrupts.map(|interrupts| interrupts.arm(ticket.sleeper()));
            if let Some(None) = armed {
                return Err(Errno::EINTR);
            }
            let waking = F::Lock::asleep(&mut self.guard, || ticket.wait(), Library(()));
            drop(armed);
            match waking {
                Waking::Notified => {}
                Waking::Interrupted => return Err(Errno::EINTR),
                Waking::TimedOut if condition(&mut self.guard) => return Ok(Woken::TimedOut),
                Waking::TimedOut => return Ok(Woken::Notified),
            }
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
    ///     fn lookup(&self, cx: &mut Context<'_, Self>, _parent: Ino, _name: &OsStr) -> Answer<Entry> {
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
    pub fn defer<T: Payload>(&mut self) -> (Reply<T>, Deferred<T>) {
        let request = self
            .request
            .take()
            .expect("Context::defer: there is no answer to take away, or it was taken away before");
        self.caller = Caller::of(&request);
        let session = self
            .core
            .and_then(Core::outlived)
            .expect("a session lives while its handlers run");
        current::deferred();
        (Reply::new(request, self.asked, session), Deferred::new())
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
