//! A mount goes from one session to the next, while clients use it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fuse3::context::Guard;
use fuse3::handover::{Baggage, Handover, HandoverError, Keeper, NotHandedOver};
use fuse3::session::{Served, Stopped};
use fuse3::{
    Answer, Attr, Builder, Capabilities, Concurrent, Connection, Context, End, Entry, Errno,
    FileInfo, Filesystem, Ino, Operation, Reason, Reply, Session,
};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::child::this_test;
use crate::fixture::{TempDir, Watchdog, is_mounted, require_mount, skip, until};
use crate::kernel::linux;
use crate::probe::Probe;

/// On a busy machine, too.
const PATIENCE: Duration = Duration::from_secs(20);

fn serve<F: Filesystem>(session: Session<F>) -> JoinHandle<Stopped<F>> {
    thread::spawn(|| match session.serve().unwrap() {
        Served::Stopped(stopped) => stopped,
        Served::Ended(end) => panic!("{end:?}"),
    })
}

/// Serves until something was asked.
fn stopped<F: Filesystem>(session: Session<F>, dir: &TempDir) -> Stopped<F> {
    let handle = session.handle();
    let serving = serve(session);
    fs::metadata(dir.path().join("file")).unwrap();
    handle.terminate();
    serving.join().unwrap()
}

fn nothing<F: Filesystem>(_: &F, _: &F::Lock) -> io::Result<Baggage> {
    Ok(Baggage::default())
}

type Given<F> = Result<End<F>, Box<NotHandedOver<F>>>;

/// Hands it over to the session that `builder` makes, by what `take` does with the hand-over.
fn pass<F: Filesystem, R: Send>(
    stopped: Stopped<F>,
    baggage: impl FnOnce(&F, &F::Lock) -> io::Result<Baggage> + Send,
    take: impl FnOnce(Result<Handover, HandoverError>) -> R + Send,
) -> (Given<F>, R) {
    let (ours, its) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        let taken = scope.spawn(|| take(Handover::receive(its)));
        let given = stopped.hand_over(&ours, baggage);
        drop(ours);
        (given, taken.join().unwrap())
    })
}

fn next<F: Filesystem>(stopped: Stopped<F>, builder: Builder<F>) -> (End<F>, Session<F>) {
    let (given, taken) = pass(stopped, nothing, |handover| {
        builder.take_over(handover.unwrap()).unwrap()
    });
    (given.unwrap(), taken)
}

#[test]
fn a_hundred_times_while_clients_ask() {
    require_mount!(not over io_uring: "a session is not handed over");
    if !linux(6, 9) {
        // A request that a stopped worker has read may be lost then.
        return skip(this_test!(), "this Linux has no FUSE_NOTIFY_RESEND");
    }
    let dir = TempDir::new();
    // What the predecessor has given out, the successor knows.
    let lock = Arc::default();
    let builder = || {
        Probe::new()
            .builder_with(Arc::clone(&lock))
            .hand_over_patience(PATIENCE)
    };
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    let mut session = builder().mount(dir.path()).unwrap();
    let _watchdog = Watchdog::new(dir.path());
    let path = dir.path().join("file");
    let (over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let pauses = Mutex::new(Vec::new());
    let stopped = thread::scope(|scope| {
        let ask = |question: &dyn Fn()| {
            while !over.load(Ordering::SeqCst) {
                let start = Instant::now();
                question();
                pauses.lock().unwrap().push(start.elapsed());
                asked.fetch_add(1, Ordering::SeqCst);
            }
        };
        scope.spawn(move || ask(&|| assert!(fs::metadata(&path).is_ok())));
        let path = dir.path().join("open");
        scope.spawn(move || {
            let file = File::open(path).unwrap();
            ask(&|| {
                let mut some = [1; 4096];
                file.read_exact_at(&mut some, 8192).unwrap();
                assert_eq!(some, [0; 4096]);
            });
        });
        for _ in 0..100 {
            let (handle, before) = (session.handle(), asked.load(Ordering::SeqCst));
            let serving = serve(session);
            until(|| asked.load(Ordering::SeqCst) > before + 10);
            handle.terminate();
            let (end, taken) = next(serving.join().unwrap(), builder());
            assert_eq!(end.reason, Reason::HandedOver);
            session = taken;
        }
        over.store(true, Ordering::SeqCst);
        let handle = session.handle();
        // Clients are answered once more.
        let serving = serve(session);
        thread::sleep(Duration::from_millis(1));
        (handle, serving)
    });
    let (handle, serving) = stopped;
    handle.terminate();
    let end = serving.join().unwrap().close();
    assert_eq!(end.reason, Reason::Terminated);
    assert!(!is_mounted(dir.path()));
    drop(end);
    assert_eq!(open(), before, "descriptors were left behind");
    let mut pauses = pauses.into_inner().unwrap();
    pauses.sort();
    let longest: Vec<_> = pauses.iter().rev().take(200).collect();
    println!(
        "{} answers; pauses: median {:?}, longest {:?}",
        pauses.len(),
        longest[100],
        longest[0]
    );
}

/// A session that nobody has asked anything is handed over, too, and one that crashed before INIT was read.
#[test]
fn a_mount_without_init_goes_on() {
    require_mount!(not over io_uring: "a session is not handed over");
    let dir = TempDir::new();
    let builder = || Probe::new().builder().hand_over_patience(PATIENCE);
    let (ours, its) = UnixStream::pair().unwrap();
    let session = builder()
        .keeper(Keeper::new(ours))
        .keep_mounted(true)
        .mount(dir.path())
        .unwrap();
    let _watchdog = Watchdog::new(dir.path());
    let handover = Handover::kept(&its).unwrap().unwrap();
    session.close();
    let session = builder().take_over(handover).unwrap();
    session.handle().terminate();
    let stopped = serve(session).join().unwrap();
    let (_, session) = next(stopped, builder());
    self::stopped(session, &dir).close();
    assert!(!is_mounted(dir.path()));
}

/// A server ends without a word, and its mount goes on with what the keeper has.
#[test]
fn a_keeper_has_the_mount() {
    require_mount!(not over io_uring: "a session is not handed over");
    let dir = TempDir::new();
    let (ours, its) = UnixStream::pair().unwrap();
    let lock = Arc::default();
    let builder = || Probe::new().builder_with(Arc::clone(&lock));
    let keeper = Keeper::new(ours).with(Baggage {
        bytes: b"where the journal is".to_vec(),
        files: Vec::new(),
    });
    // What is left of a server that is killed.
    let session = builder()
        .keeper(keeper)
        .keep_mounted(true)
        .mount(dir.path())
        .unwrap();
    let _watchdog = Watchdog::new(dir.path());
    stopped(session, &dir).close();
    let path = dir.path().join("another");
    let client = thread::spawn(move || fs::metadata(path).map(drop));
    let first = Handover::kept(&its).unwrap().unwrap();
    drop(first);
    let handover = Handover::kept(&its).unwrap().unwrap();
    assert!(Handover::kept(&its).unwrap().is_none());
    assert_eq!(handover.baggage().bytes, b"where the journal is");
    thread::sleep(Duration::from_millis(20));
    assert!(!client.is_finished());
    let session = builder().take_over(handover).unwrap();
    let handle = session.handle();
    let serving = serve(session);
    client.join().unwrap().unwrap();
    handle.terminate();
    serving.join().unwrap().close();
    assert!(!is_mounted(dir.path()));
}

#[test]
fn what_a_file_system_hands_over_arrives() {
    require_mount!(not over io_uring: "a session is not handed over");
    let dir = TempDir::new();
    let lock = Arc::default();
    let builder = || {
        Probe::new()
            .builder_with(Arc::clone(&lock))
            .hand_over_patience(PATIENCE)
    };
    let session = builder().mount(dir.path()).unwrap();
    let _watchdog = Watchdog::new(dir.path());
    // Longer than a socket has room for, and more than go with one message.
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_ne_bytes()[0]).collect();
    let mut file =
        File::from(rustix::fs::memfd_create("it", rustix::fs::MemfdFlags::empty()).unwrap());
    file.write_all(b"0123456789").unwrap();
    let baggage = |_: &Probe, _: &_| {
        let files = (0..600).map(|_| file.try_clone().map(OwnedFd::from));
        let files = files.collect::<io::Result<_>>()?;
        let bytes = bytes.clone();
        Ok(Baggage { bytes, files })
    };
    let (given, (session, arrived)) = pass(stopped(session, &dir), baggage, |handover| {
        let handover = handover.unwrap();
        assert_eq!(handover.mount_point(), Some(dir.path()));
        let Baggage { bytes, files } = handover.baggage();
        let files = files.iter().map(OwnedFd::try_clone);
        let arrived = Baggage {
            bytes: bytes.clone(),
            files: files.collect::<io::Result<_>>().unwrap(),
        };
        (builder().take_over(handover).unwrap(), arrived)
    });
    given.unwrap();
    assert!(arrived.bytes == bytes);
    assert_eq!(arrived.files.len(), 600);
    for arrived in arrived.files {
        let mut read = [0; 10];
        File::from(arrived).read_exact_at(&mut read, 0).unwrap();
        assert_eq!(&read, b"0123456789");
    }
    stopped(session, &dir).close();
}

/// What is asked of `init`.
struct Asking(fn(&mut Connection<'_>) -> io::Result<()>);

impl Filesystem for Asking {
    type Lock = Concurrent;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        connection.set_max_write(65536)?;
        connection.unwant(Capabilities::POSIX_LOCKS);
        (self.0)(connection)
    }
}

fn asking(ask: fn(&mut Connection<'_>) -> io::Result<()>) -> Builder<Asking> {
    Session::builder(Asking(ask), Concurrent).hand_over_patience(PATIENCE)
}

/// The predecessor serves on after each of them.
#[test]
fn a_successor_that_does_not_fit_is_refused() {
    require_mount!(not over io_uring: "a session is not handed over");
    let dir = TempDir::new();
    let served = || fs::metadata(dir.path()).map_err(|error| error.raw_os_error());
    let own = || asking(|_| Ok(()));
    let mut session = own().mount(dir.path()).unwrap();
    let _watchdog = Watchdog::new(dir.path());
    let others: [(Builder<Asking>, &str); 7] = [
        (
            asking(|it| Ok(it.set_max_write(131_072)?)),
            "max_write was 65536, and would be 131072",
        ),
        (
            asking(|it| Ok(it.want(Capabilities::POSIX_LOCKS)?)),
            "POSIX_LOCKS is asked for, and was not granted",
        ),
        (
            asking(|it| {
                it.unwant(Capabilities::ASYNC_READ);
                Ok(())
            }),
            "ASYNC_READ was granted, and is not asked for",
        ),
        (
            asking(|_| Err(io::Error::other("not today"))),
            "init failed: not today",
        ),
        (
            own().default_permissions(),
            "made without default_permissions",
        ),
        (own().clone_fd(true), "clone_fd cannot be handed over"),
        (own().auto_unmount(), "auto_unmount cannot be handed over"),
    ];
    for (other, why) in others {
        let handle = session.handle();
        let serving = serve(session);
        // A request, however it is answered.
        assert_eq!(served().unwrap_err(), Some(libc::ENOSYS));
        handle.terminate();
        let stopped = serving.join().unwrap();
        let (given, taken) = pass(stopped, nothing, |handover| {
            other.take_over(handover.unwrap())
        });
        let refused = taken.unwrap_err();
        assert!(refused.to_string().contains(why), "{why}: {refused}");
        let NotHandedOver { stopped, error } = *given.unwrap_err();
        let HandoverError::Refused(said) = error else {
            panic!("{error}")
        };
        assert!(said.contains(why), "{why}: {said}");
        session = stopped.again();
    }
    let handle = session.handle();
    let serving = serve(session);
    assert_eq!(served().unwrap_err(), Some(libc::ENOSYS));
    handle.terminate();
    serving.join().unwrap().close();
    assert!(!is_mounted(dir.path()));
}

#[test]
fn a_session_that_cannot_be_handed_over_says_why() {
    require_mount!(not over io_uring: "a session is not handed over");
    let dir = TempDir::new();
    let builder = || Probe::new().builder();
    for (builder, what) in [
        (builder().clone_fd(true), "clone_fd"),
        (builder().auto_unmount(), "auto_unmount"),
    ] {
        let session = builder.mount(dir.path()).unwrap();
        let _watchdog = Watchdog::new(dir.path());
        let (given, taken) = pass(stopped(session, &dir), nothing, |handover| handover.err());
        assert!(matches!(taken, Some(HandoverError::Io(_))), "{taken:?}");
        let NotHandedOver { stopped, error } = *given.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("a session with {what} cannot be handed over")
        );
        self::stopped(stopped.again(), &dir).close();
        until(|| !is_mounted(dir.path()));
    }
}

/// Nobody is there, somebody says nothing, and the file system itself fails.
#[test]
fn what_goes_wrong_on_the_way_leaves_the_session_as_it_was() {
    require_mount!(not over io_uring: "a session is not handed over");
    let dir = TempDir::new();
    let short = Duration::from_millis(50);
    let builder = Probe::new().builder().hand_over_patience(short);
    let session = builder.mount(dir.path()).unwrap();
    let _watchdog = Watchdog::new(dir.path());
    let attempt = |stopped: Stopped<Probe>, to: &UnixStream, what: io::Result<Baggage>| {
        let NotHandedOver { stopped, error } = *stopped.hand_over(to, |_, _| what).unwrap_err();
        (self::stopped(stopped.again(), &dir), error)
    };
    let empty = || Ok(Baggage::default());
    let (ours, its) = UnixStream::pair().unwrap();
    let session = stopped(session, &dir);
    let (session, error) = attempt(session, &ours, Err(io::Error::other("no room")));
    assert!(matches!(error, HandoverError::Baggage(_)), "{error}");
    let (session, error) = attempt(session, &ours, empty());
    assert!(
        matches!(error, HandoverError::Silent(time) if time == short),
        "{error}"
    );
    drop(its);
    let (session, error) = attempt(session, &ours, empty());
    assert!(matches!(error, HandoverError::Io(_)), "{error}");
    // It is dropped, and refused with a word.
    let (given, taken) = pass(session, nothing, |handover| handover.map(drop));
    taken.unwrap();
    let NotHandedOver { stopped, error } = *given.unwrap_err();
    assert!(
        error.to_string().contains("it was not taken over"),
        "{error}"
    );
    let (given, ()) = pass(stopped, nothing, |handover| {
        handover.unwrap().refuse("line 1\nline 2")
    });
    let NotHandedOver { stopped, error } = *given.unwrap_err();
    assert!(error.to_string().contains("line 1 line 2"), "{error}");
    stopped.close();
    assert!(!is_mounted(dir.path()));
}

/// What has arrived is passed on, with the record changed.
fn forge(from: &UnixStream, to: &UnixStream, change: impl Fn(String) -> String) {
    let mut head = [0; 13];
    let (mut reader, mut writer) = (from, to);
    reader.read_exact(&mut head).unwrap();
    writer.write_all(&head).unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let into = &mut [IoSliceMut::new(&mut byte)];
    recvmsg(from, into, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let files: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        })
        .flatten()
        .collect();
    let record = File::from(files[1].try_clone().unwrap());
    let mut text = vec![0; usize::try_from(record.metadata().unwrap().len()).unwrap()];
    record.read_exact_at(&mut text, 0).unwrap();
    let text = change(String::from_utf8(text).unwrap());
    record.set_len(0).unwrap();
    record.write_all_at(text.as_bytes(), 0).unwrap();
    let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
    sendmsg(to, &[IoSlice::new(b"+")], &mut control, SendFlags::empty()).unwrap();
}

#[test]
fn a_broken_record_and_another_mount_are_refused() {
    require_mount!(not over io_uring: "a session is not handed over");
    let dir = TempDir::new();
    // What the predecessor has given out, the successor knows.
    let lock = Arc::default();
    let builder = || {
        Probe::new()
            .builder_with(Arc::clone(&lock))
            .hand_over_patience(PATIENCE)
    };
    let mut session = builder().mount(dir.path()).unwrap();
    let _watchdog = Watchdog::new(dir.path());
    fn line(text: &str, key: &str, new: &str) -> String {
        let lines = text.lines();
        let lines = lines.map(|line| if line.starts_with(key) { new } else { line });
        lines.fold(String::new(), |all, line| all + line + "\n")
    }
    type Change = fn(String) -> String;
    let changes: [(Change, &str); 7] = [
        (
            |it| it.replacen("hand-over 1", "hand-over 9", 1),
            "hand-over 9",
        ),
        (|it| it[..it.len() / 2].to_owned(), "no hand-over"),
        (|it| line(&it, "libfuse", "libfuse 999"), "older than 9.99"),
        (|it| line(&it, "init", "init 0011"), "init 0011"),
        (
            |it| line(&it, "init", &format!("init {}", "01".repeat(104))),
            "not INIT",
        ),
        (
            |it| {
                // The kernel's header, and a major version that is none.
                let start = it.find("init ").unwrap() + 5;
                it[..start + 80].to_owned() + "00000000" + &it[start + 88..]
            },
            "INIT",
        ),
        (
            |it| line(&it, "mount", "mount 1 0:1 0 2f"),
            "mount 1 (0:1) on / is not there",
        ),
    ];
    for (change, why) in changes {
        let (ours, between) = UnixStream::pair().unwrap();
        let (onward, its) = UnixStream::pair().unwrap();
        let (given, refused) = thread::scope(|scope| {
            let stopped = stopped(session, &dir);
            let given = scope.spawn(move || stopped.hand_over(&ours, nothing));
            forge(&between, &onward, change);
            let refused = match Handover::receive(its) {
                Ok(handover) => builder().take_over(handover).unwrap_err().error,
                Err(error) => error,
            };
            let mut line = Vec::new();
            (&onward).read_to_end(&mut line).unwrap();
            (&between).write_all(&line).unwrap();
            (given.join().unwrap(), refused)
        });
        assert!(refused.to_string().contains(why), "{why}: {refused}");
        session = given.unwrap_err().stopped.again();
    }
    // Somebody else unmounts it, and mounts another there.
    let (ours, its) = UnixStream::pair().unwrap();
    let (sender, done) = mpsc::channel::<()>();
    let stopped = stopped(session, &dir);
    thread::scope(|scope| {
        let given = scope.spawn(move || {
            let given = stopped.hand_over(&ours, nothing);
            done.recv().unwrap_err();
            given
        });
        let handover = Handover::receive(its).unwrap();
        crate::fixture::force_unmount(dir.path());
        let other = TempDir::new();
        let another = builder().mount(other.path()).unwrap();
        let error = builder().take_over(handover).unwrap_err().error;
        assert!(matches!(&error, HandoverError::Mount(_)), "{error}");
        drop((another, sender));
        assert!(given.join().unwrap().is_err());
    });
}

/// A deferred answer that does not come is left to the successor, which is told.
#[test]
fn what_is_not_answered_is_asked_again() {
    require_mount!(not over io_uring: "a session is not handed over");
    if !linux(6, 9) {
        return skip(this_test!(), "this Linux has no FUSE_NOTIFY_RESEND");
    }
    let dir = TempDir::new();
    let builder = |answers| {
        let fs = Slow {
            answers,
            kept: Mutex::default(),
            resent: AtomicU64::new(0),
        };
        Session::builder(fs, Concurrent).hand_over_patience(Duration::from_millis(20))
    };
    let session = builder(false).mount(dir.path()).unwrap();
    let _watchdog = Watchdog::new(dir.path());
    let handle = session.handle();
    let path = dir.path().join("file");
    let client = thread::spawn(move || fs::metadata(path).map(|file| file.ino()));
    let serving = serve(session);
    until(|| handle.stats().requests.contains(&(Operation::Lookup, 1)));
    handle.terminate();
    let stopped = serving.join().unwrap();
    assert!(!client.is_finished());
    let (given, taken) = pass(stopped, nothing, |handover| {
        builder(true)
            .hand_over_patience(PATIENCE)
            .take_over(handover.unwrap())
            .unwrap()
    });
    let end = given.unwrap();
    let handle = taken.handle();
    let serving = serve(taken);
    assert_eq!(client.join().unwrap().unwrap(), 7);
    // It comes too late, and is nobody's.
    for late in end.fs.kept.lock().unwrap().drain(..) {
        late.send(Err(Errno::ENOENT.into()));
    }
    handle.terminate();
    let end = serving.join().unwrap().close();
    assert_eq!(end.fs.resent.load(Ordering::SeqCst), 1);
    assert_eq!(handle.stats().not_taken, 0);
}

/// Looks names up now or never.
struct Slow {
    answers: bool,
    kept: Mutex<Vec<Reply<Entry>>>,
    resent: AtomicU64,
}

impl Filesystem for Slow {
    type Lock = Concurrent;

    fn lookup(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<Entry> {
        self.resent
            .fetch_add(cx.is_resent().into(), Ordering::SeqCst);
        if self.answers {
            return Ok(Entry::new(
                Attr::new(Ino(7), libc::S_IFREG | 0o644),
                Duration::ZERO,
            ));
        }
        let (reply, deferred) = cx.defer();
        self.kept.lock().unwrap().push(reply);
        Err(deferred.into())
    }

    fn getattr(
        &self,
        _: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        let kind = if ino == Ino::ROOT {
            libc::S_IFDIR
        } else {
            libc::S_IFREG
        };
        Ok((Attr::new(ino, kind | 0o755), Duration::ZERO))
    }
}
