use std::sync::Arc;
use std::time::Duration;

use crate::observe::latency::Latency;
use crate::types::{caller::Caller, errno::Errno, ino::Ino, operation::Operation};

/// What is told of a session's threads and requests: [`Builder::observe`](crate::Builder::observe).
///
/// Each method does nothing unless it is implemented. They are called on the threads that do the work, at the same time on several
/// of them, and what they take is added to each request. The library holds neither the global lock nor one of its own mutexes
/// meanwhile. The application may: an answer that is [given later](crate::Reply::send) ends its request on the thread that
/// gives it, whatever that thread holds. So an observer takes no lock of the file system, and does not wait for requests or for
/// the end of the session.
///
/// A panic of an observer is caught and logged. The request, the worker and the session go on.
///
/// Each request is told in this order: [`begun`](Self::begun), [`handled`](Self::handled), [`ended`](Self::ended). Each of them
/// comes once.
pub trait Observer: Send + Sync + 'static {
    /// A thread is about to call its first handler. Called on that thread, before anything else of it is told.
    ///
    /// Such threads are libfuse's workers, those of io_uring among them, and a thread that the library starts to take something
    /// back. Not among them are threads that run futures, for which a runtime has hooks of its own, and the threads of the program:
    /// the one that calls [`Session::run`](crate::Session::run), which calls `init` and `destroy`, and those that give answers later.
    fn worker_started(&self) {}

    /// The thread ends. Called on that thread, once for each [`worker_started`](Self::worker_started).
    ///
    /// It is called by a destructor of a thread-local variable, so that others of the thread may be gone already. All workers
    /// have ended when [`Session::run`](crate::Session::run) returns, except idle ones beyond
    /// [`max_idle_workers`](crate::Builder::max_idle_workers), which may be late.
    fn worker_ended(&self) {}

    /// A request has come. Called on the worker that is to handle it, before that takes the lock.
    ///
    /// All requests are told that a handler is called for, and those that the library answers for it, but not INIT and DESTROY.
    fn begun(&self, _request: &Observed) {}

    /// The handler has returned or panicked, and the lock is released. Called on the thread that [`begun`](Self::begun) was called
    /// on. `deferred` says that the answer was taken away from the handler.
    fn handled(&self, _request: &Observed, _deferred: bool) {}

    /// The request is answered, and its answer has been sent. Called on the thread that has sent it, which is the worker unless
    /// the answer was deferred.
    ///
    /// Since the answer comes first, the client may go on before an observer knows. When [`Session::run`](crate::Session::run)
    /// returns, every request that has begun has ended.
    fn ended(&self, _request: &Observed, _outcome: &Outcome) {}

    /// How long the requests have taken so far, of an observer that measures it: what
    /// [`SessionStats::latencies`](crate::session::SessionStats::latencies) has. Called by whoever asks for statistics.
    fn latencies(&self) -> Vec<Latency> {
        Vec::new()
    }
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn worker_started(&self) {
        (**self).worker_started();
    }

    fn worker_ended(&self) {
        (**self).worker_ended();
    }

    fn begun(&self, request: &Observed) {
        (**self).begun(request);
    }

    fn handled(&self, request: &Observed, deferred: bool) {
        (**self).handled(request, deferred);
    }

    fn ended(&self, request: &Observed, outcome: &Outcome) {
        (**self).ended(request, outcome);
    }

    fn latencies(&self) -> Vec<Latency> {
        (**self).latencies()
    }
}

/// A request that an [`Observer`] is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Observed {
    /// The library's own number of the request: they are counted from 1 in each session, in the order in which they come.
    ///
    /// It is not the kernel's `unique`, which libfuse does not tell.
    pub number: u64,
    /// What is asked for.
    pub operation: Operation,
    /// The inode, or for names that of the directory; 0 for [`ForgetMulti`](Operation::ForgetMulti).
    pub ino: Ino,
    /// Who asks.
    pub caller: Caller,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The error that it was answered with. `None` for success, for what wants no answer, and where C code has answered, which
    /// does not say what.
    ///
    /// ECONNABORTED stands for a request that was not answered when the session ended; the kernel tells the client the same.
    pub errno: Option<Errno>,
    /// The kernel took the answer. It does not when the caller was interrupted; what the answer gave out is taken back then.
    pub taken: bool,
    /// How long it took from the moment when a worker had read it until its answer was sent.
    pub took: Duration,
    /// How long its handler waited for the global lock, taking it again after [`released`](crate::Locked::released) and the like
    /// included. Zero where there is no such lock.
    pub waited: Duration,
    /// How long its handler held the global lock, without the time in [`released`](crate::Locked::released) and the like. Zero
    /// where there is no such lock.
    pub held: Duration,
}
