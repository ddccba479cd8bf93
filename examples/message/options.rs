//! The command line that lltest and hello_async share: `[--debug] [--debug-fuse] MOUNTPOINT`, and what libfuse knows.

use fuse3::cmdline::Command;
use fuse3::{Builder, CommandLine, Filesystem};

#[derive(Debug, Default)]
pub(crate) struct Options {
    /// The file system logs what it is asked.
    debug: bool,
    /// libfuse logs each request.
    debug_fuse: bool,
}

pub(crate) fn command_line() -> CommandLine<Options> {
    CommandLine::new(Options::default())
        .flag("--debug", "log what the file system does", |options| {
            options.debug = true;
        })
        .flag("--debug-fuse", "log what libfuse does", |options| {
            options.debug_fuse = true;
        })
}

/// One worker unless the command line says otherwise; in the foreground, as the originals.
pub(crate) fn builder<F: Filesystem>(
    command: &Command<Options>,
    name: &str,
    fs: F,
    lock: F::Lock,
) -> Builder<F> {
    let level = match command.options.debug {
        true => log::LevelFilter::Debug,
        false => log::LevelFilter::Info,
    };
    log::set_max_level(level);
    if log::set_logger(&Stderr).is_err() {
        unreachable!("no other logger has been set");
    }
    let builder = command.builder(fs, lock).fsname(name);
    let builder = builder.debug(command.debug || command.options.debug_fuse);
    builder.workers(command.max_threads.unwrap_or(1))
}

/// Lines on stderr.
struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let name = std::thread::current();
        let name = name.name().unwrap_or("worker");
        // In one write(2), since other threads have lines, too.
        let line = format!("{} {name}: {}\n", record.level(), record.args());
        eprint!("{line}");
    }

    fn flush(&self) {}
}
