//! Attributes: `getattr`, `setattr`, `statfs`, `access`.

use std::time::Duration;

use fuse3::{Attr, Concurrent, Entry, Fh, Ino, Operation, SetAttr, SetTime, StatVfs, Timestamp};

use crate::every::{Case, end, recorded};
use crate::proto::{self, SetattrIn, fattr};
use crate::recorder::{ENTRY, STATFS};

/// The reply of `getattr` and `setattr`.
pub(crate) fn reply() -> Vec<u8> {
    proto::attr_out(&ENTRY.attr, ENTRY.attr_timeout)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut changes = SetAttr::default();
    changes.mode = Some(libc::S_IFREG | 0o600);
    let chmod = SetattrIn {
        valid: fattr::MODE,
        mode: libc::S_IFREG | 0o600,
        ..SetattrIn::default()
    };
    let no_figures = StatVfs {
        bsize: 512,
        namemax: 255,
        ..StatVfs::default()
    };
    vec![
        Case::new(
            Operation::Getattr,
            proto::getattr(1, None),
            "getattr 1",
            reply(),
        ),
        Case::new(
            Operation::Setattr,
            proto::setattr(2, chmod),
            &format!("setattr 2 {changes:?}"),
            reply(),
        ),
        Case::new(
            Operation::Statfs,
            proto::statfs(3),
            "statfs 3",
            proto::statfs_out(&STATFS),
        )
        .default(proto::statfs_out(&no_figures)),
        Case::new(
            Operation::Access,
            proto::access(4, 6),
            "access 4 0x6",
            vec![],
        ),
    ]
}

#[test]
fn getattr_of_an_open_file() {
    let (fs, mut wire) = recorded::<Concurrent>();
    for fh in [0, 9, u64::MAX] {
        wire.expect(&proto::getattr(7, Some(fh)), &reply());
        assert_eq!(fs.further_calls(), [format!("getattr 7 fh={fh:#x}")]);
    }
    end(&fs, wire);
}

#[test]
fn extremes() {
    let (fs, mut wire) = recorded::<Concurrent>();
    let largest = Timestamp::new(i64::MAX, 999_999_999);
    let attr = Attr {
        ino: Ino(u64::MAX),
        mode: 0xffff_0fff | libc::S_IFSOCK,
        nlink: u32::MAX,
        uid: u32::MAX,
        gid: u32::MAX,
        rdev: u64::from(u32::MAX),
        size: i64::MAX.unsigned_abs(),
        blksize: u32::MAX,
        blocks: i64::MAX.unsigned_abs(),
        atime: Timestamp::new(i64::MIN, 0),
        mtime: largest,
        ctime: Timestamp::from_nanos(-1),
    };
    let entry = Entry {
        generation: u64::MAX,
        ..Entry::new(attr, Duration::ZERO)
    };
    fs.values().entry = entry;
    wire.expect(&proto::lookup(1, b"name"), &proto::entry_out(&entry));
    wire.expect(
        &proto::getattr(1, None),
        &proto::attr_out(&attr, Duration::ZERO),
    );
    fs.calls(2);
    end(&fs, wire);
}

/// libfuse takes seconds as a double, and rounds the nanoseconds down.
#[test]
fn timeouts_from_nothing_to_for_ever() {
    let (fs, mut wire) = recorded::<Concurrent>();
    for (timeout, secs, nanos) in [
        (Duration::ZERO, 0, 0),
        (Duration::from_micros(1), 0, 1_000),
        (Duration::from_millis(999), 0, 999_000_000),
        (Duration::from_secs(86_400), 86_400, 0),
        (Duration::from_secs(1 << 33), 1 << 33, 0),
        // Beyond that, the time as a double would not fit libfuse's integer. The kernel takes much less for ever.
        (Duration::from_secs(1 << 62), 1 << 62, 0),
        (Duration::from_secs(u64::MAX), 1 << 62, 0),
        (Duration::MAX, 1 << 62, 0),
    ] {
        fs.values().entry = Entry::new(ENTRY.attr, timeout);
        let sent = Duration::new(secs, nanos);
        let entry = Entry::new(ENTRY.attr, sent);
        wire.expect(&proto::lookup(1, b"name"), &proto::entry_out(&entry));
        let attr = proto::attr_out(&ENTRY.attr, sent);
        wire.expect(&proto::getattr(1, None), &attr);
    }
    fs.calls(16);
    end(&fs, wire);
}

/// Each bit of `valid` alone, and what the handler is told.
#[test]
fn setattr_field_by_field() {
    let request = SetattrIn {
        valid: 0,
        fh: 0x1_0000_000f,
        size: 0x0123_4567_89ab_cdef,
        lock_owner: 0x55,
        atime: (-2, 999_999_999),
        mtime: (0x1_0000_0001, 1),
        ctime: (i64::MIN, 0),
        mode: libc::S_IFREG | 0o6751,
        uid: 0xffff_fffe,
        gid: 0x1234_5678,
    };
    type Change = fn(&mut SetAttr);
    let fields: [(u32, Change); 14] = [
        (0, |_| {}),
        (fattr::MODE, |to| to.mode = Some(libc::S_IFREG | 0o6751)),
        (fattr::UID, |to| to.uid = Some(0xffff_fffe)),
        (fattr::GID, |to| to.gid = Some(0x1234_5678)),
        (fattr::SIZE, |to| to.size = Some(0x0123_4567_89ab_cdef)),
        (fattr::ATIME, |to| {
            to.atime = Some(SetTime::To(Timestamp::from_nanos(-1_000_000_001)));
        }),
        (fattr::MTIME, |to| {
            to.mtime = Some(SetTime::To(Timestamp::new(0x1_0000_0001, 1)));
        }),
        (fattr::FH, |to| to.fh = Some(Fh(0x1_0000_000f))),
        (fattr::ATIME | fattr::ATIME_NOW, |to| {
            to.atime = Some(SetTime::Now);
        }),
        (fattr::MTIME | fattr::MTIME_NOW, |to| {
            to.mtime = Some(SetTime::Now);
        }),
        (fattr::ATIME_NOW, |to| to.atime = Some(SetTime::Now)),
        (fattr::LOCKOWNER, |_| {}),
        (fattr::CTIME, |to| {
            to.ctime = Some(Timestamp::new(i64::MIN, 0));
        }),
        (fattr::KILL_SUIDGID, |to| {
            to.kill_suidgid = fuse3::sys::library_version() >= [3, 14, 0];
        }),
    ];
    let (fs, mut wire) = recorded::<Concurrent>();
    let mut together = SetAttr::default();
    let mut all = 0;
    for (valid, change) in fields {
        let mut changes = SetAttr::default();
        change(&mut changes);
        wire.expect(&proto::setattr(5, SetattrIn { valid, ..request }), &reply());
        assert_eq!(fs.further_calls(), [format!("setattr 5 {changes:?}")]);
        change(&mut together);
        all |= valid;
    }
    (together.atime, together.mtime) = (Some(SetTime::Now), Some(SetTime::Now));
    let request = SetattrIn {
        valid: all,
        ..request
    };
    wire.expect(&proto::setattr(5, request), &reply());
    assert_eq!(fs.further_calls(), [format!("setattr 5 {together:?}")]);
    end(&fs, wire);
}

/// F_OK, and bits that there are none of.
#[test]
fn access_masks() {
    let (fs, mut wire) = recorded::<Concurrent>();
    for mask in [0, 1, 2, 4, 7, 0x7fff_fff8] {
        wire.expect(&proto::access(4, mask), &[]);
        assert_eq!(fs.further_calls(), [format!("access 4 {mask:#x}")]);
    }
    end(&fs, wire);
}
