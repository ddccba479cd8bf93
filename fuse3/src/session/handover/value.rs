use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::session::handover::error::HandoverError;
use crate::session::handover::inherit::{self, Heir, Held};
use crate::session::handover::passing::{self, Parcel, Program, Received};
use crate::session::handover::record::Record;
#[cfg(feature = "systemd")]
use crate::session::handover::systemd;

/// What a file system hands over of its own, beside the mount: its state, in a form that the successor reads.
///
/// The kernel keeps the inode numbers, generations, lookup counts and file handles that it was given. A file system whose
/// successor can tell what they mean from elsewhere (a directory, a database) needs nothing here.
#[derive(Debug, Default)]
pub struct Baggage {
    /// Anything. Begin it with a version, since the successor may be another release.
    pub bytes: Vec<u8>,
    /// Open files, which arrive in the same order, with their offsets and locks. They count against the successor's RLIMIT_NOFILE.
    pub files: Vec<OwnedFd>,
}

/// A mount that another process has served, for [`Builder::take_over`](crate::Builder::take_over).
///
/// Dropped, it tells the predecessor, if that waits, that nobody took over.
pub struct Handover {
    pub(super) device: OwnedFd,
    pub(super) record: Record,
    baggage: Baggage,
    pub(super) predecessor: Predecessor,
    /// Dropped after the mount was taken over, or given to somebody else.
    _held: Option<Held>,
}

/// Who goes on if nobody takes over.
pub(super) enum Predecessor {
    /// Nobody, or whoever keeps the descriptor.
    Gone,
    /// It waits for an answer.
    Waits(UnixStream),
    /// This process was it, and can be it again.
    Program(Program),
}

impl Handover {
    /// What this process was started with: by [`spawn`](super::spawn), by [`Stopped::exec`](crate::session::Stopped::exec), or by
    /// [`supervise`](super::supervise) after a crash. `None` when it was started in any other way, and is to mount for itself.
    ///
    /// It finds the variable `FUSE3_HANDOVER` in its environment, which names a descriptor and whose it is. Once: the second call is
    /// `None`. Call it before the process forks to go to the background.
    ///
    /// After an `exec`, SIGHUP, SIGINT, SIGQUIT and SIGTERM are blocked until this is dropped, or the mount is taken over: those that
    /// come before the session handles signals would kill the process, and end the mount with it.
    ///
    /// # Errors
    ///
    /// [`HandoverError::Broken`], [`HandoverError::Io`]. The predecessor is told.
    pub fn inherited() -> Result<Option<Self>, HandoverError> {
        let Some((stream, heir)) = inherit::take(inherit::HANDOVER).map_err(HandoverError::Io)?
        else {
            return Ok(None);
        };
        let held = match heir {
            Heir::Itself => Some(Held::hold().map_err(HandoverError::Io)?),
            Heir::Child => None,
        };
        Self::from_stream(stream, held).map(Some)
    }

    /// The same, of a socket whose other end [`Stopped::hand_over`](crate::session::Stopped::hand_over) was given.
    ///
    /// # Errors
    ///
    /// As [`inherited`](Self::inherited).
    pub fn receive(from: UnixStream) -> Result<Self, HandoverError> {
        Self::from_stream(from, None)
    }

    /// What an earlier process of the same service has left with systemd: by [`Stopped::leave`](crate::session::Stopped::leave), or, if
    /// it crashed, when its session began. `None` when there is nothing, and the second time. The feature `systemd` has it.
    ///
    /// It finds the variables `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES` in its environment, and takes the descriptors that have
    /// names of this crate.
    ///
    /// # Errors
    ///
    /// As [`inherited`](Self::inherited).
    #[cfg(feature = "systemd")]
    pub fn stored() -> Result<Option<Self>, HandoverError> {
        systemd::take()?.map(Self::of_nobody).transpose()
    }

    /// What a server gives to keep, by the other end of `from`: when it has mounted, when the kernel has begun to speak, and when
    /// it [leaves](crate::session::Stopped::leave). `None` when it closes its end. For a process that a [`Keeper::new`](super::Keeper::new)
    /// names; [`supervise`](super::supervise) is one.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    pub fn kept(from: &UnixStream) -> Result<Option<Self>, HandoverError> {
        passing::receive(from)?.map(Self::of_nobody).transpose()
    }

    fn of_nobody(received: Received) -> Result<Self, HandoverError> {
        Ok(Self {
            record: Record::from_text(&received.record)?,
            device: received.device,
            baggage: received.baggage,
            predecessor: Predecessor::Gone,
            _held: None,
        })
    }

    fn from_stream(stream: UnixStream, held: Option<Held>) -> Result<Self, HandoverError> {
        let waits = held.is_none();
        let received = passing::receive(&stream).and_then(|it| it.ok_or_else(passing::ended));
        let predecessor = |program: Option<Program>| match program {
            _ if waits => Predecessor::Waits(stream),
            Some(program) => Predecessor::Program(program),
            None => Predecessor::Gone,
        };
        match received.and_then(|it| Ok((Record::from_text(&it.record)?, it))) {
            Ok((record, received)) => Ok(Self {
                device: received.device,
                record,
                baggage: received.baggage,
                predecessor: predecessor(received.program),
                _held: held,
            }),
            Err(error) => {
                if let Predecessor::Waits(stream) = predecessor(None) {
                    passing::refuse(&stream, &error);
                }
                Err(error)
            }
        }
    }

    /// What the predecessor's file system has handed over. Whoever wants its files duplicates them ([`OwnedFd::try_clone`]): until the
    /// mount has been taken over, it may have to go back.
    pub fn baggage(&self) -> &Baggage {
        &self.baggage
    }

    /// Where it is mounted; `None` for a mount that somebody else has made.
    pub fn mount_point(&self) -> Option<&Path> {
        self.record.mount.as_ref().map(|mount| &*mount.point)
    }

    /// Tells the predecessor, if that waits, why nobody takes over: it goes on then.
    pub fn refuse(mut self, why: impl fmt::Display) {
        self.tell(&why);
    }

    /// The answer to a predecessor that waits, once.
    pub(super) fn tell(&mut self, why: &dyn fmt::Display) {
        if let Predecessor::Waits(stream) = &self.predecessor {
            passing::refuse(stream, why);
            self.predecessor = Predecessor::Gone;
        }
    }

    pub(super) fn parcel(&self) -> Parcel<'_> {
        Parcel {
            device: &self.device,
            record: self.record.to_text(),
            baggage: &self.baggage,
            program: None,
        }
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        self.tell(&"it was not taken over");
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover")
            .field("mount_point", &self.mount_point())
            .field("bytes", &self.baggage.bytes.len())
            .field("files", &self.baggage.files.len())
            .finish_non_exhaustive()
    }
}
