use std::ffi::{CStr, OsStr};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::session::cmdline::CommandLine;
use crate::sys;

impl<T> CommandLine<T> {
    /// How the program is called.
    pub(super) fn usage(&self) -> String {
        let name = Path::new(&self.command.program).display();
        let source = self.source.as_ref();
        let source = source.map_or_else(String::new, |(name, _)| format!(" [{name}]"));
        let mount_point = match (self.mount_points.start(), self.mount_points.end()) {
            (_, 0) => "",
            (0, _) => " [<mountpoint>]",
            _ => " <mountpoint>",
        };
        format!("usage: {name} [options]{source}{mount_point}\n       {name} --help\n")
    }

    /// The help text: own options, then libfuse's.
    pub(super) fn print_help(&self) -> io::Result<()> {
        let usage = self.usage();
        let mut text = usage.lines().next().unwrap_or_default().to_owned();
        text.push_str("\n\n");
        if !self.own.is_empty() {
            text.push_str("File-system specific options:\n");
            for own in &self.own {
                let dashes = if own.template.starts_with('-') {
                    ""
                } else {
                    "-o "
                };
                let option = format!("{dashes}{}", own.template);
                // A string takes everything.
                let _ = if option.len() < 23 {
                    writeln!(text, "    {option:<23}{}", own.help)
                } else {
                    writeln!(text, "    {option}\n{:27}{}", "", own.help)
                };
            }
            text.push('\n');
        }
        print(&text)?;
        print_c(|| {
            // SAFETY: it prints to C's stdout, and has no precondition.
            unsafe { sys::fuse_cmdline_help() };
        })?;
        print_mount_options()
    }
}

/// `fuse_lowlevel_help()`: prints libfuse's help on the options of a mount to stdout, for a program that has a command line of
/// its own.
///
/// # Errors
///
/// Of writing to stdout.
pub fn print_mount_options() -> io::Result<()> {
    print_c(|| {
        // SAFETY: it prints to C's stdout, and has no precondition.
        unsafe { sys::fuse_lowlevel_help() };
    })
}

/// `fuse_pkgversion()` and `fuse_lowlevel_version()`: prints the versions of libfuse, of the protocol and of fusermount3 to
/// stdout, as libfuse's examples do for `-V`.
///
/// # Errors
///
/// Of writing to stdout.
pub fn print_version() -> io::Result<()> {
    // SAFETY: no precondition; it returns a string of the library.
    let version = unsafe { sys::fuse_pkgversion() };
    // SAFETY: the string is NUL-terminated and never freed.
    let version = unsafe { CStr::from_ptr(version) }.to_string_lossy();
    print(&format!("FUSE library version {version}\n"))?;
    print_c(|| {
        // SAFETY: it prints to C's stdout and runs fusermount3, and has no precondition.
        unsafe { sys::fuse_lowlevel_version() };
    })
}

pub(super) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Runs what prints to C's stdout, which is another buffer than Rust's.
fn print_c(prints: impl FnOnce()) -> io::Result<()> {
    prints();
    // SAFETY: null is allowed, for all streams.
    match unsafe { libc::fflush(std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What libfuse makes the default subtype of: what follows the last slash, or that slash if nothing does.
pub(super) fn base_name(program: &OsStr) -> &OsStr {
    let bytes = program.as_bytes();
    let slash = bytes.iter().rposition(|byte| *byte == b'/');
    let start = slash.map_or(0, |slash| slash + usize::from(slash + 1 < bytes.len()));
    OsStr::from_bytes(&bytes[start..])
}
