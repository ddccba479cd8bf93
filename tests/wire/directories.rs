//! Directories: `opendir`, `readdir` and READDIRPLUS, `releasedir`, `fsyncdir`.

use fuse3::{Concurrent, Operation};

use crate::every::{Case, end, recorded};
use crate::proto::{self, File, fopen};
use crate::recorder::{HANDLE, Style, Values, entry, in_both_styles};

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

in_both_styles! { entries_that_are_not_taken }

/// Names of all lengths, so that the padding has all lengths, too.
fn many() -> Vec<(Vec<u8>, fuse3::Entry, u64)> {
    (1..=255_u64)
        .map(|n| {
            let name = vec![b'n'; usize::try_from(n).unwrap()];
            (name, entry(1000 + n), n << 32)
        })
        .collect()
}

/// Reads a directory as the kernel does, to its end.
fn read_all(plus: bool) {
    type Read = fn(u64, u64, u64, u32) -> proto::Request;
    type Encode = fn(&[u8], &fuse3::Entry, u64) -> Vec<u8>;
    let (read, encode): (Read, Encode) = if plus {
        (proto::readdirplus, proto::direntplus)
    } else {
        (proto::readdir, proto::dirent)
    };
    let (fs, mut wire) = recorded::<Concurrent>();
    let mut rest = many();
    let mut offset = 0;
    let mut listings = 0;
    while !rest.is_empty() {
        fs.values().entries = rest.clone();
        let (mut expected, mut fit) = (Vec::new(), 0);
        for (name, entry, next) in &rest {
            let encoded = encode(name, entry, *next);
            if expected.len() + encoded.len() > 4096 {
                break;
            }
            expected.extend(encoded);
            fit += 1;
            offset = *next;
        }
        let from = fs.values().entries[0].2 - (1 << 32);
        wire.expect(&read(31, 9, from, 4096), &expected);
        rest.drain(..fit);
        listings += 1;
    }
    assert!(listings > 5);
    fs.values().entries.clear();
    wire.expect(&read(31, 9, offset, 4096), &[]);
    assert_eq!(fs.further_calls().len(), listings + 1);
    fs.assert_log(&[]);
    end(&fs, wire);
}

#[test]
fn readdir_to_the_end() {
    read_all(false);
}

#[test]
fn readdirplus_to_the_end() {
    read_all(true);
}

/// What fits in a page is listed, down to the last byte.
#[test]
fn listings_of_the_smallest_sizes() {
    let (fs, mut wire) = recorded::<Concurrent>();
    let (name, one) = (b"12345678".to_vec(), entry(7));
    let listed = proto::dirent(&name, &one, 1);
    assert_eq!(listed.len(), 32);
    fs.values().entries = vec![(name, one, 1)];
    wire.expect(&proto::readdir(31, 9, 0, 32), &listed);
    for size in [31, 1, 0] {
        wire.expect(&proto::readdir(31, 9, 0, size), &[]);
    }
    fs.calls(4);
    end(&fs, wire);
}

/// Each entry that raises a lookup count is forgotten once: not the dots, nor one without an inode, nor one that did not
/// fit.
fn entries_that_are_not_taken<L: Style>() {
    let (fs, mut wire) = recorded::<L>();
    let names: [(&[u8], u64); 7] = [
        (b".", 1),
        (b"..", 2),
        (b"a", 10),
        (b"negative", 0),
        (b"longer than b", 11),
        (b"again a", 10),
        (b"does not fit", 12),
    ];
    let entries: Vec<_> = (1..)
        .zip(names)
        .map(|(next, (name, ino))| (name.to_vec(), entry(ino), next))
        .collect();
    let fit = entries[..6]
        .iter()
        .map(|(name, entry, next)| proto::direntplus(name, entry, *next));
    let fit = fit.collect::<Vec<_>>().concat();
    fs.values().entries = entries;
    let size = u32::try_from(fit.len()).unwrap();
    wire.expect(&proto::readdirplus(31, 9, 0, size), &fit);
    fs.calls(1);
    wire.refuse_for_good();
    wire.send(&proto::readdirplus(31, 9, 0, size));
    assert_eq!(
        fs.calls(4)[1..],
        [
            "forget 10 1 (taken back)",
            "forget 11 1 (taken back)",
            "forget 10 1 (taken back)"
        ]
    );
    wire.send(&proto::readdir(31, 9, 0, 4096));
    fs.calls(1);
    end(&fs, wire);
}
