//! The successor's side.

use std::error::Error;
use std::os::fd::IntoRawFd;
use std::time::Duration;
use std::{fmt, io, mem};

use crate::conn::{panics::Trouble, uring::IoUring};
use crate::dispatch::filesystem::Filesystem;
use crate::session::builder::Builder;
use crate::session::child::prepare_child;
use crate::session::handover::error::HandoverError;
use crate::session::handover::give;
use crate::session::handover::keeper::Keeper;
use crate::session::handover::passing;
use crate::session::handover::value::{Handover, Predecessor};
use crate::session::mount;
use crate::session::mountinfo::{Own, served_by};
use crate::session::session::Session;
use crate::sys;

/// A mount that was not taken over, and why. A predecessor that waits has been told, and goes on.
#[derive(Debug)]
pub struct NotTakenOver {
    /// The mount, for somebody else.
    pub handover: Handover,
    /// What was wrong.
    pub error: HandoverError,
    /// The process that keeps the mount, if there is one.
    keeper: Option<Keeper>,
}

impl NotTakenOver {
    /// Runs the program again that replaced itself by this one with [`exec`](crate::session::Stopped::exec), with its arguments, and
    /// has it take its mount back, with all that it had handed over.
    ///
    /// # Errors
    ///
    /// It returns only when it fails, or when there is nothing to give back to: a predecessor at the other end of a socket goes on by itself.
    pub fn give_back(self) -> io::Error {
        self.handover.give_back(self.keeper.as_ref())
    }
}

impl Handover {
    /// As [`NotTakenOver::give_back`], for a program that sees by itself that it cannot go on: it cannot read the
    /// [`Baggage`](super::Baggage), say. `keeper` is this process's, if it has one.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn give_back(mut self, keeper: Option<&Keeper>) -> io::Error {
        let predecessor = mem::replace(&mut self.predecessor, Predecessor::Gone);
        let Predecessor::Program(program) = predecessor else {
            self.predecessor = predecessor;
            let what = "no program was replaced by this one, so that none is run again";
            return io::Error::new(io::ErrorKind::NotFound, what);
        };
        let mut command = program.command();
        prepare_child(&mut command);
        match keeper.map_or(Ok(()), |keeper| keeper.go_on(&mut command)) {
            Ok(()) => give::exec(&mut command, &self.parcel()),
            Err(error) => error,
        }
    }
}

impl<F: Filesystem> Builder<F> {
    /// Goes on with a mount that another process has served.
    ///
    /// `init` is called with what the kernel said when it was mounted, and has to ask for the same: the kernel is
    /// not asked again. The mount's options stay as they are; those of this builder have to be in force.
    /// When everything fits, the predecessor is told, and ends its session. [`Session::run`] then begins with what the
    /// predecessor left unanswered ([`Context::is_resent`](crate::Context::is_resent)). The session unmounts at its end what the predecessor
    /// would have unmounted.
    ///
    /// # Errors
    ///
    /// [`NotTakenOver`] has the [`HandoverError`], which names what is wrong. The mount stays the predecessor's.
    pub fn take_over(mut self, mut handover: Handover) -> Result<Session<F>, Box<NotTakenOver>> {
        let keeper = self.keeper.take();
        match self.try_to_take_over(&mut handover, keeper.is_some()) {
            Ok(mut session) => {
                session.keeper = keeper;
                session.deposit();
                Ok(session)
            }
            Err(error) => {
                handover.tell(&error);
                Err(Box::new(NotTakenOver {
                    handover,
                    error,
                    keeper,
                }))
            }
        }
    }

    fn try_to_take_over(
        mut self,
        handover: &mut Handover,
        is_kept: bool,
    ) -> Result<Session<F>, HandoverError> {
        let mut options = self.take_options().map_err(HandoverError::Session)?;
        let unsupported = [
            (self.settings.clone_fd, "clone_fd"),
            (options.auto_unmount(), "auto_unmount"),
            (options.connection.io_uring() == IoUring::On, "io_uring"),
        ];
        if let Some((_, what)) = unsupported.iter().find(|(is_set, _)| *is_set) {
            return Err(HandoverError::Unsupported(what));
        }
        options.connection.without_io_uring = true;
        let Handover { device, record, .. } = &*handover;
        let begun = record.begun.as_ref();
        options.connection.is_kept = begun.map_or(is_kept, |(_, agreed)| agreed.splices);
        // SAFETY: no precondition.
        let is = u32::try_from(unsafe { sys::fuse_version() }).unwrap_or(0);
        let was = record.libfuse;
        if is < was {
            return Err(HandoverError::OlderLibfuse { was, is });
        }
        let own = record.mount.as_ref().map(Own::find).transpose();
        let own = own.map_err(HandoverError::Mount)?;
        let mounts = served_by(device);
        if let Some(own) = &own {
            let mounts = mounts.as_deref().unwrap_or_default();
            if !mounts.iter().any(|mount| own.is(mount)) {
                let what = "the descriptor is of another one".to_owned();
                return Err(HandoverError::Mount(what));
            }
        }
        let lacking = match (&own, &mounts) {
            (Some(own), _) => own.lacking(&options),
            (None, Some(mounts)) => options.not_in_force(mounts),
            (None, None) => Vec::new(),
        };
        if !lacking.is_empty() {
            return Err(HandoverError::NotInForce(lacking));
        }
        let keep_mounted = mem::replace(&mut self.settings.keep_mounted, true);
        let patience = self.settings.hand_over_patience;
        let device = device.try_clone().map_err(HandoverError::Io)?;
        let (path, place) = mount::place(&device);
        let session = self.serve_at(&path, &place, options);
        let mut session = session.map_err(HandoverError::Session)?;
        // libfuse has taken it, and closes it with the session.
        let _ = device.into_raw_fd();
        // Until it has been taken over, the end of this session answers nothing.
        session.core.conn().set_left(true);
        if let Some((init, agreed)) = &record.begun {
            session.begin_again(init.clone())?;
            let now = session.record().begun;
            let differences = now.map(|(_, now)| agreed.differences(&now));
            if let Some(differences) = differences.filter(|it| !it.is_empty()) {
                return Err(HandoverError::Differs(differences));
            }
        }
        if let Predecessor::Waits(stream) = &handover.predecessor {
            // However long its file system takes to end, it has nothing to do but to say so.
            passing::ready(stream, patience.max(Duration::from_secs(1)))?;
        }
        handover.predecessor = Predecessor::Gone;
        session.core.conn().set_left(false);
        session.settings.keep_mounted = keep_mounted || own.is_none();
        session.own = own;
        Ok(session)
    }
}

impl<F: Filesystem> Session<F> {
    /// Gives libfuse the INIT that another process has answered. The kernel takes no second answer, and libfuse does not mind.
    fn begin_again(&mut self, init: crate::conn::incoming::Message) -> Result<(), HandoverError> {
        let conn = self.core.conn();
        if !init.is_init() {
            let what = "the recorded first message is not INIT".to_owned();
            return Err(HandoverError::Broken(what));
        }
        conn.process(&mut init.clone());
        match conn.take_trouble() {
            Some(Trouble::Init(error)) => return Err(HandoverError::Init(error)),
            Some(Trouble::Panic(_)) => {
                return Err(HandoverError::Init(io::Error::other("it panicked")));
            }
            None => {}
        }
        if conn.minor() == 0 || conn.reason() != 0 || conn.is_over() {
            let what = "libfuse did not take the recorded INIT".to_owned();
            return Err(HandoverError::Broken(what));
        }
        self.init = Some(init);
        self.again = true;
        Ok(())
    }
}

impl fmt::Display for NotTakenOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the mount was not taken over: {}", self.error)
    }
}

impl Error for NotTakenOver {}

impl From<Box<NotTakenOver>> for io::Error {
    fn from(error: Box<NotTakenOver>) -> Self {
        error.error.into()
    }
}
