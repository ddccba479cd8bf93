//! Locks that are waited for.

use std::fs::{self, File};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::mount::skip::skip;
use crate::mount::{is_root, within};
use crate::place::{Source, WAYS, Way};

/// flock(2) of a file that somebody else has locked, a hundred times at once.
#[test]
fn who_waits_for_a_lock_needs_no_thread() {
    if !is_root() {
        return skip("waiting for a lock", "only root sets limits of others");
    }
    let source = Source::new();
    fs::write(source.0.join("file"), "").unwrap();
    let Some(mounted) = source.mounted_with("passthrough_hp", &["--foreground", "--single"]) else {
        return;
    };
    let path = mounted.path().join("file");
    let holder = File::open(&path).unwrap();
    flock(&holder, FlockOperation::LockExclusive).unwrap();
    let threads = || {
        let status = fs::read_to_string(format!("/proc/{}/status", mounted.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("Threads:"));
        line.unwrap().trim().parse::<usize>().unwrap()
    };
    let before = threads();
    let files: Vec<_> = (0..100).map(|_| File::open(&path).unwrap()).collect();

    // No thread can be started: whoever would wait is told so, and the file system goes on.
    limit_address_space(mounted.id(), Some(1 << 20));
    let refused = flock(&files[0], FlockOperation::LockExclusive).unwrap_err();
    assert_eq!(refused.raw_os_error(), libc::EAGAIN);
    assert_eq!(fs::read(&path).unwrap(), b"");
    limit_address_space(mounted.id(), None);

    let got = AtomicU32::new(0);
    thread::scope(|scope| {
        for file in &files {
            let got = &got;
            scope.spawn(move || {
                flock(file, FlockOperation::LockExclusive).unwrap();
                got.fetch_add(1, Ordering::SeqCst);
                flock(file, FlockOperation::Unlock).unwrap();
            });
        }
        let waiting = within(Duration::from_secs(10), || waiters() >= 100);
        let most = threads();
        flock(&holder, FlockOperation::Unlock).unwrap();
        assert!(waiting, "{} wait", waiters());
        assert!(most <= before + 2, "{most} threads, {before} before");
    });
    assert_eq!(got.load(Ordering::SeqCst), 100);
    drop((holder, files));
    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
}

/// flock(2) of a file that is closed while others have it open.
#[test]
fn a_lock_goes_when_its_file_is_closed() {
    if !is_root() {
        return skip("locks of closed files", "only root mounts for others");
    }
    let of_the_source = |way: &&Way| way.0 == "passthrough_hp";
    for way in WAYS.iter().filter(of_the_source) {
        let source = Source::new();
        let Some(mounted) = source.mounted(*way) else {
            return;
        };
        let path = mounted.path().join("file");
        fs::write(&path, "text").unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let (first, second) = (open(), open());
        flock(&first, FlockOperation::NonBlockingLockExclusive).unwrap();
        drop(first);
        let free = || flock(&second, FlockOperation::NonBlockingLockExclusive).is_ok();
        assert!(within(Duration::from_secs(10), free), "{way:?}");
        drop(second);
        let ended = mounted.unmount();
        assert!(ended.status.success(), "{ended:?}");
    }
}

/// How many threads of this process are in flock(2).
fn waiters() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let calls =
        tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("syscall")).ok());
    calls
        .filter(|call| call.starts_with(&format!("{} ", libc::SYS_flock)))
        .count()
}

/// What the process `id` may have mapped: so much more than it has, or anything.
fn limit_address_space(id: u32, more: Option<u64>) {
    let statm = fs::read_to_string(format!("/proc/{id}/statm")).unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    let current = more.map_or(libc::RLIM_INFINITY, |more| pages * 4096 + more);
    let limit = libc::rlimit {
        rlim_cur: current,
        rlim_max: libc::RLIM_INFINITY,
    };
    let id = id.try_into().unwrap();
    // SAFETY: the new limit lives, and the old one is not asked for.
    let set = unsafe { libc::prlimit(id, libc::RLIMIT_AS, &raw const limit, std::ptr::null_mut()) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}
