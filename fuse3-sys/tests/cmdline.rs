//! `CommandLine` takes what `fuse_parse_cmdline()` takes, and makes the same of it: all short argument vectors of an
//! alphabet that has every form of every option in it are given to both.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::ptr;

use fuse3::cmdline::{Command, CommandLineError};
use fuse3::{CommandLine, sys};

/// What both are asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    mount_point: PathBuf,
    foreground: bool,
    single: bool,
    debug: bool,
    clone_fd: bool,
    max_threads: u32,
    max_idle_threads: u32,
    /// What is left for `fuse_session_new()`, as a set: the order of options does not matter there.
    options: BTreeSet<OsString>,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Asked(Box<Asked>),
    Help,
    Version,
    NoMountPoint,
    Refused,
}

extern "C" fn quiet(_: c_int, _: *const c_char) {}

/// What libfuse makes of it: `fuse_parse_cmdline()`, and what `fuse_session_new()` is known to take of the rest.
fn libfuse_s(arguments: &[&str]) -> Answer {
    let strings: Vec<_> = arguments
        .iter()
        .map(|argument| CString::new(*argument).unwrap())
        .collect();
    let mut args = sys::FUSE_ARGS_INIT(0, ptr::null_mut());
    for string in &strings {
        // SAFETY: `args` is a list that libfuse made itself, and `string` lives.
        let added = unsafe { sys::fuse_opt_add_arg(&raw mut args, string.as_ptr()) };
        assert_eq!(added, 0);
    }
    // SAFETY: the structure is integers and a pointer, for which zero is a value.
    let mut opts: sys::fuse_cmdline_opts = unsafe { std::mem::zeroed() };
    // SAFETY: both live.
    let result = unsafe { sys::fuse_parse_cmdline(&raw mut args, &raw mut opts) };
    let answer = match result {
        0 if opts.show_help != 0 => Answer::Help,
        0 if opts.show_version != 0 => Answer::Version,
        0 => rest_of(&args, &opts),
        _ => Answer::Refused,
    };
    // SAFETY: libfuse allocated it with malloc(3), or it is null.
    unsafe { libc::free(opts.mountpoint.cast()) };
    // SAFETY: `args` is libfuse's.
    unsafe { sys::fuse_opt_free_args(&raw mut args) };
    answer
}

fn rest_of(args: &sys::fuse_args, opts: &sys::fuse_cmdline_opts) -> Answer {
    let count = usize::try_from(args.argc).unwrap();
    // SAFETY: libfuse has `argc` pointers there.
    let pointers = unsafe { std::slice::from_raw_parts(args.argv, count) };
    let mut rest = pointers[1..].iter().map(|pointer| {
        // SAFETY: libfuse's arguments are NUL-terminated.
        let argument = unsafe { CStr::from_ptr(*pointer) };
        argument.to_bytes()
    });
    let (mut options, mut debug) = (BTreeSet::new(), opts.debug != 0);
    let mut most_threads = max_threads(opts);
    while let Some(argument) = rest.next() {
        let group = match argument {
            b"-o" => rest.next().unwrap(),
            [b'-', b'o', group @ ..] => group,
            other => other,
        };
        for option in split(group) {
            match &option[..] {
                // Known by other means, or nothing. `--` is left there by mistake, when there is an `-o` before it.
                b"debug" | b"-d" | b"-n" | b"" => {}
                b"--" if argument == b"--" => {}
                b"--debug" => debug = true,
                b"-r" => drop(options.insert("ro".into())),
                [b'-', ..] => return Answer::Refused,
                // Left over before 3.12 only.
                [b'm', b'a', b'x', b'_', b't', ..] if cfg!(not(fuse3_loop_cfg)) => {
                    let option = String::from_utf8(option).unwrap();
                    let value = option.strip_prefix("max_threads=").unwrap();
                    most_threads = value.parse().unwrap();
                }
                _ => drop(options.insert(OsString::from_vec(option))),
            }
        }
    }
    if opts.mountpoint.is_null() {
        return Answer::NoMountPoint;
    }
    // SAFETY: `fuse_parse_cmdline()` left a string there.
    let mount_point = unsafe { CStr::from_ptr(opts.mountpoint) };
    Answer::Asked(Box::new(Asked {
        mount_point: OsStr::from_bytes(mount_point.to_bytes()).into(),
        foreground: opts.foreground != 0,
        single: opts.singlethread != 0,
        debug,
        clone_fd: opts.clone_fd != 0,
        max_threads: most_threads,
        max_idle_threads: max_idle_threads(opts),
        options,
    }))
}

#[cfg(fuse3_loop_cfg)]
fn max_threads(opts: &sys::fuse_cmdline_opts) -> u32 {
    opts.max_threads
}

/// libfuse before 3.12 has no such option and leaves it alone. `CommandLine` takes it with any libfuse, so that a
/// script need not know which one is there.
#[cfg(not(fuse3_loop_cfg))]
fn max_threads(_: &sys::fuse_cmdline_opts) -> u32 {
    10
}

#[cfg(fuse3_loop_cfg)]
fn max_idle_threads(opts: &sys::fuse_cmdline_opts) -> u32 {
    opts.max_idle_threads
}

/// Before 3.12 ten idle threads stay by default; here they all do with any libfuse. No command line here asks for ten.
#[cfg(not(fuse3_loop_cfg))]
fn max_idle_threads(opts: &sys::fuse_cmdline_opts) -> u32 {
    match opts.max_idle_threads {
        10 => u32::MAX,
        asked => asked,
    }
}

/// What libfuse wrote with `fuse_opt_add_opt_escaped()`.
fn split(group: &[u8]) -> Vec<Vec<u8>> {
    let mut options = vec![Vec::new()];
    let mut bytes = group.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' => options.push(Vec::new()),
            b'\\' => options.last_mut().unwrap().extend(bytes.next()),
            _ => options.last_mut().unwrap().push(*byte),
        }
    }
    options
}

/// What it is here.
fn ours(arguments: &[&str]) -> Answer {
    match CommandLine::new(()).parse(arguments) {
        Err(CommandLineError::Help) => Answer::Help,
        Err(CommandLineError::Version) => Answer::Version,
        Err(CommandLineError::NoMountPoint) => Answer::NoMountPoint,
        Err(_) => Answer::Refused,
        // `Builder::mount` would.
        Ok(command) if !command.mount_point.exists() && !is_descriptor(&command) => Answer::Refused,
        Ok(command) => Answer::Asked(Box::new(Asked {
            mount_point: command.mount_point,
            foreground: command.foreground,
            single: command.single,
            debug: command.debug,
            clone_fd: command.clone_fd,
            max_threads: command.max_threads.unwrap_or(10),
            max_idle_threads: command.max_idle_threads.unwrap_or(u32::MAX),
            options: command.mount_options.into_iter().collect(),
        })),
    }
}

fn is_descriptor(command: &Command<()>) -> bool {
    command.mount_point.starts_with("/dev/fd")
}

#[track_caller]
fn compare(arguments: &[&str]) {
    let (theirs, ours) = (libfuse_s(arguments), ours(arguments));
    // Help is given here even if something else is wrong.
    let asked = matches!(ours, Answer::Help | Answer::Version) && theirs == Answer::Refused;
    assert!(
        theirs == ours || asked,
        "{arguments:?}\nlibfuse: {theirs:?}\nours:    {ours:?}"
    );
}

const ALPHABET: &[&str] = &[
    "-f",
    "-s",
    "-d",
    "-h",
    "--version",
    "--debug",
    "-r",
    "-n",
    "-x",
    "-fs",
    "-",
    "--",
    "-o",
    "-oro,-f,clone_fd",
    r"fsname=a\,b\\c\101\7,,allow_other",
    "-osubtype=x",
    "max_threads=3",
    "-omax_idle_threads=-1,max_threads=0,",
    "-odebug,-s,--debug",
    "-ofsname=",
    "--help=1",
    "debug",
    "",
    "/",
    "/tmp",
    "/dev/fd/9",
];

#[test]
fn short_command_lines_mean_the_same_to_libfuse() {
    // SAFETY: the sink has the lifetime of the program; no other thread uses libfuse here.
    unsafe { sys::fuse3_set_log_sink(Some(quiet)) };
    let program = "/usr/bin/prog";
    compare(&[program]);
    for one in ALPHABET {
        compare(&[program, one]);
        for two in ALPHABET {
            compare(&[program, one, two]);
            for three in ALPHABET {
                compare(&[program, one, two, three]);
                compare(&[program, "/", one, two, three]);
            }
        }
    }
    // The default of the subtype.
    for program in ["prog", "./prog", "/", "a/", "", "a b/c d"] {
        compare(&[program, "/"]);
    }
}
