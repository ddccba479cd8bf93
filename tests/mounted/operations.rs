//! ioctl(2), poll(2), fallocate(2), copy_file_range(2), lseek(2), O_TMPFILE and statx(2), from other processes.
//!
//! `bmap` needs a block device, since the kernel sends it to file systems of type `fuseblk` only: a loop device. Not here:
//! `syncfs`, which needs that and libfuse 3.19. Its bytes are tested over the wire.

use std::ffi::c_long;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::ptr;
use std::sync::Arc;

use fuse3::notify::NotifyError;
use fuse3::{Capabilities, Operation, Timestamp};

use crate::child::this_test;
use crate::client::{Client, part, say};
use crate::deferring::Deferring;
use crate::fixture::{Mount, TempDir, require_mount, skip, until};
use crate::tools::{BORN, HOLE, REVERSE, SIZE, Tools};

fn open(mount: &Path, name: &str) -> File {
    let mut options = File::options();
    options.read(true).write(name != ".");
    options.open(mount.join(name)).unwrap()
}

/// What a call of the C library returned.
fn result(result: impl Into<i64>) -> io::Result<i64> {
    match result.into() {
        -1 => Err(io::Error::last_os_error()),
        number => Ok(number),
    }
}

/// The number of the error.
#[track_caller]
fn errno(result: io::Result<i64>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}

/// Runs `client` in a process of its own on a mount, and returns the calls that it made.
fn calls(test: &str) -> Vec<String> {
    let (mount, books) = Tools::mount(Capabilities::empty());
    let client = Client::new(test, "client", mount.path());
    assert_eq!(client.says(), "done");
    client.ends();
    let calls = std::mem::take(&mut books.lock().unwrap().calls);
    mount.end();
    calls
}

#[test]
fn ioctl_takes_and_gives() {
    if let Some((_, mount)) = part(this_test!()) {
        for name in ["file", "."] {
            let file = open(&mount, name);
            let mut data = *b"abcdefgh";
            // SAFETY: the descriptor is open, and `data` has the 8 bytes that the command speaks of.
            let done = unsafe { libc::ioctl(file.as_raw_fd(), REVERSE.0.into(), &raw mut data) };
            assert_eq!(result(done).unwrap(), 42);
            assert_eq!(&data, b"hgfedcba");
            let mut flags: c_long = 0;
            // FS_IOC_GETFLAGS, which lsattr(1) calls.
            // SAFETY: the descriptor is open, and `flags` is a long.
            let done = unsafe { libc::ioctl(file.as_raw_fd(), 0x8008_6601, &raw mut flags) };
            assert_eq!(errno(result(done)), libc::ENOTTY);
        }
        return say("done");
    }
    require_mount!();
    let calls = calls(this_test!());
    assert_eq!(
        calls,
        [
            "ioctl 2 false",
            "ioctl 2 false",
            "ioctl 1 true",
            "ioctl 1 true"
        ]
    );
}

fn poll(file: &File, timeout: i32) -> (i64, i16) {
    let mut waits = libc::pollfd {
        fd: file.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: it is one structure, which lives.
    let count = unsafe { libc::poll(&raw mut waits, 1, timeout) };
    (result(count).unwrap(), waits.revents)
}

#[test]
fn poll_sleeps_until_it_is_notified() {
    if let Some((_, mount)) = part(this_test!()) {
        let file = open(&mount, "file");
        assert_eq!(poll(&file, 0), (0, 0));
        say("not ready");
        assert_eq!(poll(&file, -1), (1, libc::POLLIN));
        say("ready");
        assert_eq!(poll(&file, -1), (1, libc::POLLIN));
        return say("still ready");
    }
    require_mount!();
    let (mount, books) = Tools::mount(Capabilities::empty());
    let client = Client::new(this_test!(), "client", mount.path());
    assert_eq!(client.says(), "not ready");
    until(|| books.lock().unwrap().polled.is_some());
    // Woken while it is not ready: it asks, and sleeps again.
    let handle = books.lock().unwrap().polled.take().unwrap();
    handle.notify().unwrap();
    until(|| books.lock().unwrap().polled.is_some());
    client.is_silent();
    let mut shop = books.lock().unwrap();
    shop.ready = true;
    // With the lock held, which the handler of the client that wakes up will want.
    shop.polled.take().unwrap().notify().unwrap();
    drop(shop);
    assert_eq!(client.says(), "ready");
    assert_eq!(client.says(), "still ready");
    client.ends();
    mount.end();
}

/// The client is gone, and then the mount: nobody is there to be told.
#[test]
fn a_handle_that_nobody_waits_for() {
    if let Some((_, mount)) = part(this_test!()) {
        poll(&open(&mount, "file"), -1);
        panic!("poll(2) returned");
    }
    require_mount!();
    let (mount, books) = Tools::mount(Capabilities::empty());
    let waiting = || books.lock().unwrap().polled.take();
    let mut handles = Vec::new();
    for _ in 0..2 {
        let client = Client::new(this_test!(), "client", mount.path());
        until(|| books.lock().unwrap().polled.is_some());
        handles.push(waiting().unwrap());
        client.kill();
    }
    handles.pop().unwrap().notify().unwrap();
    let end = mount.end();
    let told = handles.pop().unwrap().notify();
    assert_eq!(told, Err(NotifyError::Ended));
    // No handle kept the session.
    drop(books);
    assert!(Arc::into_inner(end.fs).is_some());
}

#[test]
fn fallocate_in_every_mode() {
    if let Some((_, mount)) = part(this_test!()) {
        let file = open(&mount, "file");
        let modes = [
            0,
            libc::FALLOC_FL_KEEP_SIZE,
            libc::FALLOC_FL_KEEP_SIZE | libc::FALLOC_FL_PUNCH_HOLE,
            libc::FALLOC_FL_ZERO_RANGE,
        ];
        for mode in modes {
            // SAFETY: the descriptor is open.
            let done = unsafe { libc::fallocate(file.as_raw_fd(), mode, 20_000, 5) };
            assert_eq!(result(done).unwrap(), 0);
        }
        // SAFETY: the descriptor is open.
        let done = unsafe {
            let insert = libc::FALLOC_FL_INSERT_RANGE;
            libc::fallocate(file.as_raw_fd(), insert, 4096, 4096)
        };
        assert_eq!(errno(result(done)), libc::EOPNOTSUPP);
        return say("done");
    }
    require_mount!();
    let calls = calls(this_test!());
    assert_eq!(
        calls,
        [
            "fallocate 2 FallocateMode(0x0) 5@20000",
            "fallocate 2 FallocateMode(KEEP_SIZE) 5@20000",
            "fallocate 2 FallocateMode(KEEP_SIZE | PUNCH_HOLE) 5@20000",
            "fallocate 2 FallocateMode(ZERO_RANGE) 5@20000",
        ]
    );
}

#[test]
fn copy_file_range_from_file_to_file() {
    if let Some((_, mount)) = part(this_test!()) {
        let (from, to) = (open(&mount, "file"), open(&mount, "other"));
        let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
        let (mut at, mut into) = (7, 1 << 32);
        // SAFETY: the descriptors are open, and both offsets live.
        let done =
            unsafe { libc::copy_file_range(from, &raw mut at, to, &raw mut into, 1 << 40, 0) };
        let copied = i64::try_from(SIZE).unwrap() - 7;
        assert_eq!(result(i64::try_from(done).unwrap()).unwrap(), copied);
        assert_eq!((at, into), (7 + copied, (1 << 32) + copied));
        return say("done");
    }
    require_mount!();
    let calls = calls(this_test!());
    let [call] = &calls[..] else {
        panic!("{calls:?}");
    };
    // The kernel cuts it to what read(2) would take, or to the end of the file.
    assert!(call.starts_with("copy "), "{call}");
    assert!(call.ends_with(" of 2@7 to 3@4294967296"), "{call}");
}

#[test]
fn lseek_finds_data_and_holes() {
    if let Some((_, mount)) = part(this_test!()) {
        let file = open(&mount, "file");
        let [hole, size] = [HOLE, SIZE].map(|bytes| i64::try_from(bytes).unwrap());
        // SAFETY: the descriptor is open.
        let seek = |to, whence| result(unsafe { libc::lseek(file.as_raw_fd(), to, whence) });
        assert_eq!(seek(5, libc::SEEK_DATA).unwrap(), 5);
        assert_eq!(seek(5, libc::SEEK_HOLE).unwrap(), hole);
        assert_eq!(seek(0, libc::SEEK_CUR).unwrap(), hole);
        assert_eq!(seek(hole + 1, libc::SEEK_HOLE).unwrap(), hole + 1);
        assert_eq!(errno(seek(hole, libc::SEEK_DATA)), libc::ENXIO);
        assert_eq!(errno(seek(size, libc::SEEK_HOLE)), libc::ENXIO);
        return say("done");
    }
    require_mount!();
    assert_eq!(calls(this_test!()), [""; 0]);
}

/// Where libfuse does not deliver it, it is not supported, and the library says so.
#[test]
fn o_tmpfile_makes_a_file_without_a_name() {
    if let Some((expected, mount)) = part(this_test!()) {
        let mut options = File::options();
        options.read(true).write(true).mode(0o640);
        let opened = options.custom_flags(libc::O_TMPFILE).open(mount);
        if expected == "delivered" {
            let metadata = opened.unwrap().metadata().unwrap();
            assert_eq!(metadata.len(), SIZE);
        } else {
            assert_eq!(opened.unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP));
        }
        return say("done");
    }
    require_mount!();
    let delivered = Operation::Tmpfile.delivered();
    let (mount, books) = Tools::mount(Capabilities::empty());
    let part = if delivered.is_ok() {
        "delivered"
    } else {
        "missing"
    };
    let client = Client::new(this_test!(), part, mount.path());
    assert_eq!(client.says(), "done");
    client.ends();
    if let Err(error) = delivered {
        assert!(error.to_string().contains("3.17"), "{error}");
        assert_eq!(books.lock().unwrap().calls, [""; 0]);
    } else {
        let mut calls = books.lock().unwrap().calls.clone();
        calls.retain(|call| !call.starts_with("statx"));
        assert_eq!(calls, ["tmpfile 1 0o100640"]);
        until(|| books.lock().unwrap().nameless == (0, 0));
    }
    mount.end();
}

/// Where libfuse does not deliver it, there is only what stat(2) has.
#[test]
fn statx_tells_when_a_file_was_made() {
    if let Some((expected, mount)) = part(this_test!()) {
        let metadata = std::fs::metadata(mount.join("file")).unwrap();
        assert_eq!(metadata.len(), SIZE);
        let created = metadata.created();
        if expected == "delivered" {
            assert_eq!(Timestamp::from(created.unwrap()), BORN);
        } else {
            assert!(created.is_err(), "{created:?}");
        }
        return say("done");
    }
    require_mount!();
    let delivered = Operation::Statx.delivered().is_ok();
    let (mount, books) = Tools::mount(Capabilities::empty());
    let part = if delivered { "delivered" } else { "missing" };
    let client = Client::new(this_test!(), part, mount.path());
    assert_eq!(client.says(), "done");
    client.ends();
    let expected: &[&str] = if delivered { &["statx 2 true"] } else { &[] };
    assert_eq!(books.lock().unwrap().calls, expected);
    mount.end();
}

/// A loop device, freed at the end.
struct Loop(String);

impl Loop {
    fn new(path: &Path) -> io::Result<Self> {
        File::create(path)?.set_len(1 << 20)?;
        let mut losetup = Command::new("losetup");
        let output = losetup.args(["--find", "--show"]).arg(path).output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr)));
        }
        let device = String::from_utf8_lossy(&output.stdout);
        Ok(Self(device.trim().to_owned()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let freed = Command::new("losetup").args(["-d", &self.0]).status();
        assert!(freed.unwrap().success() || std::thread::panicking());
    }
}

#[test]
fn bmap_on_a_block_device() {
    if let Some((_, mount)) = part(this_test!()) {
        let file = open(&mount, "file");
        let mut block: i32 = 7;
        // FIBMAP.
        // SAFETY: the descriptor is open, and `block` is an int.
        let done = unsafe { libc::ioctl(file.as_raw_fd(), 1, &raw mut block) };
        assert_eq!(result(done).unwrap(), 0);
        return say(block);
    }
    require_mount!();
    let image = TempDir::new();
    let device = match Loop::new(&image.path().join("image")) {
        Ok(device) => device,
        Err(why) => {
            return skip("bmap", format_args!("there is no loop device: {why}"));
        }
    };
    let (builder, books) = Tools::builder(Capabilities::empty());
    let builder = builder.option("blkdev").fsname(&device.0);
    let mount = Mount::new(builder);
    let client = Client::new(this_test!(), "client", mount.path());
    assert_eq!(client.says(), "1007");
    client.ends();
    let calls = books.lock().unwrap().calls.clone();
    // The size of a block is that of the attributes.
    assert_eq!(calls, ["bmap 2 7 of 4096"]);
    mount.end();
}

/// What the kernel does for a file system without these handlers.
#[test]
fn the_defaults() {
    if let Some((_, mount)) = part(this_test!()) {
        let dir = open(&mount, ".");
        let fd = dir.as_raw_fd();
        // SAFETY: the descriptor is open, and the command takes no argument.
        let done = unsafe { libc::ioctl(fd, 0x4507, ptr::null_mut::<u8>()) };
        assert_eq!(errno(result(done)), libc::ENOTTY);
        let mut options = File::options();
        let opened = options
            .write(true)
            .custom_flags(libc::O_TMPFILE)
            .open(&mount);
        assert_eq!(opened.unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP));
        return say("done");
    }
    require_mount!();
    let mount = Mount::new(Deferring::builder(Arc::default()));
    let client = Client::new(this_test!(), "client", mount.path());
    assert_eq!(client.says(), "done");
    client.ends();
    mount.end();
}
