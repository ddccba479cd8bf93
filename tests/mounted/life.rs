//! From mount to unmount: by others, by dropping, by choice not; more sessions than one; fork.

use std::fs::{self, File};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fuse3::{Entry, Errno, Operation, Reason, Reply};
use std::sync::Mutex;

use crate::child::{self, this_test};
use crate::deferring::Deferring;
use crate::fixture::{Mount, TempDir, force_unmount, is_mounted, require_mount};
use crate::probe::Probe;

fn umount(mount: &Mount<Probe>, options: &[&str]) {
    let status = Command::new("umount")
        .args(options)
        .arg(mount.path())
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn unmounted_from_outside() {
    require_mount!();
    let mut mount = Probe::new().mount();
    fs::metadata(mount.join("file")).unwrap();
    umount(&mount, &[]);
    assert_eq!(mount.ended().reason, Reason::Unmounted);
}

#[test]
fn a_lazy_unmount_ends_it_with_the_last_file() {
    require_mount!();
    let released = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&released);
    let probe = Probe::new().on(move |_, operation, _| {
        count.fetch_add(
            usize::from(operation == Operation::Release),
            Ordering::SeqCst,
        );
        Ok(())
    });
    let mut mount = probe.mount();
    let file = File::open(mount.join("file")).unwrap();
    umount(&mount, &["-l"]);
    file.metadata().unwrap();
    assert_eq!(released.load(Ordering::SeqCst), 0);
    drop(file);
    assert_eq!(mount.ended().reason, Reason::Unmounted);
}

#[test]
fn a_session_that_is_dropped_is_unmounted() {
    require_mount!();
    let dir = TempDir::new();
    let session = Probe::new().builder().mount(dir.path()).unwrap();
    assert!(is_mounted(dir.path()));
    drop(session);
    assert!(!is_mounted(dir.path()));
}

#[test]
fn a_mount_point_that_is_kept_is_dead() {
    require_mount!();
    let dir = TempDir::new();
    let session = Probe::new().builder().keep_mounted(true).mount(dir.path());
    let session = session.unwrap();
    session.handle().terminate();
    assert_eq!(session.run().unwrap().reason, Reason::Terminated);
    assert!(is_mounted(dir.path()));
    let error = fs::metadata(dir.path()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOTCONN));
    force_unmount(dir.path());
}

#[test]
fn the_file_system_is_given_back() {
    require_mount!();
    let mount = Probe::new().mount();
    fs::metadata(mount.path()).unwrap();
    let end = mount.end();
    assert!(Arc::into_inner(end.fs).is_some());
    assert!(end.stats.total() >= 2);
}

#[test]
fn two_sessions_in_one_process() {
    require_mount!();
    let (one, two) = (Probe::new().mount(), Probe::new().mount());
    fs::metadata(one.join("file")).unwrap();
    fs::metadata(two.join("file")).unwrap();
    one.end();
    fs::metadata(two.join("file")).unwrap();
    two.end();
}

#[test]
fn many_one_after_the_other() {
    require_mount!();
    for _ in 0..100 {
        let mount = Probe::new().mount();
        fs::metadata(mount.join("file")).unwrap();
        mount.end();
    }
}

#[test]
fn the_process_may_fork_between_mount_and_run() {
    require_mount!();
    child::run(this_test!(), || {
        let dir = TempDir::new();
        let session = Probe::new().builder().mount(dir.path()).unwrap();
        // SAFETY: the child calls only what it may after a fork of a process with one thread more (libtest's main
        // thread, which waits and holds no lock of the allocator).
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            // The parent stays behind to use the mount, as after daemon(3) a shell would.
            let end = session.run();
            let clean = end.is_ok_and(|end| end.reason == Reason::Unmounted);
            // SAFETY: ends the child at once, without what the parent has registered.
            unsafe { libc::_exit(i32::from(!clean)) };
        }
        let path = dir.path().join("file");
        let stat = fs::metadata(path);
        let unmounted = Command::new("umount").arg(dir.path()).status().unwrap();
        // The parent's own copy of the session has its descriptor yet.
        std::mem::forget(session);
        let mut status = 0;
        // SAFETY: `status` lives.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert_eq!(status, 0);
        stat.unwrap();
        assert!(unmounted.success());
    });
}

#[test]
fn a_reply_that_outlives_its_session_does_no_harm() {
    require_mount!();
    let kept: Arc<Mutex<Vec<Reply<Entry>>>> = Arc::default();
    let mut mount = Mount::new(Deferring::builder(Arc::clone(&kept)));
    let path = mount.join("file");
    let client = std::thread::spawn(move || fs::metadata(path).unwrap_err().raw_os_error());
    crate::fixture::until(|| kept.lock().unwrap().len() == 1);
    mount.handle().terminate();
    assert_eq!(mount.ended().reason, Reason::Terminated);
    // Nobody answers any more: the kernel does.
    assert!(matches!(
        client.join().unwrap(),
        Some(libc::ENOTCONN | libc::ECONNABORTED)
    ));
    let mut kept = kept.lock().unwrap();
    kept.pop().unwrap().send(Err(Errno::EACCES.into()));
    assert!(kept.is_empty());
}

/// Then the request has its descriptor, which the end closes, too: the client waits no longer.
#[test]
fn a_reply_that_outlives_its_session_with_a_descriptor_of_its_own() {
    require_mount!(not over io_uring: "it is no descriptor that keeps the connection");
    child::run(this_test!(), || {
        let kept: Arc<Mutex<Vec<Reply<Entry>>>> = Arc::default();
        let mut mount = Mount::new(Deferring::builder(Arc::clone(&kept)).clone_fd(true));
        let path = mount.join("file");
        let client = std::thread::spawn(move || fs::metadata(path).unwrap_err().raw_os_error());
        crate::fixture::until(|| kept.lock().unwrap().len() == 1);
        mount.handle().terminate();
        assert_eq!(mount.ended().reason, Reason::Terminated);
        assert!(matches!(
            client.join().unwrap(),
            Some(libc::ENOTCONN | libc::ECONNABORTED)
        ));
        let reply = kept.lock().unwrap().pop().unwrap();
        reply.send(Err(Errno::EACCES.into()));
    });
}
