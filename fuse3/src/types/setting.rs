use std::fmt;
use std::io::{self, ErrorKind};

use crate::types::capabilities::Capabilities;

/// Why a setting was not made. The previous value stays in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingError {
    /// The kernel does not offer these, or this libfuse does not know them.
    NotOffered(Capabilities),
    /// These cannot be had together.
    Exclusive(Capabilities),
    /// This libfuse or this kernel does not have the setting.
    Missing {
        /// Its name in libfuse.
        setting: &'static str,
        /// What has it.
        needs: &'static str,
    },
    /// The value is none that is taken.
    OutOfRange {
        /// The setting's name in libfuse.
        setting: &'static str,
        /// What it was to be.
        value: u32,
        /// The smallest value.
        min: u32,
        /// The largest value.
        max: u32,
        /// What else there is to say about values.
        note: &'static str,
    },
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOffered(missing) => missing.explain(f),
            Self::Exclusive(both) => {
                write!(f, "{} cannot be had together", both.names().join(" and "))
            }
            Self::Missing { setting, needs } => write!(f, "{setting} needs {needs}"),
            Self::OutOfRange {
                setting,
                value,
                min,
                max,
                note,
            } => write!(
                f,
                "{setting} cannot be {value}: it is from {min} to {max}{note}"
            ),
        }
    }
}

impl std::error::Error for SettingError {}

impl From<SettingError> for io::Error {
    fn from(error: SettingError) -> Self {
        let kind = match error {
            SettingError::NotOffered(_) | SettingError::Missing { .. } => ErrorKind::Unsupported,
            SettingError::Exclusive(_) | SettingError::OutOfRange { .. } => ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

pub(crate) fn out_of_range(
    setting: &'static str,
    value: u32,
    min: u32,
    max: u32,
    note: &'static str,
) -> SettingError {
    SettingError::OutOfRange {
        setting,
        value,
        min,
        max,
        note,
    }
}

pub(crate) fn in_range(
    setting: &'static str,
    value: u32,
    min: u32,
    max: u32,
    note: &'static str,
) -> Result<(), SettingError> {
    let is_in_range = (min..=max).contains(&value);
    let refused = out_of_range(setting, value, min, max, note);
    is_in_range.then_some(()).ok_or(refused)
}
