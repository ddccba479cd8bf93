//! The command lines of tmpfs_sqlite and passthroughfs, and signals.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use crate::DEADLINE;
use crate::mount::{Mounted, is_root, program};
use crate::source::Source;

#[test]
fn debug() {
    let source = Source::new();
    let one = ["--debug", "--debug-fuse", source.str()];
    let other = ["--async", "--debug", "--debug-fuse", source.str()];
    for (example, arguments, says) in [
        ("passthroughfs", &one[..], "DEBUG: lookup of \"missing\""),
        ("passthroughfs", &other, "DEBUG: lookup of \"missing\""),
        ("tmpfs_sqlite", &["--debug-fuse"], "LOOKUP"),
    ] {
        let Some(mounted) = Mounted::new(example, arguments, DEADLINE) else {
            return;
        };
        assert!(!mounted.path().join("missing").exists());
        let ended = mounted.unmount();
        assert!(ended.status.success(), "{ended:?}");
        for said in [says, "LOOKUP"] {
            assert!(ended.stderr.contains(said), "{said}: {ended:?}");
        }
    }
}

/// Other threads have lines, too. A socket that keeps datagrams apart shows what each write(2) has written.
#[test]
fn a_line_is_one_write() {
    let source = Source::new();
    for (example, arguments) in [
        (
            "passthrough_hp",
            &["--foreground", "--debug", source.str()][..],
        ),
        ("passthroughfs", &["--debug", source.str()]),
        ("lltest", &["--debug"]),
    ] {
        let (ours, its) = UnixDatagram::pair().unwrap();
        ours.set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let change = |command: &mut Command, _: &Path| {
            let stderr = move || {
                // SAFETY: no memory is involved.
                match unsafe { libc::dup2(its.as_raw_fd(), libc::STDERR_FILENO) } {
                    -1 => Err(io::Error::last_os_error()),
                    _ => Ok(()),
                }
            };
            // SAFETY: dup2(2) is async-signal-safe.
            unsafe { command.pre_exec(stderr) };
        };
        let Some(mounted) = Mounted::start(example, arguments, DEADLINE, change) else {
            return;
        };
        let has_ended = AtomicBool::new(false);
        let lines = thread::scope(|scope| {
            let lines = scope.spawn(|| {
                let deadline = Instant::now() + DEADLINE;
                let mut lines = Vec::new();
                let mut written = [0; 4096];
                loop {
                    let may_be_last = has_ended.load(Ordering::SeqCst);
                    match ours.recv(&mut written) {
                        Ok(length) => {
                            lines.push(String::from_utf8_lossy(&written[..length]).into_owned())
                        }
                        Err(_) if may_be_last || Instant::now() > deadline => return lines,
                        Err(_) => {}
                    }
                }
            });
            let missing = mounted.path().join("missing").exists();
            let ended = mounted.unmount();
            has_ended.store(true, Ordering::SeqCst);
            assert!(!missing && ended.status.success(), "{ended:?}");
            lines.join().unwrap()
        });
        let torn = lines.iter().find(|line| !line.ends_with('\n'));
        assert_eq!(torn, None, "{example}");
        assert!(!lines.is_empty(), "{example} says nothing");
    }
}

/// As with libfuse's examples: 0 only after an unmount. What is open does not keep it from ending.
#[test]
fn signals_end_it() {
    let source = Source::new();
    for (example, arguments) in [
        ("passthroughfs", &[source.str()][..]),
        ("passthroughfs", &["--async", source.str()]),
        ("tmpfs_sqlite", &[]),
    ] {
        let Some(mounted) = Mounted::new(example, arguments, DEADLINE) else {
            return;
        };
        let open = fs::File::create(mounted.path().join("open")).unwrap();
        let ended = mounted.signal("TERM");
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert_eq!(ended.stderr, "");
        drop(open);
    }
}

#[test]
fn mistakes() {
    let source = Source::new();
    let file = source.path().join("file");
    fs::write(&file, "no database, and no directory").unwrap();
    let database = format!("database={}", file.display());
    let missing = source.path().join("missing");
    let missing = missing.to_str().unwrap();
    for (example, arguments, says) in [
        ("passthroughfs", &["/mnt"][..], "SOURCE"),
        ("passthroughfs", &[missing, "/mnt"], "missing"),
        ("passthroughfs", &[file.to_str().unwrap(), "/mnt"], "file"),
        (
            "passthroughfs",
            &["-o", "timeout=-1", source.str(), "/mnt"],
            "timeout=-1",
        ),
        ("tmpfs_sqlite", &[], "Usage"),
        ("tmpfs_sqlite", &["-o", &database, "/mnt"], "not a database"),
    ] {
        let output = Command::new(program::built(example))
            .args(arguments)
            .output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = [output.stdout, output.stderr].concat().to_ascii_lowercase();
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains(&says.to_lowercase()), "{says}: {said}");
    }
}

/// What root lacks in a container is named.
#[test]
fn without_the_capability_to_act_as_others() {
    if !is_root() {
        return;
    }
    let (source, mount_point) = (Source::new(), Source::new());
    let from = format!("source={}", source.str());
    for (example, arguments) in [
        ("passthrough_hp", &["--foreground", source.str()][..]),
        ("passthrough_ll", &["-f", "-o", &from]),
        ("passthroughfs", &[source.str()]),
    ] {
        let output = Command::new("setpriv")
            .args(["--bounding-set=-setpcap", "--inh-caps=-setpcap"])
            .arg(program::built(example))
            .args(arguments)
            .arg(mount_point.path())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{example}: {stderr}");
        assert!(stderr.contains("CAP_SETPCAP"), "{example}: {stderr}");
    }
}
