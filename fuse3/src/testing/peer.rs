use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::testing::proto::{self, InitIn, InitOut, Request};
use crate::types::errno::Errno;

/// Nothing on the socket takes longer, unless it hangs.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// The kernel, as a test plays it: one end of a socket pair, of which a server has the other in place of /dev/fuse.
///
/// A [`Wire`](super::Wire) has one, and the session that it is the kernel of. By itself it is for a program: the other end
/// becomes one of its descriptors, N, which it mounts on `/dev/fd/N`, as libfuse does for whoever has opened /dev/fuse before.
/// Whatever is waited for, it is for 10 seconds at most.
///
/// ```no_run
/// use fuse3::Errno;
/// use fuse3::testing::{Peer, proto};
/// use std::process::Command;
///
/// let (mut peer, served) = Peer::pair();
/// let mut server = Command::new("hello").arg("/dev/fd/0").stdin(served).spawn()?;
/// peer.init(proto::InitIn::default());
/// peer.expect_error(&proto::lookup(1, b"not there"), Errno::ENOENT);
/// # server.wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
///
/// Every method does when what it is to see to is not so, or takes too long: that is how a test fails.
#[derive(Debug)]
pub struct Peer {
    socket: UnixDatagram,
    unique: u64,
}

impl Peer {
    /// The two ends: they keep messages apart, as /dev/fuse does. The server's is closed on exec.
    #[must_use]
    pub fn pair() -> (Self, OwnedFd) {
        let mut fds = [-1; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        // SAFETY: `fds` has room for the two descriptors.
        let result = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) };
        assert_eq!(result, 0, "socketpair: {}", io::Error::last_os_error());
        let [ours, theirs] = fds.map(|fd| {
            // SAFETY: the call above opened it, and nobody else has it.
            unsafe { OwnedFd::from_raw_fd(fd) }
        });
        // The type of the standard library is for datagrams; it calls send(2), recv(2) and the like, which are the same.
        let socket = UnixDatagram::from(ours);
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        (Self { socket, unique: 0 }, theirs)
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
        assert_eq!(self.socket.send(bytes).unwrap(), bytes.len());
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
        let length = loop {
            match self.socket.recv(message) {
                Ok(length) => break length,
                // With a time-out, also by SIGCONT, which needs no handler: signal(7).
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => panic!("no reply within {DEADLINE:?}: {error}"),
            }
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

    /// Makes every reply from now on fail with EPIPE; requests still go through.
    pub fn refuse_for_good(&self) {
        self.socket.shutdown(std::net::Shutdown::Read).unwrap();
    }

    /// Nothing has been sent that was not received.
    #[track_caller]
    pub fn assert_silent(&self) {
        self.socket.set_nonblocking(true).unwrap();
        let mut message = [0; 1 << 12];
        match self.socket.recv(&mut message) {
            Ok(0) => {}
            Ok(length) => panic!("one reply too many: {:?}", &message[..length]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}"),
        }
        self.socket.set_nonblocking(false).unwrap();
    }
}
