//! Another directory, shown with as much fidelity and speed as possible: `passthrough_hp SOURCE MOUNTPOINT`, as libfuse's
//! example of this name. The file system itself is in `passthrough`.
//!
//! Unless told `--nocache`, the kernel keeps what it has learned of names, attributes and data: then the source must not be
//! changed but through the mount.
//!
//! In the background libfuse and this crate log to syslog(3), as C's does since libfuse 3.17, whatever the libfuse; the help
//! has libfuse's part, as C's since 3.18. What the file system itself says with `--debug` is for the foreground.

#[path = "passthrough/mod.rs"]
mod passthrough;
#[path = "passthrough/syslog.rs"]
mod syslog;

use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitCode, Termination};
use std::time::Duration;

use fuse3::{Concurrent, Reason, Session};
use passthrough::{Passthrough, Settings};

fn usage(program: &str) -> String {
    format!("Usage: {program} --help\n       {program} [options] <source> <mountpoint>")
}

const OPTIONS: &str = "
options:
      --debug             say what is looked up and opened
      --debug-fuse        have libfuse say what it is asked and answers
      --foreground        stay in the foreground, as with the two above
      --help              this
      --nocache           have the kernel ask for names and attributes every time
      --nosplice          read and write data, rather than splice(2) them
      --nopassthrough     do not let the kernel read and write the source by itself
      --single            one request at a time
  -o OPTION[,OPTION..]    options of the mount, as mount.fuse(8) has them
      --num-threads=N     how many requests at a time, 10 unless given
      --clone-fd          a descriptor of /dev/fuse for each thread
      --direct-io         pass the page cache by";

#[derive(Default)]
struct Options {
    debug: bool,
    debug_fuse: bool,
    foreground: bool,
    nocache: bool,
    nosplice: bool,
    nopassthrough: bool,
    single: bool,
    clone_fd: bool,
    direct_io: bool,
    help: bool,
    threads: Option<u32>,
    mount: Vec<String>,
    paths: Vec<PathBuf>,
}

/// libfuse's default, and so C's. Each worker has two pipes for splice(2), and keeps them.
const THREADS: u32 = 10;

/// What libfuse's parser takes for yes, and for no.
const YES: [&str; 5] = ["1", "t", "T", "true", "True"];
const NO: [&str; 5] = ["0", "f", "F", "false", "False"];

/// A number, in hexadecimal too; a negative one is the default.
fn threads(value: &str) -> Option<Option<u32>> {
    let parsed = match value.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => value.parse(),
    };
    Some(u32::try_from(parsed.ok()?).ok())
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Options, String> {
    let mut options = Options::default();
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            options.paths.extend(arguments.map(PathBuf::from));
            break;
        }
        let Some(text) = argument.to_str().filter(|text| text.starts_with('-')) else {
            options.paths.push(argument.into());
            continue;
        };
        let (name, value) = match text.split_once('=') {
            _ if text.starts_with("-o") => ("-o", Some(&text[2..]).filter(|rest| !rest.is_empty())),
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let mut argument_of = || {
            let next = || arguments.next()?.into_string().ok();
            let value = value.map(str::to_owned).or_else(next);
            value.ok_or_else(|| format!("{name} needs a value"))
        };
        let flag = match name {
            "-o" => {
                options.mount.push(argument_of()?);
                continue;
            }
            "--num-threads" => {
                let value = argument_of()?;
                options.threads = threads(&value).ok_or(format!("{value} is no number"))?;
                continue;
            }
            "--debug" => &mut options.debug,
            "--debug-fuse" => &mut options.debug_fuse,
            "--foreground" => &mut options.foreground,
            "--help" => &mut options.help,
            "--nocache" => &mut options.nocache,
            "--nosplice" => &mut options.nosplice,
            "--nopassthrough" => &mut options.nopassthrough,
            "--single" => &mut options.single,
            "--clone-fd" => &mut options.clone_fd,
            "--direct-io" => &mut options.direct_io,
            _ => return Err(format!("no such option: {text}")),
        };
        // As in C, to be named is enough for all but one.
        *flag = match value {
            Some(no) if NO.contains(&no) => name != "--clone-fd",
            Some(other) if !YES.contains(&other) => {
                return Err(format!("{name} is true or false, not {other:?}"));
            }
            _ => true,
        };
    }
    Ok(options)
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = PathBuf::from(arguments.next().unwrap_or_default());
    let program = program.file_name().unwrap_or_default().to_string_lossy();
    let options = match parse(arguments) {
        Ok(options) if options.help => {
            println!("{}\n{OPTIONS}\n\nFuse lowlevel options:", usage(&program));
            return fuse3::cmdline::print_mount_options().report();
        }
        Ok(options) if options.paths.len() == 2 => options,
        wrong => {
            let what = wrong
                .err()
                .unwrap_or("invalid number of arguments".to_owned());
            println!("{program}: {what}\n{}", usage(&program));
            return ExitCode::from(2);
        }
    };
    match serve(options) {
        Ok(reason) => reason.report(),
        Err(error) => {
            eprintln!("{program}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: Options) -> Result<Reason, Box<dyn Error>> {
    let [source, mount_point] = &options.paths[..] else {
        unreachable!()
    };
    let source = source.canonicalize()?;
    let timeout = Duration::from_secs(if options.nocache { 0 } else { 86_400 });
    let settings = Settings {
        timeout,
        negative_timeout: Some(timeout),
        keep_cache: !options.nocache,
        direct_io: options.direct_io,
        cache_readdir: !options.nocache,
        writeback: !options.nocache && !options.direct_io,
        flock: true,
        xattr: true,
        checked: true,
        hide_mounts: true,
        splice: !options.nosplice,
        // The kernel takes files from root only.
        passthrough: !options.nopassthrough && rustix::process::geteuid().is_root(),
        map_direct: true,
        debug: options.debug,
    };
    passthrough::prepare()?;
    let fs = Passthrough::new(&source, settings)?;

    let mut builder = Session::builder(fs, Concurrent)
        .fsname(source.display())
        .default_permissions()
        .clone_fd(options.clone_fd)
        .debug(options.debug_fuse)
        .handle_signals(true);
    for option in options.mount.iter().filter(|option| !option.is_empty()) {
        builder = builder.options(option);
    }
    builder = builder.workers(match options.threads {
        _ if options.single => 1,
        threads => threads.unwrap_or(THREADS),
    });
    let session = builder.mount(mount_point)?;
    let foreground = options.foreground || options.debug || options.debug_fuse;
    let session = session.daemonize(foreground)?;
    if !foreground {
        syslog::enable();
    }
    // Without a logger it does nothing.
    let end = session.run().inspect_err(|error| log::error!("{error}"))?;
    Ok(end.reason)
}
