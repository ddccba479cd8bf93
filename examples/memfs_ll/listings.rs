//! Where listings end.

use std::collections::HashMap;

use fuse3::Fh;
use parking_lot::Mutex;

/// The open directories, each with the offset that was the highest when it was opened or rewound: there its listing ends.
///
/// A name that comes later has a higher one. Without an end, a program that renames what it is shown would be shown it again,
/// for ever.
#[derive(Debug, Default)]
pub(crate) struct Listings(Mutex<Ends>);

#[derive(Debug, Default)]
struct Ends {
    of: HashMap<Fh, u64>,
    last: u64,
}

impl Listings {
    pub(crate) fn open(&self, end: u64) -> Fh {
        let mut ends = self.0.lock();
        ends.last += 1;
        let handle = Fh(ends.last);
        ends.of.insert(handle, end);
        handle
    }

    pub(crate) fn rewind(&self, handle: Fh, end: u64) {
        self.0.lock().of.insert(handle, end);
    }

    pub(crate) fn end(&self, handle: Fh) -> Option<u64> {
        self.0.lock().of.get(&handle).copied()
    }

    pub(crate) fn close(&self, handle: Fh) {
        self.0.lock().of.remove(&handle);
    }
}
