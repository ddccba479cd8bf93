use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

/// Why a command line was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandLineError {
    /// `-h`, `--help`: no mistake.
    Help,
    /// `-V`, `--version`: no mistake.
    Version,
    /// An option that begins with `-` and is not known.
    Unknown(OsString),
    /// The last argument is an option whose value should come next.
    MissingValue(OsString),
    /// A value that is none of its option: option, value, and why.
    Value(String, OsString, String),
    /// There is no mount point.
    NoMountPoint,
    /// An argument too many.
    Extra(OsString),
}

impl fmt::Display for CommandLineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Help => f.write_str("help was asked for"),
            Self::Version => f.write_str("the version was asked for"),
            Self::Unknown(option) => write!(f, "unknown option {}", shown(option)),
            Self::MissingValue(option) => {
                write!(f, "the option {} needs a value after it", shown(option))
            }
            Self::Value(option, value, why) => write!(
                f,
                "the option {option} does not take the value \"{}\": {why}",
                shown(value)
            ),
            Self::NoMountPoint => f.write_str("the mount point is missing"),
            Self::Extra(argument) => write!(f, "one argument too many: {}", shown(argument)),
        }
    }
}

fn shown(argument: &OsString) -> impl fmt::Display + '_ {
    Path::new(argument).display()
}

impl Error for CommandLineError {}
