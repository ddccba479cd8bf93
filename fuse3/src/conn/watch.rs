//! Telling handlers that wait of the end of their session.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::conn::conn::Conn;
use crate::conn::interrupt::{Interrupts, Watch};

/// How long a handler that waits may not know of the end. Whoever ends a session may be a signal handler, and whoever ends the
/// connection may be the kernel: neither wakes a thread.
const PERIOD: Duration = Duration::from_millis(50);

/// While it lives, its handler is told of the end: [`Conn::watch`].
pub(crate) struct Watching<'c>(&'c Watch, &'c Arc<Interrupts>);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.waiting.retain(|it| !Arc::ptr_eq(it, self.1));
    }
}

impl Conn {
    /// While the result lives, the end of the session or of the connection counts as an interrupt of this request.
    pub(crate) fn watch<'c>(self: &'c Arc<Self>, interrupts: &'c Arc<Interrupts>) -> Watching<'c> {
        let mut state = self.watch.state.lock();
        state.waiting.push(Arc::clone(interrupts));
        if state.thread.is_none() {
            let conn = Arc::clone(self);
            let thread = thread::Builder::new().name("fuse3-watch".to_owned());
            match thread.spawn(move || conn.tell_of_the_end()) {
                Ok(thread) => state.thread = Some(thread),
                Err(error) => crate::base::log::error!(
                    "a handler that waits will not be told of the end: {error}"
                ),
            }
        } else if state.waiting.len() == 1 {
            self.watch.changed.notify_one();
        }
        drop(state);
        Watching(&self.watch, interrupts)
    }

    fn tell_of_the_end(&self) {
        let Watch { state, changed } = &self.watch;
        let mut state = state.lock();
        while !state.is_over {
            if state.waiting.is_empty() {
                changed.wait(&mut state);
            } else if self.is_lost() {
                state.waiting.drain(..).for_each(|it| it.tell());
            } else {
                changed.wait_for(&mut state, PERIOD);
            }
        }
    }

    /// No handler runs any more.
    pub(super) fn end_watch(&self) {
        let mut state = self.watch.state.lock();
        state.is_over = true;
        let thread = state.thread.take();
        drop(state);
        self.watch.changed.notify_one();
        // It has told whom it had to, should it have panicked.
        let _ = thread.map(thread::JoinHandle::join);
    }
}
