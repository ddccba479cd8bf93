//! Operations on names: `lookup`, `forget`, `mknod`, `mkdir`, `unlink`, `rmdir`, `symlink`, `readlink`, `rename`, `link`.

use fuse3::Operation;

use crate::every::{Case, end, recorded};
use crate::proto;
use crate::recorder::{ENTRY, Style, in_both_styles};

pub(crate) fn cases() -> Vec<Case> {
    let entry = || proto::entry_out(&ENTRY);
    let forget = &["forget 1234605616436508552 1"][..];
    vec![
        Case::new(
            Operation::Lookup,
            proto::lookup(1, b"a name"),
            "lookup 1 \"a name\"",
            entry(),
        )
        .undone(forget),
        Case::new(
            Operation::Readlink,
            proto::readlink(9),
            "readlink 9",
            b"../the target".to_vec(),
        ),
        Case::new(
            Operation::Mknod,
            proto::mknod(2, b"node", libc::S_IFCHR | 0o640, 0x0012_3456, 0o27),
            "mknod 2 \"node\" 0o20640 0x123456 umask=0o27",
            entry(),
        )
        .undone(forget),
        Case::new(
            Operation::Mkdir,
            proto::mkdir(3, b"dir", 0o1755, 0o22),
            "mkdir 3 \"dir\" 0o1755 umask=0o22",
            entry(),
        )
        .undone(forget),
        Case::new(
            Operation::Unlink,
            proto::unlink(4, b"file"),
            "unlink 4 \"file\"",
            vec![],
        ),
        Case::new(
            Operation::Rmdir,
            proto::rmdir(5, b"dir"),
            "rmdir 5 \"dir\"",
            vec![],
        ),
        Case::new(
            Operation::Symlink,
            proto::symlink(6, b"link", b"/to/where"),
            "symlink \"/to/where\" 6 \"link\"",
            entry(),
        )
        .undone(forget),
        Case::new(
            Operation::Rename,
            proto::rename(7, b"old", 8, b"new"),
            "rename 7 \"old\" 8 \"new\" 0x0",
            vec![],
        ),
        Case::new(
            Operation::Link,
            proto::link(10, 11, b"one more"),
            "link 10 11 \"one more\"",
            entry(),
        )
        .undone(forget),
    ]
}

in_both_styles! { rename_has_flags }

fn rename_has_flags<L: Style>() {
    let (fs, mut wire) = recorded::<L>();
    for flags in [
        libc::RENAME_NOREPLACE,
        libc::RENAME_EXCHANGE,
        libc::RENAME_WHITEOUT,
        0x8000_0000,
    ] {
        wire.expect(&proto::rename2(7, b"old", 8, b"new", flags), &[]);
        let call = format!("rename 7 \"old\" 8 \"new\" {flags:#x}");
        assert_eq!(fs.further_calls(), [call]);
    }
    end(&fs, wire);
}
