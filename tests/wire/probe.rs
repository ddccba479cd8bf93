//! A file system of one handler, which the test writes.

use std::ffi::OsStr;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use fuse3::{Answer, Context, Entry, Errno, FileInfo, Filesystem, Ino};
use parking_lot::Mutex;

use crate::harness::DEADLINE;
use crate::recorder::Style;

/// A handler of `lookup`.
pub(crate) type Lookup<L> =
    Box<dyn Fn(&mut Context<'_, Probe<L>>, &OsStr) -> Answer<Entry> + Send + Sync>;

/// `lookup` is the test's; `forget` and `release` are written down.
pub(crate) struct Probe<L: Style> {
    lookup: Lookup<L>,
    pub(crate) taken_back: Mutex<Vec<String>>,
}

impl<L: Style> Probe<L> {
    pub(crate) fn new<H>(lookup: H) -> Self
    where
        H: Fn(&mut Context<'_, Self>, &OsStr) -> Answer<Entry> + Send + Sync + 'static,
    {
        Self {
            lookup: Box::new(lookup),
            taken_back: Mutex::new(Vec::new()),
        }
    }
}

impl<L: Style> Filesystem for Probe<L> {
    type Lock = L;

    fn lookup(&self, cx: &mut Context<'_, Self>, _parent: Ino, name: &OsStr) -> Answer<Entry> {
        (self.lookup)(cx, name)
    }

    fn forget(&self, _cx: &mut Context<'_, Self>, ino: Ino, nlookup: u64) {
        let call = format!("forget {ino} {nlookup}");
        self.taken_back.lock().push(call);
    }

    fn release(&self, _cx: &mut Context<'_, Self>, ino: Ino, file: &FileInfo) -> Answer<()> {
        let call = format!("release {ino} {}", file.handle());
        self.taken_back.lock().push(call);
        Ok(())
    }
}

/// Waits for what another thread sends.
#[track_caller]
pub(crate) fn await_from<T>(receiver: &Receiver<T>) -> T {
    match receiver.recv_timeout(DEADLINE) {
        Ok(value) => value,
        Err(RecvTimeoutError::Timeout) => panic!("nothing came within {DEADLINE:?}"),
        Err(RecvTimeoutError::Disconnected) => panic!("nothing comes any more"),
    }
}

/// ENOENT, as an answer.
pub(crate) fn enoent() -> Answer<Entry> {
    Err(Errno::ENOENT.into())
}
