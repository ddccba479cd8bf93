use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};

use crate::answer::{Asked, Payload};
use crate::core::Core;
use crate::request::Request;
use crate::{Deferred, Filesystem, Locking, Reply, sys};

/// What the lock of the file system `F` gives a handler: [`Locked`](crate::Locked), or [`NoLock`](crate::NoLock).
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
    pub(crate) fn core(&self) -> Option<&Core<F>> {
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

    /// `fuse_req_interrupted()`: the caller was sent a signal and waits only for this request to end; EINTR ends it.
    ///
    /// Over io_uring the kernel does not say.
    pub fn interrupted(&self) -> bool {
        let Some(request) = &self.request else {
            return false;
        };
        // SAFETY: the request is unanswered.
        unsafe { sys::fuse_req_interrupted(request.as_ptr()) != 0 }
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
