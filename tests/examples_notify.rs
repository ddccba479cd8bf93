//! The examples notify_*, with the command lines of libfuse's: what the kernel's caches show, how they end, and, with a kernel
//! that the test plays, what they tell one and what they say of an old one.

#[path = "common/kernel.rs"]
mod kernel;
#[path = "common/mount.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod mount;
#[path = "common/served.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod served;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use fuse3::testing::proto::{self, InitIn};
use kernel::linux;
use mount::skip::skip;
use mount::{Ended, Mounted, NOBODY, is_root, program, within};
use served::Served;

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
    a_clock("notify_inval_inode", &["-s", "--timeout=1000"]);
}

#[test]
fn notify_store_retrieve() {
    a_clock("notify_store_retrieve", &[]);
}

#[test]
fn notify_store_retrieve_with_clone_fd() {
    a_clock(
        "notify_store_retrieve",
        &["--timeout=1000", "-o", "clone_fd"],
    );
}

#[test]
fn notify_prune() {
    for arguments in [&[][..], &["--timeout=1000"]] {
        if linux(6, 18) {
            a_clock("notify_prune", arguments);
        } else {
            not_supported("notify_prune", arguments, "prune");
        }
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

/// `EXAMPLE -f --update-interval=1 ARGUMENTS`, of which this test is the kernel, with protocol 7.`minor`.
fn served(minor: u32, example: &str, arguments: &[&str]) -> Served {
    let mut command = Command::new(program::built(example));
    command.args(["-f", "--update-interval=1"]).args(arguments);
    let mut served = Served::start(command);
    // An old kernel's reply is shorter than those that `Peer::init` takes.
    let unique = served.send(&proto::init(InitIn {
        minor,
        ..InitIn::default()
    }));
    assert_eq!(answer(&served, unique).0, 0);
    served
}

/// The error and the body of the reply to `unique`.
#[track_caller]
fn answer(served: &Served, unique: u64) -> (i32, Vec<u8>) {
    let reply = served.receive();
    assert_eq!(reply[8..16], unique.to_ne_bytes());
    let error = i32::from_ne_bytes(reply[4..8].try_into().unwrap());
    (error, reply[16..].to_vec())
}

/// The body of the reply to a LOOKUP of the only file: from now on the example has whom to notify.
#[track_caller]
fn look_up(served: &mut Served) -> Vec<u8> {
    for _ in 0..TRIES {
        let unique = served.send(&proto::readdir(1, 0, 0, 4096));
        let (error, listing) = answer(served, unique);
        assert_eq!(error, 0);
        let length = u32::from_ne_bytes(listing[16..20].try_into().unwrap());
        let name = &listing[24..][..length.try_into().unwrap()];
        let unique = served.send(&proto::lookup(1, name));
        match answer(served, unique) {
            (0, entry) => return entry,
            // The clock went on between the two.
            (error, _) => assert_eq!(error, -libc::ENOENT),
        }
    }
    panic!("no name lasts");
}

/// What they say where the kernel does not have the notification, whatever this one has, and that they end as after an unmount.
#[test]
fn a_kernel_that_does_not_have_it() {
    for (example, arguments, notification) in [
        ("notify_prune", &[][..], "prune"),
        ("notify_inval_entry", &["--inc-epoch"], "increment_epoch"),
        ("notify_inval_entry", &["--only-expire"], "expire_entry"),
    ] {
        let mut served = served(37, example, arguments);
        look_up(&mut served);
        let said = format!("fuse_lowlevel_notify_{notification} not supported by kernel\n");
        assert_eq!(served.says(), said);
        assert_eq!(served.says(), "Exiting...\n");
        let ended = served.ends();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""));
    }
}

/// With every notification that there is, from the protocol on that has it, none says so.
#[test]
fn a_kernel_that_has_it() {
    // `Time_is_12h_34m_56s`, and a NUL byte.
    const NAME: u32 = 20;
    for (minor, example, arguments, code, length) in [
        // `enum fuse_notify_code`, and the length of what comes with it.
        (12, "notify_inval_inode", &[][..], 2, 24),
        (12, "notify_inval_entry", &[], 3, 16 + NAME),
        (38, "notify_inval_entry", &["--only-expire"], 3, 16 + NAME),
        (44, "notify_inval_entry", &["--inc-epoch"], 8, 0),
        (45, "notify_prune", &[], 9, 16 + 8),
    ] {
        let mut served = served(minor, example, arguments);
        look_up(&mut served);
        let notification = served.receive();
        let head = [16 + length, code].map(u32::to_ne_bytes).concat();
        assert_eq!(notification[..8], head, "{example} {arguments:?}");
        assert_eq!(notification[8..16], [0; 8]);
        let ended = served.terminate();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""));
    }
}

/// `--timeout` is how long the kernel may keep names and attributes.
#[test]
fn a_timeout() {
    for example in [
        "notify_inval_inode",
        "notify_inval_entry",
        "notify_store_retrieve",
        "notify_prune",
    ] {
        for (argument, seconds, nanoseconds) in [
            ("--timeout=7", 7_u64, 0_u32),
            ("--timeout=2.5", 2, 500_000_000),
            ("--timeout=0", 0, 0),
        ] {
            let mut served = served(45, example, &["--no-notify", argument]);
            // `entry_valid`, `attr_valid`, and the nanoseconds of both.
            let entry = look_up(&mut served);
            let timeouts = [
                [seconds; 2].map(u64::to_ne_bytes).concat(),
                [nanoseconds; 2].map(u32::to_ne_bytes).concat(),
            ];
            assert_eq!(entry[16..40], timeouts.concat(), "{example} {argument}");
            for ino in [1, 2] {
                let unique = served.send(&proto::getattr(ino, None));
                let (error, attr) = answer(&served, unique);
                assert_eq!((error, &attr[..8]), (0, &seconds.to_ne_bytes()[..]));
                assert_eq!(attr[8..12], nanoseconds.to_ne_bytes());
            }
            let ended = served.terminate();
            assert_eq!(ended.code, Some(1), "{ended:?}");
            assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""));
        }
    }
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
    const COMMON: [&str; 3] = ["--update-interval=", "--timeout=", "--no-notify"];
    for (example, own) in [
        ("notify_inval_inode", &[][..]),
        ("notify_store_retrieve", &[]),
        ("notify_prune", &[]),
        ("notify_inval_entry", &["--only-expire", "--inc-epoch"]),
    ] {
        let help = Command::new(program::built(example))
            .arg("-h")
            .output()
            .unwrap();
        assert!(help.status.success());
        let said = String::from_utf8(help.stdout).unwrap();
        let said = said.to_lowercase();
        assert!(said.starts_with("usage: "), "{said}");
        for option in COMMON.iter().chain(own) {
            assert!(said.contains(option), "{option} in {said}");
        }
        for wrong in ["--update-interval=x", "--timeout=x"] {
            let ended = Command::new(program::built(example))
                .args([wrong, "/nowhere"])
                .output()
                .unwrap();
            assert_eq!(ended.status.code(), Some(1));
            let said = String::from_utf8(ended.stderr).unwrap();
            assert!(said.contains(&wrong[..wrong.len() - 2]), "{said}");
        }
    }
}
