//! Locks that are waited for.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fuse3::session::Interruption;
use fuse3::{Answer, Context, Errno, Filesystem, Reply};
use parking_lot::Mutex;

/// Who waits for a lock. One thread tries for all of them: one that waits in flock(2) could not be told of an interrupt, or of
/// the end, and there would have to be as many as callers who wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    queue: Arc<Mutex<Queue>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiters: Vec<Waiter>,
    /// There is a thread, which looks at `waiters` once more before it ends.
    served: bool,
    ended: bool,
}

struct Waiter {
    reply: Reply<()>,
    lock: Box<dyn Fn() -> io::Result<()> + Send>,
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").finish_non_exhaustive()
    }
}

impl Waiting {
    /// Tries `lock` until it succeeds, fails, or the caller is interrupted, and answers.
    ///
    /// Any signal interrupts it, as that of alarm(2), by which programs limit how long they wait. The answer is EAGAIN when there
    /// is nobody who could try, since no thread can be started.
    pub(crate) fn wait<F: Filesystem>(
        &self,
        cx: &mut Context<'_, F>,
        lock: impl Fn() -> io::Result<()> + Send + 'static,
    ) -> Answer<()> {
        cx.set_interruption(Interruption::Any);
        let (reply, deferred) = cx.defer();
        let lock = Box::new(lock);
        let mut queue = self.queue.lock();
        queue.waiters.push(Waiter { reply, lock });
        if queue.served {
            return Err(deferred.into());
        }
        let all = Arc::clone(&self.queue);
        match thread::Builder::new().spawn(move || serve(&all)) {
            Ok(thread) => {
                queue.served = true;
                *self.thread.lock() = Some(thread);
            }
            Err(_) => {
                let refused = std::mem::take(&mut queue.waiters);
                drop(queue);
                for waiter in refused {
                    waiter.reply.send(Err(Errno::EAGAIN.into()));
                }
            }
        }
        Err(deferred.into())
    }

    /// The session has ended: nobody waits any more.
    pub(crate) fn end(&self) {
        self.queue.lock().ended = true;
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            thread.join().expect("the thread that waits does not panic");
        }
    }
}

/// Tries for all who wait, until nobody does.
fn serve(queue: &Mutex<Queue>) {
    loop {
        thread::sleep(Duration::from_millis(10));
        let (waiters, ended) = {
            let mut queue = queue.lock();
            (std::mem::take(&mut queue.waiters), queue.ended)
        };
        let mut left = Vec::new();
        for waiter in waiters {
            // The end of the session is no interrupt; nobody waits for the answer then.
            let answer = match waiter.reply.interrupted() || ended {
                true => Err(Errno::EINTR.into()),
                false => (waiter.lock)(),
            };
            match answer {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => left.push(waiter),
                answer => waiter.reply.send(answer.map_err(Into::into)),
            }
        }
        let mut queue = queue.lock();
        // Who came meanwhile is behind those who have waited longer.
        left.append(&mut queue.waiters);
        queue.waiters = left;
        if queue.waiters.is_empty() {
            queue.served = false;
            return;
        }
    }
}
