//! Notifications through the kernel: what its caches do, and that nobody waits for himself.

mod blocking;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use fuse3::notify::{Blocking, NotifyError};
use fuse3::poll::{PollEvents, PollHandle};
use fuse3::{
    Answer, Attr, Builder, Context, Data, Entry, Errno, FileInfo, Filesystem, GlobalLock, Ino,
    Notifier, Open, Opened, Operation, ReadBuf, Session,
};

use crate::child;
use crate::deferring::Deferring;
use crate::fixture::{DEADLINE, Mount, TempDir, require_mount, skip, timed, until};

const PAGE: usize = 4096;
/// Of each file: three pages of the letter a.
static A: [u8; 3 * PAGE] = [b'a'; 3 * PAGE];
/// The kernel asks once, unless it is told to ask again.
const FOR_EVER: Duration = Duration::from_secs(100_000);

type Hook = Box<dyn Fn(&mut Context<'_, Cached>, Operation, &OsStr) + Send + Sync>;

/// A directory of files, as many as are asked for, that the kernel caches for ever.
pub(crate) struct Cached {
    hook: Hook,
    /// How long the files are said to be.
    size: Arc<AtomicU64>,
    /// Of whoever waits in poll(2), for what never is.
    pub(crate) polled: Arc<Mutex<Option<PollHandle>>>,
}

impl Cached {
    fn builder(
        hook: impl Fn(&mut Context<'_, Self>, Operation, &OsStr) + Send + Sync + 'static,
    ) -> Builder<Self> {
        Session::builder(Self::new(hook), Arc::new(GlobalLock::new(())))
    }

    pub(crate) fn new(
        hook: impl Fn(&mut Context<'_, Self>, Operation, &OsStr) + Send + Sync + 'static,
    ) -> Self {
        Self {
            hook: Box::new(hook),
            size: Arc::new(AtomicU64::new(A.len() as u64)),
            polled: Arc::default(),
        }
    }

    fn attr(&self, ino: Ino) -> Attr {
        match ino {
            Ino::ROOT => Attr::new(ino, libc::S_IFDIR | 0o777),
            _ => Attr {
                size: self.size.load(Ordering::SeqCst),
                ..Attr::new(ino, libc::S_IFREG | 0o666)
            },
        }
    }

    fn mount() -> Mount<Self> {
        Mount::new(Self::builder(|_, _, _| ()))
    }
}

/// The inode of a file, ten more than the number after the `f` of its name; 2 for any other name.
fn ino(name: &OsStr) -> Ino {
    let number = name.to_str().and_then(|name| name.strip_prefix('f'));
    let number: Option<u64> = number.and_then(|number| number.parse().ok());
    Ino(number.map_or(2, |number| number + 10))
}

impl Filesystem for Cached {
    type Lock = Arc<GlobalLock<()>>;

    fn lookup(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        (self.hook)(cx, Operation::Lookup, name);
        if parent != Ino::ROOT || name == "missing" {
            return Err(Errno::ENOENT.into());
        }
        Ok(Entry::new(self.attr(ino(name)), FOR_EVER))
    }

    fn getattr(
        &self,
        _: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        Ok((self.attr(ino), FOR_EVER))
    }

    fn open(&self, _: &mut Context<'_, Self>, _: Ino, _: Open) -> Answer<Opened> {
        Ok(Opened::default().keep_cache(true))
    }

    fn read(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        (self.hook)(cx, Operation::Read, OsStr::new(""));
        Ok(out.lend_from(&A, offset))
    }

    fn poll(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        _: PollEvents,
        handle: Option<PollHandle>,
    ) -> Answer<PollEvents> {
        if handle.is_some() {
            *self.polled.lock().unwrap() = handle;
        }
        Ok(PollEvents::empty())
    }
}

/// What the tests ask of their mount.
trait Asked {
    fn count(&self, operation: Operation) -> u64;
    fn causes<R>(&self, operation: Operation, what: impl FnOnce() -> R) -> u64;
    fn in_both_forms(
        &self,
        before: impl Fn(),
        queue: impl Fn(&Notifier),
        block: impl Fn(&Blocking<'_>) -> Result<(), NotifyError>,
        shows: impl Fn(),
    );
}

impl Asked for Mount<Cached> {
    /// How many requests of an operation have come.
    fn count(&self, operation: Operation) -> u64 {
        let stats = self.handle().stats();
        let count = stats.requests.iter().find(|(which, _)| *which == operation);
        count.map_or(0, |(_, count)| *count)
    }

    /// How many requests of an operation `what` causes.
    fn causes<R>(&self, operation: Operation, what: impl FnOnce() -> R) -> u64 {
        let before = self.count(operation);
        what();
        self.count(operation) - before
    }

    /// Sends in one form and then the other, each time after `before`, and each time `shows`.
    fn in_both_forms(
        &self,
        before: impl Fn(),
        queue: impl Fn(&Notifier),
        block: impl Fn(&Blocking<'_>) -> Result<(), NotifyError>,
        shows: impl Fn(),
    ) {
        let notifier = self.handle().notifier();
        before();
        queue(&notifier);
        notifier.flush(DEADLINE).unwrap();
        shows();
        before();
        let lock = GlobalLock::new(());
        let sent = lock.unlocked(|proof| block(&notifier.blocking(proof)));
        assert_eq!(sent, Ok(Ok(())));
        shows();
    }
}

#[test]
fn inval_inode_drops_data() {
    require_mount!();
    let mount = Cached::mount();
    let file = File::open(mount.join("file")).unwrap();
    let read = |page: usize| {
        let mut data = [0];
        let at = (page * PAGE) as u64;
        assert_eq!(file.read_at(&mut data, at).unwrap(), 1);
        assert_eq!(data, *b"a");
    };
    let reads = |page| mount.causes(Operation::Read, || read(page));
    let all = || (0..3).for_each(read);
    mount.in_both_forms(
        || {
            all();
            assert_eq!(mount.causes(Operation::Read, all), 0);
        },
        |notifier| notifier.inval_inode(Ino(2), ..),
        |now| now.inval_inode(Ino(2), ..),
        || assert!(reads(0) > 0),
    );
    let second = PAGE as u64..2 * PAGE as u64;
    mount.in_both_forms(
        all,
        |notifier| notifier.inval_inode(Ino(2), second.clone()),
        |now| now.inval_inode(Ino(2), second.clone()),
        || {
            assert_eq!(reads(0), 0);
            assert_eq!(reads(2), 0);
            assert_eq!(reads(1), 1);
        },
    );
    mount.in_both_forms(
        || {
            all();
            // Reading changes the time of the last access.
            file.metadata().unwrap();
            assert_eq!(mount.causes(Operation::Getattr, || file.metadata()), 0);
        },
        |notifier| notifier.inval_attr(Ino(2)),
        |now| now.inval_attr(Ino(2)),
        || {
            assert_eq!(mount.causes(Operation::Getattr, || file.metadata()), 1);
            assert_eq!(mount.causes(Operation::Read, all), 0);
        },
    );
    drop(file);
    mount.end();
}

/// After either form, the name `f7`, which was cached, is looked up anew.
fn is_looked_up_anew(
    mount: &Mount<Cached>,
    queue: impl Fn(&Notifier),
    block: impl Fn(&Blocking<'_>) -> Result<(), NotifyError>,
) {
    let lookups = || look_up_f7(mount);
    let cached = || {
        lookups();
        assert_eq!(lookups(), 0);
    };
    mount.in_both_forms(cached, queue, block, || assert_eq!(lookups(), 1));
}

/// How many lookups it takes.
fn look_up_f7(mount: &Mount<Cached>) -> u64 {
    let path = mount.join("f7");
    mount.causes(Operation::Lookup, || fs::metadata(&path).unwrap())
}

#[test]
fn names_are_looked_up_anew() {
    require_mount!();
    let mount = Cached::mount();
    is_looked_up_anew(
        &mount,
        |notifier| notifier.inval_entry(Ino::ROOT, "f7"),
        |now| now.inval_entry(Ino::ROOT, "f7"),
    );
    is_looked_up_anew(
        &mount,
        |notifier| notifier.delete(Ino::ROOT, Ino(17), "f7"),
        |now| now.delete(Ino::ROOT, Ino(17), "f7"),
    );
    mount.end();
}

#[test]
fn names_that_expired_are_looked_up_anew() {
    require_mount!();
    if !kernel_has("expire_entry", 38) {
        return;
    }
    let mount = Cached::mount();
    is_looked_up_anew(
        &mount,
        |notifier| notifier.expire_entry(Ino::ROOT, "f7"),
        |now| now.expire_entry(Ino::ROOT, "f7"),
    );
    mount.end();
}

#[test]
fn names_of_an_earlier_epoch_are_looked_up_anew() {
    require_mount!();
    if !kernel_has("increment_epoch", 44) {
        return;
    }
    let mount = Cached::mount();
    is_looked_up_anew(&mount, Notifier::increment_epoch, |now| {
        now.increment_epoch()
    });
    mount.end();
}

#[test]
fn what_the_kernel_does_not_know() {
    require_mount!();
    let mount = Cached::mount();
    // Another inode has the name, and the kernel has no such name or directory.
    let notifier = mount.handle().notifier();
    let enoent = Err(NotifyError::Errno(Errno::ENOENT));
    look_up_f7(&mount);
    assert_eq!(look_up_f7(&mount), 0);
    let lock = GlobalLock::new(());
    lock.unlocked(|proof| {
        let now = notifier.blocking(proof);
        assert_eq!(now.delete(Ino::ROOT, Ino(8), "f7"), enoent);
        assert_eq!(now.inval_entry(Ino::ROOT, "f1000"), enoent);
        assert_eq!(now.inval_entry(Ino(99), "f7"), enoent);
        assert_eq!(now.inval_inode(Ino(99), ..), enoent);
        assert_eq!(now.store(Ino(99), 0, b"x"), enoent);
        let none = now.retrieve(Ino(99), 0, 1, DEADLINE);
        assert_eq!(none.map(|_| ()), enoent);
    })
    .unwrap();
    // The name is looked up anew, whose ever it is.
    assert_eq!(look_up_f7(&mount), 1);
    mount.end();
}

/// Minor version of the kernel's protocol.
pub(crate) fn minor() -> u32 {
    static MINOR: OnceLock<u32> = OnceLock::new();
    *MINOR.get_or_init(|| {
        let mount = Cached::mount();
        fs::metadata(mount.path()).unwrap();
        let agreement = mount.handle().connection().unwrap();
        mount.end();
        agreement.protocol.1
    })
}

/// Whether the kernel's protocol is 7.`since` or later. Where not, says loudly that `what` is not tested.
fn kernel_has(what: &str, since: u32) -> bool {
    let has = minor() >= since;
    if !has {
        let why = format!("this kernel has protocol 7.{}, not 7.{since}", minor());
        skip(&format!("a mounted test of {what}"), why);
    }
    has
}

#[test]
fn what_is_stored_is_read_and_retrieved() {
    require_mount!();
    let served = Cached::new(|_, _, _| ());
    let size = Arc::clone(&served.size);
    let mount = Mount::new(Session::builder(served, Arc::new(GlobalLock::new(()))));
    let path = mount.join("file");
    fs::metadata(&path).unwrap();
    let notifier = mount.handle().notifier();
    let b = vec![b'b'; A.len()];
    notifier.store(Ino(2), 0, b.clone());
    let queued = notifier.retrieve(Ino(2), 10, 8192);
    let lock = GlobalLock::new(());
    let retrieved = lock.unlocked(|proof| queued.wait(proof, DEADLINE));
    let retrieved = retrieved.unwrap().unwrap();
    assert_eq!((retrieved.ino, retrieved.offset), (Ino(2), 10));
    assert_eq!(retrieved.data, b[..2 * PAGE]);
    // Longer than the file was, and read without a request.
    let more = [&b[..], b"and more"].concat();
    size.store(more.len() as u64, Ordering::SeqCst);
    lock.unlocked(|proof| {
        let now = notifier.blocking(proof);
        assert_eq!(now.store(Ino(2), b.len() as u64, b"and more"), Ok(()));
        // Only as much as there is.
        let end = now.retrieve(Ino(2), b.len() as u64, 1000, DEADLINE);
        assert_eq!(end.unwrap().data, b"and more");
        let beyond = now.retrieve(Ino(2), 1 << 30, 1000, DEADLINE);
        assert_eq!(beyond.unwrap().data, b"");
    })
    .unwrap();
    let reads = mount.causes(Operation::Read, || {
        assert_eq!(fs::read(&path).unwrap(), more);
    });
    assert_eq!(reads, 0);
    // What is dropped comes from the file system again, and what is not in the cache cannot be retrieved.
    notifier.inval_inode(Ino(2), ..);
    let mut nothing = notifier.retrieve(Ino(2), 0, 10);
    notifier.flush(DEADLINE).unwrap();
    until_answered(&mut nothing, |retrieved| assert_eq!(retrieved.data, b""));
    size.store(A.len() as u64, Ordering::SeqCst);
    assert_eq!(fs::read(&path).unwrap(), A);
    mount.end();
}

fn until_answered(
    retrieval: &mut fuse3::notify::Retrieval,
    check: impl FnOnce(fuse3::notify::Retrieved),
) {
    let start = Instant::now();
    loop {
        if let Some(answer) = retrieval.take() {
            return check(answer.unwrap());
        }
        assert!(start.elapsed() < DEADLINE, "no answer");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn prune_makes_the_kernel_forget() {
    require_mount!();
    if !kernel_has("prune", 45) {
        return;
    }
    let mount = Cached::mount();
    let inos: Vec<_> = (100..1100).map(Ino).collect();
    let look_up = || {
        for ino in &inos {
            fs::metadata(mount.join(format!("f{}", ino.0 - 10))).unwrap();
        }
    };
    let forgotten = || mount.count(Operation::Forget) + mount.count(Operation::ForgetMulti) > 0;
    mount.in_both_forms(
        look_up,
        |notifier| notifier.prune(inos.clone()),
        |now| now.prune(inos.clone()),
        || {
            until(forgotten);
            let again = mount.causes(Operation::Lookup, look_up);
            assert_eq!(again, 1000);
        },
    );
    // One that is open stays.
    let file = File::open(mount.join("f90")).unwrap();
    let lock = GlobalLock::new(());
    let notifier = mount.handle().notifier();
    let sent = lock.unlocked(|proof| notifier.blocking(proof).prune([Ino(100)]));
    assert_eq!(sent, Ok(Ok(())));
    assert_eq!(mount.causes(Operation::Read, || (&file).read(&mut [0])), 1);
    drop(file);
    mount.end();
}

#[test]
fn resend_asks_again() {
    require_mount!(not over io_uring: "the kernel sends nothing again");
    if !kernel_has("resend", 40) {
        return;
    }
    let kept = Arc::new(Mutex::new(Vec::new()));
    let mount = Mount::new(Deferring::builder(Arc::clone(&kept)));
    let notifier = mount.handle().notifier();
    let asks_again = |name, resend: &dyn Fn()| {
        let path = mount.join(name);
        let client = thread::spawn(move || fs::metadata(path));
        until(|| kept.lock().unwrap().len() == 1);
        resend();
        until(|| kept.lock().unwrap().len() == 2);
        let mut replies = std::mem::take(&mut *kept.lock().unwrap());
        let (second, first) = (replies.pop().unwrap(), replies.pop().unwrap());
        // The kernel waits for the answer to the second one only; the first one's is not taken.
        first.send(Err(Errno::EIO.into()));
        let attr = Attr {
            size: 5,
            ..Attr::new(Ino(2), libc::S_IFREG | 0o666)
        };
        second.send(Ok(Entry::new(attr, FOR_EVER)));
        assert_eq!(client.join().unwrap().unwrap().len(), 5);
    };
    asks_again("queued", &|| notifier.resend());
    let lock = GlobalLock::new(());
    asks_again("blocking", &|| {
        let sent = lock.unlocked(|proof| notifier.blocking(proof).resend());
        assert_eq!(sent, Ok(Ok(())));
    });
    mount.end();
}

pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn no_thread_before_run_and_none_after() {
    require_mount!();
    child::run(child::this_test!(), || {
        let before = threads();
        let dir = TempDir::new();
        let session = Cached::builder(|_, _, _| ()).mount(dir.path()).unwrap();
        let notifier = session.handle().notifier();
        for ino in 0..1000 {
            notifier.inval_inode(Ino(ino), ..);
        }
        assert_eq!(threads(), before);
        let handle = session.handle();
        let server = thread::spawn(move || session.run().map(|end| end.reason));
        notifier.flush(DEADLINE).unwrap();
        assert!(threads() > before + 1);
        handle.terminate();
        server.join().unwrap().unwrap();
        until(|| threads() == before);
    });
}

/// In place of the log.
#[test]
fn who_asked_for_it_is_told_what_the_kernel_did_not_take() {
    require_mount!();
    let (told, heard) = mpsc::channel();
    let told = Mutex::new(told);
    let builder = Cached::builder(|_, _, _| ()).on_notify_error(move |notification, error| {
        let what = (format!("{notification:?}"), error);
        told.lock().unwrap().send(what).unwrap();
    });
    let mount = Mount::new(builder);
    fs::metadata(mount.join("f7")).unwrap();
    let notifier = mount.handle().notifier();
    notifier.inval_inode(Ino(17), ..);
    notifier.inval_inode(Ino(4321), ..);
    let (what, error) = heard.recv_timeout(DEADLINE).unwrap();
    assert_eq!(error, NotifyError::Errno(Errno::ENOENT), "{what}");
    assert!(what.contains("4321"), "{what}");
    mount.end();
    assert!(heard.try_recv().is_err());
}
