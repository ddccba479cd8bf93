//! What callers see of defaults, and of answers that are less than what was asked for: `fuse3::guide::errors` says so.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::{
    Answer, Attr, Capabilities, Concurrent, Connection, Context, Data, Entry, Errno, FileInfo,
    Filesystem, Ino, Open, Opened, Operation, ReadBuf, Session,
};

use crate::fixture::{Mount, require_mount};

const SIZE: u64 = 10;

/// A file, `file`, in whose place the defaults answer; or, when `serves` is set, one that is read and written.
#[derive(Default)]
struct Sparing {
    serves: bool,
    direct_io: bool,
    writeback: bool,
    /// How many bytes `read` and `write` do of those that they are asked for.
    does: Arc<AtomicUsize>,
}

fn attr(ino: Ino) -> Attr {
    match ino {
        Ino::ROOT => Attr::new(ino, libc::S_IFDIR | 0o777),
        _ => Attr {
            size: SIZE,
            ..Attr::new(ino, libc::S_IFREG | 0o666)
        },
    }
}

impl Filesystem for Sparing {
    type Lock = Concurrent;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        if self.writeback {
            connection.want(Capabilities::WRITEBACK_CACHE)?;
        }
        Ok(())
    }

    fn lookup(&self, _: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
        match name.to_str() {
            Some("file" | "made") => Ok(Entry::new(attr(Ino(2)), Duration::ZERO)),
            _ => Err(Errno::ENOENT.into()),
        }
    }

    fn getattr(
        &self,
        _: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        Ok((attr(ino), Duration::ZERO))
    }

    fn open(&self, _: &mut Context<'_, Self>, _: Ino, _: Open) -> Answer<Opened> {
        Ok(Opened::default().direct_io(self.direct_io))
    }

    fn read(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        _: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        if !self.serves {
            return Err(Errno::ENOSYS.into());
        }
        let count = self.does.load(Ordering::SeqCst).min(out.size());
        Ok(out.copy_from(&b"xxxxxxxxxx"[..count]))
    }

    fn write(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        _: u64,
        data: &[u8],
    ) -> Answer<usize> {
        if !self.serves {
            return Err(Errno::ENOSYS.into());
        }
        Ok(self.does.load(Ordering::SeqCst).min(data.len()))
    }
}

fn sparing(direct_io: bool, writeback: bool) -> (Mount<Sparing>, Arc<AtomicUsize>) {
    let does = Arc::new(AtomicUsize::new(3));
    let fs = Sparing {
        serves: true,
        direct_io,
        writeback,
        does: Arc::clone(&does),
    };
    (Mount::new(Session::builder(fs, Concurrent)), does)
}

fn open(mount: &Mount<Sparing>) -> File {
    let mut options = File::options();
    let options = options.read(true).write(true);
    options.open(mount.join("file")).unwrap()
}

#[track_caller]
fn errno<T>(result: io::Result<T>) -> i32 {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.raw_os_error().unwrap(),
    }
}

/// What a call of the C library returned.
fn called(result: libc::c_int) -> io::Result<()> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

#[test]
fn a_short_write_is_short_to_the_caller_and_none_at_all_is_eio() {
    require_mount!();
    for direct_io in [false, true] {
        let (mount, does) = sparing(direct_io, false);
        let mut file = open(&mount);
        assert_eq!(file.write(&[7; 10]).unwrap(), 3, "direct_io: {direct_io}");
        does.store(0, Ordering::SeqCst);
        let none = file.write(&[7; 10]);
        if direct_io {
            assert_eq!(none.unwrap(), 0);
        } else {
            assert_eq!(errno(none), libc::EIO);
        }
        drop(file);
        mount.end();
    }
}

/// The kernel takes it for the end of the file; or, where it knows better how long that is, for a hole.
#[test]
fn a_short_read_ends_the_file_but_with_the_writeback_cache() {
    require_mount!();
    for (direct_io, writeback, expected) in [
        (false, false, &b"xxx"[..]),
        (false, true, b"xxx\0\0\0\0\0\0\0"),
        (true, false, b"xxx"),
    ] {
        let (mount, _) = sparing(direct_io, writeback);
        let mut bytes = [7; 10];
        let count = open(&mount).read_at(&mut bytes, 0).unwrap();
        let case = format!("direct_io: {direct_io}, writeback: {writeback}");
        assert_eq!(bytes[..count], *expected, "{case}");
        mount.end();
    }
}

/// Of each operation that the kernel takes ENOSYS for something else than an error: what the caller gets, twice, and how
/// often the kernel asked.
#[test]
fn defaults_that_the_kernel_asks_for_once() {
    require_mount!();
    let mount = Mount::new(Session::builder(Sparing::default(), Concurrent));
    let path = mount.join("file");
    let c = c_path(&path);
    let name = c"user.name".as_ptr();
    let file = open(&mount);
    let root = File::open(mount.path()).unwrap();

    type Call<'c> = Box<dyn Fn() -> io::Result<()> + 'c>;
    let (fd, dir) = (file.as_raw_fd(), root.as_raw_fd());
    let dup = || file.try_clone().map(drop);
    // "The arguments" are descriptors that are open, strings that live and are NUL-terminated, and no room for a value.
    let cases: [(Operation, Option<i32>, Call<'_>); 11] = [
        (Operation::Flush, None, Box::new(dup)),
        (Operation::Fsync, None, Box::new(|| file.sync_all())),
        (
            Operation::Fsyncdir,
            None,
            // SAFETY: the arguments are what they should be.
            Box::new(move || called(unsafe { libc::fsync(dir) })),
        ),
        (
            Operation::Access,
            None,
            // SAFETY: the arguments are what they should be.
            Box::new(|| called(unsafe { libc::access(c.as_ptr(), libc::R_OK) })),
        ),
        (
            Operation::Setxattr,
            Some(libc::EOPNOTSUPP),
            // SAFETY: the arguments are what they should be.
            Box::new(|| called(unsafe { libc::setxattr(c.as_ptr(), name, ptr::null(), 0, 0) })),
        ),
        (
            Operation::Getxattr,
            Some(libc::EOPNOTSUPP),
            Box::new(|| {
                // SAFETY: the arguments are what they should be.
                let size = unsafe { libc::getxattr(c.as_ptr(), name, ptr::null_mut(), 0) };
                called(i32::try_from(size).unwrap())
            }),
        ),
        (
            Operation::Listxattr,
            Some(libc::EOPNOTSUPP),
            Box::new(|| {
                // SAFETY: the arguments are what they should be.
                let size = unsafe { libc::listxattr(c.as_ptr(), ptr::null_mut(), 0) };
                called(i32::try_from(size).unwrap())
            }),
        ),
        (
            Operation::Removexattr,
            Some(libc::EOPNOTSUPP),
            // SAFETY: the arguments are what they should be.
            Box::new(|| called(unsafe { libc::removexattr(c.as_ptr(), name) })),
        ),
        (
            Operation::Fallocate,
            Some(libc::EOPNOTSUPP),
            // SAFETY: the arguments are what they should be.
            Box::new(move || called(unsafe { libc::fallocate(fd, 0, 0, 4096) })),
        ),
        (
            Operation::Lseek,
            None,
            Box::new(|| {
                // SAFETY: the arguments are what they should be.
                let at = unsafe { libc::lseek(fd, 0, libc::SEEK_HOLE) };
                assert_eq!(u64::try_from(at).unwrap(), SIZE, "all of it is data");
                Ok(())
            }),
        ),
        (
            Operation::Poll,
            None,
            Box::new(move || {
                let mut waits = libc::pollfd {
                    fd,
                    events: libc::POLLIN | libc::POLLOUT,
                    revents: 0,
                };
                // SAFETY: it is one structure, which lives.
                assert_eq!(unsafe { libc::poll(&raw mut waits, 1, 0) }, 1);
                assert_eq!(waits.revents, libc::POLLIN | libc::POLLOUT);
                Ok(())
            }),
        ),
    ];
    for (operation, expected, call) in cases {
        for _ in 0..2 {
            match expected {
                None => call().unwrap_or_else(|error| panic!("{operation}: {error}")),
                Some(expected) => assert_eq!(errno(call()), expected, "{operation}"),
            }
        }
        assert_eq!(asked(&mount, operation), 1, "{operation}");
    }
    drop((file, root));
    mount.end();
}

fn asked(mount: &Mount<Sparing>, operation: Operation) -> u64 {
    let requests = mount.handle().stats().requests;
    let found = requests.into_iter().find(|(it, _)| *it == operation);
    found.map_or(0, |(_, count)| count)
}

/// ENOSYS itself, or what the system call calls it, each time anew.
#[test]
fn defaults_that_the_kernel_asks_for_each_time() {
    require_mount!();
    let mount = Mount::new(Session::builder(Sparing::default(), Concurrent));
    let path = mount.join("file");
    let new = mount.join("new");
    let mut file = open(&mount);
    for _ in 0..2 {
        assert_eq!(errno(file.read(&mut [0])), libc::ENOSYS);
        assert_eq!(errno(file.write(&[0])), libc::ENOSYS);
        assert_eq!(errno(fs::remove_file(&path)), libc::ENOSYS);
        assert_eq!(errno(fs::rename(&path, &new)), libc::ENOSYS);
        assert_eq!(errno(fs::create_dir(&new)), libc::ENOSYS);
        assert_eq!(errno(std::os::unix::fs::symlink("to", &new)), libc::ENOSYS);
        assert_eq!(
            errno(fs::read_dir(mount.path()).unwrap().next().unwrap()),
            libc::ENOSYS
        );
        assert_eq!(errno(file.set_len(1)), libc::ENOSYS);
        let mut flags: libc::c_long = 0;
        // SAFETY: the descriptor is open; FS_IOC_GETFLAGS writes a long there.
        let got = unsafe { libc::ioctl(file.as_raw_fd(), 0x8008_6601, &raw mut flags) };
        assert_eq!(errno(called(got)), libc::ENOTTY);
    }
    for operation in [Operation::Write, Operation::Unlink, Operation::Rename] {
        assert_eq!(asked(&mount, operation), 2, "{operation}");
    }
    // Of the two calls of open(2) the first asks `create`, gets ENOSYS, and goes on with `mknod`; the second asks only that.
    for _ in 0..2 {
        let made = File::options().write(true).create_new(true).open(&new);
        assert_eq!(errno(made), libc::ENOSYS);
    }
    assert_eq!(asked(&mount, Operation::Create), 1);
    assert_eq!(asked(&mount, Operation::Mknod), 2);
    drop(file);
    mount.end();
}

/// By one descriptor to the other, and with a loop of reads and writes where the file system does not do it.
#[test]
fn copies_without_copy_file_range() {
    require_mount!();
    let (mount, does) = sparing(false, false);
    does.store(10, Ordering::SeqCst);
    let (mut from, to) = (open(&mount), open(&mount));
    let mut times = Vec::new();
    for _ in 0..2 {
        from.seek(SeekFrom::Start(0)).unwrap();
        let [from, to] = [&from, &to].map(|file| file.as_raw_fd());
        let mut at = [0, 4096];
        let [from_at, to_at] = at.each_mut().map(ptr::from_mut);
        // SAFETY: the descriptors are open, and the offsets live.
        let copied = unsafe { libc::copy_file_range(from, from_at, to, to_at, 10, 0) };
        assert_eq!(copied, 10, "{}", io::Error::last_os_error());
        times.push(asked(&mount, Operation::CopyFileRange));
    }
    // For the first copy only, but twice where kernel (6.18) and libfuse (3.18.3) know COPY_FILE_RANGE_64: then that, too,
    // is for this handler, and each is refused by itself.
    assert!(matches!(times[..], [1, 1] | [2, 2]), "{times:?}");
    drop((from, to));
    mount.end();
}
