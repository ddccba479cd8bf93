//! The end of the passthrough examples, while somebody waits for a lock in the source.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use fuse3::{Capabilities, Concurrent, Operation};
use rustix::fs::FlockOperation;

use crate::harness::{Wire, until};
use crate::proto::{self, LkIn};
use crate::tempdir::TempDir;

#[path = "../../examples/passthrough/mod.rs"]
#[expect(dead_code, reason = "what is for a whole process is not called")]
mod passthrough;

use passthrough::{Passthrough, Settings};

const PLAIN: Settings = Settings {
    timeout: Duration::ZERO,
    negative_timeout: None,
    keep_cache: false,
    direct_io: false,
    cache_readdir: false,
    writeback: false,
    flock: true,
    xattr: false,
    checked: false,
    hide_mounts: false,
    splice: false,
    passthrough: false,
    map_direct: false,
    debug: false,
};

/// How many descriptors of the process are of this file.
fn open(path: &Path) -> usize {
    let all = fs::read_dir("/proc/self/fd").unwrap();
    let of = all.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    of.filter(|link| link == path).count()
}

#[test]
fn who_waits_for_a_lock_ends_with_the_session() {
    let source = TempDir::new();
    let path = source.path().join("file");
    let held = File::create(&path).unwrap();
    rustix::fs::flock(&held, FlockOperation::LockExclusive).unwrap();
    let fs = Passthrough::new(source.path(), PLAIN).unwrap();
    let mut wire = Wire::connect(fs, Concurrent, |builder| builder);
    wire.init(proto::InitIn::default());
    let number = |reply: Vec<u8>| u64::from_ne_bytes(reply[16..24].try_into().unwrap());
    wire.send(&proto::lookup(1, b"file"));
    let ino = number(wire.receive());
    let granted = wire.handle.connection().unwrap().granted;
    assert!(granted.contains(Capabilities::FLOCK_LOCKS));
    wire.send(&proto::open(ino, libc::O_RDWR.unsigned_abs()));
    let fh = number(wire.receive());
    let lock = LkIn {
        fh,
        kind: libc::F_WRLCK.unsigned_abs(),
        ..LkIn::default()
    };
    wire.send(&proto::flock(ino, lock, true));
    let flocks = |(operation, count)| (operation, count) == (Operation::Flock, 1);
    until("it has come", || {
        wire.handle.stats().requests.into_iter().any(flocks)
    });
    let before = open(&path);
    assert!(before > 1, "{before}");
    drop(wire.end());
    assert_eq!(open(&path), 1, "somebody still waits");
}
