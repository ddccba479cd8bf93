//! Sessions that end, by an unmount or told to, with notifications of all kinds on their way, again and again.

use std::ffi::{OsStr, c_int};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use fuse3::notify::{Blocking, NotifyError};
use fuse3::poll::PollHandle;
use fuse3::{Context, Errno, GlobalLock, Ino, Notifier, Session};

use crate::child;
use crate::fixture::{
    DEADLINE, TempDir, Watchdog, force_unmount, require_mount, skip, timed, until,
};
use crate::notify::{Cached, minor, threads};

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Has the numbers of descriptors that were closed just before, so that whoever uses one of them is caught.
struct Canary([UnixStream; 4]);

impl Canary {
    fn new() -> Self {
        let (one, two) = UnixStream::pair().unwrap();
        let (three, four) = UnixStream::pair().unwrap();
        let streams = [one, two, three, four];
        for stream in &streams {
            stream.set_nonblocking(true).unwrap();
        }
        Self(streams)
    }

    /// Nobody has written to any of them, read from it or closed it.
    fn check(&self) {
        for mut stream in &self.0 {
            let read = stream.read(&mut [0; 100]);
            let nothing = matches!(&read, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
            assert!(nothing, "a closed descriptor was used: {read:?}");
        }
        // What is sent arrives.
        for (from, to) in [(0, 1), (1, 0), (2, 3), (3, 2)] {
            (&self.0[from]).write_all(b"canary").unwrap();
            let mut received = [0; 7];
            assert_eq!((&self.0[to]).read(&mut received).unwrap(), 6);
            assert_eq!(&received, b"canary\0");
        }
    }
}

/// Keeps stdio from locking stderr.
///
/// libfuse (3.18 too) prints what a worker cannot read by perror(3), and cancels its workers when the session ends. One that is
/// cancelled in its perror(3), here after an unmount by force, keeps the lock for ever, and the next one in the process, of
/// another session, waits for it for ever.
fn let_stderr_be_unlocked() {
    const FSETLOCKING_BYCALLER: c_int = 2;
    unsafe extern "C" {
        static stderr: *mut libc::FILE;
        fn __fsetlocking(file: *mut libc::FILE, kind: c_int) -> c_int;
    }
    // SAFETY: it is set before `main`, and nobody here changes it.
    let file = unsafe { stderr };
    // SAFETY: the stream is open. What is printed at once may be mixed up: it is without a buffer.
    unsafe { __fsetlocking(file, FSETLOCKING_BYCALLER) };
}

/// A kind of notification, in both forms.
struct Kind {
    name: &'static str,
    /// Minor version of the kernel's protocol that has it.
    since: u32,
    queue: fn(&Notifier),
    block: fn(&Blocking<'_>) -> Result<(), NotifyError>,
}

const FILE: Ino = Ino(2);

/// All but the wake-up of who waits in poll(2), which has one form.
const KINDS: [Kind; 9] = [
    Kind {
        name: "inval_inode",
        since: 12,
        queue: |notifier| notifier.inval_inode(FILE, ..),
        block: |now| now.inval_inode(FILE, ..),
    },
    Kind {
        name: "inval_entry",
        since: 12,
        queue: |notifier| notifier.inval_entry(Ino::ROOT, "file"),
        block: |now| now.inval_entry(Ino::ROOT, "file"),
    },
    Kind {
        name: "store",
        since: 15,
        queue: |notifier| notifier.store(FILE, 0, *b"b"),
        block: |now| now.store(FILE, 0, b"b"),
    },
    Kind {
        name: "retrieve",
        since: 15,
        queue: |notifier| drop(notifier.retrieve(FILE, 0, 100)),
        block: |now| now.retrieve(FILE, 0, 9, DEADLINE).map(drop),
    },
    Kind {
        name: "delete",
        since: 18,
        queue: |notifier| notifier.delete(Ino::ROOT, Ino(16), "f6"),
        block: |now| now.delete(Ino::ROOT, Ino(16), "f6"),
    },
    Kind {
        name: "expire_entry",
        since: 38,
        queue: |notifier| notifier.expire_entry(Ino::ROOT, "f7"),
        block: |now| now.expire_entry(Ino::ROOT, "f7"),
    },
    Kind {
        name: "resend",
        since: 40,
        queue: Notifier::resend,
        block: |now| now.resend(),
    },
    Kind {
        name: "increment_epoch",
        since: 44,
        queue: Notifier::increment_epoch,
        block: |now| now.increment_epoch(),
    },
    Kind {
        name: "prune",
        since: 45,
        queue: |notifier| notifier.prune([FILE, Ino(18)]),
        block: |now| now.prune([FILE, Ino(18)]),
    },
];

/// Says loudly which kinds this kernel does not have.
fn tell_what_is_missing() {
    let missing = KINDS.iter().filter(|kind| kind.since > minor());
    let missing: Vec<_> = missing.map(|kind| kind.name).collect();
    if !missing.is_empty() {
        let why = format!("this kernel has no {}", missing.join(", "));
        skip("sessions that end with notifications of all kinds", why);
    }
}

/// What threads and handlers send, whatever becomes of the session.
#[derive(Default)]
struct Senders {
    stop: AtomicBool,
    /// That of the last session.
    notifier: Mutex<Option<Notifier>>,
    /// As `Cached` has it.
    polled: Arc<Mutex<Option<PollHandle>>>,
    /// How many of each kind the kernel has taken, of those that were waited for.
    taken: [AtomicU64; KINDS.len()],
    woken: AtomicU64,
}

impl Senders {
    fn queue_all(&self, notifier: &Notifier) {
        for kind in &KINDS {
            (kind.queue)(notifier);
        }
        let polled = self.polled.lock().unwrap().take();
        if polled.is_some_and(|handle| handle.notify().is_ok()) {
            self.woken.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Until it is stopped; in the form that waits, kind number `first` first.
    fn send(&self, first: usize) {
        let lock = GlobalLock::new(());
        while !self.stop.load(Ordering::SeqCst) {
            // One that outlives its session.
            let Some(notifier) = self.notifier.lock().unwrap().clone() else {
                thread::yield_now();
                continue;
            };
            for round in 0..20 {
                notifier.inval_entry(Ino::ROOT, format!("f{round}"));
                self.queue_all(&notifier);
                let kinds = KINDS.iter().zip(&self.taken);
                let from_first = kinds.cycle().skip(first).take(KINDS.len());
                for (kind, taken) in from_first {
                    let sent = lock.unlocked(|proof| (kind.block)(&notifier.blocking(proof)));
                    // Whether it was in time is not known.
                    let sent: Result<(), NotifyError> = sent.unwrap();
                    if sent == Ok(()) || sent == Err(NotifyError::Errno(Errno::ENOENT)) {
                        taken.fetch_add(1, Ordering::SeqCst);
                    }
                }
                // The others want to run, too.
                thread::sleep(Duration::from_micros(100));
            }
        }
    }

    /// The kernel has taken some of each kind that it has.
    fn check(&self) {
        for (kind, taken) in KINDS.iter().zip(&self.taken) {
            let (name, taken) = (kind.name, taken.load(Ordering::SeqCst));
            println!("{name}: {taken} taken");
            assert_eq!(taken > 0, kind.since <= minor(), "{name}: {taken}");
        }
        let woken = self.woken();
        println!("poll: {woken} woken");
        assert!(woken > 0, "nobody was woken");
    }

    /// How often one was that waited in poll(2).
    fn woken(&self) -> u64 {
        self.woken.load(Ordering::SeqCst)
    }
}

/// Waits in poll(2) for what never is, until the session has ended.
fn wait_in_vain(path: &Path) {
    let wait = || -> io::Result<()> {
        // The first file that is closed is the last one whose FLUSH comes: the session does not do it. So none comes from
        // a process that is just being started, which has copies of the descriptors, see `fixture::alone`.
        fs::read(path)?;
        let file = File::open(path)?;
        let mut poll = libc::pollfd {
            fd: file.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: `poll` is one structure, and lives.
        unsafe { libc::poll(&raw mut poll, 1, 1000) };
        Ok(())
    };
    // The session may have ended.
    let _: io::Result<()> = wait();
}

/// Mounts and unmounts `count` times, each time with notifications of all kinds on their way in both forms, from threads and
/// handlers that do not stop for the end.
fn mount_again_and_again(count: u32) {
    let_stderr_be_unlocked();
    // Asked for now, since a mount is asked.
    minor();
    let senders = Arc::new(Senders::default());
    let threads_of_senders: Vec<_> = [0, 4]
        .map(|first| {
            let senders = Arc::clone(&senders);
            thread::spawn(move || senders.send(first))
        })
        .into();
    let dir = TempDir::new();
    let before = (threads(), descriptors());
    let mut canary = Canary::new();
    for round in 0..count {
        let shared = Arc::new(OnceLock::<Notifier>::new());
        let hook = {
            let (shared, senders) = (Arc::clone(&shared), Arc::clone(&senders));
            move |_: &mut Context<'_, Cached>, _, _: &OsStr| {
                if let Some(notifier) = shared.get() {
                    for number in 0..50 {
                        notifier.inval_entry(Ino::ROOT, format!("f{number}"));
                    }
                    senders.queue_all(notifier);
                }
            }
        };
        let mut served = Cached::new(hook);
        served.polled = Arc::clone(&senders.polled);
        let session = Session::builder(served, Arc::new(GlobalLock::new(())))
            .on_notify_error(|_, _| ())
            .mount(dir.path())
            .unwrap();
        let handle = session.handle();
        shared.set(handle.notifier()).unwrap();
        *senders.notifier.lock().unwrap() = Some(handle.notifier());
        let watchdog = Watchdog::new(dir.path());
        let server = thread::spawn(move || {
            session.run().unwrap();
            Canary::new()
        });
        let woken = senders.woken();
        let polled = dir.path().join("f1");
        let waits = thread::spawn(move || wait_in_vain(&polled));
        let path = dir.path().to_owned();
        let client = thread::spawn(move || {
            for number in 0..10 {
                // The session may have ended.
                let _: io::Result<_> = fs::read(path.join(format!("f{number}")));
                let _: io::Result<_> = fs::read(path.join("file"));
            }
        });
        // Some end at once; others only when the one in poll(2) was woken, and will be again.
        if round % 4 >= 2 {
            until(|| senders.woken() > woken);
        }
        thread::sleep(Duration::from_micros(u64::from(round % 20) * 100));
        if round % 2 == 0 {
            handle.terminate();
        } else {
            force_unmount(dir.path());
        }
        let next = server.join().unwrap();
        client.join().unwrap();
        waits.join().unwrap();
        canary.check();
        canary = next;
        drop(watchdog);
    }
    senders.stop.store(true, Ordering::SeqCst);
    for sender in threads_of_senders {
        sender.join().unwrap();
    }
    *senders.notifier.lock().unwrap() = None;
    canary.check();
    drop(canary);
    // The senders were there before, and the watchdogs take a moment.
    until(|| threads() <= before.0 - 2 && descriptors() <= before.1);
    senders.check();
}

#[test]
fn many_sessions_end_with_notifications_on_their_way() {
    require_mount!(not over io_uring: "libfuse takes its time to end the ring");
    tell_what_is_missing();
    child::run(child::this_test!(), || mount_again_and_again(40));
}

/// `make notifications`, which says how many.
#[test]
#[ignore = "takes a minute: make notifications"]
fn a_thousand_sessions_end_with_notifications_on_their_way() {
    require_mount!();
    tell_what_is_missing();
    let count = std::env::var("SESSIONS").map_or(1000, |count| count.parse().unwrap());
    let (took, ()) = timed(|| mount_again_and_again(count));
    println!("{count} sessions in {took:.1?}: no thread and no descriptor is left");
}
