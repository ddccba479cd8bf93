//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) const USAGE: &str = "usage: fuse3-top [-d SECONDS] [--once] SOCKET";

const HELP: &str = "
Shows what a running FUSE file system does. SOCKET is what it was given by the mount
option monitor=PATH, or by the program with Builder::monitor.

    -d, --delay SECONDS  how long to wait between two looks; 1 unless given
        --once           print one screen after that time, and end
    -h, --help           print this
    -V, --version        print the version

Keys: s sorts by another column, p pauses, q ends.
";

/// The shortest delay.
const SHORTEST: Duration = Duration::from_millis(50);
/// The longest.
const LONGEST: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Arguments {
    pub(crate) socket: PathBuf,
    pub(crate) interval: Duration,
    pub(crate) once: bool,
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked {
    Show(Arguments),
    Print(String),
}

impl Arguments {
    /// Of the command line without the program's name.
    pub(crate) fn parse(given: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
        let mut given = given.into_iter();
        let mut socket = None;
        let mut interval = Duration::from_secs(1);
        let (mut once, mut only_paths) = (false, false);
        while let Some(argument) = given.next() {
            match argument.to_str().filter(|_| !only_paths) {
                Some("--") => only_paths = true,
                Some("--once") => once = true,
                Some("-h" | "--help") => return Ok(Asked::Print(format!("{USAGE}\n{HELP}"))),
                Some("-V" | "--version") => {
                    let version = concat!("fuse3-top ", env!("CARGO_PKG_VERSION"), "\n");
                    return Ok(Asked::Print(version.to_owned()));
                }
                Some("-d" | "--delay") => {
                    let value = given.next().ok_or("-d wants a number of seconds")?;
                    interval = seconds(&value)?;
                }
                Some(option) if option.starts_with('-') && option.len() > 1 => {
                    return Err(format!("there is no option {option}"));
                }
                _ if socket.is_some() => return Err("there is more than one socket".to_owned()),
                _ => socket = Some(PathBuf::from(argument)),
            }
        }
        let socket = socket.ok_or("the socket is missing")?;
        Ok(Asked::Show(Arguments {
            socket,
            interval,
            once,
        }))
    }
}

fn seconds(value: &OsString) -> Result<Duration, String> {
    let number = value.to_str().and_then(|value| value.parse().ok());
    let duration = number.and_then(|number| Duration::try_from_secs_f64(number).ok());
    duration
        .filter(|it| (SHORTEST..=LONGEST).contains(it))
        .ok_or_else(|| format!("{value:?} is no delay: 0.05 to 3600 seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(given: &[&str]) -> Result<Asked, String> {
        Arguments::parse(given.iter().map(OsString::from))
    }

    #[test]
    fn what_can_be_asked_for() {
        let shown = |socket: &str, seconds, once| {
            Ok(Asked::Show(Arguments {
                socket: socket.into(),
                interval: Duration::from_secs_f64(seconds),
                once,
            }))
        };
        assert_eq!(parse(&["/run/s"]), shown("/run/s", 1.0, false));
        assert_eq!(
            parse(&["-d", "0.5", "/run/s", "--once"]),
            shown("/run/s", 0.5, true)
        );
        assert_eq!(parse(&["--", "-d"]), shown("-d", 1.0, false));
        assert!(matches!(parse(&["-h"]), Ok(Asked::Print(text)) if text.starts_with(USAGE)));
        assert!(matches!(parse(&["-V"]), Ok(Asked::Print(text)) if text.starts_with("fuse3-top ")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (given, what) in [
            (&[][..], "missing"),
            (&["a", "b"], "more than one"),
            (&["-x", "a"], "-x"),
            (&["a", "-d"], "seconds"),
            (&["a", "-d", "x"], "\"x\""),
            (&["a", "-d", "0"], "\"0\""),
            (&["a", "-d", "-1"], "\"-1\""),
            (&["a", "-d", "nan"], "\"nan\""),
        ] {
            let mistake = parse(given).unwrap_err();
            assert!(mistake.contains(what), "{mistake}");
        }
    }
}
