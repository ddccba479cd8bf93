use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use crate::session::cmdline::own::{Fit, Own};
use crate::session::cmdline::{command::Command, error::CommandLineError};
use crate::session::options;

/// Reads the arguments in their order, as `fuse_opt_parse()` does.
pub(super) struct Parser<'a, T> {
    command: &'a mut Command<T>,
    own: &'a mut [Own<T>],
    names: Vec<OsString>,
    /// `-h` or `-V`.
    asked: Option<CommandLineError>,
    /// The first mistake.
    mistake: Option<CommandLineError>,
}

impl<'a, T> Parser<'a, T> {
    pub(super) fn new(command: &'a mut Command<T>, own: &'a mut [Own<T>]) -> Self {
        Self {
            command,
            own,
            names: Vec::new(),
            asked: None,
            mistake: None,
        }
    }

    pub(super) fn take_all(&mut self, mut arguments: impl Iterator<Item = OsString>) {
        while let Some(argument) = arguments.next() {
            let result = match argument.as_bytes() {
                b"--" => {
                    self.names.extend(arguments);
                    return;
                }
                b"-o" => match arguments.next() {
                    Some(group) => self.group(group.as_bytes()),
                    None => Err(CommandLineError::MissingValue(argument)),
                },
                [b'-', b'o', group @ ..] => self.group(group),
                [b'-', ..] => self.one(&argument, false, &mut arguments),
                _ => {
                    self.names.push(argument);
                    Ok(())
                }
            };
            if let Err(mistake) = result {
                self.mistake.get_or_insert(mistake);
            }
        }
    }

    /// What came after `-o`.
    fn group(&mut self, group: &[u8]) -> Result<(), CommandLineError> {
        for option in options::split(group) {
            if !option.is_empty() {
                self.one(&option, true, &mut std::iter::empty())?;
            }
        }
        Ok(())
    }

    fn one(
        &mut self,
        option: &OsStr,
        grouped: bool,
        rest: &mut dyn Iterator<Item = OsString>,
    ) -> Result<(), CommandLineError> {
        let fitting = self
            .own
            .iter_mut()
            .find_map(|own| own.fit(option, grouped).map(|fit| (own, fit)));
        let (own, value) = match fitting {
            None => return self.libfuse_s(option, grouped),
            Some((own, Fit::Whole(value))) => (own, value),
            Some((own, Fit::Next)) => {
                let missing = || CommandLineError::MissingValue(option.to_owned());
                (own, rest.next().ok_or_else(missing)?)
            }
        };
        let set = (own.set)(&mut self.command.options, value.clone());
        set.map_err(|why| CommandLineError::Value(own.name().to_owned(), value, why))
    }

    /// One that the program has not declared.
    fn libfuse_s(&mut self, option: &OsStr, grouped: bool) -> Result<(), CommandLineError> {
        let bytes = option.as_bytes();
        match bytes {
            b"-h" | b"--help" => self.asked = Some(CommandLineError::Help),
            // Help goes before.
            b"-V" | b"--version" => {
                self.asked.get_or_insert(CommandLineError::Version);
            }
            b"-d" | b"debug" => {
                self.command.debug = true;
                self.command.foreground = true;
            }
            // Of `fuse_session_new()`, which knows of no foreground.
            b"--debug" => self.command.debug = true,
            b"-f" => self.command.foreground = true,
            b"-s" => self.command.single = true,
            b"clone_fd" => self.command.clone_fd = true,
            b"-r" => self.mount_option(OsStr::new("ro")),
            // mount(8)'s, to leave /etc/mtab alone.
            b"-n" => {}
            _ => {
                if let Some(value) = bytes.strip_prefix(b"max_threads=") {
                    self.command.max_threads = Some(number("max_threads", value)?);
                } else if let Some(value) = bytes.strip_prefix(b"max_idle_threads=") {
                    self.command.max_idle_threads = Some(number("max_idle_threads", value)?);
                } else if grouped && !bytes.starts_with(b"-") {
                    self.mount_option(option);
                } else {
                    return Err(CommandLineError::Unknown(option.to_owned()));
                }
            }
        }
        Ok(())
    }

    fn mount_option(&mut self, option: &OsStr) {
        let names = [&b"fsname="[..], b"subtype="];
        self.command.named |= names.iter().any(|name| option.as_bytes().starts_with(name));
        self.command.mount_options.push(option.to_owned());
    }

    /// The arguments that are no options.
    pub(super) fn finish(self) -> Result<Vec<OsString>, CommandLineError> {
        if let Some(end) = self.asked.or(self.mistake) {
            return Err(end);
        }
        if !self.command.named {
            let subtype = self.command.default_subtype();
            self.command.mount_options.push(subtype);
        }
        Ok(self.names)
    }
}

/// A number of threads; `-1` is as many as there may be.
fn number(option: &str, value: &[u8]) -> Result<u32, CommandLineError> {
    let value = OsStr::from_bytes(value);
    match value.to_str() {
        Some("-1") => Ok(u32::MAX),
        text => u32::from_str(text.unwrap_or("?")).map_err(|error| {
            CommandLineError::Value(option.to_owned(), value.to_owned(), error.to_string())
        }),
    }
}
