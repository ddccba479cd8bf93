//! Operations on names: `lookup`, `forget`, `mknod`, `mkdir`, `unlink`, `rmdir`, `symlink`, `readlink`, `rename`, `link`.

use std::sync::Mutex;
use std::time::Duration;

use fuse3::{Concurrent, Context, Entry, Errno, Filesystem, Ino, Operation};

use crate::attributes;
use crate::every::{Case, end, recorded};
use crate::harness::{Wire, until};
use crate::proto;
use crate::recorder::{ENTRY, How, Style, in_both_styles, of_type};

pub(crate) fn cases() -> Vec<Case> {
    let entry = || proto::entry_out(&ENTRY);
    let made = |kind| proto::entry_out(&of_type(ENTRY, kind));
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
            made(libc::S_IFCHR),
        )
        .undone(forget),
        Case::new(
            Operation::Mkdir,
            proto::mkdir(3, b"dir", 0o1755, 0o22),
            "mkdir 3 \"dir\" 0o1755 umask=0o22",
            made(libc::S_IFDIR),
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
            made(libc::S_IFLNK),
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

in_both_styles! { forgets forgets_in_batches forget_panics rename_has_flags }

/// What `proto` puts together, written out once by hand.
#[test]
#[cfg(target_endian = "little")]
fn an_entry_to_the_byte() {
    let (fs, mut wire) = recorded::<Concurrent>();
    wire.send(&proto::lookup(1, b"name"));
    #[rustfmt::skip]
    let expected = [
        // struct fuse_out_header: len, error, unique
        0x90, 0, 0, 0,  0, 0, 0, 0,  4, 0, 0, 0, 0, 0, 0, 0,
        // struct fuse_entry_out: nodeid, generation
        0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,  0x01, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99,
        // entry_valid, attr_valid
        1, 0, 0, 0, 0, 0, 0, 0,  0x80, 0x51, 0x01, 0, 0, 0, 0, 0,
        // entry_valid_nsec, attr_valid_nsec
        0x00, 0x65, 0xcd, 0x1d,  0x80, 0xb2, 0xe6, 0x0e,
        // struct fuse_attr: ino, size, blocks
        0xe1, 0xf1, 0x01, 0x11, 0x21, 0x31, 0x41, 0x51,  8, 7, 6, 5, 4, 3, 2, 1,
        0x86, 0x85, 0x84, 0x83, 0x82, 0x81, 0x80, 0x00,
        // atime, mtime, ctime
        0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,  1, 0, 0, 0, 1, 0, 0, 0,  0x00, 0xf1, 0x53, 0x65, 0, 0, 0, 0,
        // atimensec, mtimensec, ctimensec
        0xff, 0xc9, 0x9a, 0x3b,  1, 0, 0, 0,  0x15, 0xcd, 0x5b, 0x07,
        // mode, nlink, uid, gid, rdev, blksize, flags
        0xe9, 0x89, 0, 0,  3, 0, 0, 0,  0xf0, 0xff, 0xff, 0xff,  1, 0, 2, 0,
        0x78, 0x56, 0x34, 0x12,  0, 0, 1, 0,  0, 0, 0, 0,
    ];
    assert_eq!(wire.receive(), expected);
    assert_eq!(fs.further_calls(), ["lookup 1 \"name\""]);
    end(&fs, wire);
}

/// The kernel gives names without a slash or NUL in them, of up to `DirBuf::NAME_MAX` bytes, and libfuse whatever the kernel
/// does. The handler has them as they are.
#[test]
fn names_are_any_bytes() {
    let (fs, mut wire) = recorded::<Concurrent>();
    let every_byte: Vec<u8> = (1..=255).filter(|byte| *byte != b'/').collect();
    let names: [&[u8]; 8] = [
        b"",
        b".",
        b"..",
        b"\xff\xfe not UTF-8 \xc3\x28",
        &every_byte,
        &[b'x'; 255],
        &[b'y'; 256],
        &[b'z'; 4095],
    ];
    for name in names {
        use std::os::unix::ffi::OsStrExt;
        let shown = std::ffi::OsStr::from_bytes(name);
        let entry = proto::entry_out(&ENTRY);
        wire.expect(&proto::lookup(1, name), &entry);
        assert_eq!(fs.further_calls(), [format!("lookup 1 {shown:?}")]);
        wire.expect(&proto::rename(1, name, 2, name), &[]);
        assert_eq!(
            fs.further_calls(),
            [format!("rename 1 {shown:?} 2 {shown:?} 0x0")]
        );
        let entry = proto::entry_out(&of_type(ENTRY, libc::S_IFLNK));
        wire.expect(&proto::symlink(1, name, name), &entry);
        assert_eq!(
            fs.further_calls(),
            [format!("symlink {shown:?} 1 {shown:?}")]
        );
    }
    end(&fs, wire);
}

/// A negative entry is no inode, and nothing is forgotten when it is not taken.
#[test]
fn a_negative_entry() {
    let (fs, mut wire) = recorded::<Concurrent>();
    let entry = Entry::negative(Duration::from_millis(2_500));
    fs.values().entry = entry;
    wire.expect(&proto::lookup(1, b"none"), &proto::entry_out(&entry));
    wire.refuse_for_good();
    wire.send(&proto::lookup(1, b"none"));
    fs.calls(2);
    end(&fs, wire);
}

/// There is no reply: the next one that comes is that of the request after it.
fn forgets<L: Style>() {
    let (fs, mut wire) = recorded::<L>();
    wire.send(&proto::forget(0x1_0000_0007, u64::MAX));
    assert_eq!(fs.calls(1), [format!("forget 4294967303 {}", u64::MAX)]);
    wire.expect(&proto::getattr(1, None), &attributes::reply());
    fs.calls(1);
    end(&fs, wire);
}

fn forgets_in_batches<L: Style>() {
    let (fs, mut wire) = recorded::<L>();
    wire.send(&proto::batch_forget(&[(7, 1), (8, 0x1_0000_0000), (7, 2)]));
    let calls = ["forget 7 1", "forget 8 4294967296", "forget 7 2"];
    assert_eq!(fs.calls(3), calls);
    wire.send(&proto::batch_forget(&[]));
    wire.expect(&proto::getattr(1, None), &attributes::reply());
    fs.calls(1);
    if wire.lock.stats().is_some() {
        let of = |operation| {
            let stats = wire.lock.stats()?;
            let mut uses = stats.operations.iter();
            uses.find(|used| used.operation == Some(operation))
                .map(|used| used.count)
        };
        // A batch is one section of the lock. Another worker has the empty one, which nothing says has ended.
        until("two batches", || of(Operation::ForgetMulti) >= Some(2));
        assert_eq!(of(Operation::ForgetMulti), Some(2));
        assert_eq!(of(Operation::Forget), None);
    }
    end(&fs, wire);
}

fn forget_panics<L: Style>() {
    let (fs, mut wire) = recorded::<L>();
    fs.answer(How::Panic);
    wire.send(&proto::forget(7, 1));
    wire.send(&proto::batch_forget(&[(8, 1), (9, 1)]));
    // The rest of the batch goes down with it.
    let mut calls = fs.calls(2);
    calls.sort();
    assert_eq!(calls, ["forget 7 1", "forget 8 1"]);
    wire.expect_error(&proto::getattr(1, None), Errno::EIO);
    fs.calls(1);
    fs.answer(How::Answer);
    assert_eq!(wire.end().stats.panics, 3);
    assert_eq!(fs.further_calls(), ["destroy"]);
}

/// A file system that takes batches itself.
#[derive(Debug, Default)]
struct Batches(Mutex<Vec<Vec<(u64, u64)>>>);

impl Filesystem for Batches {
    type Lock = Concurrent;

    fn forget_multi(
        &self,
        _cx: &mut Context<'_, Self>,
        forgets: &mut dyn Iterator<Item = (Ino, u64)>,
    ) {
        let batch = forgets.map(|(ino, nlookup)| (ino.0, nlookup)).collect();
        self.0.lock().unwrap().push(batch);
    }
}

#[test]
fn a_batch_is_one_call() {
    let mut wire = Wire::new(Batches::default(), Concurrent);
    let batch: Vec<_> = (1..=1000).map(|ino| (ino, ino * 3)).collect();
    wire.send(&proto::batch_forget(&batch));
    wire.expect_error(&proto::getattr(1, None), Errno::ENOSYS);
    wire.has_come(Operation::ForgetMulti);
    let fs = wire.end().fs;
    assert_eq!(*fs.0.lock().unwrap(), [batch]);
}

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
