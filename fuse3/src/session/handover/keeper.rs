use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

use crate::session::handover::passing::{self, Parcel};
use crate::session::handover::value::Baggage;
use crate::session::handover::{inherit, inherit::Heir};

/// Another process that has the connection of a mount as well, so that the mount outlives a crash of its server:
/// [`Builder::keeper`](crate::Builder::keeper).
///
/// It must have no file of the mount open, and no working directory there: closing such a file asks the server, which may be the
/// one that it is about to start.
pub struct Keeper {
    stream: UnixStream,
    baggage: Baggage,
}

impl Keeper {
    /// The process that has started this one, where that [supervises](super::supervise) it; `None` otherwise.
    ///
    /// It finds the variable `FUSE3_KEEPER` in its environment, which names a descriptor. Once: the second call is `None`. Call it
    /// before the process forks.
    ///
    /// # Errors
    ///
    /// The variable is wrong, or the descriptor is.
    pub fn inherited() -> io::Result<Option<Self>> {
        let taken = inherit::take(inherit::KEEPER)?;
        Ok(taken.map(|(stream, _)| Self::new(stream)))
    }

    /// The process at the other end of `stream`, which [receives](super::Handover::receive) the mount, and each time one takes it over.
    pub fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            baggage: Baggage::default(),
        }
    }

    /// What the server's successor is to find beside the mount if the server crashes: a memory file that the server keeps a journal
    /// in, say, or files that are open.
    pub fn with(mut self, baggage: Baggage) -> Self {
        self.baggage = baggage;
        self
    }

    /// This process goes on as the program of `command`, and has the keeper still.
    pub(super) fn go_on(&self, command: &mut Command) -> io::Result<()> {
        let stream = self.stream.try_clone()?;
        inherit::bequeath(command, stream, inherit::KEEPER, Heir::Itself);
        Ok(())
    }

    /// From now on the other process has these, in place of what it had.
    pub(super) fn keep(&self, device: &OwnedFd, record: String) -> io::Result<()> {
        let parcel = Parcel {
            device,
            record,
            baggage: &self.baggage,
            program: None,
        };
        passing::send(&self.stream, &parcel)
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("baggage", &self.baggage)
            .finish_non_exhaustive()
    }
}
