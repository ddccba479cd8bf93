//! A file system with state: what the kernel knows, and what is open.
//!
//! In small; `scripts/handover passthroughfs` sets how often and for how long, and has fsx installed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::loads::{Pace, Report, Which, while_clients_work};
use crate::mount::{Ended, Mounted, program};
use crate::servers::{keeper, servers};

const NAME: &str = "passthroughfs";
const PATIENCE: Duration = Duration::from_secs(60);

/// How often, unless the script says something else.
fn pace(times: usize) -> Pace {
    let number = |name: &str| {
        env::var(name)
            .ok()
            .map(|value| value.parse::<u32>().unwrap())
    };
    match (
        number("FUSE3_HANDOVER_TIMES"),
        number("FUSE3_HANDOVER_SECONDS"),
    ) {
        (Some(times), Some(seconds)) => Pace {
            times: usize::try_from(times).unwrap(),
            between: Duration::from_secs(seconds.into()) / times.max(1),
        },
        _ => Pace {
            times,
            between: Duration::from_millis(100),
        },
    }
}

/// A source, and a mount that shows it.
struct Shown {
    source: PathBuf,
    mounted: Mounted,
}

impl Shown {
    fn new(arguments: &[&str], change: impl FnOnce(&mut Command, &Path)) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let name = format!("fuse3-source-{}-{number}", std::process::id());
        let source = env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir_all(&source).unwrap();
        let arguments = [arguments, &[source.to_str().unwrap()]].concat();
        let pace = pace(0);
        let deadline =
            Duration::from_secs(240) + 2 * pace.between * u32::try_from(pace.times).unwrap();
        let mounted = Mounted::start(NAME, &arguments, deadline, change)?;
        Some(Self { source, mounted })
    }

    /// In small, all programs only where it is done often.
    fn work(&self, pace: Pace, change: impl FnMut()) -> Report {
        let which = if pace.times < 10 {
            Which::Own
        } else {
            Which::All
        };
        while_clients_work(self.mounted.path(), &self.source, which, pace, change)
    }

    /// The process that serves, once it is another one than `than`, and the only one.
    fn next(&self, than: Option<Pid>) -> Pid {
        let start = Instant::now();
        loop {
            match *servers(NAME, self.mounted.path()) {
                [pid] if Some(pid) != than => return pid,
                _ => thread::sleep(Duration::from_millis(1)),
            }
            assert!(start.elapsed() < PATIENCE, "there is no other server");
        }
    }

    fn unmount(self) -> Ended {
        let point = self.mounted.path().to_owned();
        let ended = self.mounted.unmount();
        let start = Instant::now();
        while !servers(NAME, &point).is_empty() {
            assert!(start.elapsed() < PATIENCE, "the server does not end");
            thread::sleep(Duration::from_millis(10));
        }
        for dir in [&self.source, &self.source.with_extension("scratch")] {
            // What is left in the temporary directory is no failure.
            let _ = fs::remove_dir_all(dir);
        }
        ended
    }
}

/// Has the process run its program anew.
fn replace(pid: Pid) {
    // Where its code begins is another place each time.
    let place = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let after_name = stat.rsplit(')').next().unwrap();
        after_name.split_whitespace().nth(23).unwrap().to_owned()
    };
    let before = place();
    kill_process(pid, Signal::HUP).unwrap();
    let start = Instant::now();
    while place() == before {
        assert!(start.elapsed() < PATIENCE, "the program is not replaced");
        thread::sleep(Duration::from_micros(200));
    }
}

fn by_exec(arguments: &[&str], times: usize) {
    let Some(shown) = Shown::new(arguments, |_, _| ()) else {
        return;
    };
    let pid = shown.next(None);
    let report = shown.work(pace(times), || replace(pid));
    assert_eq!(shown.next(None), pid);
    report.finish(&format!("exec {}", arguments.join(" ")));
    let ended = shown.unmount();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stderr, "");
}

fn by_socket(arguments: &[&str], times: usize) {
    let arguments = [&["--spawn"], arguments].concat();
    let Some(shown) = Shown::new(&arguments, |_, _| ()) else {
        return;
    };
    let mut pid = shown.next(None);
    let report = shown.work(pace(times), || {
        kill_process(pid, Signal::HUP).unwrap();
        pid = shown.next(Some(pid));
    });
    report.finish(&format!("socket {}", arguments[1..].join(" ")));
    let ended = shown.unmount();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stderr, "");
}

fn killed(arguments: &[&str], times: usize) {
    let kept = |command: &mut Command, _: &Path| keeper(command, &["--restarts=1000000"]);
    let Some(shown) = Shown::new(arguments, kept) else {
        return;
    };
    let mut pid = shown.next(None);
    let report = shown.work(pace(times), || {
        kill_process(pid, Signal::KILL).unwrap();
        pid = shown.next(Some(pid));
    });
    report.finish(&format!("SIGKILL {}", arguments.join(" ")));
    let ended = shown.unmount();
    assert!(ended.status.success(), "{ended:?}");
    assert!(!ended.stderr.contains("ERROR"), "{ended:?}");
}

#[test]
fn killed_and_started_again() {
    killed(&[], 10);
}

#[test]
fn killed_in_each_mode() {
    killed(&["--single"], 3);
    killed(&["--async", "--enable-writeback-cache"], 3);
}

#[test]
fn replaced_by_exec() {
    by_exec(&[], 10);
}

#[test]
fn replaced_by_exec_in_each_mode() {
    for arguments in [
        &["--single"][..],
        &["--async"],
        &["--enable-writeback-cache"],
        &["-o", "timeout=0"],
    ] {
        by_exec(arguments, 3);
    }
}

#[test]
fn replaced_by_a_new_process() {
    by_socket(&[], 10);
}

#[test]
fn replaced_by_a_new_process_in_each_mode() {
    by_socket(&["--async", "--enable-writeback-cache"], 3);
    by_socket(&["--single"], 3);
}

/// The program at its path is another file system now, which does not ask for what was agreed with the kernel.
#[test]
fn a_successor_that_refuses_is_rolled_back() {
    for spawn in [&[][..], &["--spawn"]] {
        let copied = |command: &mut Command, dir: &Path| {
            let copy = dir.join(NAME);
            program::copy(Path::new(command.get_program()), &copy);
            let mut copied = Command::new(&copy);
            copied.args(command.get_args());
            *command = copied;
        };
        let Some(shown) = Shown::new(spawn, copied) else {
            return;
        };
        let copy = shown.mounted.path().with_file_name(NAME);
        let new = copy.with_extension("new");
        program::copy(&program::built("hello"), &new);
        fs::rename(&new, &copy).unwrap();
        let pid = shown.next(None);
        let file = shown.mounted.path().join("file");
        fs::write(&file, "text").unwrap();
        kill_process(pid, Signal::HUP).unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            assert_eq!(fs::read_to_string(&file).unwrap(), "text");
            fs::symlink_metadata(file.with_extension("missing")).unwrap_err();
        }
        assert_eq!(shown.next(None), pid);
        let ended = shown.unmount();
        assert!(ended.status.success(), "{ended:?}");
        assert!(
            ended.stderr.contains("was not taken over") || ended.stderr.contains("refused"),
            "{ended:?}"
        );
    }
}

/// Its successor is given the directory, and not the way to it.
#[test]
fn the_source_is_moved_meanwhile() {
    let Some(shown) = Shown::new(&[], |_, _| ()) else {
        return;
    };
    let pid = shown.next(None);
    let file = shown.mounted.path().join("file");
    fs::write(&file, "text").unwrap();
    let away = shown.source.with_extension("away");
    fs::rename(&shown.source, &away).unwrap();
    replace(pid);
    fs::symlink_metadata(file.with_extension("missing")).unwrap_err();
    assert_eq!(fs::read_to_string(&file).unwrap(), "text");
    fs::rename(&away, &shown.source).unwrap();
    let ended = shown.unmount();
    assert!(ended.status.success(), "{ended:?}");
}
