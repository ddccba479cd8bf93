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
/// The setting governs [`Context::wait_while`](crate::Context::wait_while), [`Context::block_on`](crate::Context::block_on),
/// [`Context::spawn`](crate::Context::spawn), [`interrupted`](crate::Context::interrupted) and
/// [`on_interrupt`](crate::Context::on_interrupt). The end of the session ends a wait in any case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Interruption {
    /// No signal counts: the caller waits for the answer, as with `wait_event()` in the kernel.
    Never,
    /// SIGKILL counts, and any signal whose default action ends the process, unless the caller catches, blocks or ignores it: as
    /// with `wait_event_killable()` in the kernel.
    ///
    /// The library reads from /proc/TID/status which signals are pending for the caller, after an interrupt, and again every
    /// 50 milliseconds until the answer, since the kernel does not say when a fatal signal follows another one. It reads less often
    /// if there are very many such requests, so that this takes at most a twentieth of a processor. If the file cannot be read
    /// (without /proc, or for a caller outside the pid namespace of the mount), every interrupt counts.
    ///
    /// Over io_uring, where no INTERRUPT comes, the file is read all the time. A caller whose file cannot be read is then waited for.
    #[default]
    Fatal,
    /// Any signal counts that the caller neither ignores nor blocks: as with `wait_event_interruptible()` in the kernel, and with
    /// libfuse's `fuse_req_interrupted()`.
    ///
    /// It is meant for what lasts until somebody else does something, such as a lock on a file: the system call ends with EINTR, so
    /// that alarm(2) limits how long fcntl(2) waits for F_SETLKW.
    Any,
}

/// What is known of the signals of a request's caller.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// Which signals count.
    pub(super) by: Interruption,
    /// The kernel has sent an interrupt, which need not count.
    pub(super) has_come: bool,
    /// The kernel sends none: the request came over io_uring.
    pub(super) is_silent: bool,
    /// The thread that waits for the answer; 0 if there is none, or none that is known here.
    pub(super) caller: i32,
}

impl Standing {
    /// Only the caller's pending signals can tell, now or later.
    pub(super) fn is_doubtful(self) -> bool {
        match self.by {
            Interruption::Never => false,
            Interruption::Fatal => self.has_come || self.is_silent && self.caller != 0,
            Interruption::Any => !self.has_come && self.is_silent && self.caller != 0,
        }
    }

    /// The caller has got a signal that counts. Reads a file of /proc if that is needed to tell.
    pub(crate) fn counts(self) -> bool {
        if !self.is_doubtful() {
            return self.has_come && self.by == Interruption::Any;
        }
        let status = fs::read(format!("/proc/{}/status", self.caller)).ok();
        let is_pending = status.and_then(|status| is_pending(&status, self.by));
        is_pending.unwrap_or(self.has_come)
    }
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

/// Whether a signal that counts is pending, by proc_pid_status(5).
fn is_pending(status: &[u8], by: Interruption) -> Option<bool> {
    let set = |name: &[u8]| {
        let mut lines = status.split(|byte| *byte == b'\n');
        let set = lines.find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(str::from_utf8(set).ok()?.trim(), 16).ok()
    };
    let pending = set(b"SigPnd:")? | set(b"ShdPnd:")?;
    let mut spared = set(b"SigBlk:")? | set(b"SigIgn:")?;
    if by == Interruption::Fatal {
        spared |= HARMLESS
            .iter()
            .fold(set(b"SigCgt:")?, |set, signal| set | 1 << (signal - 1));
    }
    Some(pending & !spared != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_fatal(pending: [u64; 2], spared: [u64; 3]) -> Option<bool> {
        is_pending(&status(pending, spared), Interruption::Fatal)
    }

    fn status([thread, shared]: [u64; 2], [blocked, ignored, caught]: [u64; 3]) -> Vec<u8> {
        let status = format!(
            "Name:\tSigPnd:\nPid:\t7\nSigPnd:\t{thread:016x}\nShdPnd:\t{shared:016x}\nSigBlk:\t{blocked:016x}\n\
             SigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
        );
        status.into_bytes()
    }

    #[test]
    fn what_ends_a_process_is_fatal() {
        let of = |signal: c_int| 1_u64 << (signal - 1);
        for signal in 1..=64 {
            let ends = !HARMLESS.contains(&signal);
            assert_eq!(is_fatal([of(signal), 0], [0; 3]), Some(ends), "{signal}");
            assert_eq!(is_fatal([0, of(signal)], [0; 3]), Some(ends), "{signal}");
            for spared in 0..3 {
                let mut sets = [0; 3];
                sets[spared] = of(signal);
                assert_eq!(is_fatal([of(signal), 0], sets), Some(false), "{signal}");
                // What is caught, or harmless, is a signal all the same.
                let any = is_pending(&status([of(signal), 0], sets), Interruption::Any);
                assert_eq!(any, Some(spared == 2), "{signal}");
            }
        }
        assert_eq!(is_fatal([0; 2], [0; 3]), Some(false));
        assert_eq!(is_pending(b"Name:\tsleep\n", Interruption::Fatal), None);
    }

    /// Without an interrupt nobody was sent a signal: pages are written back for no caller, and a caller may be out of sight.
    #[test]
    fn who_cannot_be_asked_counts_after_an_interrupt_only() {
        let living = std::process::id().try_into().unwrap();
        for (caller, has_come, counts) in [
            (0, true, true),
            (0, false, false),
            (i32::MAX, true, true),
            (i32::MAX, false, false),
            (living, true, false),
            (living, false, false),
        ] {
            let of = |by, is_silent| Standing {
                by,
                has_come,
                is_silent,
                caller,
            };
            for is_silent in [false, true] {
                let fatal = of(Interruption::Fatal, is_silent);
                assert_eq!(fatal.counts(), counts, "{fatal:?}");
                let any = of(Interruption::Any, is_silent);
                assert_eq!(any.counts(), has_come, "{any:?}");
                assert!(!of(Interruption::Never, is_silent).counts());
            }
        }
    }
}
