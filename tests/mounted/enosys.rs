//! What the kernel makes of ENOSYS, as the documentation of each handler and `reference` have it: asked once, or each time.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::{
    Answer, Attr, Capabilities, Concurrent, Connection, Context, Entry, Errno, FileInfo,
    Filesystem, Ino, Open, OpenFlags, Opened, Operation, Session, SetAttr, StatVfs,
};

use crate::fixture::{Mount, require_mount, until};

const FILE: Ino = Ino(2);
const DIR: Ino = Ino(3);
const LINK: Ino = Ino(4);

/// Answers ENOSYS to everything but what it takes to get anywhere.
struct Refusing {
    /// It does open files and directories.
    opens: bool,
}

fn attr(ino: Ino) -> Attr {
    match ino {
        FILE => Attr {
            size: 10,
            ..Attr::new(ino, libc::S_IFREG | 0o666)
        },
        LINK => Attr::new(ino, libc::S_IFLNK | 0o777),
        _ => Attr::new(ino, libc::S_IFDIR | 0o777),
    }
}

impl Refusing {
    fn opened(&self) -> Answer<Opened> {
        if self.opens {
            Ok(Opened::default())
        } else {
            Err(Errno::ENOSYS.into())
        }
    }
}

impl Filesystem for Refusing {
    type Lock = Concurrent;

    fn lookup(&self, _: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
        let ino = match name.as_bytes() {
            b"file" => FILE,
            b"dir" => DIR,
            b"link" => LINK,
            b"refused" => return Err(Errno::ENOSYS.into()),
            _ => return Err(Errno::ENOENT.into()),
        };
        Ok(Entry {
            attr_timeout: Duration::ZERO,
            ..Entry::new(attr(ino), Duration::from_secs(60))
        })
    }

    fn getattr(
        &self,
        _: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        match ino {
            LINK => Err(Errno::ENOSYS.into()),
            _ => Ok((attr(ino), Duration::from_secs(60))),
        }
    }

    fn open(&self, _: &mut Context<'_, Self>, _: Ino, _: Open) -> Answer<Opened> {
        self.opened()
    }

    fn opendir(&self, _: &mut Context<'_, Self>, _: Ino, _: OpenFlags) -> Answer<Opened> {
        self.opened()
    }

    fn release(&self, _: &mut Context<'_, Self>, _: Ino, _: &FileInfo) -> Answer<()> {
        Err(Errno::ENOSYS.into())
    }

    fn releasedir(&self, _: &mut Context<'_, Self>, _: Ino, _: &FileInfo) -> Answer<()> {
        Err(Errno::ENOSYS.into())
    }

    fn statfs(&self, _: &mut Context<'_, Self>, _: Ino) -> Answer<StatVfs> {
        Err(Errno::ENOSYS.into())
    }
}

/// Does `call` three times, on a mount of its own, and returns how often the handler was called, and the error.
///
/// Errors are the same each time.
#[track_caller]
fn thrice(
    operation: Operation,
    opens: bool,
    call: impl Fn(&Path) -> io::Result<()>,
) -> (u64, Option<i32>) {
    let mount = Mount::new(Session::builder(Refusing { opens }, Concurrent));
    let errors = [(); 3].map(|()| {
        let error = call(mount.path()).err();
        error.map(|error| error.raw_os_error().unwrap())
    });
    assert_eq!(errors, [errors[0]; 3], "{operation}");
    if matches!(operation, Operation::Release | Operation::Releasedir) {
        // Nobody waits for these.
        until(|| count(&mount, operation) == 3);
    }
    let count = count(&mount, operation);
    mount.end();
    (count, errors[0])
}

fn count(mount: &Mount<Refusing>, operation: Operation) -> u64 {
    let stats = mount.handle().stats();
    let count = stats.requests.iter().find(|(which, _)| *which == operation);
    count.map_or(0, |(_, count)| *count)
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

fn result(result: impl Into<i64>) -> io::Result<()> {
    if result.into() < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// lstat(2). That of the standard library takes ENOSYS for a kernel without statx(2), and asks once more.
fn stat(path: &Path) -> io::Result<()> {
    // SAFETY: `struct stat` is integers, for which zero is a value.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the path is NUL-terminated, and `stat` lives.
    result(unsafe { libc::lstat(c_path(path).as_ptr(), &raw mut stat) })
}

/// A file that is read and written past the page cache.
fn direct(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true);
    options.custom_flags(libc::O_DIRECT).open(path.join("file"))
}

type Call = fn(&Path) -> io::Result<()>;

#[test]
fn asked_once_and_taken_for_success() {
    require_mount!();
    let calls: [(Operation, Call); 6] = [
        (Operation::Open, |path| {
            File::open(path.join("file")).map(drop)
        }),
        (Operation::Opendir, |path| {
            File::open(path.join("dir")).map(drop)
        }),
        (Operation::Flush, |path| {
            File::open(path.join("file")).map(drop)
        }),
        (Operation::Fsync, |path| {
            File::open(path.join("file"))?.sync_all()
        }),
        (Operation::Fsyncdir, |path| {
            File::open(path.join("dir"))?.sync_all()
        }),
        (Operation::Access, |path| {
            let path = c_path(&path.join("file"));
            // SAFETY: `path` is NUL-terminated.
            result(unsafe { libc::access(path.as_ptr(), libc::R_OK) })
        }),
    ];
    for (operation, call) in calls {
        assert_eq!(thrice(operation, false, call), (1, None), "{operation}");
    }
}

#[test]
fn asked_once_and_refused_from_then_on() {
    require_mount!();
    let calls: [(Operation, Call); 5] = [
        (Operation::Setxattr, |path| {
            let path = c_path(&path.join("file"));
            let (name, value) = (c"user.a".as_ptr(), c"".as_ptr().cast());
            // SAFETY: path and name are NUL-terminated, and none of the value is used.
            result(unsafe { libc::setxattr(path.as_ptr(), name, value, 0, 0) })
        }),
        (Operation::Getxattr, |path| {
            let path = c_path(&path.join("file"));
            let name = c"user.a".as_ptr();
            // SAFETY: path and name are NUL-terminated, and there is no room for a value.
            let length = unsafe { libc::getxattr(path.as_ptr(), name, std::ptr::null_mut(), 0) };
            result(i64::try_from(length).unwrap())
        }),
        (Operation::Listxattr, |path| {
            let path = c_path(&path.join("file"));
            // SAFETY: `path` is NUL-terminated, and there is no room for names.
            let length = unsafe { libc::listxattr(path.as_ptr(), std::ptr::null_mut(), 0) };
            result(i64::try_from(length).unwrap())
        }),
        (Operation::Removexattr, |path| {
            let path = c_path(&path.join("file"));
            // SAFETY: path and name are NUL-terminated.
            result(unsafe { libc::removexattr(path.as_ptr(), c"user.a".as_ptr()) })
        }),
        (Operation::Fallocate, |path| {
            let file = direct(path)?;
            // SAFETY: the descriptor is open.
            result(unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, 100) })
        }),
    ];
    for (operation, call) in calls {
        let expected = (1, Some(libc::EOPNOTSUPP));
        assert_eq!(thrice(operation, false, call), expected, "{operation}");
    }
}

/// `create` falls back to `mknod`, which is refused each time.
#[test]
fn create_is_asked_once() {
    require_mount!();
    let create: Call = |path| File::create(path.join("new")).map(drop);
    let enosys = Some(libc::ENOSYS);
    assert_eq!(thrice(Operation::Create, false, create), (1, enosys));
    assert_eq!(thrice(Operation::Mknod, false, create), (3, enosys));
}

/// Newer kernels ask once, and have it that the file system has no links.
#[test]
fn link_is_refused() {
    require_mount!();
    let linked = thrice(Operation::Link, false, |path| {
        fs::hard_link(path.join("file"), path.join("new"))
    });
    let (new, old) = ((1, Some(libc::EPERM)), (3, Some(libc::ENOSYS)));
    assert!(linked == new || linked == old, "{linked:?}");
}

#[test]
fn asked_each_time_and_told_the_client() {
    require_mount!();
    let calls: [(Operation, Call); 14] = [
        (Operation::Lookup, |path| stat(&path.join("refused"))),
        (Operation::Getattr, |path| stat(&path.join("link"))),
        (Operation::Setattr, |path| {
            fs::set_permissions(path.join("dir"), fs::Permissions::from_mode(0o700))
        }),
        (Operation::Readlink, |path| {
            fs::read_link(path.join("link")).map(drop)
        }),
        (Operation::Mknod, |path| {
            let path = c_path(&path.join("new"));
            // SAFETY: `path` is NUL-terminated.
            result(unsafe { libc::mkfifo(path.as_ptr(), 0o600) })
        }),
        (Operation::Mkdir, |path| fs::create_dir(path.join("new"))),
        (Operation::Unlink, |path| fs::remove_file(path.join("file"))),
        (Operation::Rmdir, |path| fs::remove_dir(path.join("dir"))),
        (Operation::Symlink, |path| symlink("file", path.join("new"))),
        (Operation::Rename, |path| {
            fs::rename(path.join("file"), path.join("new"))
        }),
        (Operation::Read, |path| {
            direct(path)?.read(&mut [0; 10]).map(drop)
        }),
        (Operation::Write, |path| direct(path)?.write(b"a").map(drop)),
        (Operation::Readdir, |path| {
            fs::read_dir(path.join("dir"))?
                .next()
                .map_or(Ok(()), |entry| entry.map(drop))
        }),
        (Operation::Statfs, |path| {
            let path = c_path(&path.join("file"));
            // SAFETY: `struct statfs` is integers, for which zero is a value.
            let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
            // SAFETY: `path` is NUL-terminated, and `stat` lives.
            result(unsafe { libc::statfs(path.as_ptr(), &raw mut stat) })
        }),
    ];
    for (operation, call) in calls {
        let expected = (3, Some(libc::ENOSYS));
        assert_eq!(thrice(operation, false, call), expected, "{operation}");
    }
}

#[test]
fn asked_each_time_and_nobody_told() {
    require_mount!();
    let calls: [(Operation, Call); 2] = [
        (Operation::Release, |path| {
            File::open(path.join("file")).map(drop)
        }),
        (Operation::Releasedir, |path| {
            File::open(path.join("dir")).map(drop)
        }),
    ];
    for (operation, call) in calls {
        assert_eq!(thrice(operation, true, call), (3, None), "{operation}");
    }
}

fn truncate(path: &Path) -> io::Result<()> {
    let mut options = File::options();
    let file = options.write(true).truncate(true);
    file.open(path.join("file")).map(drop)
}

/// With ATOMIC_O_TRUNC, which libfuse asks for, O_TRUNC is a part of `open`: where that is not asked any more, it is lost.
#[test]
fn a_truncation_is_lost_without_open() {
    require_mount!();
    assert_eq!(thrice(Operation::Open, false, truncate), (1, None));
    assert_eq!(thrice(Operation::Setattr, false, truncate), (0, None));
}

/// It has the default `open` answer ENOSYS.
struct Unopened;

impl Filesystem for Unopened {
    type Lock = Concurrent;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        connection
            .want(Capabilities::NO_OPEN_SUPPORT)
            .map_err(io::Error::other)
    }

    fn lookup(&self, _: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<Entry> {
        Ok(Entry::new(attr(FILE), Duration::ZERO))
    }

    fn getattr(
        &self,
        _: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        Ok((attr(ino), Duration::ZERO))
    }

    fn setattr(
        &self,
        _: &mut Context<'_, Self>,
        ino: Ino,
        changes: &SetAttr,
    ) -> Answer<(Attr, Duration)> {
        assert_eq!(changes.size, Some(0));
        Ok((attr(ino), Duration::ZERO))
    }
}

/// The kernel is not told of ATOMIC_O_TRUNC together with NO_OPEN_SUPPORT.
#[test]
fn a_truncation_is_not_lost_with_the_default_open() {
    require_mount!();
    let mount = Mount::new(Session::builder(Unopened, Concurrent));
    for _ in 0..3 {
        truncate(mount.path()).unwrap();
    }
    let requests = mount.end().stats.requests;
    let count = |which| requests.iter().find(|(operation, _)| *operation == which);
    assert_eq!(count(Operation::Open), Some(&(Operation::Open, 1)));
    assert_eq!(count(Operation::Setattr), Some(&(Operation::Setattr, 3)));
}
