//! Clients of a mount in processes of their own, which may block: this program again, told to play a part of the test.
//!
//! The process of the file system opens nothing of its own mount meanwhile, see [`alone`](crate::fixture::alone).

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use crate::fixture::DEADLINE;

/// Set in the client: the test, the part in it, and the mount point.
const CLIENT: &str = "FUSE3_TEST_CLIENT";
/// What the client says for the test, and not for libtest, begins so.
const SAYS: &str = "client: ";

/// In a client of the test `name`, its part and the mount point.
pub(crate) fn part(name: &str) -> Option<(String, PathBuf)> {
    let set = env::var(CLIENT).ok()?;
    let mut words = set.splitn(3, ' ');
    if words.next() != Some(name) {
        return None;
    }
    Some((words.next()?.to_owned(), words.next()?.into()))
}

/// In a client: tells the test.
pub(crate) fn say(what: impl std::fmt::Display) {
    println!("{SAYS}{what}");
    std::io::stdout().flush().unwrap();
}

/// In a client: waits until the test says [`go_on`](Client::go_on), or is gone.
pub(crate) fn wait_to_go_on() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// A client, which is killed when it is dropped.
pub(crate) struct Client {
    process: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Client {
    /// Plays `part` of the test `name`.
    pub(crate) fn new(name: &str, part: &str, mount: &Path) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args([
                name,
                "--exact",
                "--include-ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(CLIENT, format!("{name} {part} {}", mount.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = process.stdin.take().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // libtest ends its own line only when the test has.
                if let Some((_, said)) = line.split_once(SAYS) {
                    // The test may have gone.
                    let _ = sender.send(said.to_owned());
                }
            }
        });
        Self {
            process,
            stdin,
            lines,
        }
    }

    /// What it says next.
    #[track_caller]
    pub(crate) fn says(&self) -> String {
        let line = self.lines.recv_timeout(DEADLINE);
        line.expect("the client says something more")
    }

    /// It says nothing now.
    #[track_caller]
    pub(crate) fn is_silent(&self) {
        assert_eq!(self.lines.try_recv().ok(), None);
    }

    pub(crate) fn go_on(&mut self) {
        self.stdin.write_all(b"\n").unwrap();
    }

    pub(crate) fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.process.id()).unwrap();
        // SAFETY: no memory is involved; the process is a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits until it has played its part well.
    #[track_caller]
    pub(crate) fn ends(mut self) {
        // It has said its last word when the pipe is closed.
        match self.lines.recv_timeout(DEADLINE) {
            Err(RecvTimeoutError::Disconnected) => {}
            Err(RecvTimeoutError::Timeout) => panic!("the client does not end"),
            Ok(line) => panic!("the client says more: {line}"),
        }
        assert!(self.process.wait().unwrap().success(), "the client failed");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It has ended already, as a rule.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
