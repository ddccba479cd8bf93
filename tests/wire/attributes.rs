//! Attributes: `getattr`, `setattr`, `statfs`, `access`.

use fuse3::{Operation, SetAttr, StatVfs};

use crate::every::Case;
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
