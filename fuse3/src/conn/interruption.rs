//! Which signals of a caller count.

use std::ffi::c_int;
use std::{fs, str};

/// Which signals of the caller end what its request waits for: set by [`Builder::interruption`](crate::Builder::interruption) for a
/// session, by [`Context::set_interruption`](crate::Context::set_interruption) for a request.
///
/// The kernel sends INTERRUPT for a request when its caller gets a signal, whichever it is, once. Most callers that get one live
/// on: a timer, a profiler, a terminal that changes its size. If they got EINTR for that, the system call would fail with it, also
/// where SA_RESTART was asked for, since the kernel does not restart what a file system answers; and whoever then repeats an
/// open(2) with O_CREAT and O_EXCL may be told EEXIST, of the file that it has made itself.
///
/// It is what [`Context::wait_while`](crate::Context::wait_while), [`Context::spawn`](crate::Context::spawn),
/// [`interrupted`](crate::Context::interrupted) and [`on_interrupt`](crate::Context::on_interrupt) go by. The end of the session ends a
/// wait in any case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Interruption {
    /// None: the caller waits for the answer, whatever it is sent. As `wait_event()` in the kernel.
    Never,
    /// One that ends the caller: SIGKILL, and each other whose default action that is and which the caller neither catches,
    /// blocks nor ignores. As `wait_event_killable()`.
    ///
    /// After an interrupt, the signals that are pending for the caller are read from /proc/TID/status, again and again until the
    /// answer, since the kernel does not say when a fatal one follows: within some 50 milliseconds. Where they cannot be read, each
    /// signal counts: without /proc, and for callers of another pid namespace, which have the number 0. Over io_uring, where no
    /// INTERRUPT comes, they are read all the time.
    #[default]
    Fatal,
    /// Any that is neither ignored nor blocked. As `wait_event_interruptible()`, and as libfuse's `fuse_req_interrupted()`.
    ///
    /// For what lasts until somebody else does something, such as a lock on a file: the system call ends with EINTR, so that
    /// alarm(2) limits how long fcntl(2) waits for F_SETLKW.
    Any,
}

/// Signals whose default action does not end a process.
const HARMLESS: [c_int; 8] = [
    libc::SIGCHLD,
    libc::SIGCONT,
    libc::SIGURG,
    libc::SIGWINCH,
    libc::SIGSTOP,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
];

/// Whether a signal is pending that ends this thread. If that cannot be read, it counts: it could not be killed otherwise.
pub(super) fn is_dying(tid: i32) -> bool {
    let dying = fs::read(format!("/proc/{tid}/status"))
        .ok()
        .and_then(|status| has_fatal_signal(&status));
    dying.unwrap_or(true)
}

/// proc_pid_status(5)
fn has_fatal_signal(status: &[u8]) -> Option<bool> {
    let set = |name: &[u8]| {
        let mut lines = status.split(|byte| *byte == b'\n');
        let set = lines.find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(str::from_utf8(set).ok()?.trim(), 16).ok()
    };
    let pending = set(b"SigPnd:")? | set(b"ShdPnd:")?;
    let harmless = HARMLESS
        .iter()
        .fold(0, |set, signal| set | 1 << (signal - 1));
    let spared = set(b"SigBlk:")? | set(b"SigIgn:")? | set(b"SigCgt:")? | harmless;
    Some(pending & !spared != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pending: [u64; 2], spared: [u64; 3]) -> Option<bool> {
        let [thread, shared] = pending;
        let [blocked, ignored, caught] = spared;
        let status = format!(
            "Name:\tSigPnd:\nPid:\t7\nSigPnd:\t{thread:016x}\nShdPnd:\t{shared:016x}\nSigBlk:\t{blocked:016x}\n\
             SigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
        );
        has_fatal_signal(status.as_bytes())
    }

    #[test]
    fn what_ends_a_process_is_fatal() {
        let of = |signal: c_int| 1_u64 << (signal - 1);
        for signal in 1..=64 {
            let is_fatal = !HARMLESS.contains(&signal);
            assert_eq!(status([of(signal), 0], [0; 3]), Some(is_fatal), "{signal}");
            assert_eq!(status([0, of(signal)], [0; 3]), Some(is_fatal), "{signal}");
            for spared in 0..3 {
                let mut sets = [0; 3];
                sets[spared] = of(signal);
                assert_eq!(status([of(signal), 0], sets), Some(false), "{signal}");
            }
        }
        assert_eq!(status([0; 2], [0; 3]), Some(false));
        assert_eq!(has_fatal_signal(b"Name:\tsleep\n"), None);
    }

    #[test]
    fn who_cannot_be_asked_counts() {
        assert!(is_dying(0));
        assert!(!is_dying(std::process::id().try_into().unwrap()));
    }
}
