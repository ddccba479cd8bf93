//! Files: `open`, `create`, `read`, `write`, `flush`, `release`, `fsync`.

use fuse3::Operation;

use crate::every::Case;
use crate::proto::{self, File, fopen};
use crate::recorder::{ENTRY, HANDLE};

/// O_RDWR, O_NOFOLLOW and O_LARGEFILE.
const FLAGS: u32 = 0x2_8002;

pub(crate) fn cases() -> Vec<Case> {
    let opened = || proto::open_out(HANDLE.0, fopen::KEEP_CACHE);
    let file = File {
        fh: 0xdddd_0000_0000_000d,
        flags: FLAGS,
        lock_owner: 0x7777_0000_0000_0007,
        of_request: 0,
    };
    vec![
        Case::new(
            Operation::Open,
            proto::open(20, FLAGS),
            "open 20 0x28002",
            opened(),
        )
        .default(proto::open_out(0, 0))
        .undone(&["release 20 fh=0xfedcba9876543210 flags=0x28002"]),
        Case::new(
            Operation::Create,
            proto::create(21, b"new", libc::S_IFREG | 0o640, 0o26, FLAGS | 0o300),
            "create 21 \"new\" 0o100640 0x280c2 umask=0o26",
            [proto::entry_out(&ENTRY), opened()].concat(),
        )
        .undone(&[
            "release 1234605616436508552 fh=0xfedcba9876543210 flags=0x280c2",
            "forget 1234605616436508552 1",
        ]),
        Case::new(
            Operation::Read,
            proto::read(22, file, 0x1_2345_6789, 4096),
            "read 22 fh=0xdddd00000000000d flags=0x28002 owner=0x7777000000000007 4096@0x123456789",
            b"what was read".to_vec(),
        ),
        Case::new(
            Operation::Write,
            proto::write(23, file, 0x1_2345_6789, b"data \0\xff"),
            "write 23 fh=0xdddd00000000000d flags=0x28002 owner=0x7777000000000007 \"data \\0\\xFF\"@0x123456789",
            proto::size_out(7),
        ),
        Case::new(
            Operation::Flush,
            proto::flush(24, 0xdddd_0000_0000_000d, 0x7777_0000_0000_0007),
            "flush 24 fh=0xdddd00000000000d owner=0x7777000000000007 flush",
            vec![],
        ),
        Case::new(
            Operation::Release,
            proto::release(25, file),
            "release 25 fh=0xdddd00000000000d flags=0x28002 owner=0x7777000000000007",
            vec![],
        )
        .default(vec![]),
        Case::new(
            Operation::Fsync,
            proto::fsync(26, 0xdddd_0000_0000_000d, true),
            "fsync 26 fh=0xdddd00000000000d true",
            vec![],
        ),
    ]
}
