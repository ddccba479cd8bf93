use std::collections::HashSet;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::testing::proto::{self, InitIn, InitOut, Request, opcode};
use crate::types::errno::Errno;

/// Nothing on the socket takes longer, unless it hangs.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// The kernel, as a test plays it: one end of a socket pair, of which a server has the other in place of /dev/fuse.
///
/// A [`Wire`](super::Wire) has one, and the session that it is the kernel of. By itself it is for a program: the other end
/// becomes one of its descriptors, N, and `/dev/fd/N` its mount point, as for a program for which somebody else has mounted.
/// Whatever is waited for, it is for 30 seconds at most.
///
/// Each message of the server is checked by the rules of the kernel (`fuse_dev_do_write()` in fs/fuse/dev.c): its header has the
/// length of the message; its error is 0 or from -511 to -1, and then nothing follows; and it answers a request that was sent
/// and is not answered yet. The kernel refuses any other reply, and the caller goes on waiting.
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
    /// The numbers of the requests that have no answer yet.
    pending: Mutex<HashSet<u64>>,
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
        let peer = Self {
            socket,
            unique: 0,
            pending: Mutex::default(),
        };
        (peer, theirs)
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

    /// Sends a message as it is. What has the header of a request is one, with the number that it has there.
    pub fn send_raw(&self, bytes: &[u8]) {
        if let Some(unique) = answered(bytes) {
            self.pending().insert(unique);
        }
        assert_eq!(self.socket.send(bytes).unwrap(), bytes.len());
    }

    /// The next message of the server, whole.
    pub fn receive(&self) -> Vec<u8> {
        let mut message = vec![0; 1 << 18];
        let length = self.receive_into(&mut message);
        message.truncate(length);
        message
    }

    /// The next message of the server, whole, where it may be spliced: a socket takes such a message in parts, each as long as
    /// what was in the pipe, where /dev/fuse takes it as one.
    pub fn receive_spliced(&self) -> Vec<u8> {
        let mut message = Vec::new();
        let mut part = vec![0; 1 << 18];
        loop {
            let length = self.receive_unchecked(&mut part);
            message.extend_from_slice(&part[..length]);
            let whole = Header::of(&message).is_none_or(|header| message.len() >= header.length);
            if whole || length == 0 {
                self.check(&message);
                return message;
            }
        }
    }

    /// The length of the next message of the server, which begins `message` afterwards.
    pub fn receive_into(&self, message: &mut [u8]) -> usize {
        let length = self.receive_unchecked(message);
        // With 0 the server has closed its end.
        if length > 0 {
            self.check(&message[..length]);
        }
        length
    }

    /// The same of any message.
    pub(super) fn receive_unchecked(&self, message: &mut [u8]) -> usize {
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

    /// What the kernel asks of a reply before it looks at the rest.
    fn check(&self, message: &[u8]) {
        let beginning = &message[..message.len().min(32)];
        let Some(header) = Header::of(message) else {
            panic!("{} bytes have no header: {beginning:?}", message.len());
        };
        assert_eq!(
            header.length,
            message.len(),
            "the length in the header: {beginning:?}"
        );
        // A notification, which has its code there.
        if header.unique == 0 {
            return;
        }
        assert!(
            -512 < header.error && header.error <= 0,
            "the kernel refuses the error {}: {beginning:?}",
            header.error
        );
        assert!(
            header.error == 0 || message.len() == Header::LENGTH,
            "{} bytes follow an error: {beginning:?}",
            message.len() - Header::LENGTH
        );
        assert!(
            self.pending().remove(&header.unique),
            "no request {} waits for an answer: {beginning:?}",
            header.unique
        );
    }

    fn pending(&self) -> MutexGuard<'_, HashSet<u64>> {
        // A test that has failed elsewhere.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
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

/// `struct fuse_out_header`.
struct Header {
    length: usize,
    error: i32,
    unique: u64,
}

impl Header {
    const LENGTH: usize = 16;

    fn of(message: &[u8]) -> Option<Self> {
        Some(Self {
            length: u32::from_ne_bytes(*message.first_chunk()?) as usize,
            error: i32::from_ne_bytes(*message.get(4..)?.first_chunk()?),
            unique: u64::from_ne_bytes(*message.get(8..)?.first_chunk()?),
        })
    }
}

/// The number of the request that begins so, if it is to be answered.
fn answered(request: &[u8]) -> Option<u64> {
    let operation = u32::from_ne_bytes(*request.get(4..)?.first_chunk()?);
    let unique = u64::from_ne_bytes(*request.get(8..)?.first_chunk()?);
    let one_way = [opcode::FORGET, opcode::BATCH_FORGET, opcode::NOTIFY_REPLY];
    (!one_way.contains(&operation)).then_some(unique)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server writes after one LOOKUP, whose number is 2.
    fn written(message: &[u8]) -> Vec<u8> {
        let (mut peer, server) = Peer::pair();
        assert_eq!(peer.send(&proto::lookup(1, b"name")), 2);
        let server = UnixDatagram::from(server);
        assert_eq!(server.send(message).unwrap(), message.len());
        peer.receive()
    }

    #[test]
    fn what_the_kernel_takes() {
        let notification = proto::notification(2, &proto::Bytes::new().u64(7));
        for message in [
            proto::reply(2, b""),
            proto::reply(2, b"body"),
            proto::error(2, 1),
            proto::error(2, 511),
            notification,
        ] {
            assert_eq!(written(&message), message);
        }
    }

    #[test]
    #[should_panic(expected = "the kernel refuses the error -512")]
    fn an_error_of_the_kernel_s_own() {
        written(&proto::error(2, 512));
    }

    #[test]
    #[should_panic(expected = "the kernel refuses the error 5")]
    fn a_positive_error() {
        written(&proto::error(2, -5));
    }

    #[test]
    #[should_panic(expected = "4 bytes follow an error")]
    fn an_error_with_a_body() {
        let mut message = proto::reply(2, b"body");
        message[4..8].copy_from_slice(&(-5i32).to_ne_bytes());
        written(&message);
    }

    #[test]
    #[should_panic(expected = "the length in the header")]
    fn another_length() {
        written(&[&proto::reply(2, b"body")[..], b"more"].concat());
    }

    #[test]
    #[should_panic(expected = "15 bytes have no header")]
    fn less_than_a_header() {
        written(&[0; 15]);
    }

    #[test]
    #[should_panic(expected = "no request 4 waits for an answer")]
    fn a_number_of_no_request() {
        written(&proto::reply(4, b""));
    }

    #[test]
    #[should_panic(expected = "no request 2 waits for an answer")]
    fn a_second_answer() {
        let (mut peer, server) = Peer::pair();
        let server = UnixDatagram::from(server);
        peer.send(&proto::lookup(1, b"name"));
        server.send(&proto::error(2, 5)).unwrap();
        peer.receive();
        server.send(&proto::error(2, 5)).unwrap();
        peer.receive();
    }

    #[test]
    #[should_panic(expected = "no request 2 waits for an answer")]
    fn an_answer_to_a_forget() {
        let (mut peer, server) = Peer::pair();
        peer.send(&proto::forget(1, 1));
        let server = UnixDatagram::from(server);
        server.send(&proto::error(2, 5)).unwrap();
        peer.receive();
    }
}
