//! A program that serves one end of a socket pair, of which the test has the other.

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fuse3::Errno;
use fuse3::testing::proto::{self, InitIn, Request};

/// Nothing takes longer, unless it hangs.
const DEADLINE: Duration = Duration::from_secs(20);

/// The program, and its kernel. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Served {
    child: Option<Child>,
    peer: UnixDatagram,
    stderr: BufReader<UnixStream>,
    unique: u64,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    /// What was not [said](Served::said) before.
    pub(crate) stderr: String,
}

/// Two connected sockets that keep messages apart, as /dev/fuse does.
fn socket_pair() -> [OwnedFd; 2] {
    let mut fds = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: `fds` has room for the two descriptors.
    let result = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    fds.map(|fd| {
        // SAFETY: the call above opened it, and nobody else has it.
        unsafe { OwnedFd::from_raw_fd(fd) }
    })
}

impl Served {
    /// Runs it, up to and including INIT.
    pub(crate) fn new(program: &str) -> Self {
        let [ours, theirs] = socket_pair();
        let fd = theirs.as_raw_fd();
        let (stderr, its_stderr) = UnixStream::pair().unwrap();
        stderr.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut command = Command::new(program);
        command
            .arg(format!("/dev/fd/{fd}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(OwnedFd::from(its_stderr));
        let inherit = move || {
            // SAFETY: it changes a flag of a descriptor.
            match unsafe { libc::fcntl(fd, libc::F_SETFD, 0) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        };
        // SAFETY: it is one system call, and allocates nothing.
        unsafe { command.pre_exec(inherit) };
        let child = command.spawn().unwrap();
        // It has the descriptors that it inherits.
        drop(command);
        let peer = UnixDatagram::from(ours);
        peer.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut served = Self {
            child: Some(child),
            peer,
            stderr: BufReader::new(stderr),
            unique: 0,
        };
        let unique = served.send(&proto::init(InitIn::default()));
        let reply = served.receive();
        assert_eq!(reply[..16], proto::reply(unique, &[0; 64])[..16]);
        served
    }

    /// Sends a request, and returns its number.
    pub(crate) fn send(&mut self, request: &Request) -> u64 {
        self.unique += 2;
        let bytes = request.bytes(self.unique);
        assert_eq!(self.peer.send(&bytes).unwrap(), bytes.len());
        self.unique
    }

    /// The next answer.
    #[track_caller]
    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut message = vec![0; 1 << 16];
        let length = self.peer.recv(&mut message).expect("an answer in time");
        message.truncate(length);
        message
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, request: &Request, body: &[u8]) {
        let unique = self.send(request);
        assert_eq!(self.receive(), proto::reply(unique, body), "{request:?}");
    }

    #[track_caller]
    pub(crate) fn expect_error(&mut self, request: &Request, errno: Errno) {
        let unique = self.send(request);
        assert_eq!(self.receive(), proto::error(unique, errno.raw()));
    }

    /// From now on it cannot answer, as if each client was interrupted.
    pub(crate) fn refuse(&self) {
        self.peer.shutdown(std::net::Shutdown::Read).unwrap();
    }

    /// The next line that it says on its standard error.
    #[track_caller]
    pub(crate) fn said(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).expect("a line in time");
        line
    }

    /// Tells it to end, by a signal, and waits until it has.
    #[track_caller]
    pub(crate) fn terminate(mut self) -> Ended {
        let child = self.child.as_mut().unwrap();
        // SAFETY: the child is there until it is waited for.
        unsafe { libc::kill(child.id().try_into().unwrap(), libc::SIGTERM) };
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < DEADLINE, "it did not end");
            thread::sleep(Duration::from_millis(5));
        }
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        let mut stderr = String::new();
        self.stderr.read_to_string(&mut stderr).unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr,
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
