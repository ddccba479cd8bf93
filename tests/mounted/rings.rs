//! Answers over io_uring: what they may overwrite, and whom they may wait for.
//!
//! As for the tests of [`uring`](crate::uring). The clients are bound to a processor each, and so to a ring.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::{
    Answer, Attr, Capabilities, Connection, Context, Create, Created, Entry, Errno, Fh, FileInfo,
    Filesystem, GlobalLock, Handle, Ino, Opened, Operation, Reply, Session, XattrFlags,
};

use crate::child::{self, this_test};
use crate::client::{Client, part, say};
use crate::fixture::{DEADLINE, Mount, require_mount, skip, until};
use crate::uring::{Allowed, mount_over};

type Lookup = Box<dyn Fn(&mut Context<'_, Rings>, &OsStr) -> Answer<Entry> + Send + Sync>;

/// Its `lookup` is the test's.
struct Rings {
    lookup: Lookup,
    by_ring: Arc<AtomicBool>,
    /// What was seen of the arguments after the answer was given.
    seen: Mutex<Vec<Vec<u8>>>,
    /// Of files that are made under the name `kept`.
    kept: Mutex<Vec<Reply<Created>>>,
}

fn attr(ino: u64) -> Attr {
    match ino {
        1 => Attr::new(Ino(1), libc::S_IFDIR | 0o755),
        _ => Attr::new(Ino(ino), libc::S_IFREG | 0o644),
    }
}

fn entry(ino: u64) -> Entry {
    Entry::new(attr(ino), Duration::ZERO)
}

/// Gives an answer whose handler goes on: here, or on another thread.
fn answer_meanwhile<T: fuse3::reply::Payload + 'static>(
    elsewhere: bool,
    reply: Reply<T>,
    answer: Answer<T>,
) {
    if elsewhere {
        thread::scope(|scope| {
            scope.spawn(|| reply.send(answer));
        });
    } else {
        reply.send(answer);
    }
}

impl Rings {
    fn mount(
        lock: &Arc<GlobalLock<()>>,
        lookup: impl Fn(&mut Context<'_, Self>, &OsStr) -> Answer<Entry> + Send + Sync + 'static,
    ) -> Option<(Mount<Self>, Allowed)> {
        let by_ring = Arc::new(AtomicBool::new(false));
        let fs = Self {
            lookup: Box::new(lookup),
            by_ring: Arc::clone(&by_ring),
            seen: Mutex::default(),
            kept: Mutex::default(),
        };
        let builder = Session::builder(fs, Arc::clone(lock));
        mount_over(builder, || by_ring.load(Ordering::SeqCst))
    }
}

impl Filesystem for Rings {
    type Lock = Arc<GlobalLock<()>>;

    /// Several names of the directory are looked up at the same time.
    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        Ok(connection.want(Capabilities::PARALLEL_DIROPS)?)
    }

    fn lookup(&self, cx: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
        (self.lookup)(cx, name)
    }

    fn getattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        if cx.is_uring() {
            self.by_ring.store(true, Ordering::SeqCst);
        }
        Ok((attr(ino.0), Duration::ZERO))
    }

    fn create(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        name: &OsStr,
        _: Create,
    ) -> Answer<Created> {
        let (reply, deferred) = cx.defer();
        if name == "kept" {
            self.kept.lock().unwrap().push(reply);
            return Err(deferred.into());
        }
        let created = Created {
            entry: entry(5),
            opened: Opened::new(Fh(1)).direct_io(true),
        };
        answer_meanwhile(name == "elsewhere", reply, Ok(created));
        self.seen.lock().unwrap().push(name.as_bytes().to_vec());
        Err(deferred.into())
    }

    fn write(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        data: &[u8],
    ) -> Answer<usize> {
        let (reply, deferred) = cx.defer();
        answer_meanwhile(offset > 0, reply, Ok(data.len()));
        self.seen.lock().unwrap().push(data.to_vec());
        Err(deferred.into())
    }

    fn setxattr(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        name: &OsStr,
        value: &[u8],
        _: XattrFlags,
    ) -> Answer<()> {
        let (reply, deferred) = cx.defer();
        answer_meanwhile(name == "user.elsewhere", reply, Ok(()));
        // Where the answer had left, the kernel would fill the payload with the next request.
        thread::sleep(Duration::from_millis(20));
        let mut seen = self.seen.lock().unwrap();
        seen.push(name.as_bytes().to_vec());
        seen.push(value.to_vec());
        Err(deferred.into())
    }
}

/// From now on this process asks by the ring of this processor.
fn bind_to(processor: usize) {
    // SAFETY: `cpu_set_t` is integers, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `set` has room for the number, which is below 1,024.
    unsafe { libc::CPU_SET(processor, &mut set) };
    // SAFETY: `set` lives; 0 is this thread.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

fn setxattr(path: &Path, name: &str, value: &[u8]) {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let name = CString::new(name).unwrap();
    // SAFETY: both strings are NUL-terminated, and `value` has as many bytes.
    let result = unsafe {
        libc::setxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

/// The answer is copied to where the name, the value or the data are: not while the handler uses them.
#[test]
fn arguments_outlive_the_answer_that_is_given() {
    use std::os::unix::fs::FileExt;
    if let Some((_, mount)) = part(this_test!()) {
        for name in ["here", "elsewhere"] {
            let file = fs::File::create(mount.join(name)).unwrap();
            let offset = u64::from(name == "elsewhere") * 4096;
            assert_eq!(file.write_at(&[7; 4096], offset).unwrap(), 4096);
        }
        // Others ask meanwhile, by the same ring.
        bind_to(0);
        let asks = AtomicBool::new(true);
        thread::scope(|scope| {
            scope.spawn(|| {
                while asks.load(Ordering::SeqCst) {
                    drop(fs::metadata(
                        mount.join("missing, and with a long name at that"),
                    ));
                }
            });
            for name in ["user.here", "user.elsewhere"] {
                setxattr(&mount.join("there"), name, &[8; 1000]);
            }
            asks.store(false, Ordering::SeqCst);
        });
        return say("done");
    }
    require_mount!();
    let lookup = |_: &mut Context<'_, Rings>, name: &OsStr| match name.as_bytes() {
        b"there" => Ok(entry(5)),
        _ => Err(Errno::ENOENT.into()),
    };
    let Some((mount, _allowed)) = Rings::mount(&Arc::default(), lookup) else {
        return;
    };
    let client = Client::new(this_test!(), "client", mount.path());
    assert_eq!(client.says(), "done");
    client.ends();
    let end = mount.end();
    assert_eq!(end.stats.panics, 0);
    let seen = end.fs.seen.lock().unwrap();
    let (data, value) = (vec![7; 4096], vec![8; 1000]);
    let expected: [&[u8]; 8] = [
        b"here",
        &data,
        b"elsewhere",
        &data,
        b"user.here",
        &value,
        b"user.elsewhere",
        &value,
    ];
    for (seen, expected) in seen.iter().zip(expected) {
        let text = String::from_utf8_lossy(seen);
        assert!(seen == expected, "{text:?} was {expected:?}");
    }
    assert_eq!(seen.len(), expected.len());
}

fn sent<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(DEADLINE).expect("it comes")
}

/// What a client does that is named so: the last letter is its processor.
fn look_up(name: &str, mount: &Path) {
    let processor = name.chars().last().and_then(|last| last.to_digit(10));
    bind_to(usize::try_from(processor.unwrap()).unwrap());
    let error = fs::metadata(mount.join(name)).unwrap_err();
    say(error.raw_os_error().unwrap());
}

#[track_caller]
fn got(client: Client, errno: i32) {
    assert_eq!(client.says(), errno.to_string());
    client.ends();
}

/// libfuse's thread waits in a handler for the lock, and has its ring locked meanwhile; whoever has the lock answers another
/// request of the ring, and does not wait for the handler.
#[test]
fn an_answer_with_the_lock_held() {
    if let Some((part, mount)) = part(this_test!()) {
        return look_up(&part, &mount);
    }
    require_mount!();
    let lock = Arc::new(GlobalLock::new(()));
    let (sender, replies) = mpsc::channel();
    let mounted = Rings::mount(&lock, move |cx, name| {
        if name == "waits0" {
            return Err(Errno::ENOTDIR.into());
        }
        let (reply, deferred) = cx.defer::<Entry>();
        sender.send(reply).unwrap();
        Err(deferred.into())
    });
    let Some((mount, _allowed)) = mounted else {
        return;
    };
    let deferred = Client::new(this_test!(), "deferred0", mount.path());
    let reply = sent(&replies);
    let guard = lock.lock().unwrap();
    let waits = Client::new(this_test!(), "waits0", mount.path());
    until(|| !lock.stats().waiters.is_empty());
    // Where it waits for the handler, the mount's deadline ends it.
    reply.send(Err(Errno::EMLINK.into()));
    drop(guard);
    got(deferred, libc::EMLINK);
    got(waits, libc::ENOTDIR);
    assert_eq!(mount.end().stats.panics, 0);
}

/// Each of two threads of libfuse's has its ring locked, and answers a request of the other's.
#[test]
fn two_handlers_answer_each_others_rings() {
    if let Some((part, mount)) = part(this_test!()) {
        return look_up(&part, &mount);
    }
    require_mount!();
    if thread::available_parallelism().unwrap().get() < 2 {
        return skip(this_test!(), "there is one processor, and so one ring");
    }
    let lock = Arc::new(GlobalLock::new(()));
    let (sender, kept) = mpsc::channel();
    let replies: Arc<Mutex<HashMap<String, Reply<Entry>>>> = Arc::default();
    let its = Arc::clone(&replies);
    let met = AtomicUsize::new(0);
    let mounted = Rings::mount(&lock, move |cx, name| {
        let name = name.to_str().unwrap();
        let other = match name {
            "meets0" => "kept1",
            "meets1" => "kept0",
            _ => {
                let (reply, deferred) = cx.defer::<Entry>();
                its.lock().unwrap().insert(name.to_owned(), reply);
                sender.send(()).unwrap();
                return Err(deferred.into());
            }
        };
        cx.released(|_| {
            met.fetch_add(1, Ordering::SeqCst);
            until(|| met.load(Ordering::SeqCst) == 2);
            let reply = its.lock().unwrap().remove(other);
            reply.unwrap().send(Err(Errno::EMLINK.into()));
        });
        Err(Errno::ENOTDIR.into())
    });
    let Some((mount, _allowed)) = mounted else {
        return;
    };
    let test = this_test!();
    let client = |name| Client::new(test, name, mount.path());
    let keep = ["kept0", "kept1"].map(client);
    sent(&kept);
    sent(&kept);
    let meet = ["meets0", "meets1"].map(client);
    for client in keep {
        got(client, libc::EMLINK);
    }
    for client in meet {
        got(client, libc::ENOTDIR);
    }
    assert!(replies.lock().unwrap().is_empty());
    assert_eq!(mount.end().stats.panics, 0);
}

/// libfuse cancels its threads at the end. A handler may be where a thread can be cancelled, in nanosleep(2) for one: it goes on
/// to its end.
#[test]
fn a_handler_that_sleeps_is_not_cancelled() {
    let test = this_test!();
    if let Some((part, mount)) = part(test) {
        // It may be answered, or be too late.
        say("asks");
        drop(fs::metadata(mount.join(part)));
        return;
    }
    require_mount!();
    child::run(test, || {
        let lock = Arc::new(GlobalLock::new(()));
        let ending: Arc<OnceLock<Handle>> = Arc::default();
        let is_ending = Arc::clone(&ending);
        let (tell, told) = mpsc::channel();
        let mounted = Rings::mount(&lock, move |cx, _| {
            cx.released(|_| {
                tell.send("sleeps").unwrap();
                let ending = || is_ending.get().is_some_and(Handle::is_ending);
                until(ending);
                // Long enough for the threads to be cancelled.
                for _ in 0..100 {
                    thread::sleep(Duration::from_millis(3));
                }
            });
            tell.send("returns").unwrap();
            Err(Errno::ENOTDIR.into())
        });
        let Some((mut mount, _allowed)) = mounted else {
            return;
        };
        let client = Client::new(test, "slow", mount.path());
        assert_eq!(client.says(), "asks");
        assert_eq!(sent(&told), "sleeps");
        ending.set(mount.handle()).unwrap();
        mount.handle().terminate();
        let end = mount.ended();
        assert_eq!(sent(&told), "returns");
        assert_eq!(end.stats.panics, 0);
        assert!(end.lock.stats().holder.is_none());
    });
}

/// The kernel keeps the directory locked for a request that is never answered, and a notification waits for the directory: the end
/// answers the request.
#[test]
fn a_notification_waits_for_a_request_of_a_ring_that_ends() {
    if let Some((part, mount)) = part(this_test!()) {
        say("asks");
        let error = fs::File::create(mount.join(part)).unwrap_err();
        return say(error.raw_os_error().unwrap());
    }
    require_mount!();
    let mounted = Rings::mount(&Arc::default(), |_, _| Err(Errno::ENOENT.into()));
    let Some((mut mount, _allowed)) = mounted else {
        return;
    };
    let client = Client::new(this_test!(), "kept", mount.path());
    assert_eq!(client.says(), "asks");
    let handle = mount.handle();
    until(|| {
        let requests = handle.stats().requests;
        requests.iter().any(|(it, _)| *it == Operation::Create)
    });
    handle.notifier().inval_entry(Ino::ROOT, "other");
    // Long enough for it to be on its way. What is not, is not sent at the end.
    thread::sleep(Duration::from_millis(50));
    handle.terminate();
    let end = mount.ended();
    assert_eq!(end.stats.panics, 0);
    assert_eq!(client.says(), libc::ECONNABORTED.to_string());
    client.ends();
    // Nobody waits for what is sent now.
    for reply in end.fs.kept.lock().unwrap().drain(..) {
        reply.send(Err(Errno::EMLINK.into()));
    }
}
