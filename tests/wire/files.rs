//! Files: `open`, `create`, `read`, `write`, `flush`, `release`, `fsync`.

use std::sync::Arc;

use fuse3::{Concurrent, Data, Fh, Opened, Operation, ReadBuf};

use crate::every::{Case, end, recorded};
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

#[test]
fn how_a_file_is_opened() {
    let (fs, mut wire) = recorded::<Concurrent>();
    let plain = Opened::new(Fh(1));
    for (opened, flags) in [
        (plain, 0),
        (plain.direct_io(true), fopen::DIRECT_IO),
        (plain.keep_cache(true), fopen::KEEP_CACHE),
        (plain.nonseekable(true), fopen::NONSEEKABLE),
        (plain.cache_readdir(true), fopen::CACHE_DIR),
    ] {
        fs.values().opened = opened;
        let body = proto::open_out(1, flags);
        wire.expect(&proto::open(20, 0), &body);
        wire.expect(&proto::opendir(20, 0), &body);
        let create = proto::create(1, b"new", 0o100_644, 0, 0);
        let body = [proto::entry_out(&ENTRY), body].concat();
        wire.expect(&create, &body);
    }
    fs.calls(15);
    end(&fs, wire);
}

#[test]
fn what_a_request_says_of_its_file() {
    let (fs, mut wire) = recorded::<Concurrent>();
    let of = |of_request| File {
        of_request,
        ..File::new(9)
    };
    // FUSE_RELEASE_FLUSH, FUSE_RELEASE_FLOCK_UNLOCK
    for (flags, shown) in [
        (1, " flush"),
        (2, " flock_release"),
        (3, " flush flock_release"),
    ] {
        wire.expect(&proto::release(25, of(flags)), &[]);
        assert_eq!(fs.further_calls(), [format!("release 25 fh=0x9{shown}")]);
    }
    // FUSE_WRITE_CACHE, FUSE_WRITE_LOCKOWNER, FUSE_WRITE_KILL_SUIDGID
    for (flags, shown) in [(1, " writepage"), (2, ""), (4, ""), (7, " writepage")] {
        let request = proto::write(23, of(flags), 0, b"data");
        wire.expect(&request, &proto::size_out(4));
        assert_eq!(
            fs.further_calls(),
            [format!("write 23 fh=0x9{shown} \"data\"@0x0")]
        );
    }
    wire.expect(&proto::fsync(26, 9, false), &[]);
    wire.expect(&proto::fsyncdir(26, 9, true), &[]);
    assert_eq!(
        fs.further_calls(),
        ["fsync 26 fh=0x9 false", "fsyncdir 26 fh=0x9 true"]
    );
    end(&fs, wire);
}

static LENT: [u8; 1 << 17] = [0x5a; 1 << 17];

#[test]
fn the_ways_to_read() {
    let shared: Arc<Vec<u8>> = Arc::new((0..=255).cycle().take(1 << 17).collect());
    let whole = Arc::clone(&shared);
    let part = Arc::clone(&shared);
    type Way = Box<dyn Fn(ReadBuf) -> Data<'static> + Send + Sync>;
    let ways: [(u32, Way, Vec<u8>); 12] = [
        (100, Box::new(ReadBuf::finish), vec![]),
        (
            100,
            Box::new(|out| out.copy_from(b"short")),
            b"short".to_vec(),
        ),
        (
            5,
            Box::new(|out| out.copy_from(b"exact")),
            b"exact".to_vec(),
        ),
        (1 << 17, Box::new(|out| out.copy_from(&LENT)), LENT.to_vec()),
        (1 << 17, Box::new(|out| out.lend(&LENT)), LENT.to_vec()),
        (100, Box::new(|out| out.lend(b"")), vec![]),
        (
            1 << 17,
            Box::new(move |out| out.share(Arc::clone(&whole), 0..1 << 17)),
            shared.to_vec(),
        ),
        (
            100,
            Box::new(move |out| out.share(Arc::clone(&part), 250..260)),
            vec![250, 251, 252, 253, 254, 255, 0, 1, 2, 3],
        ),
        (
            100,
            Box::new(|mut out| {
                out.push(b"data");
                out.push_zeros(3);
                out.push(b"more");
                out.finish()
            }),
            b"data\0\0\0more".to_vec(),
        ),
        (
            8,
            Box::new(|mut out| {
                let size = out.size();
                out.push_zeros(size);
                out.finish()
            }),
            vec![0; 8],
        ),
        (
            8,
            Box::new(|mut out| {
                out.push(b"12");
                let got = out.push_with(100, |room| {
                    assert_eq!(room.len(), 6);
                    room[..3].copy_from_slice(b"345");
                    Ok::<_, ()>(3)
                });
                assert_eq!((got, out.remaining()), (Ok(3), 3));
                out.finish()
            }),
            b"12345".to_vec(),
        ),
        (
            8,
            Box::new(|mut out| {
                out.push(b"12");
                assert_eq!(out.push_with(4, |_| Err("no")), Err("no"));
                out.finish()
            }),
            b"12".to_vec(),
        ),
    ];
    let (fs, mut wire) = recorded::<Concurrent>();
    for (size, way, expected) in ways {
        fs.values().read = Arc::from(way);
        wire.expect(&proto::read(22, File::new(9), 0, size), &expected);
        assert_eq!(fs.further_calls(), [format!("read 22 fh=0x9 {size}@0x0")]);
    }
    fs.assert_log(&[]);
    end(&fs, wire);
}

#[test]
fn writes_of_all_sizes() {
    let (fs, mut wire) = recorded::<Concurrent>();
    let mut data: Vec<u8> = (0..=255).cycle().take(1 << 17).collect();
    *data.last_mut().unwrap() = 0x77;
    let offset = i64::MAX.unsigned_abs();
    for (size, shown) in [
        (0, "\"\"".to_owned()),
        (4, "\"\\0\\u{1}\\u{2}\\u{3}\"".to_owned()),
        (1 << 17, "0x0, .., 0x77 of 131072".to_owned()),
    ] {
        let request = proto::write(23, File::new(9), offset, &data[..size]);
        let size = u32::try_from(size).unwrap();
        wire.expect(&request, &proto::size_out(size));
        let call = format!("write 23 fh=0x9 {shown}@0x7fffffffffffffff");
        assert_eq!(fs.further_calls(), [call]);
    }
    end(&fs, wire);
}
