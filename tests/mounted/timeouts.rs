//! How long the kernel answers by itself: pyfuse3's and llfuse's tests of `entry_timeout` and `attr_timeout`.

use std::ffi::OsStr;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use fuse3::{
    Answer, Attr, Concurrent, Context, Entry, FileInfo, Filesystem, Ino, Operation, Session,
};

use crate::fixture::{Mount, require_mount};

const TIMEOUT: Duration = Duration::from_secs(1);
const FOR_EVER: Duration = Duration::from_secs(86_400);

/// Every name is the same file.
struct Timed {
    entry: Duration,
    attr: Duration,
}

fn attr(ino: Ino) -> Attr {
    let kind = if ino == Ino::ROOT {
        libc::S_IFDIR
    } else {
        libc::S_IFREG
    };
    Attr::new(ino, kind | 0o755)
}

impl Filesystem for Timed {
    type Lock = Concurrent;

    fn lookup(&self, _: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<Entry> {
        Ok(Entry {
            entry_timeout: self.entry,
            ..Entry::new(attr(Ino(2)), self.attr)
        })
    }

    fn getattr(
        &self,
        _: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        let timeout = if ino == Ino::ROOT {
            FOR_EVER
        } else {
            self.attr
        };
        Ok((attr(ino), timeout))
    }
}

/// That stat(2) asks by `operation` once, and again when `TIMEOUT` is over, and not in between.
fn asks_again(fs: Timed, operation: Operation) {
    let mount = Mount::new(Session::builder(fs, Concurrent));
    let path = mount.join("file");
    let count = || {
        let stats = mount.handle().stats();
        let count = stats.requests.iter().find(|(which, _)| *which == operation);
        count.map_or(0, |(_, count)| *count)
    };
    let asked = || {
        let before = count();
        fs::metadata(&path).unwrap();
        count() - before
    };
    asked();
    // On a busy machine the second may pass in between, which shows nothing.
    let kept = (0..20).any(|_| {
        thread::sleep(TIMEOUT + Duration::from_millis(100));
        let start = Instant::now();
        assert_eq!(asked(), 1, "the time was over");
        let again = asked();
        if start.elapsed() >= TIMEOUT {
            return false;
        }
        assert_eq!(again, 0, "the time was not over");
        true
    });
    assert!(kept, "the machine is too busy");
    mount.end();
}

#[test]
fn names_are_kept_for_entry_timeout() {
    require_mount!();
    let fs = Timed {
        entry: TIMEOUT,
        attr: FOR_EVER,
    };
    asks_again(fs, Operation::Lookup);
}

#[test]
fn attributes_are_kept_for_attr_timeout() {
    require_mount!();
    let fs = Timed {
        entry: FOR_EVER,
        attr: TIMEOUT,
    };
    asks_again(fs, Operation::Getattr);
}
