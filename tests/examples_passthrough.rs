//! passthrough_ll, passthrough_hp and memfs_ll, through the kernel, with the command lines that they document.

#[path = "common/mount.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod mount;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use fuse3::Capabilities;
use mount::skip::skip;
use mount::{Mounted, NOBODY, is_root, within};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

/// After so long a file system is killed.
const DEADLINE: Duration = Duration::from_secs(60);

/// A directory to show, which is deleted in the end.
struct Source(PathBuf);

impl Source {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("fuse3-source-{}-{number}", std::process::id());
        let path = std::env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn str(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // What is left in the temporary directory is no failure.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Type and source of a mount.
fn kind(mounted: &Mounted) -> (String, String) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts
        .lines()
        .find(|line| line.split(' ').nth(4) == mounted.path().to_str());
    let (_, rest) = mount.unwrap().split_once(" - ").unwrap();
    let mut words = rest.split(' ').map(str::to_owned);
    (words.next().unwrap(), words.next().unwrap())
}

/// Unmounts it; it has to end with success, and without a word of trouble.
fn end(mounted: Mounted) {
    let mut ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
    // libfuse says so of each request that fails, if it is asked to: a lookup of what is not there.
    let fails = |line: &str| line.starts_with("   unique: ") && line.contains(", error: -");
    ended.stderr = ended.stderr.lines().filter(|line| !fails(line)).collect();
    for word in ["error", "warning", "fault", "abort"] {
        assert!(!ended.stdout.to_lowercase().contains(word), "{ended:?}");
        assert!(!ended.stderr.to_lowercase().contains(word), "{ended:?}");
    }
}

/// A short round of everything, that leaves nothing.
fn round(root: &Path) {
    let (dir, file) = (root.join("dir"), root.join("dir/file"));
    fs::create_dir(&dir).unwrap();
    fs::write(&file, "hello").unwrap();
    let mut appending = OpenOptions::new().append(true).open(&file).unwrap();
    appending.write_all(b" world").unwrap();
    drop(appending);
    assert_eq!(fs::read(&file).unwrap(), b"hello world");

    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_000_000);
    let open = OpenOptions::new().write(true).open(&file).unwrap();
    open.set_modified(then).unwrap();
    open.set_len(5).unwrap();
    open.set_modified(then).unwrap();
    drop(open);
    let of = fs::metadata(&file).unwrap();
    assert_eq!((of.mode() & 0o7777, of.len()), (0o640, 5));
    assert_eq!(of.modified().unwrap(), then);

    let (other, link) = (dir.join("other"), dir.join("link"));
    fs::hard_link(&file, &other).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().nlink(), 2);
    assert_eq!(fs::metadata(&other).unwrap().ino(), of.ino());
    symlink("other", &link).unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("other"));
    assert_eq!(fs::read(&link).unwrap(), b"hello");
    fs::rename(&file, dir.join("renamed")).unwrap();
    assert!(!file.exists());
    for index in 0..300 {
        File::create(dir.join(format!("{index:0100}"))).unwrap();
    }
    let names = |dir: &Path| -> Vec<_> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let listed = names(&dir);
    assert_eq!(listed.len(), 303);
    assert_eq!(listed[300..], ["link", "other", "renamed"]);

    // More than one request's worth, at an odd place, read back by who has it open and by who opens it.
    let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut open = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(dir.join("large"))
        .unwrap();
    open.write_all_at(&large, 12_345).unwrap();
    open.sync_all().unwrap();
    let mut back = Vec::new();
    open.seek(SeekFrom::Start(12_345)).unwrap();
    open.read_to_end(&mut back).unwrap();
    assert!(back == large);
    let again = fs::read(dir.join("large")).unwrap();
    assert!(again[..12_345].iter().all(|byte| *byte == 0) && again[12_345..] == large);

    // Gone but for who has it open.
    fs::remove_file(dir.join("large")).unwrap();
    assert_eq!(open.metadata().unwrap().nlink(), 0);
    let mut byte = [0];
    open.read_exact_at(&mut byte, 12_346).unwrap();
    assert_eq!(byte, [1]);
    open.write_all_at(b"x", 0).unwrap();
    drop(open);

    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(names(root), Vec::<std::ffi::OsString>::new());
}

/// What the file system has open of the source.
fn open_files(mounted: &Mounted, source: &Source) -> Vec<PathBuf> {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", mounted.id())).unwrap();
    // One that is closed meanwhile leads nowhere.
    let files = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    files.filter(|file| file.starts_with(&source.0)).collect()
}

/// Mounts, does a round twice, and unmounts.
fn on(example: &str, arguments: &[&str], source: Option<&Source>) {
    let Some(mounted) = Mounted::new(example, arguments, DEADLINE) else {
        return;
    };
    round(mounted.path());
    round(mounted.path());
    if let Some(source) = source {
        // The kernel forgets and releases in the background: then only the root is open.
        let closed = || open_files(&mounted, source) == [&*source.0];
        let closed = within(Duration::from_secs(20), closed);
        assert!(closed, "{:?}", open_files(&mounted, source));
    }
    end(mounted);
}

fn hp(options: &[&str]) {
    let source = Source::new();
    let arguments = [&["--foreground"], options, &[source.str()]].concat();
    on("passthrough_hp", &arguments, Some(&source));
}

fn ll(options: &str) {
    let source = Source::new();
    let options = format!("source={}{options}", source.str());
    on("passthrough_ll", &["-f", "-o", &options], Some(&source));
}

#[test]
fn passthrough_hp_in_its_modes() {
    hp(&[]);
    hp(&["--nocache"]);
    hp(&["--direct-io"]);
    hp(&["--nosplice", "--num-threads=-1"]);
    hp(&["--nopassthrough"]);
    hp(&["--single"]);
    hp(&["--clone-fd", "--num-threads=3"]);
    hp(&["--num-threads", "2", "-o", "noatime,fsname=something"]);
    hp(&["--debug"]);
    hp(&["--debug-fuse"]);
}

#[test]
fn passthrough_ll_in_its_modes() {
    ll("");
    ll(",timeout=0.5");
    ll(",writeback");
    ll(",cache=never,no_writeback");
    ll(",cache=always,flock,xattr");
    ll(",debug");
}

#[test]
fn memfs_ll_in_its_modes() {
    on("memfs_ll", &["-f"], None);
    on("memfs_ll", &["-f", "-s"], None);
    on("memfs_ll", &["-f", "-o", "fuse_dio"], None);
    on(
        "memfs_ll",
        &["-f", "-o", "writeback_cache,no_timeout"],
        None,
    );
}

#[test]
fn the_source_is_what_is_seen() {
    let source = Source::new();
    fs::write(source.0.join("before"), "below").unwrap();
    let arguments = ["--foreground", "--nocache", source.str()];
    let Some(mounted) = Mounted::new("passthrough_hp", &arguments, DEADLINE) else {
        return;
    };
    assert_eq!(kind(&mounted), ("fuse".to_owned(), source.str().to_owned()));
    assert_eq!(fs::read(mounted.path().join("before")).unwrap(), b"below");
    fs::write(mounted.path().join("made"), "above").unwrap();
    assert_eq!(fs::read(source.0.join("made")).unwrap(), b"above");
    let (above, below) = (mounted.path().join("made"), source.0.join("made"));
    let (above, below) = (fs::metadata(above).unwrap(), fs::metadata(below).unwrap());
    assert_eq!((above.ino(), above.mode()), (below.ino(), below.mode()));
    // Changed behind the mount's back, which --nocache allows.
    fs::write(source.0.join("before"), "longer than before").unwrap();
    let seen = fs::read(mounted.path().join("before")).unwrap();
    assert_eq!(seen, b"longer than before");
    end(mounted);
}

#[test]
fn what_a_user_makes_is_the_user_s() {
    let source = Source::new();
    fs::set_permissions(&source.0, fs::Permissions::from_mode(0o2777)).unwrap();
    let arguments = ["--foreground", "-o", "allow_other", source.str()];
    if !is_root() {
        return skip("what a user makes", "only root can act as another user");
    }
    chown(&source.0, None, Some(12)).unwrap();
    let Some(mounted) = Mounted::new("passthrough_hp", &arguments, DEADLINE) else {
        return;
    };
    let script = "umask 027; cd \"$0\" && : >file && mkdir dir && ln -s file link && mkfifo fifo";
    let made = {
        use std::os::unix::process::CommandExt;
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(mounted.path());
        shell.uid(NOBODY).gid(NOBODY).status().unwrap()
    };
    assert!(made.success());
    let modes = [
        ("file", 0o640),
        ("dir", 0o2750),
        ("link", 0o777),
        ("fifo", 0o640),
    ];
    for (name, mode) in modes {
        for root in [mounted.path(), &source.0] {
            let of = fs::symlink_metadata(root.join(name)).unwrap();
            let is = (of.uid(), of.gid(), of.mode() & 0o7777);
            assert_eq!(is, (NOBODY, 12, mode), "{name}");
        }
    }
    // And what root makes next is root's.
    File::create(mounted.path().join("root's")).unwrap();
    assert_eq!(fs::metadata(source.0.join("root's")).unwrap().uid(), 0);
    end(mounted);
}

#[test]
fn by_an_ordinary_user() {
    let source = Source::new();
    if is_root() {
        chown(&source.0, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let option = format!("source={}", source.str());
    let programs: [(&str, &[&str]); 3] = [
        ("passthrough_hp", &["--foreground", source.str()]),
        ("passthrough_ll", &["-f", "-o", &option]),
        ("memfs_ll", &["-f"]),
    ];
    for (example, arguments) in programs {
        let Some(mounted) = Mounted::by_nobody(example, arguments, DEADLINE) else {
            return;
        };
        // Nobody else may look, root neither.
        let script =
            "cd \"$0\" && echo text >file && mkdir dir && mv file dir && cat dir/file && rm -r dir";
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(mounted.path());
        if is_root() {
            use std::os::unix::process::CommandExt;
            shell.uid(NOBODY).gid(NOBODY);
        }
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{example}: {output:?}");
        assert_eq!(output.stdout, b"text\n");
        end(mounted);
    }
}

#[test]
fn in_the_background() {
    let source = Source::new();
    let option = format!("source={}", source.str());
    let programs: [(&str, &[&str]); 3] = [
        ("passthrough_hp", &[source.str()]),
        ("passthrough_ll", &["-o", &option]),
        ("memfs_ll", &[]),
    ];
    for (example, arguments) in programs {
        let Some(mounted) = Mounted::new(example, arguments, DEADLINE) else {
            return;
        };
        round(mounted.path());
        end(mounted);
    }
}

/// As with libfuse's examples: 0 only after an unmount.
#[test]
fn a_signal_ends_it_with_1() {
    let source = Source::new();
    let programs: [(&str, &[&str]); 2] = [
        ("passthrough_hp", &["--foreground", source.str()]),
        ("memfs_ll", &["-f"]),
    ];
    for (example, arguments) in programs {
        let Some(mounted) = Mounted::new(example, arguments, DEADLINE) else {
            return;
        };
        // Once it answers, it handles signals.
        fs::metadata(mounted.path()).unwrap();
        let ended = mounted.signal("TERM");
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    }
}

#[test]
fn types_of_mounts() {
    let source = Source::new();
    let option = format!("source={}", source.str());
    for (example, arguments) in [
        ("passthrough_ll", vec!["-f", "-o", &option]),
        ("memfs_ll", vec!["-f"]),
    ] {
        let Some(mounted) = Mounted::new(example, &arguments, DEADLINE) else {
            return;
        };
        assert_eq!(
            kind(&mounted),
            (format!("fuse.{example}"), example.to_owned())
        );
        end(mounted);
    }
}

/// How many bytes each splice(2) moved, while 128 KiB are written and read at a time. `None` without strace(1).
fn spliced(options: &[&str]) -> Option<Vec<u64>> {
    const SIZE: usize = 128 << 10;
    if Command::new("strace").arg("-V").output().is_err() {
        skip("splice", "strace is not installed");
        return None;
    }
    let source = Source::new();
    let log = source.0.join("strace");
    let shown = source.0.join("shown");
    fs::create_dir(&shown).unwrap();
    let arguments = [&["--foreground"], options, &[shown.to_str().unwrap()]].concat();
    let mounted = Mounted::start("passthrough_hp", &arguments, DEADLINE, |command, _| {
        let mut tracer = Command::new("strace");
        tracer.args(["-f", "-qq", "-e", "trace=splice", "-e", "signal=none", "-o"]);
        tracer
            .arg(&log)
            .arg(command.get_program())
            .args(command.get_args());
        *command = tracer;
    })?;
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(mounted.path().join("file"));
    let file = file.unwrap();
    let (there, mut back) = (vec![7; SIZE], vec![0; SIZE]);
    file.write_all_at(&there, 0).unwrap();
    file.read_exact_at(&mut back, 0).unwrap();
    assert!(there == back);
    drop(file);
    end(mounted);
    let log = fs::read_to_string(log).unwrap();
    let moved = log.lines().filter(|line| line.contains("splice"));
    Some(
        moved
            .filter_map(|line| line.rsplit(" = ").next()?.parse().ok())
            .collect(),
    )
}

#[test]
fn data_are_spliced_but_with_nosplice() {
    // Past the page cache, so that there is one request for each.
    let mut tries = 0..20;
    loop {
        let Some(moved) = spliced(&["--nopassthrough", "--nocache", "--direct-io"]) else {
            return;
        };
        // The write comes with its header, and goes without; the read comes without, and goes with its header.
        let all = moved.iter().filter(|bytes| **bytes >= 128 << 10).count();
        if all >= 4 {
            break;
        }
        // Others' pipes may leave too little of what a user's may have together (pipe(7), `pipe-user-pages-soft`).
        assert!(tries.next().is_some(), "{moved:?}");
        thread::sleep(Duration::from_millis(100));
    }
    let none = spliced(&["--nopassthrough", "--nocache", "--direct-io", "--nosplice"]);
    assert_eq!(none, Some(Vec::new()));
}

#[test]
fn null_io_stores_nothing() {
    let arguments = ["-f", "-o", "null_io,fuse_dio"];
    let Some(mounted) = Mounted::new("memfs_ll", &arguments, DEADLINE) else {
        return;
    };
    let file = mounted.path().join("file");
    fs::write(&file, [7; 100_000]).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().blocks(), 0);
    assert!(fs::read(&file).unwrap() == [0; 100_000]);
    end(mounted);
}

/// Each of which libfuse's takes for granted, too.
#[test]
fn odd_command_lines_that_passthrough_hp_takes() {
    for options in [
        &["--single=false", "--num-threads=-2"][..],
        &["-o", "", "--clone-fd=f", "--num-threads=0x3"],
        &["--nosplice=T", "--"],
    ] {
        hp(options);
    }
}

#[test]
fn command_lines() {
    let run = |example: &str, arguments: &[&str]| {
        let output = Command::new(mount::program::built(example))
            .args(arguments)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let options: [(&str, &[&str]); 3] = [
        (
            "passthrough_hp",
            &["--nosplice", "--num-threads", "--direct-io"],
        ),
        (
            "passthrough_ll",
            &["writeback", "cache=never", "timeout=", "clone_fd"],
        ),
        (
            "memfs_ll",
            &["null_io", "fuse_dio", "writeback_cache", "no_timeout"],
        ),
    ];
    for (example, options) in options {
        let (status, help) = run(example, &["--help"]);
        assert_eq!(status, Some(0), "{help}");
        assert!(help.to_lowercase().contains("usage:"), "{help}");
        for option in options {
            assert!(help.contains(option), "{option}: {help}");
        }
    }
    for (example, arguments, status) in [
        ("passthrough_hp", &["/tmp"][..], 2),
        ("passthrough_hp", &["--no-such", "/tmp", "/tmp"], 2),
        ("passthrough_hp", &["/no/source", "/tmp"], 1),
        // As libfuse's of 3.18, where that does not abort.
        ("passthrough_hp", &[], 2),
        ("passthrough_hp", &["-o", "/tmp", "/tmp"], 2),
        ("passthrough_hp", &["/tmp", "/tmp", "-o"], 2),
        ("passthrough_hp", &["--help", "-o"], 2),
        ("passthrough_hp", &["--help", "--no-such"], 2),
        ("passthrough_hp", &["--help=1"], 0),
        ("passthrough_hp", &["--help=false"], 0),
        ("passthrough_hp", &["-h"], 2),
        ("passthrough_hp", &["-V"], 2),
        ("passthrough_hp", &["--version"], 2),
        ("passthrough_hp", &["--", "--help", "/tmp", "/tmp"], 2),
        ("passthrough_hp", &["--", "--help", "/tmp"], 1),
        ("passthrough_hp", &["-o", "no_such", "/tmp", "/tmp"], 1),
        ("passthrough_hp", &["/dev/null", "/tmp"], 1),
        ("passthrough_hp", &["/tmp", "/dev/null"], 1),
        ("passthrough_hp", &["--nocache=3", "/tmp", "/tmp"], 2),
        ("passthrough_hp", &["--num-threads", "/tmp", "/tmp"], 2),
        ("passthrough_hp", &["--num-threads=3x", "/tmp", "/tmp"], 2),
        ("passthrough_ll", &[], 1),
        ("passthrough_ll", &["-o", "source=/no/source", "/tmp"], 1),
        ("passthrough_ll", &["-o", "timeout=-1", "/tmp"], 1),
        ("memfs_ll", &["-o", "no_such_option", "/tmp"], 1),
    ] {
        let (code, said) = run(example, arguments);
        assert_eq!(code, Some(status), "{example} {arguments:?}: {said}");
        assert!(!said.is_empty());
    }
}

/// How many descriptors `mounted` may have: so many, or as many as it may by the limit that it has from here.
fn limit_files(mounted: &Mounted, to: Option<u64>) {
    let pid = Pid::from_raw(mounted.id().try_into().unwrap());
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = to.or(maximum);
    prlimit(pid, Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

/// How many bytes it has read.
fn bytes_read(mounted: &Mounted) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", mounted.id())).unwrap();
    let read = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    read.unwrap().parse().unwrap()
}

/// The kernel reads the other files by itself.
#[test]
fn what_has_no_descriptor_to_spare_is_read_without_passthrough() {
    const SIZE: u32 = 1 << 20;
    if !Capabilities::known().contains(Capabilities::PASSTHROUGH) || !is_root() {
        return skip("passthrough", "it needs libfuse 3.17 and root");
    }
    let source = Source::new();
    for name in ["one", "other"] {
        fs::write(source.0.join(name), vec![7; SIZE as usize]).unwrap();
    }
    let arguments = ["--foreground", "--nosplice", source.str()];
    let Some(mounted) = Mounted::new("passthrough_hp", &arguments, DEADLINE) else {
        return;
    };
    let read = |file: &mut File| {
        let before = bytes_read(&mounted);
        assert_eq!(file.read_to_end(&mut Vec::new()).unwrap(), SIZE as usize);
        bytes_read(&mounted) - before
    };
    let [one, other] = ["one", "other"].map(|name| mounted.path().join(name));
    // From now on they are known, with a descriptor each.
    let known = [&one, &other].map(|path| fs::metadata(path).unwrap().len());
    assert_eq!(known, [u64::from(SIZE); 2]);
    let descriptors = format!("/proc/{}/fd", mounted.id());
    let is_free = |number: &u64| fs::read_link(format!("{descriptors}/{number}")).is_err();
    let free = (0..).find(is_free).unwrap();
    limit_files(&mounted, Some(free + 1));
    let mut first = File::open(&one).unwrap();
    limit_files(&mounted, None);
    assert!(
        read(&mut first) >= SIZE.into(),
        "the kernel had a file to read"
    );
    // The kernel does not take one now.
    let mut second = File::open(&one).unwrap();
    assert_eq!(second.read(&mut [0; 10]).unwrap(), 10);
    let by_itself = read(&mut File::open(&other).unwrap());
    assert!(
        by_itself < SIZE.into(),
        "{by_itself} bytes went through the program"
    );
    drop((first, second));
    end(mounted);
}
