//! tests/watched.c, with this test as its kernel: what is called with the lock held, and what is not.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use fuse3::testing::proto::{self, Bytes, File, InitIn};

use crate::compiler::program;

const DEADLINE: Duration = Duration::from_secs(10);

/// The program, which has the other end of the socket. It ends itself by an alarm(2) if it hangs.
pub(crate) struct Watched {
    socket: UnixDatagram,
    child: Child,
    says: BufReader<ChildStdout>,
    unique: u64,
}

impl Watched {
    /// Has it serve, up to and including INIT.
    fn new() -> Self {
        let mut watched = Self::start(&program("cc", "-std=gnu11", "tests/watched.c"));
        let init = watched.send(&proto::init(InitIn::default()));
        assert_eq!(watched.receive()[..16], proto::reply(init, &[0; 64])[..16]);
        watched
    }

    /// Has `program` serve; its file goes.
    pub(crate) fn start(program: &Path) -> Self {
        Self::start_with(program, |_| ())
    }

    pub(crate) fn start_with(program: &Path, set_up: impl FnOnce(&mut Command)) -> Self {
        let (socket, served) = UnixDatagram::pair().unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut command = Command::new(program);
        set_up(&mut command);
        let mut child = command
            .arg("/dev/fd/0")
            .stdin(OwnedFd::from(served))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        fs::remove_file(program).unwrap();
        Self {
            says: BufReader::new(child.stdout.take().unwrap()),
            socket,
            child,
            unique: 0,
        }
    }

    fn send(&mut self, request: &proto::Request) -> u64 {
        self.unique += 2;
        self.socket.send(&request.bytes(self.unique)).unwrap();
        self.unique
    }

    fn receive(&self) -> Vec<u8> {
        let mut message = vec![0; 1 << 16];
        let length = self.socket.recv(&mut message).unwrap();
        message.truncate(length);
        message
    }

    /// A lookup of a name that is not there, which fails with `errno`.
    fn look_up(&mut self, name: &str, errno: i32) {
        let unique = self.send(&proto::lookup(1, name.as_bytes()));
        assert_eq!(self.receive(), proto::error(unique, errno), "{name}");
    }

    fn says(&mut self, line: &str) {
        let mut said = String::new();
        self.says.read_line(&mut said).unwrap();
        assert_eq!(said, format!("{line}\n"));
    }

    /// What else it says, with the status that it ends with.
    pub(crate) fn ends(&mut self, status: i32) -> String {
        let mut said = String::new();
        self.says.read_to_string(&mut said).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(status), "{said}");
        said
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It has ended already, mostly.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ENDED: &str = "ended 0\nagain -16\nother -16\n";

#[test]
fn forget_comes_with_the_lock_held() {
    let mut watched = Watched::new();
    watched.send(&proto::forget(2, 7));
    watched.says("forget 2 7, held 1");
    watched.send(&proto::batch_forget(&[(3, 1), (4, 2)]));
    watched.says("forget 3 1, held 1");
    watched.says("forget 4 2, held 1");
    watched.look_up("end", libc::ENOENT);
    assert_eq!(watched.ends(0), ENDED);
}

/// While the handler of the request has the lock, and goes on having it.
#[test]
fn interrupt_does_not_wait_for_the_lock() {
    let mut watched = Watched::new();
    let unique = watched.send(&proto::read(2, File::new(0), 0, 4096));
    watched.says("reading");
    watched.send(&proto::interrupt(unique));
    watched.says("interrupted, held 0");
    assert_eq!(watched.receive(), proto::error(unique, libc::EINTR));
    watched.look_up("end", libc::ENOENT);
    assert_eq!(watched.ends(0), ENDED);
}

#[test]
fn a_notification_is_sent_that_was_queued_with_the_lock_held() {
    let mut watched = Watched::new();
    let unique = watched.send(&proto::lookup(1, b"notify"));
    let mut messages = [watched.receive(), watched.receive()];
    // FUSE_NOTIFY_INVAL_INODE, of attributes only.
    let body = Bytes::new().u64(2).i64(-1).i64(0);
    let mut expected = [
        proto::error(unique, libc::ENOENT),
        proto::notification(2, &body),
    ];
    messages.sort();
    expected.sort();
    assert_eq!(messages, expected);
    watched.look_up("end", libc::ENOENT);
    assert_eq!(watched.ends(0), ENDED);
}

/// Not while it runs, not afterwards, and not with another session.
#[test]
fn a_lock_serves_one_session_once() {
    let mut watched = Watched::new();
    assert_eq!(libc::EBUSY, 16);
    watched.look_up("run", libc::EBUSY);
    watched.look_up("still there", libc::ENOENT);
    watched.look_up("end", libc::ENOENT);
    assert_eq!(watched.ends(0), ENDED);
}
