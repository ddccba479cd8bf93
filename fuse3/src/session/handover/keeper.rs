use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::process::Command;

use crate::session::handover::passing::{self, Parcel};
#[cfg(feature = "systemd")]
use crate::session::handover::systemd;
use crate::session::handover::value::Baggage;
use crate::session::handover::{inherit, inherit::Heir};

/// Another process that has the connection of a mount as well, so that the mount outlives a crash of its server:
/// [`Builder::keeper`](crate::Builder::keeper).
///
/// It must have no file of the mount open, and no working directory there: closing such a file asks the server, which may be the
/// one that it is about to start.
pub struct Keeper {
    way: Way,
    pub(super) baggage: Baggage,
}

/// The way to the other process.
enum Way {
    Socket(UnixStream),
    #[cfg(feature = "systemd")]
    Systemd,
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

    /// The process at the other end of `stream`, which [receives](super::Handover::kept) the mount.
    pub fn new(stream: UnixStream) -> Self {
        Self::by(Way::Socket(stream))
    }

    /// systemd's store of descriptors (`FDSTORE=1`, sd_notify(3)), where systemd has started this process (`NOTIFY_SOCKET`); `None`
    /// otherwise. The feature `systemd` has it.
    ///
    /// The unit needs `FileDescriptorStoreMax=` of 128 or more: two deposits of up to 64 descriptors, so that there is always a whole one.
    /// After a restart [`Handover::stored`](super::Handover::stored) finds the last. systemd from 246 on.
    #[cfg(feature = "systemd")]
    pub fn systemd() -> Option<Self> {
        systemd::is_there().then(|| Self::by(Way::Systemd))
    }

    fn by(way: Way) -> Self {
        let baggage = Baggage::default();
        Self { way, baggage }
    }

    /// What the server's successor is to find beside the mount if the server crashes: a memory file that the server keeps a journal
    /// in, say, or files that are open.
    pub fn with(mut self, baggage: Baggage) -> Self {
        self.baggage = baggage;
        self
    }

    /// This process goes on as the program of `command`, and has the keeper still.
    pub(super) fn go_on(&self, command: &mut Command) -> io::Result<()> {
        match &self.way {
            Way::Socket(stream) => {
                let stream = stream.try_clone()?;
                inherit::bequeath(command, stream, inherit::KEEPER, Heir::Itself);
            }
            #[cfg(feature = "systemd")]
            Way::Systemd => {
                let (variable, value) = systemd::go_on();
                command.env(variable, value);
            }
        }
        Ok(())
    }

    /// From now on the other process has this, in place of what it had.
    pub(super) fn keep(&self, parcel: &Parcel<'_>) -> io::Result<()> {
        match &self.way {
            Way::Socket(stream) => passing::send(stream, parcel),
            #[cfg(feature = "systemd")]
            Way::Systemd => systemd::keep(parcel),
        }
    }

    /// The same, for a start that is to come.
    pub(super) fn leave(&self, parcel: &Parcel<'_>) -> io::Result<()> {
        match &self.way {
            Way::Socket(stream) => passing::send(stream, parcel),
            #[cfg(feature = "systemd")]
            Way::Systemd => systemd::leave(parcel),
        }
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match &self.way {
            Way::Socket(_) => "a socket",
            #[cfg(feature = "systemd")]
            Way::Systemd => "systemd",
        };
        f.debug_struct("Keeper")
            .field("way", &way)
            .field("baggage", &self.baggage)
            .finish()
    }
}
