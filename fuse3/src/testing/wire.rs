use std::any::Any;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use super::proto::{self, InitIn, InitOut, Request};
use crate::{Builder, End, Errno, Filesystem, Handle, Locking, OnPanic, Session};

/// Nothing on a [`Wire`] takes longer, unless it hangs.
const DEADLINE: Duration = Duration::from_secs(10);

/// What [`Session::run`] returned, or panicked with.
pub type Ended<F> = Result<io::Result<End<F>>, Box<dyn Any + Send>>;

/// A session without a kernel: libfuse is given one end of a socket pair in place of /dev/fuse, and the test has the other.
///
/// libfuse's own loop reads the requests that the test [sends](Self::send), and writes its replies for the test to
/// [receive](Self::receive), to the byte; no mount, no privileges and no /dev/fuse are needed, and many can run at once.
/// The session runs on a thread of its own. Whatever is waited for, it is for 10 seconds at most.
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
    peer: UnixDatagram,
    /// A duplicate of libfuse's descriptor, by which its socket is set up.
    served: Option<UnixDatagram>,
    /// The session's.
    pub handle: Handle,
    /// The file system's.
    pub lock: F::Lock,
    ended: Receiver<Ended<F>>,
    unique: u64,
}

/// Two connected sockets that keep messages apart, as /dev/fuse does.
fn socket_pair() -> (UnixDatagram, UnixDatagram) {
    let mut fds = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: `fds` has room for the two descriptors.
    let result = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) };
    assert_eq!(result, 0, "socketpair: {}", io::Error::last_os_error());
    // The type of the standard library is for datagrams; it calls send(2), recv(2) and the like, which are the same.
    let [ours, theirs] = fds.map(|fd| {
        // SAFETY: the call above opened it, and nobody else has it.
        UnixDatagram::from(unsafe { OwnedFd::from_raw_fd(fd) })
    });
    (ours, theirs)
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
        Self::begin(fs, lock, |builder, place| {
            configure(builder).mount(place).unwrap()
        })
    }

    /// The same, of a session that `begin` makes at the place that it is given.
    pub fn begin(
        fs: F,
        lock: F::Lock,
        begin: impl FnOnce(Builder<F>, String) -> Session<F>,
    ) -> (Session<F>, Self) {
        let (peer, served) = socket_pair();
        peer.set_read_timeout(Some(DEADLINE)).unwrap();
        let duplicate = served.try_clone().unwrap();
        let builder = Session::builder(fs, lock.clone()).on_panic(OnPanic::Continue);
        let session = begin(builder, format!("/dev/fd/{}", served.into_raw_fd()));
        let wire = Self {
            peer,
            served: Some(duplicate),
            handle: session.handle(),
            lock,
            ended: mpsc::channel().1,
            unique: 0,
        };
        (session, wire)
    }

    /// Runs it on a thread.
    pub fn run(&mut self, session: Session<F>) {
        let (sender, ended) = mpsc::channel();
        self.ended = ended;
        thread::spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(|| session.run()));
            // A test that failed does not wait for it.
            let _ = sender.send(result);
        });
    }

    /// INIT, which is taken.
    pub fn init(&mut self, offer: InitIn) -> InitOut {
        let unique = self.send(&proto::init(offer));
        let reply = self.receive();
        assert_eq!(reply[..16], proto::reply(unique, &[0; 64])[..16]);
        InitOut::read(&reply[16..])
    }

    /// Sends a request, and returns its number.
    pub fn send(&mut self, request: &Request) -> u64 {
        // The kernel's are even.
        self.unique += 2;
        self.send_raw(&request.bytes(self.unique));
        self.unique
    }

    /// Sends a message as it is.
    pub fn send_raw(&self, bytes: &[u8]) {
        assert_eq!(self.peer.send(bytes).unwrap(), bytes.len());
    }

    /// The next message of the server, whole.
    pub fn receive(&self) -> Vec<u8> {
        let mut message = vec![0; 1 << 18];
        let length = self.receive_into(&mut message);
        message.truncate(length);
        message
    }

    /// The length of the next message of the server, which begins `message` afterwards.
    pub fn receive_into(&self, message: &mut [u8]) -> usize {
        let length = match self.peer.recv(message) {
            Ok(length) => length,
            Err(error) => panic!("no reply within {DEADLINE:?}: {error}"),
        };
        assert!(length < message.len(), "a reply of {length} bytes or more");
        length
    }

    /// Sends a request and asserts that the reply is this one, to the byte.
    #[track_caller]
    pub fn expect(&mut self, request: &Request, body: &[u8]) {
        let unique = self.send(request);
        assert_eq!(self.receive(), proto::reply(unique, body), "{request:?}");
    }

    /// Sends a request and asserts that the reply is this error, to the byte.
    #[track_caller]
    pub fn expect_error(&mut self, request: &Request, errno: Errno) {
        let unique = self.send(request);
        assert_eq!(
            self.receive(),
            proto::error(unique, errno.raw()),
            "{errno:?} for {request:?}"
        );
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
        for _ in 0..stuffed {
            assert_eq!(self.receive().len(), 1 << 15);
        }
        let served = self.served.as_ref().unwrap();
        served.set_write_timeout(None).unwrap();
    }

    /// Makes every reply from now on fail with EPIPE; requests still go through.
    pub fn refuse_for_good(&self) {
        self.peer.shutdown(std::net::Shutdown::Read).unwrap();
    }

    /// Ends the session by its handle, and asserts that nothing has been sent that was not received.
    pub fn end(self) -> End<F> {
        self.handle.terminate();
        self.wait().unwrap()
    }

    /// The same, for a session that ends by itself and may fail.
    pub fn wait(mut self) -> io::Result<End<F>> {
        match self.wait_or_panic() {
            Ok(result) => result,
            Err(_) => panic!("run panicked"),
        }
    }

    /// The same, for one that may panic.
    pub fn wait_or_panic(&mut self) -> Ended<F> {
        let ended = self.ended.recv_timeout(DEADLINE);
        let ended = ended.expect("the session ends within the deadline");
        self.assert_silent();
        ended
    }

    /// Nothing has been sent that was not received.
    #[track_caller]
    pub fn assert_silent(&self) {
        self.peer.set_nonblocking(true).unwrap();
        let mut message = [0; 1 << 12];
        match self.peer.recv(&mut message) {
            Ok(0) => {}
            Ok(length) => panic!("one reply too many: {:?}", &message[..length]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}"),
        }
        self.peer.set_nonblocking(false).unwrap();
    }

    /// Waits until the server has closed its descriptor, and asserts that it has sent nothing more before.
    pub fn assert_closed(&mut self) {
        self.served = None;
        assert_eq!(self.receive(), []);
    }

    /// Closes the kernel's end, as if the connection was aborted.
    pub fn close(self) -> io::Result<End<F>> {
        let Self {
            peer,
            served,
            ended,
            ..
        } = self;
        drop(peer);
        drop(served);
        match ended.recv_timeout(DEADLINE) {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => panic!("run panicked"),
            Err(_) => panic!("the session does not end"),
        }
    }
}
