//! Requests over io_uring: which handlers they reach, what is read without a copy, and what ends while libfuse cancels its
//! threads.
//!
//! It takes a libfuse from 3.18 on that was built with liburing, and a kernel that allows it: these tests switch it on by
//! /sys/module/fuse/parameters/enable_uring, and off again. Elsewhere they say on stderr, loudly, that they do nothing.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::reply::{Added, Piece, RawReply};
use fuse3::{
    Answer, Attr, Builder, Capabilities, Connection, Context, Data, DirBuf, Entry, Errno, FileInfo,
    Filesystem, GlobalLock, Ino, Listing, Open, Opened, ReadBuf, Reply, Session, sys,
};

use crate::child::this_test;
use crate::client::{Client, part, say, wait_to_go_on};
use crate::fixture::{DEADLINE, Gate, Mount, MountPoint, TempDir, require_mount, skip, until};

const PARAMETER: &str = "/sys/module/fuse/parameters/enable_uring";

/// The kernel allows it, or not, while this lives.
pub(crate) struct Allowed {
    before: String,
}

impl Allowed {
    pub(crate) fn set(value: &str) -> io::Result<Self> {
        let before = fs::read_to_string(PARAMETER)?;
        fs::write(PARAMETER, value)?;
        Ok(Self { before })
    }
}

impl Drop for Allowed {
    fn drop(&mut self) {
        let restored = fs::write(PARAMETER, &self.before);
        assert!(restored.is_ok() || thread::panicking(), "{restored:?}");
    }
}

fn skipped(why: impl std::fmt::Display) {
    skip("a mounted test of io_uring", why);
}

/// Mounts it with io_uring; `None`, loudly, where that cannot be. `came` tells afterwards whether a request has come by it.
pub(crate) fn mount_over<F: Filesystem>(
    builder: Builder<F>,
    came: impl FnOnce() -> bool,
) -> Option<(Mount<F>, Allowed)> {
    let allowed = match Allowed::set("Y") {
        Ok(allowed) => allowed,
        Err(error) => {
            skipped(format_args!("{PARAMETER}: {error}"));
            return None;
        }
    };
    let dir = MountPoint::new();
    let session = match builder.option("io_uring").mount(dir.path()) {
        Ok(session) => session,
        Err(error) if fuse3::sys::library_version() < [3, 18, 0] => {
            skipped(format_args!("libfuse before 3.18: {error}"));
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let mount = Mount::run(dir, session);
    let client = Client::new("uring::begins", "begins", mount.path());
    assert_eq!(client.says(), "begun");
    client.ends();
    let agreement = mount.handle().connection().expect("it has begun");
    assert!(agreement.capable.contains(Capabilities::OVER_IO_URING));
    if !came() {
        skipped("this libfuse was built without liburing");
        mount.end();
        return None;
    }
    Some((mount, allowed))
}

fn mount(fs: Ringed) -> Option<(Mount<Ringed>, Allowed)> {
    let came = Arc::clone(&fs.came);
    mount_over(Session::builder(fs, Arc::default()), || came.came()[0] > 0)
}

const SIZE: usize = 300_000;
const KINDS: [&str; 7] = [
    "copy", "lend", "share", "later", "short", "splice", "pieces",
];
/// A file that is read only when the gate is open.
const SLOW: &str = "slow";
/// A file whose reads are answered by the test.
const DEFERRED: &str = "deferred";

fn pattern() -> Vec<u8> {
    (0..SIZE)
        .map(|at| (at * 7 + at / 251).to_le_bytes()[0])
        .collect()
}

#[derive(Default)]
struct Books {
    written: Vec<u8>,
}

/// How many requests came over io_uring, and how many otherwise.
#[derive(Default)]
struct Came([AtomicU64; 2]);

impl Came {
    fn came(&self) -> [u64; 2] {
        [0, 1].map(|kind: usize| self.0[kind].load(Ordering::SeqCst))
    }
}

struct Ringed {
    pattern: Arc<Vec<u8>>,
    file: Arc<File>,
    came: Arc<Came>,
    /// Where `later` was given its room, and where the request's payload was.
    rooms: Mutex<Vec<(usize, Option<usize>)>>,
    gate: Arc<Gate>,
    deferred: Mutex<Sender<Reply<Data<'static>>>>,
}

type Cx<'a> = Context<'a, Ringed>;

impl Ringed {
    fn new() -> (Self, Arc<Gate>, mpsc::Receiver<Reply<Data<'static>>>) {
        let dir = TempDir::new();
        let path = dir.path().join("pattern");
        fs::write(&path, pattern()).unwrap();
        let (sender, deferred) = mpsc::channel();
        let gate = Arc::new(Gate::default());
        let fs = Self {
            pattern: Arc::new(pattern()),
            file: Arc::new(File::open(path).unwrap()),
            came: Arc::default(),
            rooms: Mutex::default(),
            gate: Arc::clone(&gate),
            deferred: Mutex::new(sender),
        };
        (fs, gate, deferred)
    }

    fn note(&self, cx: &Cx<'_>) {
        let other = usize::from(!cx.is_uring());
        self.came.0[other].fetch_add(1, Ordering::SeqCst);
    }

    fn attr(ino: Ino) -> Attr {
        match ino {
            Ino::ROOT => Attr::new(ino, libc::S_IFDIR | 0o755),
            _ => Attr {
                size: SIZE as u64,
                ..Attr::new(ino, libc::S_IFREG | 0o644)
            },
        }
    }

    fn names() -> impl Iterator<Item = (&'static str, Ino)> {
        let names = KINDS.into_iter().chain([SLOW, DEFERRED, "written"]);
        names.zip((2..).map(Ino))
    }
}

/// The address of the request's payload; `None` of one that came over the descriptor.
fn payload(cx: &Cx<'_>) -> Option<usize> {
    let req = cx.raw_request().unwrap();
    let (mut payload, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the request is there while the context is; null is allowed where the registration is not wanted.
    let result = unsafe {
        sys::fuse_req_get_payload(
            req.as_ptr(),
            &raw mut payload,
            &raw mut size,
            std::ptr::null_mut(),
        )
    };
    (result == 0).then(|| payload.addr())
}

impl Filesystem for Ringed {
    type Lock = Arc<GlobalLock<Books>>;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        connection
            .want(Capabilities::SPLICE_WRITE | Capabilities::SPLICE_READ)
            .map_err(io::Error::other)
    }

    fn lookup(&self, cx: &mut Cx<'_>, _: Ino, name: &OsStr) -> Answer<Entry> {
        self.note(cx);
        let mut names = Self::names();
        let found = names.find(|(known, _)| *known == name);
        let (_, ino) = found.ok_or(Errno::ENOENT)?;
        Ok(Entry::new(Self::attr(ino), Duration::from_secs(60)))
    }

    fn getattr(&self, cx: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        self.note(cx);
        Ok((Self::attr(ino), Duration::ZERO))
    }

    fn open(&self, cx: &mut Cx<'_>, _: Ino, _: Open) -> Answer<Opened> {
        self.note(cx);
        Ok(Opened::default().direct_io(true))
    }

    fn read(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        mut out: ReadBuf,
    ) -> Answer<Data<'_>> {
        self.note(cx);
        let at = usize::try_from(offset).unwrap();
        let start = at.min(SIZE);
        let end = (start + out.size()).min(SIZE);
        let part = &self.pattern[start..end];
        let name = Self::names().find(|(_, known)| *known == ino).unwrap().0;
        Ok(match name {
            "copy" => out.copy_from(part),
            "lend" => out.lend(part),
            "share" => out.share(Arc::clone(&self.pattern), start..end),
            "later" => {
                let payload = payload(cx);
                out.later(move |room| {
                    let at = room.as_ptr().addr();
                    self.rooms.lock().unwrap().push((at, payload));
                    room[..part.len()].copy_from_slice(part);
                    Ok(part.len())
                })
            }
            // In bits and pieces, as if the file was just being written.
            "short" => {
                out.push(&part[..part.len().min(5000)]);
                out.finish()
            }
            "splice" => out.splice(Arc::clone(&self.file), offset, usize::MAX),
            "pieces" => {
                let (first, second) = part.split_at(part.len() / 3);
                out.pieces([Piece::lent(first), Piece::copied(second.to_vec())])
            }
            "written" => {
                let written = cx.written.get(at..).unwrap_or(&[]).to_vec();
                let size = out.size().min(written.len());
                out.copy_from(&written[..size])
            }
            SLOW => {
                let gate = Arc::clone(&self.gate);
                cx.released(|_| gate.pass());
                out.copy_from(part)
            }
            _ => {
                let (reply, deferred) = cx.defer();
                self.deferred.lock().unwrap().send(reply).unwrap();
                return Err(deferred.into());
            }
        })
    }

    fn write(
        &self,
        cx: &mut Cx<'_>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        data: &[u8],
    ) -> Answer<usize> {
        self.note(cx);
        let start = usize::try_from(offset).unwrap();
        let end = start + data.len();
        let length = cx.written.len().max(end);
        cx.written.resize(length, 0);
        cx.written[start..end].copy_from_slice(data);
        Ok(data.len())
    }

    fn readdir(
        &self,
        cx: &mut Cx<'_>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        self.note(cx);
        for ((name, ino), next) in Self::names().zip(1..) {
            let entry = Entry::new(Self::attr(ino), Duration::ZERO);
            if next > offset && out.add(name, &entry, next) == Added::Full {
                break;
            }
        }
        Ok(out.finish())
    }

    fn getxattr(&self, cx: &mut Cx<'_>, _: Ino, _: &OsStr) -> Answer<Vec<u8>> {
        self.note(cx);
        Ok(b"a value".to_vec())
    }
}

/// The first request is answered when INIT has been settled.
#[test]
fn begins() {
    if let Some((_, mount)) = part(this_test!()) {
        fs::metadata(mount).unwrap();
        say("begun");
    }
}

#[test]
fn all_that_is_asked_comes_by_it() {
    if let Some((_, mount)) = part(this_test!()) {
        return everything(&mount);
    }
    require_mount!();
    let (fs, ..) = Ringed::new();
    let Some((mount, _allowed)) = mount(fs) else {
        return;
    };
    let client = Client::new(this_test!(), "client", mount.path());
    assert_eq!(client.says(), "done");
    client.ends();
    let end = mount.end();
    let [by_ring, other] = end.fs.came.came();
    assert!(by_ring > 20, "{by_ring}");
    // Only what came before libfuse had set up its rings.
    assert!(other <= 1, "{other} of {by_ring} came over the descriptor");
    // Straight into the payload, each time.
    let rooms = end.fs.rooms.lock().unwrap();
    let is_payload = |(room, payload): &(usize, Option<usize>)| *payload == Some(*room);
    assert!(!rooms.is_empty());
    assert!(rooms.iter().all(is_payload), "{rooms:x?}");
    assert_eq!(end.stats.panics, 0);
}

fn everything(mount: &Path) {
    let pattern = pattern();
    let mut names: Vec<_> = fs::read_dir(mount)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), Ringed::names().count(), "{names:?}");
    for name in KINDS {
        let mut file = File::open(mount.join(name)).unwrap();
        let mut read = Vec::new();
        // 32, 64, 128 KiB and so on.
        file.read_to_end(&mut read).unwrap();
        assert!(read == pattern, "{name}: {} bytes", read.len());
        let mut page = [0; 4096];
        file.seek(SeekFrom::Start(4097)).unwrap();
        file.read_exact(&mut page).unwrap();
        assert!(page == pattern[4097..8193], "{name}");
        let end = SIZE as u64 - 3;
        file.seek(SeekFrom::Start(end)).unwrap();
        assert_eq!(file.read(&mut page).unwrap(), 3, "{name}");
        assert_eq!(page[..3], pattern[SIZE - 3..]);
    }
    let mut options = File::options();
    let mut file = options
        .read(true)
        .write(true)
        .open(mount.join("written"))
        .unwrap();
    file.write_all(&pattern).unwrap();
    file.write_all(b"end").unwrap();
    file.rewind().unwrap();
    let mut read = Vec::new();
    file.read_to_end(&mut read).unwrap();
    assert!(read == [&pattern[..], b"end"].concat(), "{}", read.len());
    let mut value = [0_u8; 64];
    // SAFETY: the descriptor is open, the name is NUL-terminated, and `value` has as many bytes.
    let length = unsafe {
        libc::fgetxattr(
            file.as_raw_fd(),
            c"user.x".as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    assert_eq!(usize::try_from(length).unwrap(), 7);
    assert_eq!(&value[..7], b"a value");
    let missing = fs::metadata(mount.join("missing")).unwrap_err();
    assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
    say("done");
}

/// libfuse cancels its threads while a handler runs: that one goes on to its end.
#[test]
fn a_handler_in_flight_is_not_cancelled() {
    if let Some((_, mount)) = part(this_test!()) {
        let mut file = File::open(mount.join(SLOW)).unwrap();
        say("reads");
        // It may be answered, or be too late.
        let result = file.read(&mut [0; 10]);
        return say(result.map_or_else(|error| error.kind().to_string(), |n| n.to_string()));
    }
    require_mount!();
    let (fs, gate, _) = Ringed::new();
    let Some((mut mount, _allowed)) = mount(fs) else {
        return;
    };
    let client = Client::new(this_test!(), "client", mount.path());
    assert_eq!(client.says(), "reads");
    gate.came(1);
    mount.handle().terminate();
    // Long enough for the threads to be cancelled.
    thread::sleep(Duration::from_millis(200));
    gate.open();
    let end = mount.ended();
    assert_eq!(end.stats.panics, 0);
    // Its lock is free.
    assert!(end.lock.stats().holder.is_none());
    client.says();
}

/// Answers of requests whose memory libfuse has freed.
#[test]
fn deferred_answers_outlive_the_ring() {
    if let Some((_, mount)) = part(this_test!()) {
        let path = mount.join(DEFERRED);
        let mut file = File::open(&path).unwrap();
        let mut read = [0; 5];
        assert_eq!(file.read(&mut read).unwrap(), 5);
        assert_eq!(&read, b"later");
        let waits = || File::open(&path).unwrap().read(&mut [0; 5]).is_err();
        thread::scope(|scope| {
            let waiting: Vec<_> = (0..3).map(|_| scope.spawn(waits)).collect();
            say("waits");
            wait_to_go_on();
            assert!(waiting.into_iter().all(|each| each.join().unwrap()));
        });
        return say("done");
    }
    require_mount!();
    let (fs, _, deferred) = Ringed::new();
    let Some((mount, _allowed)) = mount(fs) else {
        return;
    };
    let mut client = Client::new(this_test!(), "client", mount.path());
    let next = || deferred.recv_timeout(DEADLINE).unwrap();
    let answer = || Ok(ReadBuf::new(5).copy_from(b"later"));
    let reply = next();
    assert!(!reply.interrupted());
    thread::spawn(move || reply.send(answer())).join().unwrap();
    assert_eq!(client.says(), "waits");
    let mut replies = [(); 3].map(|()| next());
    // No interrupt comes over io_uring: it is dropped.
    let dropped = Arc::new(());
    let token = Arc::clone(&dropped);
    replies[0].on_interrupt(move || drop(token));
    let end = mount.end();
    for (number, reply) in replies.into_iter().enumerate() {
        // The session is over.
        assert!(reply.interrupted());
        match number {
            0 => drop(reply),
            1 => reply.send(answer()),
            _ => reply.send(Err(Errno::EINTR.into())),
        }
    }
    assert_eq!(Arc::strong_count(&dropped), 1);
    client.go_on();
    assert_eq!(client.says(), "done");
    client.ends();
    assert_eq!(end.stats.panics, 0);
}

/// The raw request, answered by a thread that lasts; the ring is there as long as there is one.
#[test]
fn c_code_answers() {
    if let Some((_, mount)) = part(this_test!()) {
        let mut file = File::open(mount.join(DEFERRED)).unwrap();
        for _ in 0..3 {
            let mut read = [0; 5];
            assert_eq!(file.read(&mut read).unwrap(), 5);
            assert_eq!(&read, b"later");
        }
        say("reads");
        // It may be answered, or be too late.
        let result = file.read(&mut [0; 5]);
        return say(result.map_or_else(|error| error.kind().to_string(), |n| n.to_string()));
    }
    require_mount!();
    let (fs, _, deferred) = Ringed::new();
    let Some((mut mount, _allowed)) = mount(fs) else {
        return;
    };
    let client = Client::new(this_test!(), "client", mount.path());
    let next = || deferred.recv_timeout(DEADLINE).unwrap();
    let answer = |raw: RawReply<Data<'static>>| {
        let text = b"later";
        // SAFETY: the request is there to be answered, by nobody else.
        let result = unsafe { sys::fuse_reply_buf(raw.as_ptr(), text.as_ptr().cast(), text.len()) };
        raw.answered(result);
        result
    };
    for _ in 0..2 {
        assert_eq!(answer(next().into_raw().unwrap()), 0);
    }
    // SAFETY: nothing has been done with the request.
    let reply = unsafe { next().into_raw().unwrap().take_back() };
    reply.send(Ok(ReadBuf::new(5).copy_from(b"later")));
    assert_eq!(client.says(), "reads");
    let raw = next().into_raw().unwrap();
    mount.handle().terminate();
    // Long enough for the session to end, if it did not wait.
    thread::sleep(Duration::from_millis(200));
    // Its memory is there yet.
    answer(raw);
    assert_eq!(mount.ended().stats.panics, 0);
    client.says();
}

/// By the one who has mounted it.
#[test]
fn it_ends_when_it_is_unmounted() {
    require_mount!();
    let (fs, ..) = Ringed::new();
    let Some((mut mount, _allowed)) = mount(fs) else {
        return;
    };
    let path = crate::fixture::c_string(mount.path());
    until(|| {
        // SAFETY: `path` is NUL-terminated.
        unsafe { libc::umount2(path.as_ptr(), 0) == 0 }
    });
    assert_eq!(mount.ended().reason, fuse3::Reason::Unmounted);
}
