//! Reads that leave from where they are, and writes that come as memory or as a pipe.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fuse3::reply::Piece;
use fuse3::{
    Answer, Capabilities, Context, Data, Errno, FileInfo, Filesystem, GlobalLock, Ino, ReadBuf,
    WriteData,
};

use crate::harness::Wire;
use crate::proto::{self, File as OpenFile, Request};
use crate::transfer::Transfer;

/// 128 KiB in which no two pages are the same.
pub(crate) fn contents(size: usize) -> Vec<u8> {
    let byte = |at| u8::try_from((at / 251 + at) % 256).unwrap();
    (0..size).map(byte).collect()
}

/// A file without a name, with these contents.
pub(crate) fn file(contents: &[u8]) -> File {
    let mut file = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .open(std::env::temp_dir())
        .unwrap();
    file.write_all(contents).unwrap();
    file
}

pub(crate) fn read(offset: u64, size: u32) -> Request {
    proto::read(2, OpenFile::new(1), offset, size)
}

#[track_caller]
fn expect_all(wire: &mut Wire<Transfer>, request: &Request, body: &[u8]) {
    let unique = wire.send(request);
    let reply = wire.receive_spliced();
    assert_eq!(reply.len(), 16 + body.len());
    let expected = proto::reply(unique, body);
    let differs = reply
        .iter()
        .zip(&expected)
        .position(|(is, to_be)| is != to_be);
    assert_eq!(differs, None, "{:?}", &reply[..32.min(reply.len())]);
}

/// With and without splice(2).
const SPLICES: [Capabilities; 3] = [
    Capabilities::empty(),
    Capabilities::SPLICE_WRITE,
    Capabilities::SPLICE_WRITE.union(Capabilities::SPLICE_MOVE),
];

#[test]
fn ranges_of_a_file() {
    let bytes = contents(300_000);
    for splice in SPLICES {
        let real = Arc::new(file(&bytes));
        let fs = Transfer::default()
            .init(move |connection| Ok(connection.want(splice)?))
            .read(move |out, offset| out.splice(Arc::clone(&real), offset, usize::MAX));
        let mut wire = fs.wire();
        for (offset, size) in [
            (0, 1),
            (0, 4096),
            (4095, 8191),
            (0, 8192),
            (1, 131_072),
            (168_928, 131_072),
            // The end of the file.
            (299_999, 10),
            (200_000, 131_072),
            (299_000, 131_072),
            (300_000, 4096),
            (300_001, 131_072),
        ] {
            let from = usize::try_from(offset).unwrap().min(bytes.len());
            let to = from.saturating_add(size).min(bytes.len());
            let request = read(offset, u32::try_from(size).unwrap());
            expect_all(&mut wire, &request, &bytes[from..to]);
        }
        // There are no such offsets.
        wire.expect_error(&read(i64::MAX as u64, 4096), Errno::EINVAL);
        wire.expect_error(&read(1 << 63, 4096), Errno::EINVAL);
        wire.expect_error(&read(u64::MAX, 131_072), Errno::EINVAL);
        wire.end();
    }
}

#[test]
fn whose_file_it_is() {
    static LENT: std::sync::OnceLock<File> = std::sync::OnceLock::new();
    LENT.get_or_init(|| file(b"0123456789"));
    for (way, expected) in [
        (0, "23456"),
        (1, "23456"),
        (2, "23456"),
        (3, "23456"),
        (4, "234"),
    ] {
        let real = file(b"0123456789");
        let fs = Transfer::default().read(move |out, offset| match way {
            0 => out.splice(LENT.get().unwrap(), offset, 5),
            1 => out.splice(real.try_clone().unwrap(), offset, 5),
            2 => out.splice(OwnedFd::from(real.try_clone().unwrap()), offset, 5),
            3 => out.splice(
                Arc::new(OwnedFd::from(real.try_clone().unwrap())),
                offset,
                5,
            ),
            // No more than were asked for.
            _ => out.splice(real.try_clone().unwrap(), offset, 3),
        });
        let mut wire = fs.wire();
        wire.expect(&read(2, 5), expected.as_bytes());
        wire.expect(&read(9, 5), b"9");
        wire.end();
    }
}

#[test]
fn files_that_cannot_be_read() {
    for splice in SPLICES {
        let write_only = Arc::new(File::options().write(true).open("/dev/null").unwrap());
        let directory = Arc::new(File::open("/").unwrap());
        let (socket, _other) = UnixStream::pair().unwrap();
        let socket = Arc::new(OwnedFd::from(socket));
        let fs = Transfer::default()
            .init(move |connection| Ok(connection.want(splice)?))
            .read(move |out, offset| match offset {
                0 => out.splice(Arc::clone(&write_only), 0, usize::MAX),
                1 => out.splice(Arc::clone(&directory), 0, usize::MAX),
                _ => out.splice(Arc::clone(&socket), 0, usize::MAX),
            });
        let mut wire = fs.wire();
        for size in [100, 131_072] {
            wire.expect_error(&read(0, size), Errno::EBADF);
            wire.expect_error(&read(1, size), Errno::EISDIR);
            wire.expect_error(&read(2, size), Errno::ESPIPE);
        }
        wire.end();
    }
}

#[test]
fn pieces_of_each_kind() {
    static LENT: &[u8] = b"lent ";
    let bytes = contents(131_072);
    let shared: Arc<[u8]> = Arc::from(&b"__shared __"[..]);
    for splice in SPLICES {
        let real = Arc::new(file(&bytes));
        let shared = Arc::clone(&shared);
        let fs = Transfer::default()
            .init(move |connection| Ok(connection.want(splice)?))
            .read(move |out, offset| {
                let memory = || {
                    vec![
                        Piece::lent(LENT),
                        Piece::lent(b""),
                        Piece::shared(Arc::clone(&shared), 2..9),
                        Piece::copied(*b"copied "),
                    ]
                };
                let range = |from, length| Piece::file(Arc::clone(&real), from, length);
                let mut pieces = memory();
                match offset {
                    0 => {}
                    1 => pieces.push(range(100, 20)),
                    2 => pieces.insert(0, range(1, 100_000)),
                    // It ends with the file.
                    3 => pieces.insert(2, range(131_000, 1000)),
                    4 => pieces.clear(),
                    5 => pieces = (0..2500).flat_map(|_| memory()).collect(),
                    6 => pieces = vec![range(0, 0), range(5, 5)],
                    7 => pieces.push(range(u64::MAX, 10)),
                    _ => pieces.push(Piece::shared(Arc::clone(&shared), 9..12)),
                }
                out.pieces(pieces)
            });
        let mut wire = fs.wire();
        let memory = b"lent shared copied ";
        expect_all(&mut wire, &read(0, 100), memory);
        expect_all(&mut wire, &read(0, 19), memory);
        let with_range = [&memory[..], &bytes[100..120]].concat();
        expect_all(&mut wire, &read(1, 100), &with_range);
        let with_range = [&bytes[1..100_001], &memory[..]].concat();
        expect_all(&mut wire, &read(2, 131_072), &with_range);
        let cut_short = [LENT, &bytes[131_000..]].concat();
        expect_all(&mut wire, &read(3, 131_072), &cut_short);
        expect_all(&mut wire, &read(4, 100), b"");
        expect_all(&mut wire, &read(5, 131_072), &memory.repeat(2500));
        expect_all(&mut wire, &read(6, 10), &bytes[5..10]);
        // Mistakes: more than was asked for, a range that is not there.
        wire.expect_error(&read(0, 18), Errno::EIO);
        wire.expect_error(&read(3, 1000), Errno::EIO);
        wire.expect_error(&read(8, 100), Errno::EIO);
        wire.end();
    }
}

/// A file system under the global lock, whose reads see whether it is free when they happen.
struct Locked(Arc<GlobalLock<()>>);

impl Filesystem for Locked {
    type Lock = Arc<GlobalLock<()>>;

    fn read(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        _: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        assert!(self.0.stats().holder.is_some());
        Ok(out.later(|room| {
            room[0] = u8::from(self.0.try_lock().is_ok());
            Ok(1)
        }))
    }
}

#[test]
fn the_lock_is_released_before_it_is_read() {
    let lock = Arc::new(GlobalLock::new(()));
    let mut wire = Wire::new(Locked(Arc::clone(&lock)), lock);
    wire.expect(&read(0, 10), &[1]);
    wire.end();
}

#[test]
fn later() {
    let fs = Transfer::default().read(|out, offset| {
        out.later(move |room| match offset {
            0 => {
                room.fill(7);
                Ok(room.len())
            }
            1 => {
                room[..2].copy_from_slice(&[8, 0]);
                Ok(2)
            }
            2 => Err(io::Error::from_raw_os_error(libc::EDQUOT)),
            3 => Ok(room.len() + 1),
            _ => panic!("{offset}"),
        })
    });
    let mut wire = fs.wire();
    wire.expect(&read(0, 131_072), &[7; 131_072]);
    wire.expect(&read(1, 10), &[8, 0]);
    wire.expect_error(&read(2, 10), Errno::EDQUOT);
    wire.expect_error(&read(3, 10), Errno::EIO);
    wire.expect_error(&read(4, 10), Errno::EIO);
    wire.expect(&read(1, 131_072), &[8, 0]);
    assert_eq!(wire.end().stats.panics, 1, "the last one");
}

pub(crate) fn write(data: &[u8]) -> Request {
    proto::write(2, OpenFile::new(1), 0, data)
}

/// With and without a pipe; where the pipe cannot be made large enough, libfuse reads.
fn receives() -> impl Iterator<Item = Capabilities> {
    let known = Capabilities::known(); // on musl no pipe
    [Capabilities::empty(), Capabilities::SPLICE_READ]
        .into_iter()
        .filter(move |receive| known.contains(*receive))
}

const SIZES: [usize; 6] = [0, 1, 4096, 10_000, 65_536, 131_072];

#[test]
fn writes_as_one_slice() {
    for receive in receives() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let came = Arc::clone(&written);
        let fs = Transfer::default()
            .init(move |connection| Ok(connection.want(receive)?))
            .write(move |data| *came.lock().unwrap() = data.to_vec());
        let mut wire = fs.wire();
        for size in SIZES {
            let data = contents(size);
            let count = u32::try_from(size).unwrap();
            wire.expect(&write(&data), &proto::size_out(count));
            assert!(*written.lock().unwrap() == data, "{size} bytes");
        }
        wire.end();
    }
}

/// What a handler of a write does with its data, and whether it is in a pipe.
fn writing(
    receive: Capabilities,
    handle: impl Fn(WriteData<'_>) -> io::Result<usize> + Send + Sync + 'static,
) -> Wire<Transfer> {
    Transfer::default()
        .init(move |connection| Ok(connection.want(receive)?))
        .write_buf(move |data, _| handle(data))
        .wire()
}

#[test]
fn writes_into_a_file() {
    for receive in receives() {
        for append in [0, libc::O_APPEND] {
            let real = file(b"");
            // splice(2) refuses O_APPEND.
            // SAFETY: the descriptor is open; no memory is involved.
            let set = unsafe {
                libc::fcntl(
                    std::os::fd::AsRawFd::as_raw_fd(&real),
                    libc::F_SETFL,
                    append,
                )
            };
            assert_eq!(set, 0);
            let real = Arc::new(real);
            let target = Arc::clone(&real);
            let mut wire = writing(receive, move |data| {
                let offset = u64::from(append == 0) * 1000;
                data.splice_into(&*target, offset)
            });
            for size in SIZES {
                let data = contents(size);
                real.set_len(0).unwrap();
                let count = u32::try_from(size).unwrap();
                wire.expect(&write(&data), &proto::size_out(count));
                let mut there = Vec::new();
                (&*real).rewind().unwrap();
                (&*real).read_to_end(&mut there).unwrap();
                let skipped = if append == 0 {
                    1000.min(there.len())
                } else {
                    0
                };
                assert!(there[skipped..] == data, "{size} bytes");
            }
            wire.end();
        }
    }
}

/// Each way of the data, in memory or in a pipe. Others' pipes may leave too little of what a user's may have together
/// (pipe(7), `pipe-user-pages-soft`); libfuse then reads into memory.
#[test]
fn writes_bit_by_bit() {
    for receive in receives() {
        let in_pipe = receive == Capabilities::SPLICE_READ;
        let mut tries = 0..20;
        while bit_by_bit(receive) != in_pipe {
            assert!(tries.next().is_some(), "{receive:?}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Takes 128 KiB in all the ways that there are, and tells whether they came in a pipe.
fn bit_by_bit(receive: Capabilities) -> bool {
    let whole = contents(131_072);
    let real = Arc::new(file(b""));
    let in_pipe = Arc::new(AtomicBool::new(false));
    let (target, expected, came_in_pipe) = (Arc::clone(&real), whole.clone(), Arc::clone(&in_pipe));
    let mut wire = writing(receive, move |mut data| {
        came_in_pipe.store(data.as_slice().is_none(), Ordering::Relaxed);
        let mut head = [0; 5000];
        assert_eq!(data.len(), expected.len());
        assert_eq!(data.read_into(&mut head)?, head.len());
        assert!(head == expected[..5000]);
        assert_eq!((data.len(), data.is_empty()), (126_072, false));
        let bytes = data.bytes()?;
        assert!(bytes == &expected[5000..]);
        assert!(data.as_slice() == Some(&expected[5000..]));
        assert_eq!(data.read_into(&mut head)?, head.len());
        assert!(head == expected[5000..10_000]);
        Ok(10_000 + data.splice_into(&*target, 10_000)?)
    });
    wire.expect(&write(&whole), &proto::size_out(131_072));
    let mut there = vec![0; 131_072];
    real.read_exact_at(&mut there, 0).unwrap();
    assert!(there[10_000..] == whole[10_000..]);
    wire.end();
    in_pipe.load(Ordering::Relaxed)
}

/// What a handler leaves in the pipe does not come with the next request.
#[test]
fn writes_that_are_not_taken() {
    for receive in receives() {
        let count = Mutex::new(0);
        let mut wire = writing(receive, move |mut data| {
            let mut count = count.lock().unwrap();
            *count += 1;
            match *count {
                1 => Ok(0),
                2 => data.read_into(&mut [0; 3]),
                3 => Err(io::Error::from_raw_os_error(libc::ENOSPC)),
                4 => data.splice_into(File::open("/dev/null")?, 0),
                5 => data.splice_into(File::options().write(true).open("/dev/full")?, 0),
                _ => {
                    let size = data.len();
                    assert!(data.bytes()? == contents(size));
                    Ok(size)
                }
            }
        });
        let large = write(&contents(131_072));
        wire.expect(&large, &proto::size_out(0));
        wire.expect(&large, &proto::size_out(3));
        wire.expect_error(&large, Errno::ENOSPC);
        wire.expect_error(&large, Errno::EBADF);
        wire.expect_error(&large, Errno::ENOSPC);
        wire.expect(&large, &proto::size_out(131_072));
        wire.expect(&write(&contents(7)), &proto::size_out(7));
        wire.end();
    }
}
