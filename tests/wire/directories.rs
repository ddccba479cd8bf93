//! Directories: `opendir`, `readdir` and READDIRPLUS, `releasedir`, `fsyncdir`.

use fuse3::Operation;

use crate::every::Case;
use crate::proto::{self, File, fopen};
use crate::recorder::{HANDLE, Values};

pub(crate) fn cases() -> Vec<Case> {
    let entries = Values::default().entries;
    let entries = entries.iter();
    let plain = entries
        .clone()
        .map(|(name, entry, next)| proto::dirent(name, entry, *next));
    let plus = entries.map(|(name, entry, next)| proto::direntplus(name, entry, *next));
    let file = File {
        fh: 0xdddd_0000_0000_000d,
        flags: 0x1_8800,
        lock_owner: 0x7777_0000_0000_0007,
        of_request: 0,
    };
    vec![
        Case::new(
            Operation::Opendir,
            proto::opendir(30, 0x1_8800),
            "opendir 30 0x18800",
            proto::open_out(HANDLE.0, fopen::KEEP_CACHE),
        )
        .default(proto::open_out(0, 0))
        .undone(&["releasedir 30 fh=0xfedcba9876543210 flags=0x18800"]),
        Case::new(
            Operation::Readdir,
            proto::readdir(31, 0xdddd_0000_0000_000d, 0, 4096),
            "readdir 31 fh=0xdddd00000000000d 0x0 DirBuf { size: 4096, filled: 0, plus: false, .. }",
            plain.collect::<Vec<_>>().concat(),
        ),
        Case::new(
            Operation::Readdirplus,
            proto::readdirplus(32, 0xdddd_0000_0000_000d, 0, 4096),
            "readdirplus 32 fh=0xdddd00000000000d 0x0 DirBuf { size: 4096, filled: 0, plus: true, .. }",
            plus.collect::<Vec<_>>().concat(),
        )
        .undone(&["forget 7 1"]),
        Case::new(
            Operation::Releasedir,
            proto::releasedir(33, file),
            "releasedir 33 fh=0xdddd00000000000d flags=0x18800",
            vec![],
        )
        .default(vec![]),
        Case::new(
            Operation::Fsyncdir,
            proto::fsyncdir(34, 0xdddd_0000_0000_000d, false),
            "fsyncdir 34 fh=0xdddd00000000000d false",
            vec![],
        ),
    ]
}
