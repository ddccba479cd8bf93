//! Character devices: CUSE's INIT, what comes after it, and what is not a device.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use fuse3::context::Guard;
use fuse3::ioctl::{CallerMemory, IoctlReply};
use fuse3::session::CharDevice;
use fuse3::{Concurrent, Errno, Filesystem, MountError, Session};

use crate::every::end;
use crate::harness::Wire;
use crate::logger::PANIC;
use crate::proto::{self, InitIn, IoctlIn, fopen};
use crate::recorder::{Bare, HANDLE, How, Recorder, Style, in_both_styles};

#[path = "../../examples/cuse.rs"]
#[expect(dead_code, reason = "its main is not called")]
mod example;

in_both_styles! { a_device_begins_and_serves a_device_without_handlers }

/// What the kernel says of unrestricted calls.
pub(crate) const UNRESTRICTED: u32 = 1 << 1;

pub(crate) fn connect<F: Filesystem>(fs: F, lock: F::Lock, device: CharDevice) -> Wire<F> {
    let (session, mut wire) = Wire::begin(fs, lock, |builder, server| {
        builder.character_device_fd(&device, server).unwrap()
    });
    wire.run(session);
    wire
}

/// The version of the protocol that this libfuse speaks, as it tells the kernel of a file system.
fn minor() -> u32 {
    let fs = Bare::<Concurrent>::new();
    let mut wire = Wire::connect(fs, Concurrent, |builder| builder);
    let minor = wire.init(InitIn::default()).minor;
    wire.end();
    minor
}

fn device<L: Style>() -> (Recorder<L>, Wire<Recorder<L>>) {
    let fs = Recorder::<L>::new();
    let device = CharDevice::new("my device").unrestricted_ioctl(true);
    let mut wire = connect(fs.clone(), fs.lock.clone(), device);
    let init = proto::cuse_init_out(minor(), 1, (0, 0), b"DEVNAME=my device\0");
    wire.expect(&proto::cuse_init(7, 45), &init);
    assert_eq!(fs.calls(2), ["init", "init_done"]);
    (fs, wire)
}

#[test]
fn the_number_and_the_name() {
    let device = CharDevice::new("x").number(4095, (1 << 20) - 1);
    let mut wire = connect(Bare::<Concurrent>::new(), Concurrent, device);
    let init = proto::cuse_init_out(minor(), 0, (4095, (1 << 20) - 1), b"DEVNAME=x\0");
    wire.expect(&proto::cuse_init(7, 0), &init);
    // There is one INIT, and it is not that of file systems.
    wire.expect_error(&proto::cuse_init(7, 45), Errno::EIO);
    wire.expect_error(&proto::init(InitIn::default()), Errno::EIO);
    wire.end();
}

#[test]
fn before_init() {
    let mut wire = connect(Bare::<Concurrent>::new(), Concurrent, CharDevice::new("x"));
    wire.expect_error(&proto::init(InitIn::default()), Errno::EIO);
    wire.expect_error(&proto::open(0, 2), Errno::EIO);
    wire.expect_error(&proto::cuse_init(6, 45), Errno::EPROTO);
    wire.end();
}

fn a_device_begins_and_serves<L: Style>() {
    let (fs, mut wire) = device::<L>();
    let file = proto::File {
        flags: 0x8002,
        ..proto::File::new(HANDLE.0)
    };
    let ioctl = IoctlIn {
        fh: HANDLE.0,
        flags: UNRESTRICTED,
        command: 0xc00e_4502,
        argument: 0x7ffc_1122_3344_5566,
        output_size: 14,
    };
    for (request, called, reply) in [
        (
            proto::open(0, 0x8002),
            "open 0 0x8002",
            proto::open_out(HANDLE.0, fopen::KEEP_CACHE),
        ),
        (
            proto::read(0, file, 1 << 40, 4096),
            "read 0 fh=0xfedcba9876543210 flags=0x8002 4096@0x10000000000",
            b"what was read".to_vec(),
        ),
        (
            proto::write(0, file, 7, b"what \0\xff is written"),
            "write 0 fh=0xfedcba9876543210 flags=0x8002 \"what \\0\\xFF is written\"@0x7",
            proto::size_out(18),
        ),
        (
            proto::flush(0, HANDLE.0, 5),
            "flush 0 fh=0xfedcba9876543210 owner=0x5 flush",
            vec![],
        ),
        (
            proto::fsync(0, HANDLE.0, true),
            "fsync 0 fh=0xfedcba9876543210 true",
            vec![],
        ),
        (
            proto::ioctl(0, ioctl, b"what is asked"),
            "ioctl 0 fh=0xfedcba9876543210 0xc00e4502 0x7ffc112233445566 flags=0x2 \"what is asked\" -> 14",
            proto::ioctl_out(0x1234_5678, b"what is given"),
        ),
        (
            proto::poll(0, HANDLE.0, 9, true, 0x8000_0041),
            "poll 0 fh=0xfedcba9876543210 0x80000041 Some(PollHandle)",
            proto::poll_out(0x11),
        ),
        (
            proto::release(0, file),
            "release 0 fh=0xfedcba9876543210 flags=0x8002",
            vec![],
        ),
    ] {
        fs.answer(How::Answer);
        wire.expect(&request, &reply);
        wire.assert_lock_free();
        assert_eq!(fs.further_calls(), [called]);
        fs.answer(How::Defer);
        wire.expect(&request, &reply);
        assert_eq!(fs.further_calls(), [called]);
        fs.answer(How::Panic);
        wire.expect_error(&request, Errno::EIO);
        wire.assert_lock_free();
        assert_eq!(fs.further_calls(), [called]);
    }
    fs.answer(How::Answer);
    fs.join();
    assert_eq!(fs.log().len(), 8, "each handler panicked once");
    wire.end();
    assert_eq!(fs.further_calls(), ["destroy"]);
}

/// It can be opened and closed.
fn a_device_without_handlers<L: Style>() {
    let mut wire = connect(Bare::<L>::new(), L::lock(), CharDevice::new("x"));
    wire.send(&proto::cuse_init(7, 45));
    wire.receive();
    let file = proto::File::new(0);
    wire.expect(&proto::open(0, 0), &proto::open_out(0, 0));
    wire.expect_error(&proto::read(0, file, 0, 1), Errno::ENOSYS);
    wire.expect_error(&proto::write(0, file, 0, b"a"), Errno::ENOSYS);
    wire.expect_error(&proto::flush(0, 0, 0), Errno::ENOSYS);
    wire.expect_error(&proto::fsync(0, 0, false), Errno::ENOSYS);
    wire.expect_error(&proto::ioctl(0, IoctlIn::default(), b""), Errno::ENOSYS);
    wire.expect_error(&proto::poll(0, 0, 0, false, 0), Errno::ENOSYS);
    wire.expect(&proto::release(0, file), &[]);
    // A device has no names, and no attributes.
    wire.expect_error(&proto::getattr(0, None), Errno::ENOSYS);
    wire.expect_error(&proto::lookup(0, b"a"), Errno::ENOSYS);
    wire.end();
}

/// The reply that was not taken has opened something.
#[test]
fn an_open_that_is_not_taken() {
    let (fs, mut wire) = device::<Concurrent>();
    let stuffed = wire.refuse(false);
    wire.send(&proto::open(0, 2));
    assert_eq!(
        fs.calls(2),
        [
            "open 0 0x2",
            "release 0 fh=0xfedcba9876543210 flags=0x2 (taken back)"
        ]
    );
    wire.accept(stuffed);
    end(&fs, wire);
}

#[test]
fn init_fails() {
    let fs = Recorder::<Concurrent>::new();
    *fs.init.lock() = Err(libc::EBUSY);
    let mut wire = connect(fs.clone(), Concurrent, CharDevice::new("x"));
    wire.send(&proto::cuse_init(7, 45));
    wire.receive();
    let error = wire.wait().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBUSY));
    assert_eq!(fs.further_calls(), ["init", "destroy"]);
}

/// Nobody is told of a device then.
#[test]
fn init_panics() {
    let fs = Recorder::<Concurrent>::new();
    let mut wire = connect(fs.clone(), Concurrent, CharDevice::new("x"));
    fs.answer(How::Panic);
    wire.send(&proto::cuse_init(7, 45));
    wire.receive();
    wire.expect_error(&proto::open(0, 0), Errno::EIO);
    assert_eq!(fs.further_calls(), ["init", "open 0 0x0"]);
    fs.answer(How::Answer);
    wire.end();
}

/// As any other handler: the session goes on, if it is to.
#[test]
fn init_done_panics() {
    struct Proud;

    impl Filesystem for Proud {
        type Lock = Concurrent;

        fn init_done(&self, _: &mut Guard<'_, Self>) {
            panic!("{PANIC}");
        }
    }

    let mut wire = connect(Proud, Concurrent, CharDevice::new("x"));
    wire.send(&proto::cuse_init(7, 45));
    wire.receive();
    wire.expect(&proto::open(0, 0), &proto::open_out(0, 0));
    assert_eq!(wire.end().stats.panics, 1);
}

const IOCTL: IoctlIn = IoctlIn {
    fh: 5,
    flags: UNRESTRICTED,
    command: 0x4502,
    argument: 0x1000,
    output_size: 0,
};

/// Of an unrestricted call; of another one it is a mistake.
#[test]
fn memory_of_the_caller() {
    let (fs, mut wire) = device::<Concurrent>();
    let part = |address, length| CallerMemory { address, length };
    let parts = |count| vec![part(1, 2); count];
    let request = proto::ioctl(0, IOCTL, b"");
    for (input, output) in [
        (vec![], vec![part(0x7ffc_1122_3344_5566, 0x1234_5678_9abc)]),
        (vec![part(1, 2)], vec![]),
        (vec![part(u64::MAX, 0), part(0, usize::MAX)], parts(2)),
        (parts(255), parts(1)),
        (vec![], vec![]),
    ] {
        fs.values().ioctl = IoctlReply::retry(&*input, &*output);
        let wire_parts = |parts: &[CallerMemory]| -> Vec<_> {
            let pair = |part: &CallerMemory| (part.address, part.length as u64);
            parts.iter().map(pair).collect()
        };
        let reply = proto::ioctl_retry(&wire_parts(&input), &wire_parts(&output));
        wire.expect(&request, &reply);
    }
    let mut told = Vec::new();
    fs.values().ioctl = IoctlReply::retry(parts(200), parts(57));
    wire.expect_error(&request, Errno::EIO);
    told.push("ioctl asked for 257 parts of memory where 256 are allowed");
    fs.values().ioctl = IoctlReply::retry([part(1, 2)], []);
    wire.expect_error(
        &proto::ioctl(0, IoctlIn { flags: 0, ..IOCTL }, b""),
        Errno::EIO,
    );
    told.push(
        "ioctl asked for memory of the caller, which it may only of an unrestricted call over CUSE",
    );
    let told: Vec<_> = told
        .iter()
        .map(|what| format!("ERROR fuse3: {what}; the caller gets EIO"))
        .collect();
    assert_eq!(fs.log(), told);
    fs.further_calls();
    end(&fs, wire);
}

/// Nobody made a device of it, and the descriptor is not taken.
#[test]
fn what_is_no_device() {
    let make = |device: CharDevice| {
        let builder = Session::builder(Bare::<Concurrent>::new(), Concurrent);
        builder.character_device(&device).unwrap_err()
    };
    for (device, why) in [
        (CharDevice::new(""), "its name is empty"),
        (CharDevice::new("a\0b"), "its name has a NUL byte in it"),
        (
            CharDevice::new("x".repeat(4088)),
            "its name is longer than 4087 bytes",
        ),
        (
            CharDevice::new("x").number(4096, 0),
            "its number is out of 0 to 4095 and 0 to 1048575",
        ),
        (
            CharDevice::new("x").number(0, 1 << 20),
            "its number is out of 0 to 4095 and 0 to 1048575",
        ),
    ] {
        let error = make(device);
        assert_eq!(
            error.to_string(),
            format!("the character device cannot be made: {why}")
        );
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
    }
    let error = make(CharDevice::new("x").server("/nowhere/cuse"));
    assert!(matches!(error, MountError::Cuse(..)), "{error}");
    let said = error.to_string();
    assert!(
        said.starts_with("/nowhere/cuse cannot be opened: No such file"),
        "{said}"
    );
    assert!(
        said.contains("modprobe cuse") && said.contains("CONFIG_CUSE"),
        "{said}"
    );
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
    // What somebody else owns is not taken by its number.
    let file = File::open("/dev/null").unwrap();
    let error = make(CharDevice::new("x").server(format!("/dev/fd/{}", file.as_raw_fd())));
    assert!(
        error.to_string().contains("Builder::character_device_fd"),
        "{error}"
    );
    assert!(file.metadata().is_ok());
    // libfuse refuses the option, and what it was given is closed.
    let (ours, theirs) = UnixStream::pair().unwrap();
    let builder = Session::builder(Bare::<Concurrent>::new(), Concurrent).option("no_such_option");
    let error = builder.character_device_fd(&CharDevice::new("x"), theirs);
    assert!(matches!(error, Err(MountError::Refused(_))), "{error:?}");
    assert_eq!((&ours).read(&mut [0]).unwrap(), 0);
}

/// The longest name that fits.
#[test]
fn the_longest_name() {
    let name = "x".repeat(4087);
    let mut wire = connect(
        Bare::<Concurrent>::new(),
        Concurrent,
        CharDevice::new(&name),
    );
    let info = format!("DEVNAME={name}\0");
    assert_eq!(info.len(), 4096);
    let init = proto::cuse_init_out(minor(), 0, (0, 0), info.as_bytes());
    wire.expect(&proto::cuse_init(7, 45), &init);
    wire.end();
}

/// The example, asked as cuse_client asks, with the kernel's part done here.
#[test]
fn the_example_reads_and_writes_by_ioctl() {
    let device = CharDevice::new("x").unrestricted_ioctl(true);
    let lock = Arc::default();
    let mut wire = connect(example::Device, lock, device);
    wire.send(&proto::cuse_init(7, 45));
    wire.receive();
    let word = |number: usize| number.to_ne_bytes().to_vec();
    let with = |command, output_size| IoctlIn {
        command,
        output_size,
        ..IOCTL
    };
    let retry = proto::ioctl_retry;
    let (get, set, read, write) = (0x8008_4500, 0x4008_4501, 0x4502, 0x4503);
    // Written by write(2), read by read(2), beyond the end too.
    let file = proto::File::new(0);
    wire.expect(&proto::open(0, 2), &proto::open_out(0, 0));
    wire.expect(&proto::write(0, file, 2, b"bar"), &proto::size_out(3));
    wire.expect(&proto::read(0, file, 0, 100), b"\0\0bar");
    wire.expect(&proto::read(0, file, 5, 100), b"");
    wire.expect(&proto::read(0, file, u64::MAX >> 1, 100), b"");
    // The size.
    wire.expect(
        &proto::ioctl(0, with(get, 0), b""),
        &retry(&[], &[(0x1000, 8)]),
    );
    wire.expect(
        &proto::ioctl(0, with(get, 8), b""),
        &proto::ioctl_out(0, &word(5)),
    );
    wire.expect(
        &proto::ioctl(0, with(set, 0), b""),
        &retry(&[(0x1000, 8)], &[]),
    );
    wire.expect(
        &proto::ioctl(0, with(set, 0), &word(3)),
        &proto::ioctl_out(0, b""),
    );
    wire.expect_error(
        &proto::ioctl(0, with(set, 0), &word(1 << 60)),
        Errno::ENOMEM,
    );
    // struct fioc_rw_arg: offset 1, a buffer of 4 bytes at 0x2000.
    let structure = [1, 0x2000, 4, 0, 0].map(word).concat();
    for (command, first, second) in [
        (write, vec![(0x1000, 40), (0x2000, 4)], vec![(0x1018, 16)]),
        (read, vec![(0x1000, 40)], vec![(0x1018, 16), (0x2000, 4)]),
    ] {
        let ioctl = |input: &[u8]| proto::ioctl(0, with(command, 0), input);
        wire.expect(&ioctl(b""), &retry(&[(0x1000, 40)], &[]));
        wire.expect(&ioctl(&structure), &retry(&first, &second));
    }
    let written = [&structure[..], b"wxyz"].concat();
    let sizes = [word(3), word(5)].concat();
    wire.expect(
        &proto::ioctl(0, with(write, 16), &written),
        &proto::ioctl_out(4, &sizes),
    );
    let given = [word(5), word(5), b"wxyz".to_vec()].concat();
    wire.expect(
        &proto::ioctl(0, with(read, 20), &structure),
        &proto::ioctl_out(4, &given),
    );
    wire.expect(&proto::read(0, file, 0, 100), b"\0wxyz");
    // A caller that changes its structure meanwhile gets no more than it asked for at first.
    let larger = [0, 0x2000, 400, 0, 0].map(word).concat();
    let given = [word(5), word(5), b"\0w".to_vec()].concat();
    wire.expect(
        &proto::ioctl(0, with(read, 18), &larger),
        &proto::ioctl_out(2, &given),
    );
    // What cannot be: an offset before the beginning, half a structure, commands of others, 32-bit programs.
    let negative = [usize::MAX, 0x2000, 4, 0, 0].map(word).concat();
    wire.expect_error(&proto::ioctl(0, with(read, 0), &negative), Errno::EINVAL);
    wire.expect_error(&proto::ioctl(0, with(read, 0), b"half"), Errno::EINVAL);
    wire.expect_error(&proto::ioctl(0, with(set, 0), b"half"), Errno::EINVAL);
    wire.expect_error(&proto::ioctl(0, with(0x5401, 0), b""), Errno::EINVAL);
    let compat = IoctlIn {
        flags: UNRESTRICTED | 1,
        ..with(get, 0)
    };
    wire.expect_error(&proto::ioctl(0, compat, b""), Errno::ENOSYS);
    wire.expect(&proto::release(0, file), &[]);
    wire.end();
}
