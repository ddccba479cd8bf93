//! Requests that came over io_uring.

use std::cell::Cell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use parking_lot::{Mutex, RwLock};

use crate::base::cancel::Uncancelled;
use crate::conn::lent::Lent;

/// A thread of libfuse that serves a ring: there is one for each processor.
///
/// A request that came over io_uring is part of its ring, which libfuse frees before its loop returns, once the thread has
/// ended: `fuse_session_destruct_uring()` joins it first. So an answer that has been deferred, and may be given whenever it
/// is, has to see that the thread is there, and keep it from ending meanwhile.
///
/// With the answer, the next request is asked for; and the kernel takes back what a thread has asked for when that thread
/// ends (`io_uring_cancel_generic()`, io_uring/cancel.c): the ring would have one place less, and who was just given it would
/// wait for ever. So answers go out from threads that last as long as the ring: its own, and a helper.
///
/// # Invariants
///
/// `there` is true until the thread ends, which waits for those that have the lock, and for what is lent.
#[derive(Debug)]
pub(crate) struct Ring {
    there: RwLock<bool>,
    helper: Mutex<Option<Helper>>,
    /// Requests of it that C code answers.
    lent: Lent,
}

#[derive(Debug)]
struct Helper {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

/// Somebody waits until `done` is dropped, which is after `run`.
struct Job {
    run: Box<dyn FnOnce() + Send>,
    done: Sender<()>,
}

/// Dropped when its thread ends: libfuse cancels it, and both end in pthread_exit(3), which runs destructors before
/// pthread_join(3) returns.
struct Here(Arc<Ring>);

impl Drop for Here {
    fn drop(&mut self) {
        // For good: one that has ended by itself is cancelled all the same, and must not be where it waits, with nothing left
        // to unwind.
        mem::forget(Uncancelled::new());
        self.0.lent.close();
        *self.0.there.write() = false;
        let helper = self.0.helper.lock().take();
        if let Some(Helper { jobs, thread }) = helper {
            drop(jobs);
            // Its panics were caught, and are the askers'.
            drop(thread.join());
        }
    }
}

thread_local! {
    static HERE: Here = Here(Arc::new(Ring::new(true)));
    /// The thread is a ring's own, or its helper.
    static LASTS: Cell<bool> = const { Cell::new(false) };
}

impl Ring {
    fn new(there: bool) -> Self {
        Self {
            there: RwLock::new(there),
            helper: Mutex::new(None),
            lent: Lent::default(),
        }
    }

    /// From now on its requests are there, until [`returned`](Self::returned) is called as often; false when it is too late.
    pub(crate) fn lend(&self) -> bool {
        *self.there.read_recursive() && self.lent.begin()
    }

    /// C code has answered one of them, or does not any more.
    pub(crate) fn returned(&self) {
        self.lent.end();
    }

    /// That of the calling thread, which is one of libfuse's for io_uring and has just been given a request.
    pub(crate) fn here() -> Arc<Self> {
        LASTS.set(true);
        HERE.try_with(|here| Arc::clone(&here.0))
            // No request is served while the thread ends.
            .unwrap_or_else(|_| Arc::new(Self::new(false)))
    }

    /// Runs `answer` while the requests of the ring are there, on a thread that lasts; `None` when they are gone.
    pub(crate) fn while_there<R: Send>(&self, answer: impl FnOnce() -> R + Send) -> Option<R> {
        if LASTS.get() {
            return self.now(answer);
        }
        let mut result = None;
        let run = || {
            result = Some(catch_unwind(AssertUnwindSafe(|| self.now(answer))));
        };
        self.help(Box::new(run));
        match result? {
            Ok(result) => result,
            Err(payload) => resume_unwind(payload),
        }
    }

    fn now<R>(&self, answer: impl FnOnce() -> R) -> Option<R> {
        // Recursive: what an answer is made of may send another one.
        let there = self.there.read_recursive();
        there.then(answer)
    }

    /// Has the helper run it, and waits until it has; it is not run when the ring is gone.
    fn help<'a>(&self, run: Box<dyn FnOnce() + Send + 'a>) {
        // SAFETY: the types differ in the lifetime alone, and `run` is gone when this returns: it waits until `done` is
        // dropped, which the helper, and whoever drops a job that was not run, does after it.
        let run: Box<dyn FnOnce() + Send> = unsafe { mem::transmute(run) };
        let (done, waits) = mpsc::channel();
        let mut helper = self.helper.lock();
        // Looked at with the lock held: a helper that is there now is joined later.
        if !*self.there.read_recursive() {
            return;
        }
        let jobs = match &*helper {
            Some(helper) => &helper.jobs,
            None => match Helper::start() {
                Ok(started) => &helper.insert(started).jobs,
                Err(error) => {
                    crate::base::log::error!("a request over io_uring cannot be answered: {error}");
                    return;
                }
            },
        };
        // What is not taken is dropped here.
        drop(jobs.send(Job { run, done }));
        drop(helper);
        // Nothing is ever sent.
        let _ = waits.recv();
    }
}

impl Helper {
    fn start() -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let thread = thread::Builder::new()
            .name("fuse3-ring".to_owned())
            .spawn(move || {
                LASTS.set(true);
                for Job { run, done } in queue {
                    run();
                    drop(done);
                }
            })?;
        Ok(Self { jobs, thread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn gone_with_its_thread() {
        let (sender, rings) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            sender.send((Ring::here(), Ring::here())).unwrap();
            assert_eq!(
                Ring::here().while_there(|| thread::current().id()),
                Some(thread::current().id())
            );
            let _ = ended.recv();
        });
        let (ring, same) = rings.recv().unwrap();
        assert!(Arc::ptr_eq(&ring, &same));
        assert_eq!(ring.while_there(|| ring.while_there(|| 7)), Some(Some(7)));
        drop(end);
        thread.join().unwrap();
        assert_eq!(ring.while_there(|| 7), None);
    }

    /// On one thread that lasts, whoever answers.
    #[test]
    fn answers_go_out_from_the_helper() {
        let (sender, rings) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            sender.send(Ring::here()).unwrap();
            let _ = ended.recv();
        });
        let ring = rings.recv().unwrap();
        let lent = String::from("what the caller has");
        let by = || ring.while_there(|| (thread::current().id(), lent.len()));
        let first = by().unwrap();
        assert_ne!(first.0, thread::current().id());
        let others = thread::scope(|scope| {
            [(); 4]
                .map(|()| scope.spawn(by))
                .map(|each| each.join().unwrap())
        });
        assert_eq!(others, [Some(first); 4]);
        let nested = ring.while_there(by);
        assert_eq!(nested, Some(Some(first)));
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            ring.while_there(|| panic!("on purpose"))
        }));
        assert!(panicked.is_err());
        assert_eq!(by(), Some(first));
        drop(end);
        thread.join().unwrap();
        assert_eq!(by(), None);
        assert!(ring.helper.lock().is_none());
    }

    #[test]
    fn a_thread_that_was_cancelled_waits_for_its_helper() {
        let (sender, rings) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            let uncancelled = Uncancelled::new();
            sender.send(Ring::here()).unwrap();
            let _ = ended.recv();
            // SAFETY: no precondition.
            let this = unsafe { libc::pthread_self() };
            // SAFETY: the thread is there.
            assert_eq!(unsafe { libc::pthread_cancel(this) }, 0);
            drop(uncancelled);
        });
        let ring = rings.recv().unwrap();
        assert_eq!(ring.while_there(|| 7), Some(7));
        drop(end);
        thread.join().unwrap();
        assert_eq!(ring.while_there(|| 7), None);
    }

    /// The memory is there as long as somebody answers.
    #[test]
    fn the_end_waits_for_answers() {
        let (sender, rings) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            sender.send(Ring::here()).unwrap();
            let _ = ended.recv();
        });
        let ring = rings.recv().unwrap();
        let (joined, gone) = mpsc::channel();
        let gone = Mutex::new(gone);
        let answered = ring.while_there(|| {
            drop(end);
            thread::spawn(move || joined.send(thread.join().is_ok()));
            gone.lock().recv_timeout(Duration::from_millis(50))
        });
        assert_eq!(answered, Some(Err(mpsc::RecvTimeoutError::Timeout)));
        assert_eq!(gone.lock().recv(), Ok(true));
        assert_eq!(ring.while_there(|| ()), None);
    }
}
