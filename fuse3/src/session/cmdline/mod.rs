//! The command line of a file system: libfuse's options, as a program in C has them, and your own.
//!
//! [`CommandLine`] parses the arguments, and gives you a [`Command`], which makes the [`Builder`](crate::Builder). A wrong argument is
//! a [`CommandLineError`]. A program with a parser of its own prints libfuse's part of the help by [`print_mount_options`] and
//! [`print_version`].

pub(crate) mod command;
pub(crate) mod error;
pub(crate) mod help;
pub(crate) mod own;
pub(crate) mod parse;

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Termination};
use std::str::FromStr;

pub use command::Command;
pub use error::CommandLineError;
pub use help::{print_mount_options, print_version};

use own::Own;
use parse::Parser;

/// `fuse_parse_cmdline()` and `fuse_opt_parse()`: the command line of a file system, with options of its own.
///
/// Libfuse's options are known: `-h`, `-V`, `-d`, `-f`, `-s`, and after `-o` `debug`, `clone_fd`, `max_threads=N` and
/// `max_idle_threads=N`; other options of `-o`, and `-n` and `-r`, are the [`Builder`](crate::Builder)'s. The language is
/// that of libfuse: `-oOPT`, `-o OPT,OPT`, a backslash before a comma that is part of a value, `--` before what is no
/// option. So a program can be the PROG of `mount.fuse3 PROG#SOURCE MOUNTPOINT`, of `mount -t fuse.PROG` and of a line in
/// /etc/fstab.
///
/// Its own options change a `T` of the program, which has their defaults. They are declared as in `struct fuse_opt`:
///
/// | template | given as |
/// |---|---|
/// | `writeback` | `-o writeback` |
/// | `timeout=SECONDS` | `-o timeout=1.5` |
/// | `--no-notify` | `--no-notify` |
/// | `--socket=PATH` | `--socket=/run/s`, `--socket /run/s` |
/// | `-n NAME` | `-n mydevice`, `-nmydevice` |
///
/// An own option goes before one of libfuse's of the same name. When one is given more than once, the last one counts.
///
/// ```no_run
/// # use fuse3::{CommandLine, Concurrent, Filesystem};
/// # struct Fs(Options);
/// # impl Filesystem for Fs { type Lock = Concurrent; }
/// #[derive(Default)]
/// struct Options {
///     writeback: bool,
///     timeout: f64,
/// }
///
/// fn main() -> std::process::ExitCode {
///     CommandLine::new(Options::default())
///         .flag("writeback", "cache writes", |options| options.writeback = true)
///         .value("timeout=SECONDS", "how long to cache", |options, time| options.timeout = time)
///         .main(|mut command| {
///             let fs = Fs(std::mem::take(&mut command.options));
///             let session = command.builder(fs, Concurrent).mount(&command.mount_point)?;
///             let session = session.daemonize(command.foreground)?;
///             Ok(session.run()?.reason)
///         })
/// }
/// ```
///
/// # Differences from libfuse
///
/// Arguments need not be UTF-8, and mistakes are named with option and value. A number has to be one: `max_threads=5x` is
/// refused, not taken for 5. Options that are empty, as in `ro,,dev`, are left out. `-h` and `-V` count even if something
/// else is wrong. The mount point is looked at by [`Builder::mount`](crate::Builder::mount).
pub struct CommandLine<T> {
    /// What has been asked for so far; from the beginning with the options of the program.
    command: Command<T>,
    own: Vec<Own<T>>,
    /// What may stand before the mount point.
    source: Option<(&'static str, SetPath<T>)>,
    /// How many there may be.
    mount_points: RangeInclusive<usize>,
}

type SetPath<T> = Box<dyn FnMut(&mut T, PathBuf)>;

impl<T> CommandLine<T> {
    /// A command line whose own options change `options`, the defaults.
    pub fn new(options: T) -> Self {
        Self {
            command: Command::new(options),
            own: Vec::new(),
            source: None,
            mount_points: 1..=1,
        }
    }

    /// An option without a value: `set` is called where it is given.
    ///
    /// `name` is the whole of it, `writeback`, `--no-notify`, or one value of many as in `cache=never`.
    pub fn flag(
        mut self,
        name: &'static str,
        help: &'static str,
        set: impl FnMut(&mut T) + 'static,
    ) -> Self {
        self.own.push(Own::flag(name, help, set));
        self
    }

    /// An option with a value, `key=VALUE`, `--key=VALUE` or `-k VALUE`: `set` is called with what [`FromStr`] makes of it.
    ///
    /// Its error is the user's: it is shown with the option and the value.
    ///
    /// # Panics
    ///
    /// When the template names no value.
    pub fn value<V: FromStr<Err: fmt::Display>>(
        mut self,
        template: &'static str,
        help: &'static str,
        mut set: impl FnMut(&mut T, V) + 'static,
    ) -> Self {
        self.own
            .push(Own::value(template, help, move |options, value| {
                let text = value.to_str().ok_or("it is not UTF-8")?;
                let value = text.parse().map_err(|error: V::Err| error.to_string())?;
                set(options, value);
                Ok(())
            }));
        self
    }

    /// An option whose value is a path, which need not be UTF-8.
    ///
    /// Take it as soon as it is given: [`Session::daemonize`](crate::Session::daemonize) changes the working directory.
    ///
    /// # Panics
    ///
    /// When the template names no value.
    pub fn path(
        mut self,
        template: &'static str,
        help: &'static str,
        mut set: impl FnMut(&mut T, PathBuf) + 'static,
    ) -> Self {
        self.own
            .push(Own::value(template, help, move |options, value| {
                set(options, value.into());
                Ok(())
            }));
        self
    }

    /// What may stand before the mount point, as mount(8) and mount.fuse3(8) pass it: the device or directory to mount.
    ///
    /// `set` is called when there are two arguments that are no options.
    pub fn source(
        mut self,
        name: &'static str,
        set: impl FnMut(&mut T, PathBuf) + 'static,
    ) -> Self {
        self.source = Some((name, Box::new(set)));
        self
    }

    /// The program mounts nothing: there is no mount point, and [`Command::mount_point`] is empty.
    pub fn without_mount_point(mut self) -> Self {
        self.mount_points = 0..=0;
        self
    }

    /// As `fuse_parse_cmdline()` has it, for a program that need not mount: without a mount point [`Command::mount_point`] is
    /// empty, C's `NULL`.
    pub fn optional_mount_point(mut self) -> Self {
        self.mount_points = 0..=1;
        self
    }

    /// `fuse_parse_cmdline()`: takes `arguments`, the first of which is the name of the program.
    ///
    /// # Errors
    ///
    /// [`CommandLineError::Help`] and [`Version`](CommandLineError::Version), which [`main`](Self::main) answers and are no
    /// mistakes; and whatever else is wrong, naming the argument.
    pub fn parse<A: Into<OsString>>(
        mut self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Command<T>, CommandLineError> {
        self.take(arguments.into_iter().map(Into::into))?;
        Ok(self.command)
    }

    /// Fills in the command.
    fn take(
        &mut self,
        mut arguments: impl Iterator<Item = OsString>,
    ) -> Result<(), CommandLineError> {
        self.command.program = arguments.next().unwrap_or_default();
        let mut parser = Parser::new(&mut self.command, &mut self.own);
        parser.take_all(arguments);
        let mut names = parser.finish()?;
        if let (Some((_, set)), 2) = (&mut self.source, names.len()) {
            set(&mut self.command.options, names.remove(0).into());
        }
        if let Some(extra) = names.get(*self.mount_points.end()) {
            return Err(CommandLineError::Extra(extra.clone()));
        }
        match names.pop() {
            Some(path) => self.command.mount_point = path.into(),
            None if *self.mount_points.start() > 0 => return Err(CommandLineError::NoMountPoint),
            None => {}
        }
        Ok(())
    }

    /// The `main` of a file system: parses the process's arguments, and calls `run` with what they say.
    ///
    /// Help, version and, without a mount point, the usage go to stdout; errors to stderr with the program's name before
    /// them. What `run` returns becomes the exit status: a [`Reason`](crate::Reason) does as in libfuse's examples, 0 after
    /// an unmount and 1 after a signal. The status is 1 for every error.
    pub fn main<R: Termination>(
        mut self,
        run: impl FnOnce(Command<T>) -> Result<R, Box<dyn Error>>,
    ) -> ExitCode {
        let program = std::env::args_os().next().unwrap_or_default();
        let name = Path::new(help::base_name(&program)).display();
        let failed = |error: &dyn fmt::Display| {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        };
        let printed = match self.take(std::env::args_os()) {
            Ok(()) => {
                return match run(self.command) {
                    Ok(result) => result.report(),
                    Err(error) => failed(&error),
                };
            }
            Err(CommandLineError::Help) => self.print_help(),
            Err(CommandLineError::Version) => print_version(),
            Err(error) => {
                if error == CommandLineError::NoMountPoint {
                    // The error says what is missing, too, where stdout takes nothing.
                    let _ = help::print(&self.usage());
                }
                return failed(&error);
            }
        };
        printed.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
    }
}

impl<T: fmt::Debug> fmt::Debug for CommandLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandLine")
            .field("options", &self.command.options)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
