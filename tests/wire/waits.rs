//! Which notifications wait for which requests in the kernel: those, and no others, are refused to their own handlers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use fuse3::notify::{Blocking, NotifyError};
use fuse3::{Capabilities, Concurrent, Errno, Ino, Notifier, Operation};

use crate::harness::Wire;
use crate::probe::{Probe, await_from, enoent};
use crate::proto::{self, File, InitIn, IoctlIn, LkIn, Request, SetattrIn};
use crate::recorder::{Recorder, Style};

/// What the kernel holds until a request is answered, written down from its sources (up to 6.18).
#[derive(Clone, Copy, Default)]
struct Held {
    /// Inodes that are locked (`inode_lock`, `inode_lock_shared`).
    inodes: &'static [u64],
    /// Pages of inode 2 that are locked: the first, and the one behind the last.
    locked: (u64, u64),
    /// Pages of inode 2 that are under writeback, or whose writeback is held up.
    writeback: (u64, u64),
}

const NOTHING: Held = Held {
    inodes: &[],
    locked: (0, 0),
    writeback: (0, 0),
};
/// The inode of the request, or the directory of the name.
const INODE: Held = Held {
    inodes: &[2],
    ..NOTHING
};
const BOTH: Held = Held {
    inodes: &[2, 3],
    ..NOTHING
};
/// `copy_file_range`: what is written to.
const OTHER: Held = Held {
    inodes: &[3],
    ..NOTHING
};
/// The inode, and `fuse_set_nowrite()`.
const TRUNCATED: Held = Held {
    writeback: (0, u64::MAX),
    ..INODE
};

const fn locked(held: Held, first: u64, end: u64) -> Held {
    Held {
        locked: (first, end),
        ..held
    }
}

/// What a notification waits for (fs/fuse/inode.c, dir.c, dev.c).
enum Waits {
    Never,
    /// `inode_lock()` of this one: of the parent; for `delete`, of the child as well.
    Inode(u64),
    /// `invalidate_inode_pages2_range()`: folios of an inode that are locked, written back, or have to be.
    Invalidates(u64, u64, u64),
    /// `filemap_grab_folio()`: folios that are locked.
    Grabs(u64, u64, u64),
}

impl Held {
    fn makes_wait(&self, notification: &Waits) -> bool {
        let overlap = |one: (u64, u64), first, end| one.0 < end && first < one.1;
        match *notification {
            Waits::Never => false,
            Waits::Inode(ino) => self.inodes.contains(&ino),
            Waits::Invalidates(2, first, end) => {
                overlap(self.locked, first, end) || overlap(self.writeback, first, end)
            }
            Waits::Grabs(2, first, end) => overlap(self.locked, first, end),
            Waits::Invalidates(..) | Waits::Grabs(..) => false,
        }
    }
}

type Send = Box<dyn Fn(&Blocking<'_>) -> Result<(), NotifyError> + std::marker::Send>;

fn page() -> u64 {
    // SAFETY: no precondition.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap()
}

/// Every notification, of the request's inode 2, the other one 3, and 9, which no request is about.
fn notifications() -> Vec<(String, Waits, Send)> {
    let mut all: Vec<(String, Waits, Send)> = Vec::new();
    let mut add = |name: String, waits, send: Send| all.push((name, waits, send));
    let page = page();
    for number in [2, 3, 9] {
        let ino = Ino(number);
        for (name, waits, send) in [
            (
                "inval_entry",
                Waits::Inode(number),
                Box::new(move |now: &Blocking<'_>| now.inval_entry(ino, "n")) as Send,
            ),
            (
                "expire_entry",
                Waits::Inode(number),
                Box::new(move |now| now.expire_entry(ino, "n")),
            ),
            (
                "delete in",
                Waits::Inode(number),
                Box::new(move |now| now.delete(ino, Ino(8), "n")),
            ),
            (
                "delete of",
                Waits::Inode(number),
                Box::new(move |now| now.delete(Ino(8), ino, "n")),
            ),
            (
                "inval_attr",
                Waits::Never,
                Box::new(move |now| now.inval_attr(ino)),
            ),
            (
                "inval_inode",
                Waits::Invalidates(number, 0, u64::MAX),
                Box::new(move |now| now.inval_inode(ino, ..)),
            ),
            (
                "retrieve",
                Waits::Never,
                Box::new(move |now| {
                    let got = now.retrieve(ino, 0, 1 << 20, Duration::ZERO);
                    got.map(|_| ()).or_else(|error| match error {
                        NotifyError::TimedOut => Ok(()),
                        error => Err(error),
                    })
                }),
            ),
            ("prune", Waits::Never, Box::new(move |now| now.prune([ino]))),
        ] {
            add(format!("{name} {number}"), waits, send);
        }
        // The last byte of one page and the first of the next.
        for first in [0, 3, 5, 6] {
            let start = (first + 1) * page - 1;
            add(
                format!("inval_inode {number}, pages {first} and the next"),
                Waits::Invalidates(number, first, first + 2),
                Box::new(move |now| now.inval_inode(ino, start..start + 2)),
            );
            add(
                format!("store {number}, pages {first} and the next"),
                Waits::Grabs(number, first, first + 2),
                Box::new(move |now| now.store(ino, start, b"12")),
            );
        }
        add(
            format!("an empty store {number}"),
            Waits::Never,
            Box::new(move |now| now.store(ino, 5 * page, b"")),
        );
    }
    let epoch = Box::new(|now: &Blocking<'_>| now.increment_epoch());
    add("increment_epoch".to_owned(), Waits::Never, epoch);
    let resend = Box::new(|now: &Blocking<'_>| now.resend());
    add("resend".to_owned(), Waits::Never, resend);
    all
}

/// Every operation that has a handler and an answer: what is held in a session without capabilities, and with those in
/// [`CACHES`].
fn requests() -> Vec<(Operation, Request, Held, Held)> {
    use Operation as O;
    let page = page();
    let size = usize::try_from(page).unwrap();
    let small = u32::try_from(page).unwrap();
    let (cached, direct) = (
        File::new(9),
        File {
            lock_owner: 7,
            ..File::new(9)
        },
    );
    // `FUSE_WRITE_CACHE`.
    let written_back = File {
        of_request: 1,
        ..cached
    };
    let times = |valid| SetattrIn {
        valid,
        ..SetattrIn::default()
    };
    let (size_bit, mode, atime, mtime, ctime) = (1 << 3, 1, 1 << 4, 1 << 5, 1 << 10);
    let ioctl = |command| IoctlIn {
        command,
        ..IoctlIn::default()
    };
    let lock = LkIn {
        kind: 1,
        ..LkIn::default()
    };
    let at = 5 * page;
    let full = vec![1; 2 * size];
    let always = |operation, request, held| (operation, request, held, held);
    vec![
        always(O::Lookup, proto::lookup(2, b"n"), INODE),
        always(O::Getattr, proto::getattr(2, None), NOTHING),
        always(O::Setattr, proto::setattr(2, times(mode)), INODE),
        always(O::Setattr, proto::setattr(2, times(mtime)), INODE),
        always(
            O::Setattr,
            proto::setattr(2, times(atime | mtime | ctime)),
            INODE,
        ),
        // `fuse_flush_times()`, with the writeback cache.
        always(O::Setattr, proto::setattr(2, times(mtime | ctime)), NOTHING),
        (
            O::Setattr,
            proto::setattr(2, times(size_bit)),
            INODE,
            TRUNCATED,
        ),
        (
            O::Readlink,
            proto::readlink(2),
            NOTHING,
            locked(NOTHING, 0, 1),
        ),
        always(O::Mknod, proto::mknod(2, b"n", 0o100_600, 0, 0), INODE),
        always(O::Mkdir, proto::mkdir(2, b"n", 0o700, 0), INODE),
        always(O::Unlink, proto::unlink(2, b"n"), INODE),
        always(O::Rmdir, proto::rmdir(2, b"n"), INODE),
        always(O::Symlink, proto::symlink(2, b"n", b"t"), INODE),
        always(O::Rename, proto::rename(2, b"n", 3, b"m"), BOTH),
        always(O::Rename, proto::rename2(2, b"n", 3, b"m", 1), BOTH),
        always(O::Link, proto::link(2, 3, b"n"), BOTH),
        always(O::Open, proto::open(2, 2), NOTHING),
        (O::Open, proto::open(2, 0o1002), NOTHING, TRUNCATED),
        always(
            O::Read,
            proto::read(2, cached, at, small),
            locked(NOTHING, 5, 6),
        ),
        always(
            O::Read,
            proto::read(2, cached, at, 2 * small),
            locked(NOTHING, 5, 7),
        ),
        always(O::Read, proto::read(2, direct, at, small), NOTHING),
        // A page that is not written whole is locked until it is.
        always(
            O::Write,
            proto::write(2, cached, at, b"1"),
            locked(INODE, 5, 6),
        ),
        always(
            O::Write,
            proto::write(2, cached, at, &full[1..]),
            locked(INODE, 6, 7),
        ),
        always(O::Write, proto::write(2, cached, at, &full), INODE),
        always(O::Write, proto::write(2, direct, at, b"1"), INODE),
        always(
            O::Write,
            proto::write(2, written_back, at, b"1"),
            Held {
                writeback: (5, 6),
                ..NOTHING
            },
        ),
        always(O::Flush, proto::flush(2, 9, 0), NOTHING),
        always(O::Release, proto::release(2, cached), NOTHING),
        always(O::Fsync, proto::fsync(2, 9, false), INODE),
        always(O::Opendir, proto::opendir(2, 0), NOTHING),
        always(O::Readdir, proto::readdir(2, 9, 0, 4096), INODE),
        always(O::Readdirplus, proto::readdirplus(2, 9, 0, 4096), INODE),
        always(O::Releasedir, proto::releasedir(2, cached), NOTHING),
        always(O::Fsyncdir, proto::fsyncdir(2, 9, false), INODE),
        always(O::Statfs, proto::statfs(2), NOTHING),
        always(O::Setxattr, proto::setxattr(2, b"user.n", b"v", 0), INODE),
        always(O::Getxattr, proto::getxattr(2, b"user.n", 100), NOTHING),
        always(O::Listxattr, proto::listxattr(2, 100), NOTHING),
        always(O::Removexattr, proto::removexattr(2, b"user.n"), INODE),
        always(O::Access, proto::access(2, 4), NOTHING),
        always(O::Create, proto::create(2, b"n", 0o100_600, 0, 2), INODE),
        always(O::Getlk, proto::getlk(2, lock), NOTHING),
        always(O::Setlk, proto::setlk(2, lock, false), NOTHING),
        always(O::Flock, proto::flock(2, lock, false), NOTHING),
        always(O::Bmap, proto::bmap(2, 1, 4096), NOTHING),
        // `vfs_fileattr_set()`: FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR; and what is near.
        #[cfg(target_pointer_width = "64")]
        always(O::Ioctl, proto::ioctl(2, ioctl(0x4008_6602), b""), INODE),
        always(O::Ioctl, proto::ioctl(2, ioctl(0x401c_5820), b""), INODE),
        always(O::Ioctl, proto::ioctl(2, ioctl(0x4008_4501), b""), NOTHING),
        always(O::Poll, proto::poll(2, 9, 1, false, 1), NOTHING),
        always(O::Fallocate, proto::fallocate(2, 9, 0, 0, 4096), INODE),
        always(
            O::CopyFileRange,
            proto::copy_file_range((2, 9, 0), (3, 9, 0), 4096, 0),
            OTHER,
        ),
        always(O::Lseek, proto::lseek(2, 9, 0, 3), INODE),
        always(O::Tmpfile, proto::tmpfile(2, 0o100_600, 0, 2), NOTHING),
        always(O::Statx, proto::statx(2, None, 0, 0xfff), NOTHING),
        always(O::Syncfs, proto::syncfs(2), NOTHING),
    ]
}

/// What makes a difference.
const CACHES: Capabilities = Capabilities::WRITEBACK_CACHE.union(Capabilities::CACHE_SYMLINKS);

#[test]
fn no_operation_is_missing() {
    use Operation as O;
    let mut missing = O::ALL.to_vec();
    missing.retain(|it| requests().iter().all(|(operation, ..)| operation != it));
    // These are below, but for the answer to `retrieve`, which no handler is called for.
    let others = [
        O::Init,
        O::Destroy,
        O::Forget,
        O::RetrieveReply,
        O::ForgetMulti,
    ];
    assert_eq!(missing, others);
}

/// What a handler was refused, by name and with what the panic said, and how many notifications it sent.
type Sent = (Vec<(String, String)>, usize);

/// A session whose handlers send every notification, and tell what became of them.
fn session(
    wants: Capabilities,
    offer: InitIn,
) -> (Wire<Recorder<Concurrent>>, mpsc::Receiver<Sent>) {
    let fs = Recorder::<Concurrent>::new();
    let notifier = Arc::new(OnceLock::<Notifier>::new());
    let (told, refused) = mpsc::channel();
    let its = Arc::clone(&notifier);
    let all = notifications();
    *fs.during.lock() = Some(Box::new(move || {
        let notifier = its.get().unwrap();
        let (mut refused, mut sent) = (Vec::new(), 0);
        for (name, _, send) in &all {
            let send = AssertUnwindSafe(|| Concurrent.blocking(notifier, |now| send(now)));
            match catch_unwind(send) {
                Ok(result) => sent += usize::from(result.is_ok()),
                Err(panic) => refused.push((name.clone(), *panic.downcast::<String>().unwrap())),
            }
        }
        told.send((refused, sent)).unwrap();
    }));
    *fs.wants.lock() = wants;
    let mut wire = Wire::connect(fs, Concurrent, |builder| builder);
    notifier.set(wire.handle.notifier()).unwrap();
    wire.init(offer);
    // In `init`, too, nothing waits.
    assert_eq!(await_from(&refused), (vec![], 0));
    (wire, refused)
}

#[test]
fn each_operation_and_each_notification() {
    let all = notifications();
    for caches in [Capabilities::empty(), CACHES] {
        let (mut wire, refused) = session(caches, InitIn::default());
        for (operation, request, without, with) in requests() {
            if operation.delivered().is_err() {
                continue;
            }
            let held = if caches.is_empty() { without } else { with };
            let expected = all.iter().filter(|(_, waits, _)| held.makes_wait(waits));
            let expected: Vec<_> = expected.map(|(name, ..)| name.clone()).collect();
            let unique = wire.send(&request);
            let (refused, sent) = await_from(&refused);
            let names: Vec<_> = refused.iter().map(|(name, _)| name.clone()).collect();
            let expected = if cfg!(debug_assertions) {
                expected
            } else {
                vec![]
            };
            assert_eq!(names, expected, "{operation}, {caches:?}");
            for (name, text) in refused {
                let what = name.split(' ').next().unwrap();
                assert!(text.contains(what), "{text}");
                assert!(text.contains(&format!("{operation} of inode 2")), "{text}");
            }
            assert_eq!(sent, all.len() - names.len(), "{operation}");
            for _ in 0..sent {
                assert_eq!(wire.receive()[8..16], [0; 8], "{operation}: a notification");
            }
            assert_eq!(wire.receive()[8..16], unique.to_ne_bytes(), "{operation}");
        }
        for request in [proto::forget(2, 1), proto::batch_forget(&[(2, 1)])] {
            wire.send(&request);
            assert_eq!(await_from(&refused), (vec![], all.len()));
            for _ in 0..all.len() {
                wire.receive();
            }
        }
        wire.end();
        assert_eq!(await_from(&refused).0, vec![], "destroy");
    }
}

/// Linux before 6.16 copies what it writes back, and nothing waits for that.
#[test]
fn an_old_kernel_writes_back_copies() {
    let old = InitIn {
        minor: 43,
        ..InitIn::default()
    };
    let (mut wire, refused) = session(CACHES, old);
    let file = File {
        of_request: 1,
        ..File::new(9)
    };
    let unique = wire.send(&proto::write(2, file, 0, b"1"));
    let (refused, sent) = await_from(&refused);
    assert_eq!(refused, []);
    for _ in 0..sent {
        wire.receive();
    }
    assert_eq!(wire.receive()[8..16], unique.to_ne_bytes());
    wire.end();
}

/// Once the answer was sent, or is somebody else's to send, nothing waits for the rest of the handler.
#[test]
fn after_the_answer() {
    let notifier = Arc::new(OnceLock::<Notifier>::new());
    let its = Arc::clone(&notifier);
    let fs = Probe::<Concurrent>::new(move |cx, _| {
        let (reply, deferred) = cx.defer();
        reply.send(enoent());
        let notifier = its.get().unwrap();
        let sent = Concurrent.blocking(notifier, |now| now.inval_entry(Ino(1), "name"));
        assert_eq!(sent, Ok(()));
        Err(deferred.into())
    });
    let mut wire = Wire::new(fs, Concurrent);
    notifier.set(wire.handle.notifier()).unwrap();
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    assert_eq!(wire.receive()[8..16], [0; 8], "a notification");
    assert_eq!(wire.end().stats.panics, 0);
}
