//! What llfuse does and libfuse 3 does otherwise: O_TRUNC by setattr, flags of setxattr, stacktrace.

use std::collections::HashMap;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::guide::parity;
use fuse3::{
    Answer, Attr, Connection, Context, Entry, Errno, Fh, FileInfo, Filesystem, GlobalLock, Ino,
    Open, OpenFlags, Opened, Operation, RenameFlags, Session, SetAttr, XattrFlags,
};

use crate::fixture::{Gate, Mount, require_mount, until};
use crate::probe::Probe;

/// One file, as llfuse's users write it.
struct Old {
    by_setattr: bool,
}

#[derive(Default)]
struct State {
    calls: Vec<String>,
    xattrs: HashMap<OsString, Vec<u8>>,
}

fn file() -> Attr {
    Attr {
        size: 10,
        ..own(Ino(2), libc::S_IFREG | 0o644)
    }
}

/// Of the user who mounts it: the kernel checks what llfuse's users may.
fn own(ino: Ino, mode: u32) -> Attr {
    Attr {
        uid: rustix::process::geteuid().as_raw(),
        ..Attr::new(ino, mode)
    }
}

impl Filesystem for Old {
    type Lock = Arc<GlobalLock<State>>;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        if self.by_setattr {
            parity::truncate_by_setattr(connection);
        }
        Ok(())
    }

    fn lookup(&self, _: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
        match name.as_bytes() {
            b"file" => Ok(parity::entry(file())),
            _ => Err(Errno::ENOENT.into()),
        }
    }

    fn getattr(
        &self,
        _: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        let attr = match ino {
            Ino::ROOT => own(ino, libc::S_IFDIR | 0o755),
            _ => file(),
        };
        Ok((attr, parity::TIMEOUT))
    }

    fn setattr(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        changes: &SetAttr,
    ) -> Answer<(Attr, Duration)> {
        cx.calls.push(format!("setattr size {:?}", changes.size));
        Ok((file(), parity::TIMEOUT))
    }

    fn rename(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &OsStr,
        _: Ino,
        _: &OsStr,
        flags: RenameFlags,
    ) -> Answer<()> {
        parity::no_rename_flags(flags)?;
        Ok(())
    }

    fn open(&self, cx: &mut Context<'_, Self>, _: Ino, Open { flags, .. }: Open) -> Answer<Opened> {
        let truncates = flags.contains(OpenFlags::TRUNC);
        cx.calls.push(format!("open truncates {truncates}"));
        Ok(parity::opened(Fh(1)))
    }

    fn getxattr(&self, cx: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Vec<u8>> {
        Ok(cx.xattrs.get(name).ok_or(Errno::ENOATTR)?.clone())
    }

    fn setxattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Answer<()> {
        parity::check_xattr_flags(self, cx, ino, name, flags)?;
        cx.xattrs.insert(name.to_owned(), value.to_owned());
        Ok(())
    }
}

fn old(by_setattr: bool) -> (Mount<Old>, Arc<GlobalLock<State>>) {
    let lock: Arc<GlobalLock<State>> = Arc::default();
    let builder = Session::builder(Old { by_setattr }, Arc::clone(&lock));
    let mount = Mount::new(builder.options(parity::DEFAULT_OPTIONS));
    (mount, lock)
}

#[test]
fn o_trunc_comes_as_setattr_on_request() {
    require_mount!();
    for by_setattr in [true, false] {
        let (mount, lock) = old(by_setattr);
        let path = mount.join("file");
        File::options()
            .write(true)
            .truncate(true)
            .open(path)
            .unwrap();
        let calls = std::mem::take(&mut lock.lock().unwrap().calls);
        if by_setattr {
            assert_eq!(calls, ["open truncates false", "setattr size Some(0)"]);
        } else {
            assert_eq!(calls, ["open truncates true"]);
        }
        mount.end();
    }
}

/// setxattr(2), and the error it fails with.
fn setxattr(path: &Path, name: &str, flags: XattrFlags) -> Result<(), i32> {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let name = CString::new(name).unwrap();
    let value = b"value";
    // SAFETY: path and name are NUL-terminated, and all three live.
    let result = unsafe {
        libc::setxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            flags.bits(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error().raw_os_error().unwrap())
    }
}

#[test]
fn flags_of_setxattr_are_emulated() {
    require_mount!();
    let (mount, lock) = old(true);
    let path = mount.join("file");
    let (create, replace) = (XattrFlags::CREATE, XattrFlags::REPLACE);
    assert_eq!(setxattr(&path, "user.a", replace), Err(libc::ENODATA));
    assert!(lock.lock().unwrap().xattrs.is_empty());
    assert_eq!(setxattr(&path, "user.a", create), Ok(()));
    assert_eq!(setxattr(&path, "user.a", create), Err(libc::EEXIST));
    assert_eq!(setxattr(&path, "user.a", replace), Ok(()));
    assert_eq!(setxattr(&path, "user.b", XattrFlags::empty()), Ok(()));
    assert_eq!(lock.lock().unwrap().xattrs.len(), 2);
    mount.end();
}

#[test]
fn flags_of_rename_are_refused() {
    require_mount!();
    let (mount, _) = old(true);
    fs::rename(mount.join("file"), mount.join("new")).unwrap();
    let paths = ["file", "newer"].map(|name| {
        let path = mount.join(name);
        CString::new(path.as_os_str().as_bytes()).unwrap()
    });
    // SAFETY: both paths live and are NUL-terminated.
    let renamed = unsafe {
        libc::renameat2(
            libc::AT_FDCWD,
            paths[0].as_ptr(),
            libc::AT_FDCWD,
            paths[1].as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    let error = io::Error::last_os_error().raw_os_error();
    assert_eq!((renamed, error), (-1, Some(libc::EINVAL)));
    mount.end();
}

/// With the lock held by a handler that does not return, and another one waiting for it.
#[test]
fn stacktrace_tells_who_does_what() {
    require_mount!(not over io_uring: "each processor has one worker");
    for on in [true, false] {
        let gate = Arc::new(Gate::default());
        let inside = Arc::clone(&gate);
        let probe = Probe::new().on(move |_, operation, _| {
            if operation == Operation::Read {
                inside.pass();
            }
            Ok(())
        });
        let mount = Mount::new(probe.builder().stacktrace(on));
        let file = File::open(mount.join("file")).unwrap();
        let reader = thread::spawn(move || io::copy(&mut &file, &mut io::sink()).unwrap());
        gate.came(1);
        let path = mount.join("file");
        // `fs::metadata` asks for the time of birth, too, for which the kernel has `statx` where libfuse has.
        let waiter = thread::spawn(move || rustix::fs::stat(path).map(drop));
        let handle = mount.handle();
        until(|| handle.report().lock.unwrap().waiters.len() == 1);

        let report = handle.report();
        let lock = report.lock.as_ref().unwrap();
        let holder = lock.holder.unwrap();
        assert_eq!(holder.operation, Some(Operation::Read));
        let serves = |thread| {
            let mut threads = report.threads.iter();
            let found = threads.find(|reported| reported.thread == thread).unwrap();
            found.serves.map(|(operation, ino, _)| (operation, ino))
        };
        let expected = on.then_some((Operation::Read, Ino(2)));
        assert_eq!(serves(holder.thread), expected);
        let expected = on.then_some((Operation::Getattr, Ino(2)));
        assert_eq!(serves(lock.waiters[0].thread), expected);
        let text = report.to_string();
        assert!(text.contains("global lock: held by thread"), "{text}");
        assert_eq!(text.contains("read of inode 2 for"), on, "{text}");

        // From outside, and without the lock; on the root alone, and by this name alone.
        if on {
            let none = XattrFlags::empty();
            assert_eq!(setxattr(mount.path(), "fuse_stacktrace", none), Ok(()));
        }
        gate.open();
        reader.join().unwrap();
        waiter.join().unwrap().unwrap();
        let enosys = Err(libc::EOPNOTSUPP);
        let none = XattrFlags::empty();
        assert_eq!(
            setxattr(&mount.join("file"), "fuse_stacktrace", none),
            enosys
        );
        let handle = mount.handle();
        mount.end();
        assert!(handle.report().lock.is_none());
        assert!(!handle.report().threads.is_empty());
    }
}
