//! What libfuse logs reaches the `log` crate; and where a logger must not be called, stderr.

use std::ffi::{OsStr, c_int, c_void};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use fuse3::kit::InodeTable;
use fuse3::lock::NoLock;
use fuse3::testing::{Wire, proto};
use fuse3::{
    Answer, Capabilities, Concurrent, Connection, Context, Errno, Filesystem, Ino, Operation,
    Session, sys,
};

struct Fs;

impl Filesystem for Fs {
    type Lock = Concurrent;
}

/// A logger with a lock that is not reentrant, as they have.
struct Logger;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let mut lines = LINES.lock().unwrap();
        let line = format!("{} {}: {}", record.level(), record.target(), record.args());
        if line.ends_with("interrupt") {
            // SAFETY: the signal has a handler.
            unsafe { libc::raise(libc::SIGUSR1) };
        }
        if line.ends_with("cancel") {
            // A point where a thread is cancelled, if it may be.
            // SAFETY: no memory is involved.
            unsafe { libc::usleep(1000) };
        }
        lines.push(line);
    }

    fn flush(&self) {}
}

fn say(level: sys::fuse_log_level, what: &std::ffi::CStr) {
    // SAFETY: the format takes one string, which lives.
    unsafe { sys::fuse_log(level, c"%s\n".as_ptr(), what.as_ptr()) };
}

/// The session has a line for each operation that it will not be asked for.
#[test]
fn what_is_not_delivered_is_said() {
    let _alone = begin();
    Wire::new(Fs, Concurrent).end();
    let lacking = Operation::ALL.iter().map(|operation| operation.delivered());
    let expected: Vec<_> = lacking
        .filter_map(Result::err)
        .map(|why| format!("DEBUG fuse3: not called in this session: {why}"))
        .collect();
    assert_eq!(logged(), expected);
}

/// It serves whatever attribute it is asked for.
struct Acls;

impl Filesystem for Acls {
    type Lock = Concurrent;

    fn getxattr(&self, _: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Vec<u8>> {
        match name.to_str() {
            Some("system.posix_acl_default") => Err(Errno::ENODATA.into()),
            _ => Ok(b"value".to_vec()),
        }
    }
}

/// An ACL that nobody checks is said, once.
#[test]
fn an_acl_without_the_capability_is_said() {
    let _alone = begin();
    let mut wire = Wire::new(Acls, Concurrent);
    let mut said = |name: &[u8]| {
        let unique = wire.send(&proto::getxattr(1, name, 10));
        assert_eq!(wire.receive()[8..16], unique.to_ne_bytes());
        let lines = logged().into_iter();
        let acl = lines.filter(|line| line.contains("is served without POSIX_ACL"));
        acl.collect::<Vec<_>>()
    };
    assert!(said(b"user.posix_acl").is_empty());
    assert!(said(b"system.posix_acl_default").is_empty());
    let line = "WARN fuse3: \"system.posix_acl_access\" is served without POSIX_ACL: ";
    for _ in 0..2 {
        let lines = said(b"system.posix_acl_access");
        assert!(lines.len() == 1 && lines[0].starts_with(line), "{lines:?}");
    }
    wire.end();
}

/// C's libfuse has none for a session whose reads and writes are others (`fuse_session_custom_io()`), either.
#[test]
fn a_socket_has_no_io_uring() {
    let _alone = begin();
    for (option, lines) in [("io_uring", 1), ("fsname=io_uring", 0)] {
        LINES.lock().unwrap().clear();
        let (_peer, served) = UnixDatagram::pair().unwrap();
        // A libfuse that does not know the option refuses it.
        drop(
            Session::builder(Fs, Concurrent)
                .option(option)
                .mount_fd(served),
        );
        let said = logged();
        let why = "the mount option \"io_uring\" has no effect: /dev/fd/";
        let warned = said.iter().filter(|line| line.contains(why));
        assert_eq!(warned.count(), lines, "{said:?}");
    }
}

/// And for each operation that comes, and has no handler; once.
#[test]
fn what_has_no_handler_is_said_once_in_a_session() {
    let _alone = begin();
    for _session in 0..2 {
        LINES.lock().unwrap().clear();
        let mut wire = Wire::new(Fs, Concurrent);
        for _ in 0..3 {
            wire.expect_error(&proto::getattr(1, None), Errno::ENOSYS);
            wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOSYS);
        }
        wire.end();
        let lines = logged();
        let said = lines.iter().filter(|line| line.contains("ENOSYS"));
        let why = "is answered ENOSYS: the file system has no handler for it";
        let expected = ["getattr", "lookup"].map(|it| format!("DEBUG fuse3: {it} {why}"));
        assert!(said.eq(&expected), "{lines:?}");
    }
}

/// Asks for locks and ACLs, and has no handlers of them.
struct Careless;

impl Filesystem for Careless {
    type Lock = Concurrent;

    fn init(&self, _: &mut NoLock, connection: &mut Connection<'_>) -> io::Result<()> {
        let locks = Capabilities::POSIX_LOCKS | Capabilities::FLOCK_LOCKS;
        let got = connection.want_offered(locks | Capabilities::POSIX_ACL);
        assert_eq!(got, locks | Capabilities::POSIX_ACL);
        Ok(())
    }
}

/// What the kernel leaves to a file system that has asked for it, and that it does not do, is a warning.
#[test]
fn a_duty_that_nobody_does_is_a_warning() {
    let _alone = begin();
    let mut wire = Wire::new(Careless, Concurrent);
    let lock = || proto::LkIn {
        fh: 0,
        kind: libc::F_WRLCK.unsigned_abs(),
        ..proto::LkIn::default()
    };
    for _ in 0..2 {
        wire.expect_error(&proto::setlk(1, lock(), false), Errno::ENOSYS);
        wire.expect_error(&proto::flock(1, lock(), false), Errno::ENOSYS);
        wire.expect_error(&proto::getxattr(1, b"user.a", 0), Errno::ENOSYS);
        wire.expect_error(&proto::getattr(1, None), Errno::ENOSYS);
    }
    wire.end();
    let lines = logged();
    let said = lines.iter().filter(|line| line.contains("ENOSYS"));
    let why = "is answered ENOSYS: the file system has no handler for it";
    let duty = |operation, capability| {
        format!("WARN fuse3: {operation} {why}, though init asked for {capability}")
    };
    let expected = [
        duty("setlk", "Capabilities(POSIX_LOCKS)"),
        duty("flock", "Capabilities(FLOCK_LOCKS)"),
        duty("getxattr", "Capabilities(POSIX_ACL)"),
        format!("DEBUG fuse3: getattr {why}"),
    ];
    assert!(said.eq(&expected), "{lines:?}");
}

/// One test at a time, since stderr and handlers are the process's, with libfuse's log sent to the logger.
fn begin() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    static ONCE: Once = Once::new();
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    ONCE.call_once(|| {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        let (_peer, served) = UnixDatagram::pair().unwrap();
        drop(Session::builder(Fs, Concurrent).mount_fd(served).unwrap());
    });
    LINES.lock().unwrap().clear();
    alone
}

fn logged() -> Vec<String> {
    LINES.lock().unwrap().clone()
}

/// What is written to stderr meanwhile.
fn stderr_of(what: impl FnOnce()) -> String {
    let path = std::env::temp_dir().join(format!("fuse3-log-{}", std::process::id()));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(path).unwrap();
    // SAFETY: no memory is involved.
    let before = unsafe { libc::dup(2) };
    // SAFETY: as above; both are open.
    assert_eq!(unsafe { libc::dup2(file.as_raw_fd(), 2) }, 2);
    what();
    // SAFETY: as above.
    assert_eq!(unsafe { libc::dup2(before, 2) }, 2);
    // SAFETY: it is this function's.
    unsafe { libc::close(before) };
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

extern "C" fn say_so(_: c_int) {
    say(sys::fuse_log_level_FUSE_LOG_ERR, c"in the handler");
}

fn handle(signal: c_int) {
    let handler = say_so as extern "C" fn(c_int) as libc::sighandler_t;
    // SAFETY: the handler does what is under test, and writes.
    assert_ne!(unsafe { libc::signal(signal, handler) }, libc::SIG_ERR);
}

#[test]
fn levels_are_kept() {
    let _alone = begin();
    say(sys::fuse_log_level_FUSE_LOG_EMERG, c"one");
    say(sys::fuse_log_level_FUSE_LOG_WARNING, c"two");
    say(sys::fuse_log_level_FUSE_LOG_NOTICE, c"three");
    say(sys::fuse_log_level_FUSE_LOG_DEBUG, c"four");
    let expected = [
        "ERROR libfuse: one",
        "WARN libfuse: two",
        "INFO libfuse: three",
        "DEBUG libfuse: four",
    ];
    assert_eq!(logged(), expected);
}

#[test]
fn a_signal_that_interrupts_a_logger_does_not_wait_for_it() {
    let _alone = begin();
    handle(libc::SIGUSR1);
    let stderr = stderr_of(|| say(sys::fuse_log_level_FUSE_LOG_ERR, c"interrupt"));
    assert_eq!(stderr, "in the handler\n");
    assert_eq!(logged(), ["ERROR libfuse: interrupt"]);
    say(sys::fuse_log_level_FUSE_LOG_ERR, c"after it");
    assert_eq!(logged().len(), 2);
}

#[test]
fn the_handler_of_a_fault_calls_no_logger() {
    let _alone = begin();
    handle(libc::SIGFPE);
    // SAFETY: the signal has a handler.
    let stderr = stderr_of(|| assert_eq!(unsafe { libc::raise(libc::SIGFPE) }, 0));
    assert_eq!(stderr, "in the handler\n");
    assert_eq!(logged(), [""; 0]);
}

#[test]
fn who_blocks_all_signals_has_a_logger_all_the_same() {
    let _alone = begin();
    std::thread::spawn(|| {
        // SAFETY: the set is integers.
        let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: `all` lives.
        unsafe { libc::sigfillset(&raw mut all) };
        // SAFETY: as above.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, ptr::null_mut()) };
        say(sys::fuse_log_level_FUSE_LOG_ERR, c"blocked");
    })
    .join()
    .unwrap();
    assert_eq!(logged(), ["ERROR libfuse: blocked"]);
}

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

static STARTED: AtomicBool = AtomicBool::new(false);
static CANCELLED: AtomicBool = AtomicBool::new(false);
static SAID: AtomicUsize = AtomicUsize::new(0);

/// Logs while it is to be cancelled, as a worker of libfuse that reads a request does.
extern "C" fn cancelled_thread(_: *mut c_void) -> *mut c_void {
    STARTED.store(true, Ordering::SeqCst);
    while !CANCELLED.load(Ordering::SeqCst) {
        std::hint::spin_loop();
    }
    say(sys::fuse_log_level_FUSE_LOG_ERR, c"cancel");
    let mut before = -1;
    // SAFETY: `before` lives. Rust code must not be unwound by the cancellation that is to come.
    unsafe { pthread_setcancelstate(1, &raw mut before) };
    // It was enabled again after the line: 0.
    SAID.store(1 + usize::try_from(before).unwrap(), Ordering::SeqCst);
    ptr::null_mut()
}

#[test]
fn a_thread_is_not_cancelled_in_a_logger() {
    let _alone = begin();
    let mut thread = 0;
    // SAFETY: `thread` lives; the function does what is under test.
    let made = unsafe {
        libc::pthread_create(
            &raw mut thread,
            ptr::null(),
            cancelled_thread,
            ptr::null_mut(),
        )
    };
    assert_eq!(made, 0);
    let start = Instant::now();
    while !STARTED.load(Ordering::SeqCst) {
        assert!(start.elapsed() < Duration::from_secs(60));
    }
    // SAFETY: the thread has not been joined.
    assert_eq!(unsafe { libc::pthread_cancel(thread) }, 0);
    CANCELLED.store(true, Ordering::SeqCst);
    // SAFETY: as above; the result is not wanted.
    assert_eq!(unsafe { libc::pthread_join(thread, ptr::null_mut()) }, 0);
    assert_eq!(SAID.load(Ordering::SeqCst), 1);
    assert_eq!(logged(), ["ERROR libfuse: cancel"]);
}

#[test]
fn an_inode_that_was_forgotten_too_often_is_said() {
    let _alone = begin();
    let mut inodes = InodeTable::new(0);
    let ino = inodes.insert(1);
    inodes.link(ino).unwrap();
    for _ in 0..2 {
        inodes.lookup(ino).unwrap();
    }
    for _ in 0..2 {
        assert_eq!(inodes.forget(ino, 1), None);
    }
    assert_eq!(logged(), [""; 0]);
    assert_eq!(inodes.forget(ino, 1), None);
    let line = "ERROR fuse3: inode 2 was forgotten 1 times, and looked up 0 times";
    assert_eq!(logged(), [line]);
}
