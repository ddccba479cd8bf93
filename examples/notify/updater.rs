//! The thread that changes the file system while it is mounted.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use fuse3::{Filesystem, Reason, Session};

/// Serves `session`, and calls `step` again and again meanwhile.
pub(crate) fn run<F: Filesystem>(
    session: Session<F>,
    interval: Duration,
    mut step: impl FnMut() + Send + 'static,
) -> io::Result<Reason> {
    let (running, ended) = mpsc::channel::<()>();
    let updater = thread::spawn(move || {
        loop {
            step();
            if ended.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                break;
            }
        }
    });
    let end = session.run();
    drop(running);
    if updater.join().is_err() {
        return Err(io::Error::other("the updater panicked"));
    }
    Ok(end?.reason)
}
