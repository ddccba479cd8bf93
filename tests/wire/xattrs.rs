//! Extended attributes: `setxattr`, `getxattr`, `listxattr`, `removexattr`.

use fuse3::Operation;

use crate::every::Case;
use crate::proto;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            Operation::Setxattr,
            proto::setxattr(40, b"user.name", b"va\0lue", 1),
            "setxattr 40 \"user.name\" \"va\\0lue\" 0x1",
            vec![],
        ),
        Case::new(
            Operation::Getxattr,
            proto::getxattr(41, b"user.name", 100),
            "getxattr 41 \"user.name\"",
            b"a \0 value".to_vec(),
        ),
        Case::new(
            Operation::Listxattr,
            proto::listxattr(42, 100),
            "listxattr 42",
            b"user.one\0user.two\0".to_vec(),
        ),
        Case::new(
            Operation::Removexattr,
            proto::removexattr(43, b"user.name"),
            "removexattr 43 \"user.name\"",
            vec![],
        ),
    ]
}
