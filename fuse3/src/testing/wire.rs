use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc;
use std::time::Duration;

use crate::conn::{interruption::Interruption, panics::OnPanic};
use crate::dispatch::filesystem::Filesystem;
use crate::lock::locking::Locking;
use crate::session::session::{End, Session};
use crate::session::{builder::Builder, handle::Handle};
use crate::testing::mount::{Outcome, Running, run_apart};
use crate::testing::{peer::DEADLINE, peer::Peer, proto::InitIn};

/// A session without a kernel: libfuse is given one end of a socket pair in place of /dev/fuse, and the test has the other.
///
/// libfuse's own loop reads the requests that the test [sends](Peer::send), and writes its replies for the test to
/// [receive](Peer::receive), to the byte; no mount, no privileges and no /dev/fuse are needed, and many can run at once.
/// The session runs on a thread of its own. Whatever is waited for, it is for 30 seconds at most.
///
/// ```
/// use fuse3::testing::{Wire, proto};
/// use fuse3::{Answer, Attr, Concurrent, Context, Entry, Errno, Filesystem, Ino};
/// use std::{ffi::OsStr, time::Duration};
///
/// struct Fs;
/// const ENTRY: Entry = Entry::new(Attr::new(Ino(2), libc::S_IFREG | 0o644), Duration::from_secs(1));
///
/// impl Filesystem for Fs {
///     type Lock = Concurrent;
///
///     fn lookup(&self, _: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
///         if name == "there" { Ok(ENTRY) } else { Err(Errno::ENOENT.into()) }
///     }
/// }
///
/// let mut wire = Wire::new(Fs, Concurrent);
/// wire.expect(&proto::lookup(1, b"there"), &proto::entry_out(&ENTRY));
/// wire.expect_error(&proto::lookup(1, b"not there"), Errno::ENOENT);
/// let end = wire.end();
/// assert_eq!(end.stats.total(), 4); // with INIT, and the call of `destroy`
/// ```
///
/// # Panics
///
/// Every method does when what it is to see to is not so, or takes too long: that is how a test fails.
#[derive(Debug)]
pub struct Wire<F: Filesystem> {
    peer: Peer,
    /// A duplicate of libfuse's descriptor, by which its socket is set up.
    served: Option<UnixDatagram>,
    /// The session's.
    pub handle: Handle,
    /// The file system's.
    pub lock: F::Lock,
    ended: Running<F>,
}

/// It is sent to, and received from, as the kernel that it has.
impl<F: Filesystem> Deref for Wire<F> {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.peer
    }
}

impl<F: Filesystem> DerefMut for Wire<F> {
    fn deref_mut(&mut self) -> &mut Peer {
        &mut self.peer
    }
}

impl<F: Filesystem> Wire<F> {
    /// Runs a session of `fs`, up to and including INIT. A handler that panics does not end it.
    pub fn new(fs: F, lock: F::Lock) -> Self {
        Self::with(fs, lock, |builder| builder)
    }

    /// The same, with more options.
    pub fn with(fs: F, lock: F::Lock, configure: impl FnOnce(Builder<F>) -> Builder<F>) -> Self {
        let mut wire = Self::connect(fs, lock, configure);
        wire.init(InitIn::default());
        wire
    }

    /// The same, before INIT.
    pub fn connect(fs: F, lock: F::Lock, configure: impl FnOnce(Builder<F>) -> Builder<F>) -> Self {
        let (session, mut wire) = Self::mount(fs, lock, configure);
        wire.run(session);
        wire
    }

    /// The same, before it runs.
    pub fn mount(
        fs: F,
        lock: F::Lock,
        configure: impl FnOnce(Builder<F>) -> Builder<F>,
    ) -> (Session<F>, Self) {
        Self::begin(fs, lock, |builder, device| {
            configure(builder).mount_fd(device).unwrap()
        })
    }

    /// The same, of a session that `begin` makes of the descriptor that it is given.
    pub fn begin(
        fs: F,
        lock: F::Lock,
        begin: impl FnOnce(Builder<F>, OwnedFd) -> Session<F>,
    ) -> (Session<F>, Self) {
        let (peer, served) = Peer::pair();
        let duplicate = UnixDatagram::from(served.try_clone().unwrap());
        let builder = Session::builder(fs, lock.clone())
            .on_panic(OnPanic::Continue)
            // No process stands behind the requests.
            .interruption(Interruption::Any);
        let session = begin(builder, served);
        let wire = Self {
            peer,
            served: Some(duplicate),
            handle: session.handle(),
            lock,
            ended: mpsc::channel().1,
        };
        (session, wire)
    }

    /// Runs it on a thread.
    pub fn run(&mut self, session: Session<F>) {
        self.ended = run_apart(session);
    }

    /// Nobody holds the global lock, and nobody waits for it.
    #[track_caller]
    pub fn assert_lock_free(&self) {
        if let Some(stats) = self.lock.stats() {
            assert!(stats.holder.is_none(), "{stats}");
            assert!(stats.waiters.is_empty(), "{stats}");
        }
    }

    /// Makes the kernel take no more: the next reply fails with EAGAIN, or with `patient` waits.
    ///
    /// Returns what [`accept`](Self::accept) needs.
    pub fn refuse(&self, patient: bool) -> usize {
        let served = self.served.as_ref().unwrap();
        let soon = Duration::from_millis(1);
        served.set_write_timeout(Some(soon)).unwrap();
        let mut stuffed = 0;
        while served.send(&[0; 1 << 15]).is_ok() {
            stuffed += 1;
        }
        if patient {
            served.set_write_timeout(Some(DEADLINE)).unwrap();
        }
        stuffed
    }

    /// Makes the kernel take replies again.
    pub fn accept(&self, stuffed: usize) {
        // Zeros, which are no reply.
        let mut stuffing = vec![0; 1 << 16];
        for _ in 0..stuffed {
            assert_eq!(self.receive_unchecked(&mut stuffing), 1 << 15);
        }
        let served = self.served.as_ref().unwrap();
        served.set_write_timeout(None).unwrap();
    }

    /// Ends the session by its handle, and asserts that nothing has been sent that was not received.
    pub fn end(self) -> End<F> {
        self.handle.terminate();
        self.wait().unwrap()
    }

    /// The same, for a session that ends by itself and may fail.
    pub fn wait(mut self) -> io::Result<End<F>> {
        self.wait_or_panic().expect("run panicked")
    }

    /// The same, for one that may panic.
    pub fn wait_or_panic(&mut self) -> Outcome<F> {
        let ended = self.ended.recv_timeout(DEADLINE);
        let (_, outcome) = ended.expect("the session ends within the deadline");
        self.assert_silent();
        outcome
    }

    /// Waits until the server has closed its descriptor, and asserts that it has sent nothing more before.
    pub fn assert_closed(&mut self) {
        self.served = None;
        assert_eq!(self.receive(), []);
    }

    /// Closes the kernel's end, as if the connection was aborted.
    pub fn close(self) -> io::Result<End<F>> {
        drop((self.peer, self.served));
        let ended = self.ended.recv_timeout(DEADLINE);
        let (_, outcome) = ended.expect("the session ends within the deadline");
        outcome.expect("run panicked")
    }
}
