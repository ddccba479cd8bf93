//! Locks that are waited for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fuse3::{Errno, Reply};
use parking_lot::Mutex;

/// Who waits for a lock: a thread each, since flock(2) could not be told of an interrupt, or of the end.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    ended: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Waiting {
    /// Tries `lock` until it succeeds, fails, or the caller is interrupted, and answers.
    pub(crate) fn wait(
        &self,
        reply: Reply<()>,
        lock: impl Fn() -> io::Result<()> + Send + 'static,
    ) {
        let ended = Arc::clone(&self.ended);
        let thread = thread::spawn(move || {
            let answer = loop {
                thread::sleep(Duration::from_millis(10));
                // The end of the session is no interrupt; nobody waits for the answer then.
                if reply.interrupted() || ended.load(Ordering::SeqCst) {
                    break Err(Errno::EINTR.into());
                }
                match lock() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => break result.map_err(Into::into),
                }
            };
            reply.send(answer);
        });
        let mut threads = self.threads.lock();
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
    }

    /// The session has ended: nobody waits any more.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            thread.join().expect("a thread that waits does not panic");
        }
    }
}
