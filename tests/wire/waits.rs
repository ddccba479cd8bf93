//! Which notifications are refused to the handlers that the kernel waits for: those where it is certain, and no others.

use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use fuse3::notify::{Blocking, NotifyError};
use fuse3::{Concurrent, Ino, Notifier, Operation};

use crate::harness::Wire;
use crate::probe::{Probe, await_from, enoent};
use crate::proto::{self, File, InitIn, IoctlIn, LkIn, Request, SetattrIn};
use crate::recorder::{Recorder, Style};

type Send = Box<dyn Fn(&Blocking<'_>) -> Result<(), NotifyError> + std::marker::Send>;

fn page() -> u64 {
    // SAFETY: no precondition.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap()
}

/// Every notification, of the request's inode 2, the other one 3, and 9, which no request is about; and the directory that
/// the kernel locks for it, or 0.
fn notifications() -> Vec<(String, u64, Send)> {
    let mut all: Vec<(String, u64, Send)> = Vec::new();
    for number in [2, 3, 9] {
        let ino = Ino(number);
        let retrieve = move |now: &Blocking<'_>| {
            let got = now.retrieve(ino, 0, 1 << 20, Duration::ZERO);
            got.map(|_| ()).or_else(|error| match error {
                NotifyError::TimedOut => Ok(()),
                error => Err(error),
            })
        };
        let each: [(&str, u64, Send); 9] = [
            (
                "inval_entry",
                number,
                Box::new(move |now| now.inval_entry(ino, "n")),
            ),
            (
                "expire_entry",
                number,
                Box::new(move |now| now.expire_entry(ino, "n")),
            ),
            (
                "delete in",
                number,
                Box::new(move |now| now.delete(ino, Ino(8), "n")),
            ),
            (
                "delete of",
                8,
                Box::new(move |now| now.delete(Ino(8), ino, "n")),
            ),
            ("inval_attr", 0, Box::new(move |now| now.inval_attr(ino))),
            (
                "inval_inode",
                0,
                Box::new(move |now| now.inval_inode(ino, ..)),
            ),
            ("retrieve", 0, Box::new(retrieve)),
            ("store", 0, Box::new(move |now| now.store(ino, 0, b"12"))),
            ("prune", 0, Box::new(move |now| now.prune([ino]))),
        ];
        all.extend(
            each.map(|(name, directory, send)| (format!("{name} {number}"), directory, send)),
        );
    }
    all.push((
        "increment_epoch".to_owned(),
        0,
        Box::new(|now| now.increment_epoch()),
    ));
    all.push(("resend".to_owned(), 0, Box::new(|now| now.resend())));
    all
}

/// Every operation that has a handler and an answer, and the directories whose names it changes: these the kernel has locked
/// until the answer (fs/namei.c).
fn requests() -> Vec<(Operation, Request, &'static [u64])> {
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
    vec![
        (O::Lookup, proto::lookup(2, b"n"), &[]),
        (O::Getattr, proto::getattr(2, None), &[]),
        (O::Setattr, proto::setattr(2, times(mode)), &[]),
        (O::Setattr, proto::setattr(2, times(mtime)), &[]),
        (
            O::Setattr,
            proto::setattr(2, times(atime | mtime | ctime)),
            &[],
        ),
        (O::Setattr, proto::setattr(2, times(mtime | ctime)), &[]),
        (O::Setattr, proto::setattr(2, times(size_bit)), &[]),
        (O::Readlink, proto::readlink(2), &[]),
        (O::Mknod, proto::mknod(2, b"n", 0o100_600, 0, 0), &[2]),
        (O::Mkdir, proto::mkdir(2, b"n", 0o700, 0), &[2]),
        (O::Unlink, proto::unlink(2, b"n"), &[2]),
        (O::Rmdir, proto::rmdir(2, b"n"), &[2]),
        (O::Symlink, proto::symlink(2, b"n", b"t"), &[2]),
        (O::Rename, proto::rename(2, b"n", 3, b"m"), &[2, 3]),
        (O::Rename, proto::rename2(2, b"n", 3, b"m", 1), &[2, 3]),
        (O::Link, proto::link(2, 3, b"n"), &[3]),
        (O::Open, proto::open(2, 2), &[]),
        (O::Open, proto::open(2, 0o1002), &[]),
        (O::Read, proto::read(2, cached, at, small), &[]),
        (O::Read, proto::read(2, cached, at, 2 * small), &[]),
        (O::Read, proto::read(2, direct, at, small), &[]),
        (O::Write, proto::write(2, cached, at, b"1"), &[]),
        (O::Write, proto::write(2, cached, at, &full[1..]), &[]),
        (O::Write, proto::write(2, cached, at, &full), &[]),
        (O::Write, proto::write(2, direct, at, b"1"), &[]),
        (O::Write, proto::write(2, written_back, at, b"1"), &[]),
        (O::Flush, proto::flush(2, 9, 0), &[]),
        (O::Release, proto::release(2, cached), &[]),
        (O::Fsync, proto::fsync(2, 9, false), &[]),
        (O::Opendir, proto::opendir(2, 0), &[]),
        (O::Readdir, proto::readdir(2, 9, 0, 4096), &[]),
        (O::Readdirplus, proto::readdirplus(2, 9, 0, 4096), &[]),
        (O::Releasedir, proto::releasedir(2, cached), &[]),
        (O::Fsyncdir, proto::fsyncdir(2, 9, false), &[]),
        (O::Statfs, proto::statfs(2), &[]),
        (O::Setxattr, proto::setxattr(2, b"user.n", b"v", 0), &[]),
        (O::Getxattr, proto::getxattr(2, b"user.n", 100), &[]),
        (O::Listxattr, proto::listxattr(2, 100), &[]),
        (O::Removexattr, proto::removexattr(2, b"user.n"), &[]),
        (O::Access, proto::access(2, 4), &[]),
        (O::Create, proto::create(2, b"n", 0o100_600, 0, 2), &[2]),
        (O::Getlk, proto::getlk(2, lock), &[]),
        (O::Setlk, proto::setlk(2, lock, false), &[]),
        (O::Flock, proto::flock(2, lock, false), &[]),
        (O::Bmap, proto::bmap(2, 1, 4096), &[]),
        #[cfg(target_pointer_width = "64")]
        (O::Ioctl, proto::ioctl(2, ioctl(0x4008_6602), b""), &[]),
        (O::Ioctl, proto::ioctl(2, ioctl(0x401c_5820), b""), &[]),
        (O::Ioctl, proto::ioctl(2, ioctl(0x4008_4501), b""), &[]),
        (O::Poll, proto::poll(2, 9, 1, false, 1), &[]),
        (O::Fallocate, proto::fallocate(2, 9, 0, 0, 4096), &[]),
        (
            O::CopyFileRange,
            proto::copy_file_range((2, 9, 0), (3, 9, 0), 4096, 0),
            &[],
        ),
        (O::Lseek, proto::lseek(2, 9, 0, 3), &[]),
        (O::Tmpfile, proto::tmpfile(2, 0o100_600, 0, 2), &[]),
        (O::Statx, proto::statx(2, None, 0, 0xfff), &[]),
        (O::Syncfs, proto::syncfs(2), &[]),
    ]
}

#[test]
fn no_operation_is_missing() {
    use Operation as O;
    let mut missing = O::ALL.to_vec();
    missing.retain(|it| requests().iter().all(|(operation, ..)| operation != it));
    // These are below, except the answer to `retrieve`, which no handler is called for.
    let others = [
        O::Init,
        O::Destroy,
        O::Forget,
        O::RetrieveReply,
        O::ForgetMulti,
    ];
    assert_eq!(missing, others);
}

/// The names of what a handler was refused, and how many notifications it sent.
type Sent = (Vec<String>, usize);

/// A session whose handlers send every notification, and tell what became of them.
fn session() -> (Wire<Recorder<Concurrent>>, mpsc::Receiver<Sent>) {
    let fs = Recorder::<Concurrent>::new();
    let notifier = Arc::new(OnceLock::<Notifier>::new());
    let (told, refused) = mpsc::channel();
    let its = Arc::clone(&notifier);
    let all = notifications();
    *fs.during.lock() = Some(Box::new(move || {
        let notifier = its.get().unwrap();
        let (mut refused, mut sent) = (Vec::new(), 0);
        for (name, _, send) in &all {
            match Concurrent.blocking(notifier, |now| send(now)) {
                Err(NotifyError::Deadlock) => refused.push(name.clone()),
                result => sent += usize::from(result.is_ok()),
            }
        }
        told.send((refused, sent)).unwrap();
    }));
    let mut wire = Wire::connect(fs, Concurrent, |builder| builder);
    notifier.set(wire.handle.notifier()).unwrap();
    wire.init(InitIn::default());
    // In `init`, too, nothing waits.
    assert_eq!(await_from(&refused), (vec![], 0));
    (wire, refused)
}

#[test]
fn each_operation_and_each_notification() {
    let all = notifications();
    let (mut wire, refused) = session();
    for (operation, request, directories) in requests() {
        if operation.delivered().is_err() {
            continue;
        }
        let expected = all.iter().filter(|(_, of, _)| directories.contains(of));
        let expected: Vec<_> = expected.map(|(name, ..)| name.clone()).collect();
        let unique = wire.send(&request);
        let (refused, sent) = await_from(&refused);
        assert_eq!(refused, expected, "{operation}");
        assert_eq!(sent, all.len() - refused.len(), "{operation}");
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
    assert_eq!(await_from(&refused).0, Vec::<String>::new(), "destroy");
}

/// Another session's directory has the same number, and is no matter; nor is a thread that handles nothing.
#[test]
fn of_its_own_session_alone() {
    let other = Wire::new(Probe::<Concurrent>::new(|_, _| enoent()), Concurrent);
    let notifiers = Arc::new(OnceLock::<[Notifier; 2]>::new());
    let its = Arc::clone(&notifiers);
    let fs = Recorder::<Concurrent>::new();
    let (told, got) = mpsc::channel();
    *fs.during.lock() = Some(Box::new(move || {
        let Some(notifiers) = its.get() else { return };
        let send = |it: &Notifier| Concurrent.blocking(it, |now| now.inval_entry(Ino(2), "n"));
        let elsewhere = std::thread::scope(|scope| scope.spawn(|| send(&notifiers[0])).join());
        let all = (send(&notifiers[0]), send(&notifiers[1]), elsewhere.unwrap());
        told.send(all).unwrap();
    }));
    let mut wire = Wire::new(fs, Concurrent);
    let both = [wire.handle.notifier(), other.handle.notifier()];
    assert!(notifiers.set(both).is_ok());
    let unique = wire.send(&proto::mkdir(2, b"n", 0o700, 0));
    assert_eq!(
        await_from(&got),
        (Err(NotifyError::Deadlock), Ok(()), Ok(()))
    );
    for of in [0, unique] {
        assert_eq!(wire.receive()[8..16], of.to_ne_bytes());
    }
    assert_eq!(other.receive()[8..16], [0; 8]);
    other.end();
    wire.end();
}

/// An answer that the handler has given leaves when it returns.
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
    let unique = wire.send(&proto::lookup(1, b"name"));
    assert_eq!(wire.receive()[8..16], [0; 8], "a notification");
    assert_eq!(wire.receive(), proto::error(unique, libc::ENOENT));
    assert_eq!(wire.end().stats.panics, 0);
}
