//! Extended attributes: `setxattr`, `getxattr`, `listxattr`, `removexattr`.

use fuse3::{Concurrent, Errno, Operation};

use crate::every::{Case, end, recorded};
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

/// getxattr(2) and listxattr(2): 0 asks for the length; less than that is ERANGE.
#[test]
fn room_for_a_value() {
    let (fs, mut wire) = recorded::<Concurrent>();
    let value: Vec<u8> = (0..=255).cycle().take(65_536).collect();
    for length in [1, 13, 65_536] {
        fs.values().xattr = value[..length].to_vec();
        let exact = u32::try_from(length).unwrap();
        let get = |size| proto::getxattr(41, b"user.name", size);
        wire.expect(&get(0), &proto::size_out(exact));
        wire.expect(&get(exact), &value[..length]);
        wire.expect(&get(exact + 1), &value[..length]);
        if exact > 1 {
            wire.expect_error(&get(exact - 1), Errno::ERANGE);
            wire.expect_error(&get(1), Errno::ERANGE);
        }
    }
    fs.values().xattr = vec![];
    wire.expect(&proto::getxattr(41, b"user.name", 0), &proto::size_out(0));
    wire.expect(&proto::getxattr(41, b"user.name", 1), &[]);
    fs.calls(15);
    end(&fs, wire);
}

#[test]
fn room_for_the_names() {
    let (fs, mut wire) = recorded::<Concurrent>();
    wire.expect(&proto::listxattr(42, 0), &proto::size_out(18));
    wire.expect(&proto::listxattr(42, 18), b"user.one\0user.two\0");
    wire.expect_error(&proto::listxattr(42, 17), Errno::ERANGE);
    fs.values().xattrs = vec![];
    wire.expect(&proto::listxattr(42, 0), &proto::size_out(0));
    wire.expect(&proto::listxattr(42, 17), &[]);
    fs.calls(5);
    end(&fs, wire);
}

#[test]
fn values_and_flags_that_are_set() {
    let (fs, mut wire) = recorded::<Concurrent>();
    for (value, flags) in [
        (&b""[..], 0),
        (b"\0\xff", 1),
        (b"value", 2),
        (b"", 0x7fff_0000),
    ] {
        wire.expect(&proto::setxattr(40, b"user.name", value, flags), &[]);
        use std::os::unix::ffi::OsStrExt;
        let shown = std::ffi::OsStr::from_bytes(value);
        assert_eq!(
            fs.further_calls(),
            [format!("setxattr 40 \"user.name\" {shown:?} {flags:#x}")]
        );
    }
    end(&fs, wire);
}
