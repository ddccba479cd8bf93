//! Going to the background.

use std::ffi::c_int;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::base::os::{checked, open_device};

/// The process in the foreground, which waits for the session to begin.
///
/// It ends with status 0 once it is released. When this process ends before that, it ends with the same status, so that
/// nobody takes a file system for mounted that is not.
pub(crate) struct Waiting(UnixStream);

/// How often the process in the foreground looks for a signal that it is to pass on.
const LOOK: Duration = Duration::from_millis(50);

/// `fuse_daemonize(0)`: forks. The process that returns is the one in the background.
///
/// A signal that comes to the other one, and that `signal` tells of by a positive number, is passed on.
pub(crate) fn fork(signal: impl Fn() -> c_int) -> io::Result<Waiting> {
    let threads = threads()?;
    if threads > 1 {
        return Err(io::Error::other(format!(
            "the process has {threads} threads, and only one of them would go to the background; \
             start threads after Session::daemonize"
        )));
    }
    let (foreground, background) = UnixStream::pair()?;
    foreground.set_read_timeout(Some(LOOK))?;
    // The process in the background knows of one that came before.
    let before = signal();
    // What is left in the buffers would be written twice.
    io::stdout().flush()?;
    // SAFETY: null is allowed, for all streams.
    unsafe { libc::fflush(std::ptr::null_mut()) };
    // SAFETY: this is the only thread, as /proc has said (`threads`), and it starts none in between: no lock is held by a thread
    // that the child does not have.
    match checked(unsafe { libc::fork() })? {
        0 => {
            drop(foreground);
            // SAFETY: no precondition.
            checked(unsafe { libc::setsid() })?;
            Ok(Waiting(background))
        }
        child => {
            drop(background);
            let pass_on = || Some(signal()).filter(|signal| *signal > 0 && before == 0);
            wait(foreground, child, pass_on)
        }
    }
}

/// How many threads the process has.
fn threads() -> io::Result<usize> {
    let tasks = fs::read_dir("/proc/self/task").map_err(|error| {
        let what = format!(
            "the process cannot go to the background, since /proc/self/task does not tell whether it has one thread: {error}; \
             mount /proc, or stay in the foreground"
        );
        io::Error::new(error.kind(), what)
    })?;
    Ok(tasks.count())
}

/// Waits for the child, and ends this process: nothing is unmounted, and no destructor runs.
fn wait(
    mut child_says: UnixStream,
    child: libc::pid_t,
    mut signal: impl FnMut() -> Option<c_int>,
) -> ! {
    let mut passed_on = false;
    let ready = loop {
        match child_says.read(&mut [0]) {
            Ok(count) => break count == 1,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => break false,
        }
        if let Some(signal) = signal().filter(|_| !passed_on) {
            // SAFETY: no memory is involved; the process is a child that has not been waited for. It ends, or has.
            unsafe { libc::kill(child, signal) };
            passed_on = true;
        }
    };
    let status = if ready { 0 } else { status_of(child) };
    // SAFETY: no precondition.
    unsafe { libc::_exit(status) }
}

fn status_of(child: libc::pid_t) -> c_int {
    let mut status = 0;
    // SAFETY: `status` lives.
    while unsafe { libc::waitpid(child, &raw mut status, 0) } == -1 {
        if io::Error::last_os_error().kind() != ErrorKind::Interrupted {
            return 1;
        }
    }
    if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        128 + libc::WTERMSIG(status)
    }
}

impl Waiting {
    /// The session has begun: standard input, output and error become /dev/null, and the process in the foreground ends.
    pub(crate) fn release(mut self) -> io::Result<()> {
        let null = open_device("/dev/null")?;
        for standard in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
            // SAFETY: both descriptors may be replaced or duplicated whatever they are; a standard one belongs to nobody.
            checked(unsafe { libc::dup2(null.as_raw_fd(), standard) })?;
        }
        self.0.write_all(&[1])
    }
}
