//! An example whose program file is replaced while it runs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::mount::{Mounted, program, within};

/// How long an upgrade may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A mounted example, with two copies of its program of which one is at its path. Which one runs can be seen.
pub(crate) struct Replaced {
    pub(crate) mounted: Mounted,
    pid: Pid,
    program: PathBuf,
    copies: [PathBuf; 2],
}

impl Replaced {
    /// As [`Mounted::new`].
    pub(crate) fn start(example: &str, arguments: &[&str], deadline: Duration) -> Option<Self> {
        let copied = |command: &mut Command, dir: &Path| {
            let [one, other, program] = paths(dir, example);
            for copy in [&one, &other] {
                program::copy(Path::new(command.get_program()), copy);
            }
            fs::hard_link(&one, &program).unwrap();
            let mut copied = Command::new(program);
            copied.args(command.get_args());
            *command = copied;
        };
        let mounted = Mounted::start(example, arguments, deadline, copied)?;
        let [one, other, program] = paths(mounted.path().parent().unwrap(), example);
        Some(Self {
            pid: Pid::from_raw(mounted.id().try_into().unwrap()).unwrap(),
            mounted,
            program,
            copies: [one, other],
        })
    }

    /// The root of the file system.
    pub(crate) fn path(&self) -> &Path {
        self.mounted.path()
    }

    /// Puts a copy of `other` where the program is.
    pub(crate) fn put(&self, other: &Path) {
        let new = self.program.with_extension("new");
        program::copy(other, &new);
        fs::rename(new, &self.program).unwrap();
    }

    pub(crate) fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Has the other copy go on, and waits until it does.
    pub(crate) fn upgrade(&mut self) {
        self.copies.swap(0, 1);
        let new = self.program.with_extension("new");
        fs::hard_link(&self.copies[0], &new).unwrap();
        fs::rename(new, &self.program).unwrap();
        self.hang_up();
        assert!(within(PATIENCE, || self.is_running(0)), "{}", self.stderr());
        // Only whoever serves answers.
        crate::calls::statvfs(self.path()).unwrap();
    }

    /// Whether it runs the copy that was the last to be put there, or, for 1, the one before.
    pub(crate) fn is_running(&self, copy: usize) -> bool {
        let running = fs::metadata(format!("/proc/{}/exe", self.mounted.id()));
        let copy = fs::metadata(&self.copies[copy]).unwrap();
        running.is_ok_and(|running| running.ino() == copy.ino())
    }

    /// Waits until its stderr has `what`.
    pub(crate) fn says(&self, what: &str) -> bool {
        within(PATIENCE, || self.stderr().contains(what))
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.program.with_file_name("stderr")).unwrap()
    }
}

fn paths(dir: &Path, example: &str) -> [PathBuf; 3] {
    [dir.join("one"), dir.join("other"), dir.join(example)]
}
