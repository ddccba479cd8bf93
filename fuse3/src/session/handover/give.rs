//! The predecessor's side.

use std::any::Any;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{env, fmt, io, thread};

use crate::base::{action, log, panic::discard};
use crate::dispatch::filesystem::Filesystem;
use crate::session::child::prepare_child;
use crate::session::handover::agreed::Agreed;
use crate::session::handover::error::HandoverError;
use crate::session::handover::executable;
use crate::session::handover::inherit::{HANDOVER, Heir, KEEPER, bequeath};
use crate::session::handover::passing::{self, Parcel, Program};
use crate::session::handover::record::Record;
use crate::session::handover::value::Baggage;
use crate::session::mountinfo::Own;
use crate::session::served::Stopped;
use crate::session::session::{End, Reason, Session};
use crate::sys;

/// A session that was not handed over, and why.
pub struct NotHandedOver<F: Filesystem> {
    /// The session as it was: [`again`](Stopped::again) goes on with it.
    pub stopped: Stopped<F>,
    /// What was wrong.
    pub error: HandoverError,
}

impl<F: Filesystem> Stopped<F> {
    /// Hands the mount over to the process at the other end of `to`, which [takes it over](crate::Builder::take_over). Clients
    /// notice a pause.
    ///
    /// Deferred answers and futures are waited for, for [`Builder::hand_over_patience`](crate::Builder::hand_over_patience). What
    /// is not answered then is left to the successor: the kernel sends it once more ([`Context::is_resent`](crate::Context::is_resent)),
    /// and answers that come late are dropped. After that `baggage` is called, on this thread, and says what the
    /// file system hands over of its own. The successor looks at everything, and is ready or refuses; only then does this session
    /// end, with [`Reason::HandedOver`] and nothing unmounted. `destroy` is called then, while the
    /// successor already serves.
    ///
    /// Kernel passthrough needs nothing: backing files belong to the connection, and stay valid.
    ///
    /// # Errors
    ///
    /// Each has the session, which is as it was. [`HandoverError::Unsupported`] for what cannot be handed over: `clone_fd`, whose descriptors the
    /// kernel ties requests to, `auto_unmount`, whose fusermount3 waits for the end of this process, and a character device. (Over io_uring, [`serve`](Session::serve) does not return a session that stopped.)
    /// [`HandoverError::Unanswered`], [`HandoverError::Baggage`], [`HandoverError::Io`], [`HandoverError::Silent`] and
    /// [`HandoverError::Refused`].
    ///
    /// # Panics
    ///
    /// As [`Session::close`].
    pub fn hand_over(
        self,
        to: &UnixStream,
        baggage: impl FnOnce(&F, &F::Lock) -> io::Result<Baggage>,
    ) -> Result<End<F>, Box<NotHandedOver<F>>> {
        let patience = self.session.settings.hand_over_patience;
        self.give(baggage, |session, parcel| {
            if session.keeper.is_some() {
                let what = "a keeper, which would start another server; use exec";
                return Err(HandoverError::Unsupported(what));
            }
            passing::offer(to, parcel, patience)?;
            passing::go(to)
        })
    }

    /// Leaves the mount to the [keeper](crate::Builder::keeper), and ends without unmounting: for a restart by whoever keeps it, systemd
    /// (`systemctl restart`) or [`supervise`](super::supervise). What clients ask meanwhile waits.
    ///
    /// As [`hand_over`](Self::hand_over) otherwise, to a process that is not there yet. So nobody can refuse: where the next one
    /// cannot take over, nobody goes on. Call it only where the keeper is to start one.
    ///
    /// # Errors
    ///
    /// As `hand_over`. [`HandoverError::Unsupported`] where the session has no keeper, and [`HandoverError::Io`] where that is gone.
    ///
    /// # Panics
    ///
    /// As [`Session::close`].
    pub fn leave(
        self,
        baggage: impl FnOnce(&F, &F::Lock) -> io::Result<Baggage>,
    ) -> Result<End<F>, Box<NotHandedOver<F>>> {
        self.give(baggage, |session, parcel| {
            let none = HandoverError::Unsupported("no keeper");
            let keeper = session.keeper.as_ref().ok_or(none)?;
            keeper.leave(parcel).map_err(HandoverError::Io)
        })
    }

    /// Ends the session when `give` has given it to somebody else.
    fn give(
        self,
        baggage: impl FnOnce(&F, &F::Lock) -> io::Result<Baggage>,
        give: impl FnOnce(&Session<F>, &Parcel<'_>) -> Result<(), HandoverError>,
    ) -> Result<End<F>, Box<NotHandedOver<F>>> {
        let given = self.record(baggage).and_then(|(record, baggage)| {
            let parcel = Parcel {
                device: &self.session.device()?,
                record: record.to_text(),
                baggage: &baggage,
                program: None,
            };
            give(&self.session, &parcel)
        });
        if let Err(error) = given {
            return Err(Box::new(NotHandedOver {
                stopped: self,
                error,
            }));
        }
        let Self { mut session, .. } = self;
        session.set_left();
        Ok(End {
            reason: Reason::HandedOver,
            ..session.close()
        })
    }

    /// execve(2): replaces this program by that of `command`, which [finds](super::Handover::inherited) the mount and
    /// [takes it over](crate::Builder::take_over). The process stays the same: what waits for it (a shell, systemd) notices
    /// nothing.
    ///
    /// As [`hand_over`](Self::hand_over), but nothing of this program runs after it, `destroy` and destructors included. If the new
    /// program cannot take over, [`NotTakenOver::give_back`](super::NotTakenOver::give_back) runs this one again, with the same
    /// arguments. The command is [prepared](crate::session::prepare_child), so that
    /// all descriptors are closed except standard input, output and error.
    ///
    /// # Errors
    ///
    /// It returns only when it fails. As `hand_over`, and [`HandoverError::Exec`] of execve(2). ENOEXEC is found out before: std calls
    /// execvp(3), which would run a file that is no program, or only the beginning of one, as a script of /bin/sh. Descriptors of
    /// this process are then closed on execve(2), those too that were not before.
    pub fn exec(
        self,
        command: &mut Command,
        baggage: impl FnOnce(&F, &F::Lock) -> io::Result<Baggage>,
    ) -> Box<NotHandedOver<F>> {
        let replaced = self.record(baggage).map(|(record, baggage)| {
            let device = self.session.device()?;
            let program = File::open("/proc/self/exe").map(|executable| Program {
                executable: executable.into(),
                arguments: arguments(),
            });
            let parcel = Parcel {
                device: &device,
                record: record.to_text(),
                baggage: &baggage,
                program: Some(program.map_err(HandoverError::Io)?),
            };
            prepare_child(command);
            // Of descriptors that this program has taken.
            for stale in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
                command.env_remove(stale);
            }
            let kept = match &self.session.keeper {
                Some(keeper) => keeper.go_on(command),
                None => {
                    command.env_remove(KEEPER);
                    Ok(())
                }
            };
            kept.map_err(HandoverError::Io)?;
            Err(HandoverError::Exec(exec(command, &parcel)))
        });
        let error = match replaced {
            Ok(Ok(never)) => never,
            Ok(Err(error)) | Err(error) => error,
        };
        Box::new(NotHandedOver {
            stopped: self,
            error,
        })
    }

    /// Waits until nothing is under way, and asks the file system.
    fn record(
        &self,
        baggage: impl FnOnce(&F, &F::Lock) -> io::Result<Baggage>,
    ) -> Result<(Record, Baggage), HandoverError> {
        let session = &self.session;
        let settings = &session.settings;
        let unsupported = [
            (settings.clone_fd, "clone_fd"),
            (session.waiting.is_some(), "auto_unmount"),
            (settings.is_device, "a character device"),
        ];
        if let Some((_, what)) = unsupported.iter().find(|(is_set, _)| *is_set) {
            return Err(HandoverError::Unsupported(what));
        }
        let left = session
            .core
            .conn()
            .leave_unanswered(settings.hand_over_patience);
        left.map_err(HandoverError::Unanswered)?;
        let core = &session.core;
        let baggage = baggage(&core.fs, &core.lock).map_err(HandoverError::Baggage)?;
        Ok((session.record(), baggage))
    }
}

/// Runs the program of `command`, which is [prepared](prepare_child), in place of this one, and has it find `parcel`.
pub(super) fn exec(command: &mut Command, parcel: &Parcel<'_>) -> io::Error {
    let mut run = || {
        executable::check(command.get_program())?;
        let (ours, its) = UnixStream::pair()?;
        // Nobody reads before there is the other program.
        ours.set_nonblocking(true)?;
        passing::send(&ours, parcel).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                let what = "more files than a socket takes are handed over; use hand_over";
                io::Error::new(error.kind(), what)
            }
            _ => error,
        })?;
        bequeath(command, its, HANDOVER, Heir::Itself);
        let before = action::current(libc::SIGPIPE)?;
        // On a thread of its own: where it fails, std has changed which signals are blocked, and what SIGPIPE does.
        let error = thread::scope(|scope| {
            let thread = thread::Builder::new().spawn_scoped(scope, || command.exec());
            thread.map_or_else(
                |error| error,
                |thread| thread.join().unwrap_or_else(panicked),
            )
        });
        // SAFETY: `before` is what the signal did.
        unsafe { action::set(libc::SIGPIPE, &before) }?;
        Ok(error)
    };
    run().unwrap_or_else(|error| error)
}

fn panicked(payload: Box<dyn Any + Send>) -> io::Error {
    discard(payload);
    io::Error::other("it panicked")
}

/// The program's, with a NUL after each.
fn arguments() -> Vec<u8> {
    let arguments = env::args_os();
    let bytes = arguments.flat_map(|argument| [argument.as_bytes(), b"\0"].concat());
    bytes.collect()
}

impl Program {
    pub(super) fn command(&self) -> Command {
        use std::os::fd::AsRawFd;
        let mut arguments = self
            .arguments
            .split(|byte| *byte == 0)
            .map(OsStr::from_bytes);
        let path = format!("/proc/self/fd/{}", self.executable.as_raw_fd());
        let mut command = Command::new(path);
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        // After the last NUL there is nothing.
        let count = arguments.clone().count().saturating_sub(1);
        command.args(arguments.take(count));
        command
    }
}

impl<F: Filesystem> Session<F> {
    /// What a successor has to know.
    pub(super) fn record(&self) -> Record {
        let agreement = self.core.conn().agreement_of_loop();
        let agreed = agreement.as_ref().map(Agreed::of);
        // SAFETY: no precondition.
        let libfuse = unsafe { sys::fuse_version() };
        Record {
            libfuse: u32::try_from(libfuse).unwrap_or(0),
            begun: self.init.clone().zip(agreed),
            mount: self.own.as_ref().map(Own::recorded),
        }
    }

    /// From now on somebody else serves the mount.
    fn set_left(&mut self) {
        self.core.conn().set_left(true);
        self.settings.keep_mounted = true;
        self.own = None;
    }

    /// Has the keeper keep what there is, if there is one.
    pub(in crate::session) fn deposit(&self) {
        let Some(keeper) = &self.keeper else {
            return;
        };
        let kept = self.device().and_then(|device| {
            let parcel = Parcel {
                device: &device,
                record: self.record().to_text(),
                baggage: &keeper.baggage,
                program: None,
            };
            keeper.keep(&parcel).map_err(HandoverError::Io)
        });
        if let Err(error) = kept {
            log::error!("a crash would end the mount, which is kept by nobody: {error}");
        }
    }
}

impl<F: Filesystem> fmt::Debug for NotHandedOver<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotHandedOver")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl<F: Filesystem> fmt::Display for NotHandedOver<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the session was not handed over: {}", self.error)
    }
}

impl<F: Filesystem> std::error::Error for NotHandedOver<F> {}
