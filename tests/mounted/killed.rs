//! Clients that are killed while a handler has their request: how soon they are gone, and what they leave.
//!
//! The clients are processes of their own: whoever is blocked in the mount cannot be waited for by its server.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fuse3::lock::Locking;
use fuse3::{Concurrent, GlobalLock, Ino, Notifier, Operation, Session};

use crate::child::{finish_within, this_test};
use crate::fixture::{
    DEADLINE, Mount, MountPoint, c_string, force_unmount, gone_soon, is_mounted, require_mount,
    until,
};
use crate::patient::{ALL, Books, How, Patient};
use crate::probe::Probe;

/// Where root has the kernel drop what nobody uses, of all there is.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";
const NAMES_AND_INODES: &str = "2";

/// Set in a client, to what it is to do, and where.
const CLIENT: &str = "FUSE3_TEST_CLIENT";

/// Not a test, but what the clients of the tests do.
#[test]
fn client() {
    let Ok(what) = std::env::var(CLIENT) else {
        return;
    };
    // SAFETY: the default action is a valid one. Whoever started the tests may have had it ignored.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
    let (operation, dir) = what.split_once(' ').unwrap();
    let (existing, new) = (Path::new(dir).join("file"), Path::new(dir).join("new"));
    // Whether it fails does not matter: it is to be killed, at the latest by its deadline.
    match operation {
        "lookup" => drop(fs::metadata(existing)),
        "create" => drop(File::create(new)),
        "mkdir" => drop(fs::create_dir(new)),
        "symlink" => drop(symlink("target", new)),
        "link" => drop(fs::hard_link(existing, new)),
        "opendir" | "readdirplus" => drop(fs::read_dir(dir).map(Iterator::count)),
        "mknod" => {
            let new = c_string(&new);
            // SAFETY: the path is NUL-terminated.
            unsafe { libc::mkfifo(new.as_ptr(), 0o644) };
        }
        "open" => drop(File::open(existing)),
        "read" => drop(File::open(existing).unwrap().read(&mut [0; 100])),
        "write" => {
            let file = OpenOptions::new().write(true).open(existing);
            drop(file.unwrap().write(&[0; 100]));
        }
        "setlk" => {
            let file = OpenOptions::new().write(true).open(existing).unwrap();
            // SAFETY: `struct flock` is integers, for which zero is a value: all of the file.
            let mut lock: libc::flock = unsafe { std::mem::zeroed() };
            lock.l_type = libc::F_WRLCK.try_into().unwrap();
            // SAFETY: `lock` lives.
            unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLKW, &raw const lock) };
        }
        "flock" => {
            let file = File::open(existing).unwrap();
            // SAFETY: no memory is involved.
            unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) };
        }
        "ioctl" => {
            let file = File::open(existing).unwrap();
            // SAFETY: the command is one without an argument, `_IO('E', 7)`.
            unsafe { libc::ioctl(file.as_raw_fd(), 0x4507) };
        }
        other => panic!("{other}"),
    }
}

fn start(operation: Operation, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["killed::client", "--exact", "--test-threads=1"])
        .env(CLIENT, format!("{operation} {}", dir.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills clients that wait in `operation`: each is gone soon, and what they were given comes back.
fn killed_in(operation: Operation) {
    let mut left = Vec::new();
    let mut times = Vec::new();
    for how in ALL {
        times.extend(killed_while::<Concurrent>(how, operation, &mut left));
    }
    // What is told of the interrupt is the same with a lock, but for who has to be without it.
    for how in [How::Waits, How::DefersAndAnswersAnyway] {
        times.extend(killed_while::<Arc<GlobalLock<()>>>(
            how, operation, &mut left,
        ));
    }
    times.sort();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{operation}: gone after {median:.2?} (median), {longest:.2?} (longest)");
    // What it was given the kernel has, and gives back.
    let by_name = fs::write(DROP_CACHES, NAMES_AND_INODES).err();
    if let Some(error) = &by_name {
        println!("{operation}: given back by name, since {DROP_CACHES}: {error}");
    }
    until(|| {
        if left.iter().all(Left::gave_all_back) {
            return true;
        }
        if by_name.is_none() {
            // Once more: what was in use just now was only seen not to be any more.
            fs::write(DROP_CACHES, NAMES_AND_INODES).unwrap();
        }
        for left in left.iter().filter(|_| by_name.is_some()) {
            left.drop_names();
        }
        std::thread::sleep(Duration::from_millis(10));
        false
    });
    for left in left {
        (left.end)();
    }
}

/// A file system whose client was killed.
struct Left {
    books: Arc<Mutex<Books>>,
    notifier: Notifier,
    end: Box<dyn FnOnce()>,
}

impl Left {
    fn gave_all_back(&self) -> bool {
        let books = self.books.lock().unwrap();
        books.open == 0 && books.lookups.is_empty()
    }

    fn drop_names(&self) {
        for name in ["file", "new"] {
            self.notifier.inval_entry(Ino::ROOT, name);
        }
    }
}

/// How long clients that wait in `operation` lived after SIGINT, and SIGKILL. The file systems go to `left`.
fn killed_while<L: Locking + Default>(
    how: How,
    operation: Operation,
    left: &mut Vec<Left>,
) -> [Duration; 2] {
    [libc::SIGINT, libc::SIGKILL].map(|signal| {
        let (took, ()) = gone_soon(|| {
            let books = Arc::new(Mutex::new(Books::default()));
            let came = Arc::new(AtomicUsize::new(0));
            let patient = Patient::new(how, operation, Arc::clone(&came), Arc::clone(&books));
            let mount = Mount::new(Session::builder(patient, L::default()));
            let took = killed_by(signal, operation, mount.path(), &came);
            left.push(Left {
                books,
                notifier: mount.handle().notifier(),
                end: Box::new(move || {
                    let end = mount.end();
                    assert_eq!(end.stats.panics, 0, "{how:?}");
                    assert_eq!(came.load(Ordering::SeqCst), 1, "{how:?}");
                }),
            });
            (took, ())
        });
        took
    })
}

/// How long the client lived after `signal`.
fn killed_by(signal: i32, operation: Operation, dir: &Path, came: &AtomicUsize) -> Duration {
    let mut client = start(operation, dir);
    until(|| came.load(Ordering::SeqCst) == 1);
    // It is to be asleep: the answer to its request is waited for a moment later.
    std::thread::sleep(Duration::from_millis(5));
    let pid = i32::try_from(client.id()).unwrap();
    let start = Instant::now();
    // SAFETY: no memory is involved; the process is a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    let status = finish_within(&mut client, dir, DEADLINE);
    let took = start.elapsed();
    let killed_by = status.and_then(|status| status.signal());
    assert_eq!(killed_by, Some(signal));
    took
}

#[test]
fn in_lookup() {
    require_mount!();
    killed_in(Operation::Lookup);
}

#[test]
fn in_create() {
    require_mount!();
    killed_in(Operation::Create);
}

#[test]
fn in_open() {
    require_mount!();
    killed_in(Operation::Open);
}

#[test]
fn in_read() {
    require_mount!();
    killed_in(Operation::Read);
}

#[test]
fn in_write() {
    require_mount!();
    killed_in(Operation::Write);
}

#[test]
fn in_setlk() {
    require_mount!();
    killed_in(Operation::Setlk);
}

#[test]
fn in_flock() {
    require_mount!();
    killed_in(Operation::Flock);
}

#[test]
fn in_ioctl() {
    require_mount!();
    killed_in(Operation::Ioctl);
}

#[test]
fn in_mknod() {
    require_mount!();
    killed_in(Operation::Mknod);
}

#[test]
fn in_mkdir() {
    require_mount!();
    killed_in(Operation::Mkdir);
}

#[test]
fn in_symlink() {
    require_mount!();
    killed_in(Operation::Symlink);
}

#[test]
fn in_link() {
    require_mount!();
    killed_in(Operation::Link);
}

#[test]
fn in_opendir() {
    require_mount!();
    killed_in(Operation::Opendir);
}

#[test]
fn in_readdirplus() {
    require_mount!();
    killed_in(Operation::Readdirplus);
}

/// A server whose handler hangs is ended by the watchdog once somebody has aborted its connection, with status 1.
#[test]
fn a_teardown_watchdog_ends_a_server_that_hangs() {
    require_mount!();
    let hangs = |_: &mut fuse3::Context<'_, Probe>, operation, _| {
        if operation == Operation::Read {
            std::thread::sleep(10 * DEADLINE);
        }
        Ok(())
    };
    let limit = Duration::from_secs(1);
    let builder = Probe::new().on(hangs).builder().teardown_watchdog(limit);
    if fuse3::sys::header_version() < [3, 19, 0] {
        let point = MountPoint::new();
        let error = builder.mount(point.path()).unwrap_err().to_string();
        assert!(error.contains("libfuse 3.19"), "{error}");
        return;
    }
    if let Some(point) = std::env::var_os(WATCHED) {
        drop(builder.mount(point).unwrap().run());
        return;
    }
    let point = MountPoint::new();
    let mut server = Command::new(std::env::current_exe().unwrap());
    let name = this_test!();
    server.args([name, "--exact", "--test-threads=1"]);
    server.env(WATCHED, point.path()).stdout(Stdio::null());
    let mut server = server.spawn().unwrap();
    until(|| is_mounted(point.path()));
    let file = point.path().join("file");
    let mut client = Command::new("cat");
    let mut client = client.arg(file).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    force_unmount(point.path());
    let status = finish_within(&mut server, point.path(), DEADLINE);
    client.kill().unwrap();
    client.wait().unwrap();
    assert_eq!(status.and_then(|status| status.code()), Some(1));
}

/// Set in the server of the test above, to where it mounts.
const WATCHED: &str = "FUSE3_TEST_POINT";
