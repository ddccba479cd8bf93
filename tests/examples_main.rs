//! The examples that C makes with `fuse_main()`, `poll`, `ioctl_ll` and `null`: the options of libfuse's high-level API, and
//! its exit status.

#[path = "common/mount.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod mount;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use mount::{Mounted, program};

/// After so long a file system is killed, and its clients get an error.
const DEADLINE: Duration = Duration::from_secs(60);

fn run(example: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program::built(example));
    command.args(arguments).output().unwrap()
}

#[track_caller]
fn ends(example: &str, arguments: &[&str], status: i32, part: &str) {
    let ended = run(example, arguments);
    assert_eq!(ended.status.code(), Some(status), "{arguments:?} {ended:?}");
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.starts_with(&format!("{example}: ")), "{said}");
    assert!(said.contains(part), "{arguments:?} {said}");
}

/// As libfuse's poll and ioctl of 3.14 end.
#[test]
fn wrong_command_lines_have_the_status_of_fuse_main() {
    let there = std::env::temp_dir();
    let there = there.to_str().unwrap();
    for example in ["poll", "ioctl_ll"] {
        for (arguments, status, part) in [
            (&[][..], 2, "mount point is missing"),
            (&["--foo"], 2, "mount point is missing"),
            (&["-o", "uid=x"], 2, "mount point is missing"),
            (&["--foo", there], 3, "--foo"),
            (&["-x", there], 3, "-x"),
            (&["-o", "foo=3", there], 3, "foo=3"),
            (&["-o", "direct_io", there], 3, "direct_io"),
            (&["-o", "intr_signal=3", there], 3, "intr_signal"),
            (&["-o", "remember", there], 3, "remember"),
            (&["-o", "noforget=3", there], 3, "noforget=3"),
            (&["-o", "kernel_cache=1", there], 3, "kernel_cache=1"),
            (&["-o", "uid=x", there], 3, "uid"),
            (&["-o", "umask=9", there], 3, "umask"),
            (&["-o", "dmask=", there], 3, "dmask"),
            (&["-o", "entry_timeout=x", there], 3, "entry_timeout"),
            (&["-o", "attr_timeout=nan", there], 3, "attr_timeout"),
            (&["-o", "remember=-1", there], 3, "remember"),
            (&["-o", "modules=subdir", there], 3, "low-level API"),
            (
                &["-o", "modules=subdir,subdir=/tmp", there],
                3,
                "low-level API",
            ),
            (&["-o", "max_threads=x"], 1, "max_threads"),
            (&["-o", "max_threads=x", there], 1, "max_threads"),
            (&["-o", "max_threads=x", "--help"], 1, "max_threads"),
            (&[there, there], 1, "too many"),
            (&["/nonexistent"], 1, "/nonexistent"),
            (&["--help", "/nonexistent"], 1, "/nonexistent"),
            (&["-V", there, there], 1, "too many"),
        ] {
            ends(example, arguments, status, part);
        }
    }
}

/// Which looks at the file before anything else, as libfuse's null does.
#[test]
fn null_s_wrong_command_lines() {
    let program = program::built("null");
    let (file, there) = (program.to_str().unwrap(), std::env::temp_dir());
    let there = there.to_str().unwrap();
    for (arguments, status, part) in [
        (&[][..], 1, "mount point is missing"),
        (&["--foo"], 1, "mount point is missing"),
        (&["--help"], 1, "mount point is missing"),
        (&["-V"], 1, "mount point is missing"),
        (&["--help", there], 1, "not a regular file"),
        (&["--version", there], 1, "not a regular file"),
        (&["--foo", there], 1, "not a regular file"),
        (&["-o", "max_threads=x", file], 1, "max_threads"),
        (&[file, there], 1, "too many"),
        (&["/nonexistent"], 1, "/nonexistent"),
        (&["--foo", file], 3, "--foo"),
        (&["-ofoo=3", file], 3, "foo=3"),
        (&["-o", "gid=-x", file], 3, "gid"),
    ] {
        ends("null", arguments, status, part);
    }
}

#[test]
fn help_names_the_options_of_fuse_main() {
    let program = program::built("null");
    let file = program.to_str().unwrap();
    for (example, arguments) in [
        ("poll", &["--help"][..]),
        ("ioctl_ll", &["-h", "--foo"]),
        ("null", &["-h", file]),
    ] {
        let help = run(example, arguments);
        assert!(help.status.success(), "{help:?}");
        assert_eq!(help.stderr, b"");
        let help = String::from_utf8(help.stdout).unwrap();
        // As libfuse's own.
        for line in [
            "    -o kernel_cache        cache files in kernel",
            "    -o no_rofd_flush       disable flushing of read-only fd on close (off)",
            "    -o umask=M             set file permissions (octal)",
            "    -o uid=N               set file owner",
            "    -o gid=N               set file group",
            "    -o entry_timeout=T     cache timeout for names (1.0s)",
            "    -o negative_timeout=T  cache timeout for deleted names (0.0s)",
            "    -o ac_attr_timeout=T   auto cache timeout for attributes (attr_timeout)",
            "    -o noforget            never forget cached inodes",
            "    -o remember=T          remember cached inodes for T seconds (0s)",
        ] {
            assert!(help.lines().any(|printed| printed == line), "{line} {help}");
        }
        let other = ["auto_cache", "noauto_cache", "modules=M1[:M2...]"];
        for option in other {
            assert!(help.contains(&format!("    -o {option}")), "{help}");
        }
        let attr_timeout = if example == "ioctl_ll" {
            "0.0s"
        } else {
            "1.0s"
        };
        let line = format!("-o attr_timeout=T      cache timeout for attributes ({attr_timeout})");
        assert!(help.contains(&line), "{help}");
    }
    // Who asks for both gets this, as from `fuse_main()`.
    for (example, arguments) in [
        ("poll", &["-h", "-V"][..]),
        ("null", &["--version", "--help", file]),
    ] {
        let version = run(example, arguments);
        assert!(version.status.success(), "{version:?}");
        let version = String::from_utf8(version.stdout).unwrap();
        assert!(version.contains("FUSE library version "), "{version}");
        assert!(!version.contains("usage"), "{version}");
    }
}

/// Mode, owner and group, each as they were given.
#[test]
fn masks_and_owners_go_before_the_file_system_s() {
    for (options, directory, file) in [
        ("umask=027,uid=7,gid=8", (0o750, 7, 8), (0o750, 7, 8)),
        ("umask=0", (0o777, 0, 0), (0o777, 0, 0)),
        ("fmask=077,dmask=022", (0o755, 0, 0), (0o700, 0, 0)),
        // To the letter as in libfuse 3.17: without a mask of its own, a directory has that of files.
        ("fmask=077,uid=9", (0o700, 9, 0), (0o700, 9, 0)),
        ("dmask=077,umask=0137", (0o700, 0, 0), (0o640, 0, 0)),
        (
            "gid=9,noforget,remember=5,modules=",
            (0o555, 0, 9),
            (0o444, 0, 9),
        ),
    ] {
        let Some(mounted) = Mounted::new("poll", &["-f", "-o", options], DEADLINE) else {
            return;
        };
        let shown = |path: &Path| {
            let metadata = fs::metadata(path).unwrap();
            (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
        };
        assert_eq!(shown(mounted.path()), directory, "{options}");
        assert_eq!(shown(&mounted.path().join("0")), file, "{options}");
        let ended = mounted.unmount();
        assert!(ended.status.success(), "{ended:?}");
    }
    // The root of null is a file.
    let Some(mounted) = null("umask=033,uid=3,gid=4") else {
        return;
    };
    let (metadata, _mounted) = mounted;
    assert_eq!(metadata.mode(), libc::S_IFREG | 0o744);
    assert_eq!((metadata.uid(), metadata.gid()), (3, 4));
}

/// What null shows of its file.
fn null(options: &str) -> Option<(fs::Metadata, Mounted)> {
    let mounted = Mounted::start("null", &["-f", "-o", options], DEADLINE, |_, dir| {
        fs::remove_dir(dir.join("mnt")).unwrap();
        fs::write(dir.join("mnt"), "below").unwrap();
    })?;
    Some((fs::metadata(mounted.path()).unwrap(), mounted))
}

/// How often libfuse's log names `operation` after `script` has run in the file system.
fn requests(options: &str, script: &str, operation: &str) -> Option<usize> {
    let mounted = Mounted::new("poll", &["-d", "-o", options], DEADLINE)?;
    let mut sh = Command::new("sh");
    sh.args(["-c", script]).current_dir(mounted.path());
    assert!(sh.status().unwrap().success(), "{script}");
    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
    let named = format!("opcode: {operation} (");
    Some(ended.stderr.matches(&named).count())
}

#[test]
fn timeouts_are_the_kernel_s() {
    // The shell looks at nothing else.
    const TWICE: &str = "test -e 3 && test -e 3";
    const NOT_THERE: &str = "test -e none || test -e none || true";
    for (options, script, times) in [
        ("entry_timeout=100", TWICE, 1),
        ("entry_timeout=0", TWICE, 2),
        ("entry_timeout=-1.5", TWICE, 2),
        ("entry_timeout=1e300", TWICE, 1),
        ("negative_timeout=0", NOT_THERE, 2),
        ("negative_timeout=100.5", NOT_THERE, 1),
    ] {
        let Some(requests) = requests(options, script, "LOOKUP") else {
            return;
        };
        assert_eq!(requests, times, "{options}");
    }
    // A size that ioctl(2) has changed, behind the kernel's back.
    for (options, size) in [
        ("dev", 9),
        ("attr_timeout=0", 9),
        ("attr_timeout=100,entry_timeout=100", 0),
    ] {
        let Some(mounted) = Mounted::new("ioctl_ll", &["-f", "-o", options], DEADLINE) else {
            return;
        };
        let file = mounted.path().join("fioc");
        assert_eq!(fs::metadata(&file).unwrap().len(), 0);
        resize(&file, "9");
        assert_eq!(fs::metadata(&file).unwrap().len(), size, "{options}");
    }
}

#[track_caller]
fn resize(file: &Path, size: &str) {
    let mut client = Command::new(program::built("ioctl_client"));
    assert!(client.arg(file).arg(size).status().unwrap().success());
}

#[test]
fn no_rofd_flush_saves_a_request() {
    let known = fuse3::Opened::default().noflush(true).supported().is_ok();
    for (options, times) in [("ro", 1), ("no_rofd_flush", usize::from(!known))] {
        let Some(requests) = requests(options, "exec 3< 0", "FLUSH") else {
            return;
        };
        assert_eq!(requests, times, "{options}");
    }
}

/// What is read of a file that was changed by ioctl(2) after it was read, behind the kernel's back.
fn read_again(mounted: &Mounted, pause: Duration) -> Vec<u8> {
    let file = mounted.path().join("fioc");
    fs::write(&file, "foobar").unwrap();
    for _ in 0..2 {
        assert_eq!(fs::read(&file).unwrap(), b"foobar");
    }
    for size in ["3", "6"] {
        resize(&file, size);
    }
    thread::sleep(pause);
    fs::read(&file).unwrap()
}

#[test]
fn caches_are_kept_when_told_so() {
    let changed = b"foo\0\0\0";
    let now = Duration::ZERO;
    let mount = |options| {
        // A lookup would tell the kernel of the size, too.
        let options = format!("entry_timeout=100,{options}");
        Mounted::new("ioctl_ll", &["-f", "-o", &options], DEADLINE)
    };
    for (options, read) in [
        ("attr_timeout=100", changed),
        ("attr_timeout=100,kernel_cache", b"foobar"),
        ("attr_timeout=100,auto_cache,noauto_cache", changed),
    ] {
        let Some(mounted) = mount(options) else {
            return;
        };
        assert_eq!(read_again(&mounted, now), read, "{options}");
    }
    // Its times change once a second, and then it counts as changed. So that is tried a few times.
    let mounted = mount("attr_timeout=100,auto_cache").unwrap();
    let kept = (0..20).any(|_| read_again(&mounted, now) == b"foobar");
    assert!(kept, "auto_cache never keeps anything");
    drop(mounted);
    // Asked for at each open, it is seen to have changed.
    let mounted = mount("attr_timeout=100,auto_cache,ac_attr_timeout=0").unwrap();
    assert_eq!(read_again(&mounted, Duration::from_millis(1100)), changed);
}
