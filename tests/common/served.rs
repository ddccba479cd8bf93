//! A program that serves one end of a socket pair, of which the test has the other.

use std::io::{BufRead, BufReader, Read};
use std::ops::{Deref, DerefMut};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use fuse3::testing::Peer;
use fuse3::testing::proto::InitIn;

/// Nothing takes longer, unless it hangs.
const DEADLINE: Duration = Duration::from_secs(20);

/// The program, and its kernel. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Served {
    child: Child,
    peer: Peer,
    stdout: BufReader<UnixStream>,
    stderr: BufReader<UnixStream>,
}

/// What became of it, with what it had said that was not read before.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Served {
    /// Runs the command, with a mount point for its last argument.
    pub(crate) fn start(mut command: Command) -> Self {
        let (peer, theirs) = Peer::pair();
        let [(stdout, its_stdout), (stderr, its_stderr)] = [(), ()].map(|()| {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_read_timeout(Some(DEADLINE)).unwrap();
            (BufReader::new(ours), OwnedFd::from(theirs))
        });
        command.arg("/dev/fd/0").stdin(theirs);
        let child = command.stdout(its_stdout).stderr(its_stderr).spawn();
        Self {
            child: child.unwrap(),
            peer,
            stdout,
            stderr,
        }
    }

    /// The same, up to and including INIT.
    pub(crate) fn new(command: Command) -> Self {
        let mut served = Self::start(command);
        served.init(InitIn::default());
        served
    }

    /// The next line on its standard output.
    #[track_caller]
    pub(crate) fn says(&mut self) -> String {
        line(&mut self.stdout)
    }

    /// The same, on its standard error.
    #[track_caller]
    pub(crate) fn complains(&mut self) -> String {
        line(&mut self.stderr)
    }

    /// Tells it to end, by a signal, and waits until it has.
    #[track_caller]
    pub(crate) fn terminate(self) -> Ended {
        // SAFETY: the child is there until it is waited for.
        unsafe { libc::kill(self.child.id().try_into().unwrap(), libc::SIGTERM) };
        self.ends()
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn ends(mut self) -> Ended {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < DEADLINE, "it did not end: {self:?}");
            thread::sleep(Duration::from_millis(5));
        };
        Ended {
            code: status.code(),
            stdout: rest(&mut self.stdout),
            stderr: rest(&mut self.stderr),
        }
    }
}

#[track_caller]
fn line(stream: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).expect("a line in time");
    line
}

#[track_caller]
fn rest(stream: &mut BufReader<UnixStream>) -> String {
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the end in time");
    rest
}

impl Deref for Served {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.peer
    }
}

impl DerefMut for Served {
    fn deref_mut(&mut self) -> &mut Peer {
        &mut self.peer
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It has ended already, mostly.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
