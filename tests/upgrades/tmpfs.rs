//! A file system whose state is in its process: all of it goes over.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{
    FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink,
};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

use rustix::fs::{FlockOperation, RawDir, SeekFrom, flock, seek};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use crate::calls::{getxattr, listxattr, mknod, setxattr};
use crate::handle::{Handle, forget};
use crate::map::{Map, PAGE};
use crate::mount::{Ended, Mounted, is_root, within};
use crate::replaced::Replaced;
use crate::servers::server;

const DEADLINE: Duration = Duration::from_secs(240);
/// How long the kernel may take for what it does in the background.
const PATIENCE: Duration = Duration::from_secs(20);

/// Unmounts it. Its accounts add up.
fn ends_well(mounted: Mounted) -> Ended {
    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
    assert!(
        ended.stdout.contains("accounting: everything adds up"),
        "{ended:?}"
    );
    ended
}

fn left(root: &Path) -> String {
    String::from_utf8(getxattr(root, "user.tmpfs.left").unwrap()).unwrap()
}

fn open(path: &Path) -> File {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).unwrap()
}

/// Past the kernel's cache: the server is asked.
fn direct(path: &Path) -> File {
    let mut options = File::options();
    options.read(true).write(true).custom_flags(libc::O_DIRECT);
    options.open(path).unwrap()
}

fn read_all(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    direct(path).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A shell whose working directory is on the file system; each line that it gets is a command, whose output is one line.
struct Shell(Child, BufReader<std::process::ChildStdout>);

impl Shell {
    fn start(directory: &Path) -> Self {
        let mut child = Command::new("sh")
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It may say that its directory is gone.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self(child, out)
    }

    fn run(&mut self, command: &str) -> String {
        writeln!(self.0.stdin.as_mut().unwrap(), "{command}").unwrap();
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

/// Names in the order in which the directory lists them, as many as fit into a small buffer: the listing is in the middle then.
fn some_names(directory: &File) -> Vec<String> {
    let mut buffer = Vec::with_capacity(1024);
    let mut names = RawDir::new(directory, buffer.spare_capacity_mut());
    let mut found = Vec::new();
    while let Some(entry) = names.next() {
        let name = entry.unwrap().file_name().to_str().unwrap().to_owned();
        if name != "." && name != ".." {
            found.push(name);
        }
        if names.is_buffer_empty() {
            break;
        }
    }
    found
}

#[test]
fn what_there_is_goes_over() {
    let Some(mut replaced) = Replaced::start("tmpfs", &["-f", "-o", "size=64M"], DEADLINE) else {
        return;
    };
    let root = replaced.path().to_owned();
    let at = |name: &str| root.join(name);
    fs::create_dir_all(at("d/below")).unwrap();
    fs::set_permissions(at("d"), fs::Permissions::from_mode(0o1751)).unwrap();
    fs::write(at("d/file"), vec![7; 300_000]).unwrap();
    fs::hard_link(at("d/file"), at("link")).unwrap();
    symlink("d/file", at("symlink")).unwrap();
    mknod(&at("fifo"), libc::S_IFIFO | 0o640).unwrap();
    setxattr(&at("link"), "user.one", b"value", 0).unwrap();
    let sparse = open(&at("sparse"));
    sparse.write_all_at(b"far", 1 << 40).unwrap();
    let nameless = open(&at("gone"));
    nameless.write_all_at(&[9; 10_000], 0).unwrap();
    fs::remove_file(at("gone")).unwrap();
    let renamed = open(&at("old"));
    let mut appended = File::options()
        .append(true)
        .create(true)
        .open(at("log"))
        .unwrap();
    let moved = open(&at("d/below/moved"));
    let locked = open(&at("link"));
    flock(&locked, FlockOperation::NonBlockingLockExclusive).unwrap();
    open(&at("mapped")).set_len(4 * PAGE as u64).unwrap();
    let (read, both) = (libc::PROT_READ, libc::PROT_READ | libc::PROT_WRITE);
    let map = Map::new(&open(&at("mapped")), 4, both, libc::MAP_SHARED).unwrap();
    fs::create_dir(at("many")).unwrap();
    for number in 0..500 {
        fs::write(at(&format!("many/{number:03}")), "").unwrap();
    }
    let many = File::open(at("many")).unwrap();
    let mut listed = some_names(&many);
    let mut shell = Shell::start(&at("d/below"));
    let mut removed = {
        fs::create_dir(at("removed")).unwrap();
        let shell = Shell::start(&at("removed"));
        fs::remove_dir(at("removed")).unwrap();
        shell
    };
    fs::copy(fs::canonicalize("/bin/sh").unwrap(), at("program")).unwrap();
    fs::set_permissions(at("program"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut running = Command::new(at("program"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let sum = getxattr(&at("d/file"), "user.tmpfs.sha256").unwrap();
    let times = |name: &str| {
        let stat = fs::symlink_metadata(at(name)).unwrap();
        (
            stat.ino(),
            stat.mode(),
            stat.nlink(),
            stat.mtime_nsec(),
            stat.ctime_nsec(),
            stat.blocks(),
        )
    };
    let names = ["d", "d/file", "symlink", "fifo", "sparse", "many/042"];
    let before = names.map(times);
    let handle = is_root().then(|| Handle::of(&at("many/123")).unwrap());
    let tree = || String::from_utf8(getxattr(&root, "user.tmpfs.tree").unwrap()).unwrap();

    for round in 0..3_u8 {
        map.put(PAGE * usize::from(round), round + 1).unwrap();
        let ((inodes, blocks), tree_before) = (counts(&left(&root)), tree());
        replaced.upgrade();
        // A page of a map may be written back meanwhile.
        let (inodes_now, blocks_now) = counts(&left(&root));
        assert_eq!(inodes_now, inodes);
        assert!(
            (blocks..=blocks + 1).contains(&blocks_now),
            "{blocks} {blocks_now}"
        );
        assert_eq!(names.map(times), before);
        assert_eq!(tree(), tree_before);
        assert_eq!(getxattr(&at("d/file"), "user.tmpfs.sha256").unwrap(), sum);
        assert_eq!(read_all(&at("d/file")), vec![7; 300_000]);
        assert_eq!(fs::read_link(at("symlink")).unwrap(), Path::new("d/file"));
        assert!(fs::metadata(at("fifo")).unwrap().file_type().is_fifo());
        assert_eq!(getxattr(&at("d/file"), "user.one").unwrap(), b"value");
        assert_eq!(listxattr(&at("link")).unwrap(), ["user.one"]);
        assert_eq!(seek(&sparse, SeekFrom::Data(0)).unwrap(), 1 << 40);
        let mut bytes = [0; 8];
        assert_eq!(sparse.read_at(&mut bytes, (1 << 40) - 3).unwrap(), 6);
        assert_eq!(&bytes, b"\0\0\0far\0\0");
        let mut bytes = vec![0; 20_000];
        assert_eq!(nameless.read_at(&mut bytes, 0).unwrap(), 10_000);
        assert_eq!(bytes[..10_000], [9; 10_000]);
        // It goes on where it was, and a name that came later is not in it.
        fs::write(at(&format!("many/later{round}")), "").unwrap();
        let more = some_names(&many);
        assert!(!more.is_empty());
        listed.extend(more);
        fs::remove_file(at(&format!("many/later{round}"))).unwrap();
        let [old, new] = [["old", "new"], ["new", "newer"], ["newer", "old"]][usize::from(round)];
        fs::rename(at(old), at(new)).unwrap();
        renamed.write_all_at(&[round], round.into()).unwrap();
        let is_so = (0..=round).collect::<Vec<_>>();
        assert_eq!(read_all(&at(new)), is_so);
        appended.write_all(b"line\n").unwrap();
        let other = File::options().append(true).open(at("log"));
        other.unwrap().write_all(b"another\n").unwrap();
        let whole = b"line\nanother\n".repeat(usize::from(round) + 1);
        assert_eq!(read_all(&at("log")), whole);
        let again = flock(
            File::open(at("link")).unwrap(),
            FlockOperation::NonBlockingLockShared,
        );
        assert!(again.is_err());
        map.sync().unwrap();
        for written in 0..=round {
            assert_eq!(map.get(PAGE * usize::from(written)).unwrap(), written + 1);
            assert_eq!(
                read_all(&at("mapped"))[PAGE * usize::from(written)],
                written + 1
            );
        }
        assert_eq!(shell.run("cat ../file | wc -c"), "300000");
        assert_eq!(
            shell.run(&format!("echo {round} > here; cat here")),
            round.to_string()
        );
        assert_eq!(removed.run("ls -A | wc -l; true"), "0");
        assert_eq!(
            removed.run("mkdir no 2>/dev/null || echo refused"),
            "refused"
        );
        assert!(running.try_wait().unwrap().is_none());
    }
    // A new page of the program, which the kernel has not had, comes from the server.
    drop(
        Map::new(
            &File::open(at("program")).unwrap(),
            1,
            read,
            libc::MAP_PRIVATE,
        )
        .unwrap(),
    );
    running
        .stdin
        .take()
        .unwrap()
        .write_all(b"exit 7\n")
        .unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(7));
    fs::rename(at("d/below"), at("above")).unwrap();
    moved.write_all_at(b"moved", 0).unwrap();
    assert_eq!(read_all(&at("above/moved")), b"moved");
    loop {
        match some_names(&many) {
            more if more.is_empty() => break,
            more => listed.extend(more),
        }
    }
    let all: Vec<_> = (0..500).map(|number| format!("{number:03}")).collect();
    listed.retain(|name| !name.starts_with("later"));
    assert_eq!(listed, all);
    if let Some(mut handle) = handle {
        forget(&root);
        replaced.upgrade();
        let opened = handle.open(&root).unwrap();
        assert_eq!(
            opened.metadata().unwrap().ino(),
            fs::metadata(at("many/123")).unwrap().ino()
        );
    }
    drop((
        shell, removed, sparse, nameless, renamed, appended, moved, locked, many, map,
    ));
    // Nothing is lost: all can be deleted, and nothing is left.
    empties(&root);
    assert_eq!(ends_well(replaced.mounted).stderr, "");
}

/// How many inodes and how many blocks there are.
fn counts(left: &str) -> (u64, u64) {
    let numbers: Vec<_> = left
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    (numbers[0], numbers[4])
}

/// Deletes everything, after which nothing is left, nor known to the kernel.
fn empties(root: &Path) {
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
    let empty = "1 inodes, 0 nameless, 1 lookups, 0 open, 0 blocks";
    assert!(within(PATIENCE, || left(root) == empty), "{}", left(root));
}

/// A program whose state has another version: it was changed in the file.
fn newer(program: &Path, to: &Path) {
    let (was, is) = (b"fuse3-tmpfs 1\n", b"fuse3-tmpfs 2\n");
    let mut bytes = fs::read(program).unwrap();
    let places: Vec<_> = (0..bytes.len() - was.len())
        .filter(|at| bytes[*at..].starts_with(was))
        .collect();
    assert!(!places.is_empty(), "the program has no such mark");
    for at in places {
        bytes[at..at + is.len()].copy_from_slice(is);
    }
    fs::write(to, bytes).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_program_that_does_not_understand_the_state_gives_the_mount_back() {
    let Some(mut replaced) = Replaced::start("tmpfs", &["-f"], DEADLINE) else {
        return;
    };
    let root = replaced.path().to_owned();
    let file = open(&root.join("file"));
    file.write_all_at(&[1; 100_000], 0).unwrap();
    replaced.upgrade();
    let other = root.parent().unwrap().join("newer");
    newer(&crate::mount::program::built("tmpfs"), &other);
    for round in 1..4 {
        replaced.put(&other);
        replaced.hang_up();
        let says = |times| {
            replaced
                .stderr()
                .matches("not with \"fuse3-tmpfs 2\\n\"")
                .count()
                == times
        };
        assert!(within(PATIENCE, || says(round)), "{}", replaced.stderr());
        file.write_all_at(&[2], round as u64).unwrap();
        fs::write(root.join(format!("{round}")), "written by the old one").unwrap();
        assert_eq!(fs::read_dir(&root).unwrap().count(), round + 1);
        assert!(within(PATIENCE, || replaced.is_running(0)));
    }
    // The next one that understands it goes on.
    replaced.upgrade();
    let mut bytes = vec![1; 100_000];
    bytes[1..4].fill(2);
    assert!(read_all(&root.join("file")) == bytes);
    drop(file);
    empties(&root);
    let ended = ends_well(replaced.mounted);
    let line = "the state that was handed over is wrong: it begins with \"fuse3-tmpfs 1\\n";
    assert_eq!(ended.stderr.matches(line).count(), 3, "{ended:?}");
}

/// Whoever sends it more than once does not kill the new program before that can handle signals, and SIGTERM ends it well whenever it
/// comes.
#[test]
fn signals_in_quick_succession_kill_nobody() {
    let Some(replaced) = Replaced::start("tmpfs", &["-f"], DEADLINE) else {
        return;
    };
    let path = replaced.path().join("file");
    fs::write(&path, vec![1; 100_000]).unwrap();
    for _ in 0..60 {
        replaced.signal(Signal::HUP);
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(read_all(&path), [1; 100_000]);
    // While an upgrade is under way, SIGHUP counts, which came first.
    assert!(within(PATIENCE, || {
        if replaced.mounted.is_running() {
            replaced.signal(Signal::TERM);
        }
        !replaced.mounted.is_running()
    }));
    let ended = replaced.mounted.ends();
    assert!(ended.status.success(), "{ended:?}");
    assert!(
        ended.stdout.contains("accounting: everything adds up"),
        "{ended:?}"
    );
}

/// In the background, with a path and a mount point that are relative to where it was started: it is there no longer.
#[test]
fn it_goes_on_in_the_background() {
    let relative = |command: &mut Command, dir: &Path| {
        let program = dir.join("relative-tmpfs");
        crate::mount::program::copy(Path::new(command.get_program()), &program);
        *command = Command::new("./relative-tmpfs");
        command.arg("mnt").current_dir(dir);
    };
    let Some(mounted) = Mounted::start("tmpfs", &[], DEADLINE, relative) else {
        return;
    };
    assert!(within(PATIENCE, || !mounted.is_running()));
    let dir = mounted.path().parent().unwrap();
    fs::write(mounted.path().join("file"), "some").unwrap();
    // The one that was started first is named by a relative path, the next one by an absolute one.
    let first = server("relative-tmpfs", Path::new("mnt")).unwrap();
    let program = dir.join("relative-tmpfs");
    let is_next = || {
        let line =
            fs::read(format!("/proc/{}/cmdline", first.as_raw_nonzero())).unwrap_or_default();
        line.starts_with(program.as_os_str().as_encoded_bytes())
    };
    assert!(!is_next());
    kill_process(first, Signal::HUP).unwrap();
    assert!(within(PATIENCE, is_next));
    assert_eq!(fs::read(mounted.path().join("file")).unwrap(), b"some");
    crate::calls::statvfs(mounted.path()).unwrap();
    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
}

/// What `make handover` asks for; less, where it is not that.
fn size(variable: &str, small: usize) -> usize {
    match env::var(variable) {
        Ok(number) => number.parse().unwrap(),
        Err(_) => small,
    }
}

/// The byte `at` of a file, when it was written for the `round`th time.
fn pattern(file: usize, at: usize, round: usize) -> u8 {
    let sum = file.wrapping_mul(31) ^ (at >> 9).wrapping_mul(7) ^ at ^ round.wrapping_mul(101);
    sum.to_le_bytes()[0]
}

/// KiB, from a line of a file of /proc.
fn kilobytes(file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// What the server's memory file takes, in KiB.
fn in_store(pid: u32) -> u64 {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let stores = files.map(|file| file.unwrap().path()).filter(|file| {
        let is = |to: PathBuf| {
            to.as_os_str()
                .as_encoded_bytes()
                .starts_with(b"/memfd:fuse3-tmpfs")
        };
        fs::read_link(file).is_ok_and(is)
    });
    let sizes: Vec<_> = stores
        .map(|file| fs::metadata(file).unwrap().blocks() / 2)
        .collect();
    assert_eq!(
        sizes.len(),
        1,
        "there is one, and no other is left from before"
    );
    sizes[0]
}

fn may_open(files: usize) {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Some(files as u64 + 100).max(limit.current);
    if limit.current.is_some_and(|current| Some(current) < wanted) {
        let maximum = limit.maximum.and(limit.maximum.max(wanted));
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: wanted,
                maximum,
            },
        )
        .unwrap();
    }
}

/// Dropped, it is true.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Content, open files, and a writer that verifies each byte, while the program is replaced.
#[test]
fn content_and_open_files_go_over_under_load() {
    let megabytes = size("FUSE3_HANDOVER_MIB", 64);
    let count = size("FUSE3_HANDOVER_FILES", 1000);
    let upgrades = size("FUSE3_HANDOVER_UPGRADES", 20);
    let deadline = Duration::from_secs(size("FUSE3_HANDOVER_SECONDS", 240) as u64);
    let limit = format!("size={}M", megabytes + 1024);
    let Some(mut replaced) = Replaced::start("tmpfs", &["-f", "-o", &limit], deadline) else {
        return;
    };
    may_open(count);
    let root = replaced.path().to_owned();
    let content = root.join("content");
    fs::create_dir(&content).unwrap();
    let megabyte = |number: usize| {
        (0..1 << 20)
            .map(|at| pattern(number, at, 0))
            .collect::<Vec<_>>()
    };
    for number in 0..megabytes {
        fs::write(content.join(number.to_string()), megabyte(number)).unwrap();
    }
    fs::create_dir(root.join("open")).unwrap();
    let files: Vec<_> = (0..count)
        .map(|number| {
            let path = root.join(format!("open/{number}"));
            fs::write(&path, number.to_string()).unwrap();
            direct(&path)
        })
        .collect();
    let pid = replaced.mounted.id();
    let status = format!("/proc/{pid}/status");
    let before = in_store(pid);
    let (over, slowest) = (AtomicBool::new(false), AtomicU64::new(0));
    let [asked, written, errors] = [const { AtomicU64::new(0) }; 3];
    let (mut pauses, mut most, mut shared) = (Vec::new(), 0, 0);
    thread::scope(|scope| {
        // One after the other, the open files are read.
        scope.spawn(|| {
            for number in (0..count).cycle() {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                let (start, mut bytes) = (Instant::now(), [0; 20]);
                let read = files[number].read_at(&mut bytes, 0);
                let time = u64::try_from(start.elapsed().as_micros()).unwrap();
                slowest.fetch_max(time, Ordering::SeqCst);
                asked.fetch_add(1, Ordering::SeqCst);
                let is_right =
                    read.is_ok_and(|length| bytes[..length] == *number.to_string().as_bytes());
                errors.fetch_add(u64::from(!is_right), Ordering::SeqCst);
            }
        });
        // Another one is written again and again, in pieces that are in no order, and read back as a whole.
        scope.spawn(|| {
            const LENGTH: usize = 300_001;
            let path = root.join("written");
            drop(open(&path));
            let file = direct(&path);
            for round in 1.. {
                let bytes: Vec<_> = (0..LENGTH).map(|at| pattern(0, at, round)).collect();
                for piece in 0..37 {
                    let at = (piece * 16 % 37) * LENGTH.div_ceil(37);
                    let piece = &bytes[at..LENGTH.min(at + LENGTH.div_ceil(37))];
                    let wrote = file.write_all_at(piece, at as u64);
                    errors.fetch_add(u64::from(wrote.is_err()), Ordering::SeqCst);
                }
                let is_right = read_all(&path) == bytes;
                errors.fetch_add(u64::from(!is_right), Ordering::SeqCst);
                written.fetch_add(1, Ordering::SeqCst);
                if round % 3 == 0 {
                    errors.fetch_add(u64::from(file.set_len(0).is_err()), Ordering::SeqCst);
                }
                if over.load(Ordering::SeqCst) {
                    break;
                }
            }
        });
        // When this thread fails, too.
        let _ends = Ends(&over);
        for _ in 0..upgrades {
            let [begun, rounds] = [&asked, &written].map(|it| it.load(Ordering::SeqCst));
            slowest.store(0, Ordering::SeqCst);
            replaced.upgrade();
            let (asked, written) = (
                || asked.load(Ordering::SeqCst),
                || written.load(Ordering::SeqCst),
            );
            let goes_on = within(PATIENCE, || asked() > begun + 10 && written() > rounds);
            assert!(goes_on, "{}", replaced.stderr());
            pauses.push(slowest.load(Ordering::SeqCst));
            most = most.max(kilobytes(&status, "VmHWM:"));
            shared = shared.max(kilobytes("/proc/meminfo", "Shmem:"));
        }
    });
    let after = in_store(pid);
    let wrong = (0..megabytes)
        .filter(|number| read_all(&content.join(number.to_string())) != megabyte(*number))
        .count();
    pauses.sort();
    let at =
        |share: usize| pauses[(pauses.len() * share / 100).min(pauses.len() - 1)] as f64 / 1000.0;
    let errors = errors.into_inner() + wrong as u64;
    println!(
        "\n{:>8} {:>7} {:>9} {:>7} {:>10} {:>9} {:>9} {:>11} {:>11}",
        "upgrades",
        "errors",
        "files",
        "MiB",
        "median ms",
        "p99 ms",
        "longest",
        "VmHWM MiB",
        "store MiB"
    );
    println!(
        "{:>8} {errors:>7} {count:>9} {megabytes:>7} {:>10.1} {:>9.1} {:>9.1} {:>11} {:>11}",
        pauses.len(),
        at(50),
        at(99),
        at(100),
        most / 1024,
        after / 1024,
    );
    println!(
        "of memory files, all processes have had {} MiB at most",
        shared / 1024
    );
    assert_eq!(errors, 0);
    // Not a byte of the content is in the process's own memory, nor twice in memory files.
    assert!(most < 48 * 1024 + count as u64 * 4, "{most} KiB");
    assert!(after < before + 4096, "{before} KiB, and then {after} KiB");
    drop(files);
    empties(&root);
    assert!(
        within(PATIENCE, || in_store(pid) == 0),
        "{} KiB",
        in_store(pid)
    );
    ends_well(replaced.mounted);
}
