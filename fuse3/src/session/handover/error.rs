use std::error::Error;
use std::time::Duration;
use std::{fmt, io};

use crate::session::mount::MountError;

/// Why a session was not handed over, or not taken over. The mount is as it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandoverError {
    /// The session has something that cannot be handed over: what it is.
    Unsupported(&'static str),
    /// So many requests are not answered: C code has them, or the kernel, before Linux 6.9, would not send them again.
    Unanswered(usize),
    /// The file system did not say what it wants to be handed over.
    Baggage(io::Error),
    /// The other process could not be reached.
    Io(io::Error),
    /// The program that was to replace this one cannot be run.
    Exec(io::Error),
    /// The other process did not answer within this time.
    Silent(Duration),
    /// The successor refused: why.
    Refused(String),
    /// What was received is no hand-over that this version understands: what is wrong with it.
    Broken(String),
    /// This program's libfuse is older than the one that the mount was made with: both, as `fuse_version()` has them.
    OlderLibfuse {
        /// The predecessor's.
        was: u32,
        /// This program's.
        is: u32,
    },
    /// The descriptor is not that of the mount that was recorded, or that is there no longer.
    Mount(String),
    /// The mount was made without these options, which the session asks for.
    NotInForce(Vec<String>),
    /// The session would run with something other than what the predecessor and the kernel have agreed on: each difference.
    Differs(Vec<String>),
    /// The session cannot be made.
    Session(MountError),
    /// [`init`](crate::Filesystem::init) failed.
    Init(io::Error),
}

impl fmt::Display for HandoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(what) => write!(f, "a session with {what} cannot be handed over"),
            Self::Unanswered(count) => write!(
                f,
                "{count} requests are not answered, and cannot be left to the successor: C code has them, or Linux is older than 6.9"
            ),
            Self::Baggage(error) => write!(f, "the file system has nothing to hand over: {error}"),
            Self::Io(error) => write!(f, "the other process cannot be reached: {error}"),
            Self::Exec(error) => write!(f, "the new program cannot be run: {error}"),
            Self::Silent(patience) => {
                write!(f, "the other process did not answer within {patience:?}")
            }
            Self::Refused(why) => write!(f, "the successor refused: {why}"),
            Self::Broken(what) => write!(f, "what was received is no hand-over: {what}"),
            Self::OlderLibfuse { was, is } => write!(
                f,
                "libfuse {} is older than {}, which the mount was made with; use the same or a newer one",
                Version(*is),
                Version(*was)
            ),
            Self::Mount(what) => write!(f, "it is not the mount that was recorded: {what}"),
            Self::NotInForce(options) => write!(
                f,
                "the mount was made without {}, which the file system asks for; options stay as they are until it is mounted again",
                options.join(", ")
            ),
            Self::Differs(differences) => write!(
                f,
                "the session would differ from what was agreed with the kernel: {}; that stays as it is until it is mounted again",
                differences.join("; ")
            ),
            Self::Session(error) => error.fmt(f),
            Self::Init(error) => write!(f, "init failed: {error}"),
        }
    }
}

impl Error for HandoverError {}

impl From<HandoverError> for io::Error {
    fn from(error: HandoverError) -> Self {
        let kind = match &error {
            HandoverError::Io(error)
            | HandoverError::Exec(error)
            | HandoverError::Baggage(error)
            | HandoverError::Init(error) => error.kind(),
            HandoverError::Silent(_) => io::ErrorKind::TimedOut,
            HandoverError::Broken(_) => io::ErrorKind::InvalidData,
            HandoverError::Unsupported(_) | HandoverError::OlderLibfuse { .. } => {
                io::ErrorKind::Unsupported
            }
            HandoverError::Mount(_)
            | HandoverError::NotInForce(_)
            | HandoverError::Differs(_)
            | HandoverError::Session(_) => io::ErrorKind::InvalidInput,
            HandoverError::Unanswered(_) | HandoverError::Refused(_) => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// `fuse_version()`: 314 is 3.14.
struct Version(u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 100, self.0 % 100)
    }
}
