//! The examples notify_*, with the command lines of libfuse's: what the kernel's caches show, and how they end.

#[path = "common/mount.rs"]
mod mount;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use mount::skip::skip;
use mount::{Ended, Mounted, NOBODY, is_root, program, within};

/// After so long a file system is killed.
const DEADLINE: Duration = Duration::from_secs(60);
/// The clocks go on each second; nothing takes longer than this to be seen.
const SOON: Duration = Duration::from_secs(10);
/// Longer than the clocks stand still.
const A_WHILE: Duration = Duration::from_millis(2500);
/// The kernel may drop what it has cached at any time, and does so when anybody writes to drop_caches.
const TRIES: usize = 3;

/// `EXAMPLE -f --update-interval=1 ARGUMENTS MOUNTPOINT`.
fn mounted(example: &str, arguments: &[&str]) -> Option<Mounted> {
    let arguments = [&["-f", "--update-interval=1"], arguments].concat();
    let mounted = Mounted::new(example, &arguments, DEADLINE)?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let path = mounted.path().to_str().unwrap();
    let line = mounts.lines().find(|line| line.contains(path)).unwrap();
    assert!(line.contains(&format!(" - fuse.{example} ")), "{line}");
    Some(mounted)
}

/// It was unmounted, and has nothing to say.
#[track_caller]
fn ended_well(ended: &Ended) {
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""));
}

/// Whether the kernel is of this version or a later one.
fn linux(major: u32, minor: u32) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (major, minor)
}

/// The file of the clocks.
fn time(root: &Path) -> String {
    let time = fs::read_to_string(root.join("current_time")).unwrap();
    assert_eq!(time.len(), "The current time is 12:34:56\n".len(), "{time}");
    assert!(time.starts_with("The current time is "), "{time}");
    assert!(time.ends_with('\n'), "{time}");
    time
}

/// The file seems to go on with notifications, twice, and not without.
fn a_clock(example: &str, arguments: &[&str]) {
    let Some(clock) = mounted(example, arguments) else {
        return;
    };
    let names: Vec<_> = fs::read_dir(clock.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["current_time"]);
    for _ in 0..2 {
        let before = time(clock.path());
        assert!(within(SOON, || time(clock.path()) != before), "{before}");
    }
    let missing = fs::metadata(clock.path().join("missing")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let writing = fs::File::options()
        .write(true)
        .open(clock.path().join("current_time"));
    assert_eq!(writing.unwrap_err().kind(), ErrorKind::PermissionDenied);
    ended_well(&clock.unmount());

    let still = mounted(example, &[arguments, &["--no-notify"]].concat()).unwrap();
    let stands = |_| {
        let before = time(still.path());
        thread::sleep(A_WHILE);
        time(still.path()) == before
    };
    assert!((0..TRIES).any(stands));
    ended_well(&still.unmount());
}

#[test]
fn notify_inval_inode() {
    a_clock("notify_inval_inode", &[]);
}

#[test]
fn notify_inval_inode_with_one_worker() {
    a_clock("notify_inval_inode", &["-s"]);
}

#[test]
fn notify_store_retrieve() {
    a_clock("notify_store_retrieve", &[]);
}

#[test]
fn notify_store_retrieve_with_clone_fd() {
    a_clock("notify_store_retrieve", &["-o", "clone_fd"]);
}

#[test]
fn notify_prune() {
    if linux(6, 18) {
        a_clock("notify_prune", &[]);
    } else {
        not_supported("notify_prune", &[], "prune");
    }
}

/// It says so, and ends as after an unmount.
fn not_supported(example: &str, arguments: &[&str], notification: &str) {
    let Some(mounted) = mounted(example, arguments) else {
        return;
    };
    for entry in fs::read_dir(mounted.path()).unwrap() {
        // It may have ended already.
        drop(fs::metadata(entry.unwrap().path()));
    }
    let path = mounted.path().to_str().unwrap().to_owned();
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(within(SOON, || !mounts().contains(&path)));
    // It is on its way out, or has not been waited for: this changes nothing.
    let ended = mounted.signal("CONT");
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let said = format!("fuse_lowlevel_notify_{notification} not supported by kernel\nExiting...\n");
    assert_eq!(ended.stdout, said);
}

fn only_file(root: &Path) -> PathBuf {
    let mut files = fs::read_dir(root).unwrap();
    let file = files.next().unwrap().unwrap();
    assert!(files.next().is_none());
    let name = file.file_name().into_string().unwrap();
    assert_eq!(name.len(), "Time_is_12h_34m_56s".len(), "{name}");
    assert!(name.starts_with("Time_is_"), "{name}");
    file.path()
}

/// A name that is gone is gone at once with notifications, and not before the time-out without.
fn names(arguments: &[&str]) {
    let arguments = [&["--timeout=1000"], arguments].concat();
    let Some(names) = mounted("notify_inval_entry", &arguments) else {
        return;
    };
    for _ in 0..2 {
        let file = stat_only_file(names.path());
        let gone = || fs::metadata(&file).is_err_and(|why| why.kind() == ErrorKind::NotFound);
        assert!(within(SOON, gone), "{file:?}");
    }
    ended_well(&names.unmount());

    let arguments = [&["--no-notify"], &*arguments].concat();
    let names = mounted("notify_inval_entry", &arguments).unwrap();
    let stays = |_| {
        let file = stat_only_file(names.path());
        thread::sleep(A_WHILE);
        assert!(only_file(names.path()) != file);
        fs::metadata(&file).is_ok()
    };
    assert!((0..TRIES).any(stays));
    ended_well(&names.unmount());
}

/// The file, which the kernel knows by its name now.
fn stat_only_file(root: &Path) -> PathBuf {
    let mut file = PathBuf::new();
    let known = within(SOON, || {
        // The clock may go on between the two.
        file = only_file(root);
        fs::metadata(&file).is_ok()
    });
    assert!(known, "{file:?}");
    file
}

#[test]
fn notify_inval_entry() {
    names(&[]);
}

#[test]
fn notify_inval_entry_only_expire() {
    if linux(6, 2) {
        names(&["--only-expire"]);
    } else {
        not_supported("notify_inval_entry", &["--only-expire"], "expire_entry");
    }
}

#[test]
fn notify_inval_entry_inc_epoch() {
    if linux(6, 16) {
        names(&["--inc-epoch"]);
    } else {
        not_supported("notify_inval_entry", &["--inc-epoch"], "increment_epoch");
    }
}

/// Without notifications a name is gone after `--timeout`.
#[test]
fn notify_inval_entry_timeout() {
    let arguments = ["--no-notify", "--timeout=1.5"];
    let Some(names) = mounted("notify_inval_entry", &arguments) else {
        return;
    };
    let file = stat_only_file(names.path());
    assert!(within(SOON, || fs::metadata(&file).is_err()));
    ended_well(&names.unmount());
}

#[test]
fn in_the_background() {
    let Some(clock) = Mounted::new("notify_inval_inode", &["--update-interval=1"], DEADLINE) else {
        return;
    };
    let before = time(clock.path());
    assert!(within(SOON, || time(clock.path()) != before));
    ended_well(&clock.unmount());
}

/// A user without rights mounts through fusermount3, and notifies the kernel like root.
#[test]
fn by_an_ordinary_user() {
    let device = fs::metadata("/dev/fuse").map_or(0, |device| device.permissions().mode());
    if is_root() && device & 0o006 != 0o006 {
        return skip("a mounted test by nobody", "/dev/fuse is root's alone");
    }
    let arguments = ["-f", "--update-interval=1"];
    let Some(clock) = Mounted::by_nobody("notify_inval_inode", &arguments, DEADLINE) else {
        return;
    };
    let time = || {
        // Root may not see it.
        let mut cat = Command::new("cat");
        cat.arg(clock.path().join("current_time"));
        if is_root() {
            cat.uid(NOBODY).gid(NOBODY);
        }
        let output = cat.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let before = time();
    assert!(before.starts_with(b"The current time is "));
    assert!(within(SOON, || time() != before));
    ended_well(&clock.unmount());
}

#[test]
fn ended_by_a_signal() {
    for example in ["notify_inval_entry", "notify_store_retrieve"] {
        let Some(mounted) = mounted(example, &[]) else {
            return;
        };
        assert_eq!(fs::read_dir(mounted.path()).unwrap().count(), 1);
        let ended = mounted.signal("TERM");
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""));
    }
}

#[test]
fn help_names_the_options() {
    for (example, options) in [
        (
            "notify_inval_inode",
            &["--update-interval=", "--no-notify"][..],
        ),
        (
            "notify_store_retrieve",
            &["--update-interval=", "--no-notify"],
        ),
        ("notify_prune", &["--update-interval=", "--no-notify"]),
        (
            "notify_inval_entry",
            &[
                "--timeout=",
                "--update-interval=",
                "--no-notify",
                "--only-expire",
                "--inc-epoch",
            ],
        ),
    ] {
        let help = Command::new(program::built(example))
            .arg("-h")
            .output()
            .unwrap();
        assert!(help.status.success());
        let said = String::from_utf8(help.stdout).unwrap();
        let said = said.to_lowercase();
        assert!(said.starts_with("usage: "), "{said}");
        for option in options {
            assert!(said.contains(option), "{option} in {said}");
        }
        let wrong = Command::new(program::built(example))
            .args(["--update-interval=x", "/nowhere"])
            .output();
        assert_eq!(wrong.unwrap().status.code(), Some(1));
    }
}
