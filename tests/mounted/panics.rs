//! A panic or an error where the library calls the file system.

use std::any::Any;
use std::fs::{self, File};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fuse3::session::OnPanic;
use fuse3::{GlobalLock, Operation};

use crate::fixture::{Mount, Outcome, require_mount, until};
use crate::probe::{Books, Probe};

const MESSAGE: &str = "a panic on purpose";

fn panics_at(at: Operation) -> Probe {
    Probe::new().on(move |_, operation, _| {
        if operation == at {
            panic!("{MESSAGE}");
        }
        Ok(())
    })
}

fn error(result: io::Result<impl Sized>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[track_caller]
fn assert_resumed(outcome: Outcome<Probe>) {
    let payload: Box<dyn Any + Send> = match outcome {
        Err(payload) => payload,
        Ok(_) => panic!("run returned"),
    };
    assert_eq!(
        payload.downcast_ref::<String>().map(String::as_str),
        Some(MESSAGE)
    );
}

#[test]
fn the_caller_gets_eio_and_run_resumes_it() {
    require_mount!(not over io_uring: "answers at the end are lost with the ring");
    let lock = Arc::new(GlobalLock::new(Books::default()));
    let probe = panics_at(Operation::Unlink);
    let mut mount = Mount::new(probe.builder_with(Arc::clone(&lock)));
    File::open(mount.join("file")).unwrap();
    assert_eq!(error(fs::remove_file(mount.join("file"))), Some(libc::EIO));
    assert_resumed(mount.outcome());
    assert!(lock.try_lock().is_ok());
}

#[test]
fn or_the_session_goes_on() {
    require_mount!();
    let probe = panics_at(Operation::Open);
    let mut mount = Mount::new(probe.builder().workers(2).on_panic(OnPanic::Continue));
    for _ in 0..100 {
        assert_eq!(error(File::open(mount.join("file"))), Some(libc::EIO));
        fs::metadata(mount.join("file")).unwrap();
    }
    mount.handle().terminate();
    assert_eq!(mount.ended().stats.panics, 100);
}

#[test]
fn in_forget_which_nobody_waits_for() {
    require_mount!();
    let mut mount = panics_at(Operation::Forget).mount();
    fs::metadata(mount.join("file")).unwrap();
    fs::remove_file(mount.join("file")).unwrap();
    assert_resumed(mount.outcome());
}

#[test]
fn in_init() {
    require_mount!();
    let mut mount = Probe::new().on_init(|| panic!("{MESSAGE}")).mount();
    assert_resumed(mount.outcome());
}

#[test]
fn an_error_in_init_is_what_run_returns() {
    require_mount!();
    let mut mount = Probe::new()
        .on_init(|| Err(io::Error::other("no database")))
        .mount();
    let error = mount.outcome().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "no database");
}

#[test]
fn in_destroy() {
    require_mount!();
    let mut mount = Probe::new().on_destroy(|| panic!("{MESSAGE}")).mount();
    fs::metadata(mount.path()).unwrap();
    mount.handle().terminate();
    assert_resumed(mount.outcome());
}

#[test]
fn while_the_lock_is_released() {
    require_mount!();
    let (lock, once) = (
        Arc::new(GlobalLock::new(Books::default())),
        AtomicBool::new(false),
    );
    let probe = Probe::new().on(move |cx, operation, _| {
        if operation == Operation::Read && !once.swap(true, Ordering::SeqCst) {
            cx.released(|_| panic!("{MESSAGE}"));
        }
        Ok(())
    });
    let builder = probe.builder_with(Arc::clone(&lock));
    let mount = Mount::new(builder.on_panic(OnPanic::Continue));
    let mut file = File::open(mount.join("file")).unwrap();
    assert_eq!(error(file.read(&mut [0])), Some(libc::EIO));
    assert_eq!(file.read(&mut [0]).unwrap(), 1);
    until(|| lock.stats().holder.is_none());
}
