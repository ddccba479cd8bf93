//! The examples over io_uring, through the kernel.
//!
//! It takes a libfuse from 3.18 on that was built with liburing, and a kernel that allows it, which these tests tell it to do,
//! as root. Elsewhere they say on stderr, loudly, that they do nothing.

#[path = "common/mount.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod mount;

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mount::Mounted;
use mount::skip::skip;

/// After so long a file system is killed, and its clients get an error.
const DEADLINE: Duration = Duration::from_secs(60);
const PARAMETER: &str = "/sys/module/fuse/parameters/enable_uring";

/// The kernel allows it, for the one test that has it.
struct Allowed(String);

impl Drop for Allowed {
    fn drop(&mut self) {
        let restored = fs::write(PARAMETER, &self.0);
        assert!(restored.is_ok() || thread::panicking(), "{restored:?}");
    }
}

fn skipped(why: &str) {
    skip("the examples over io_uring", why);
}

/// Names of the program's threads.
fn threads(program: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{program}/task")).unwrap();
    // One may end meanwhile.
    let name = |task: io::Result<fs::DirEntry>| fs::read_to_string(task?.path().join("comm"));
    tasks.filter_map(|task| name(task).ok()).collect()
}

/// Mounts the example so, and runs `test` on it.
fn over_uring(example: &str, arguments: &[&str], test: impl FnOnce(&Path)) -> Option<Mounted> {
    let mounted = Mounted::start(example, arguments, DEADLINE, |command, _| {
        // libfuse's own switch, for programs that do not take its options.
        command.env("FUSE_URING_ENABLE", "1");
    })?;
    // A first request, so that INIT is settled.
    fs::metadata(mounted.path()).unwrap();
    let threads = threads(mounted.id());
    if !threads.iter().any(|name| name.starts_with("fuse-ring-")) {
        skipped("this libfuse was built without liburing");
        assert!(mounted.unmount().status.success());
        return None;
    }
    test(mounted.path());
    Some(mounted)
}

fn files(root: &Path) {
    let file = |number: u32| {
        let path = root.join(format!("file {number}"));
        let data: Vec<_> = (0..1_000_000_u32)
            .map(|at| (at * (number + 3) / 7).to_le_bytes()[0])
            .collect();
        fs::write(&path, &data).unwrap();
        assert!(fs::read(&path).unwrap() == data, "{number}");
        fs::rename(&path, root.join(format!("other {number}"))).unwrap();
    };
    thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || file(number));
        }
    });
    let names = || {
        fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().path())
    };
    assert_eq!(names().count(), 4);
    fs::create_dir(root.join("directory")).unwrap();
    assert!(fs::create_dir(root.join("directory")).is_err());
    fs::remove_dir(root.join("directory")).unwrap();
    for path in names() {
        assert_eq!(fs::metadata(&path).unwrap().len(), 1_000_000);
        fs::remove_file(path).unwrap();
    }
    assert_eq!(names().count(), 0);
}

/// KiB of addresses.
fn size(program: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{program}/status")).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let size = size.unwrap().trim().trim_end_matches(" kB");
    size.parse().unwrap()
}

/// What the documentation says of `Builder::io_uring_queue_depth`.
fn buffers_are_as_large_as_documented(source: &str) {
    let with = |depth: u64| {
        let option = format!("io_uring,io_uring_q_depth={depth}");
        let arguments = ["--foreground", "-o", &option, source];
        let mounted = over_uring("passthrough_hp", &arguments, |_| {}).unwrap();
        let size = size(mounted.id());
        assert!(mounted.unmount().status.success());
        size
    };
    // SAFETY: no precondition.
    let processors = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
    // `max_write` is 1 MiB.
    let buffers = 256 * u64::try_from(processors).unwrap() * (1024 + 4);
    let more = with(257) - with(1);
    // Threads have memory of their own, now more and now less.
    assert!(more.abs_diff(buffers) < buffers / 3, "{more} of {buffers}");
}

#[test]
fn examples_serve_over_io_uring() {
    if fuse3::sys::library_version() < [3, 18, 0] {
        return skipped("libfuse before 3.18 has none");
    }
    let before = fs::read_to_string(PARAMETER);
    let _allowed = match before.and_then(|before| fs::write(PARAMETER, "Y").map(|()| before)) {
        Ok(before) => Allowed(before),
        Err(error) => return skipped(&format!("{PARAMETER}: {error}")),
    };
    let hello = over_uring("hello", &[], |root| {
        assert!(
            fs::read_to_string(root.join("hello"))
                .unwrap()
                .contains("ello")
        );
        assert_eq!(fs::read_dir(root).unwrap().count(), 1);
    });
    let Some(hello) = hello else {
        return;
    };
    let ended = hello.unmount();
    assert!(ended.status.success(), "{ended:?}");

    let tmpfs = over_uring("tmpfs", &["-f"], files).unwrap();
    let ended = tmpfs.unmount();
    assert!(ended.status.success(), "{ended:?}");

    let source = std::env::temp_dir().join(format!("fuse3-uring-{}", std::process::id()));
    fs::create_dir(&source).unwrap();
    let source_name = source.to_str().unwrap();
    buffers_are_as_large_as_documented(source_name);
    for options in [
        &[][..],
        &["--nocache"],
        &["--direct-io"],
        &["--single"],
        &["--nosplice"],
    ] {
        let arguments = [&["--foreground", "-o", "io_uring"], options, &[source_name]].concat();
        let hp = over_uring("passthrough_hp", &arguments, files).unwrap();
        let ended = hp.unmount();
        assert!(ended.status.success(), "{options:?}: {ended:?}");
    }
    // While somebody asks, again and again.
    let arguments = ["--foreground", "-o", "io_uring", source_name];
    let hp = over_uring("passthrough_hp", &arguments, files).unwrap();
    let file = fs::File::create(hp.path().join("busy")).unwrap();
    let (begun, begins) = mpsc::channel();
    let busy = thread::spawn(move || {
        while file.write_at(b"something", 0).is_ok() && file.metadata().is_ok() {
            // The test may be past its beginning.
            let _ = begun.send(());
        }
    });
    begins.recv_timeout(DEADLINE).unwrap();
    let ended = hp.signal("TERM");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    busy.join().unwrap();
    fs::remove_dir_all(&source).unwrap();
}
