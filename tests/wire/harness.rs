//! The peer: the harness of `fuse3::testing`, with the log collected.

use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use fuse3::testing;
use fuse3::{Builder, End, Filesystem, Operation, Session};

use crate::logger;

/// Nothing here takes longer, unless it hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for what no message tells.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        thread::yield_now();
    }
}

/// See [`testing::Wire`].
pub(crate) struct Wire<F: Filesystem>(testing::Wire<F>);

impl<F: Filesystem> Wire<F> {
    pub(crate) fn new(fs: F, lock: F::Lock) -> Self {
        Self::with(fs, lock, |builder| builder)
    }

    pub(crate) fn with(
        fs: F,
        lock: F::Lock,
        configure: impl FnOnce(Builder<F>) -> Builder<F>,
    ) -> Self {
        logger::install();
        Self(testing::Wire::with(fs, lock, configure))
    }

    pub(crate) fn connect(
        fs: F,
        lock: F::Lock,
        configure: impl FnOnce(Builder<F>) -> Builder<F>,
    ) -> Self {
        logger::install();
        Self(testing::Wire::connect(fs, lock, configure))
    }

    pub(crate) fn mount(
        fs: F,
        lock: F::Lock,
        configure: impl FnOnce(Builder<F>) -> Builder<F>,
    ) -> (Session<F>, Self) {
        Self::begin(fs, lock, |builder, device| {
            configure(builder).mount_fd(device).unwrap()
        })
    }

    /// The same, of a session that `begin` makes at the place that it is given.
    pub(crate) fn begin(
        fs: F,
        lock: F::Lock,
        begin: impl FnOnce(Builder<F>, OwnedFd) -> Session<F>,
    ) -> (Session<F>, Self) {
        logger::install();
        let (session, wire) = testing::Wire::begin(fs, lock, begin);
        (session, Self(wire))
    }

    /// Waits until a request of that kind, which has no answer, is with its handler: a worker that has read one when the
    /// session is told to end drops it (`fuse_do_work()`, lib/fuse_loop_mt.c).
    pub(crate) fn has_come(&self, operation: Operation) {
        let count = |(of, count): &(Operation, u64)| *of == operation && *count > 0;
        until("the request", || {
            self.handle.stats().requests.iter().any(count)
        });
    }

    pub(crate) fn end(self) -> End<F> {
        self.0.end()
    }

    pub(crate) fn wait(self) -> io::Result<End<F>> {
        self.0.wait()
    }

    pub(crate) fn close(self) -> io::Result<End<F>> {
        self.0.close()
    }
}

impl<F: Filesystem> Deref for Wire<F> {
    type Target = testing::Wire<F>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<F: Filesystem> DerefMut for Wire<F> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
