//! Each option, seen to take effect. Those of a session that have tests of their own are not here: `workers`, `handle_signals`,
//! `keep_mounted`, `on_panic`, `stacktrace`, `over_file`, `over_mount`.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fuse3::connection::Agreement;
use fuse3::{
    Answer, Attr, Builder, Capabilities, Concurrent, Connection, Context, Data, Entry, Errno,
    FileInfo, Filesystem, Ino, Open, Opened, ReadBuf, Session, context::Guard,
};

use crate::child::{self, this_test};
use crate::fixture::{Mount, is_mounted, is_root, mounts_on, require_mount, skip, until};
use crate::probe::Probe;

type Ask = fn(Builder<Probe>) -> Builder<Probe>;

/// What the kernel shows of a mount that was asked for so.
const SHOWN: [(Ask, &str); 14] = [
    (|b| b.fsname("the source"), r" the\040source rw"),
    (|b| b.subtype("kind"), " - fuse.kind "),
    (Builder::allow_other, ",allow_other"),
    (Builder::allow_root, ",allow_other"),
    (Builder::default_permissions, ",default_permissions"),
    (Builder::read_only, " ro,"),
    (|b| b.max_read(65536), ",max_read=65536"),
    (|b| b.option("max_read=8192"), ",max_read=8192"),
    (|b| b.options("ro,noatime"), ",noatime"),
    (|b| b.option("noexec"), ",noexec"),
    (|b| b.option("suid"), " rw,nodev,relatime "),
    (|b| b.option("dev"), " rw,nosuid,relatime "),
    (|b| b.option("sync"), " rw,sync,"),
    (|b| b.option("dirsync"), " rw,dirsync,"),
];

#[test]
fn options_of_the_mount_are_shown_by_the_kernel_and_it_is_served() {
    require_mount!();
    if !is_root() {
        return skip(this_test!(), "only root may ask for all of them");
    }
    for (ask, shown) in SHOWN {
        let mount = Mount::new(ask(Probe::new().builder()));
        let line = mounts_on(mount.path()).pop().unwrap();
        assert!(line.contains(shown), "{shown:?} is not in {line:?}");
        File::open(mount.join("file")).expect(shown);
        mount.end();
    }
}

/// Who may: root, and somebody else.
#[test]
fn others_are_let_in_as_it_was_asked_for() {
    require_mount!();
    if !is_root() {
        return skip(this_test!(), "only root may become somebody else");
    }
    let rows: [(Ask, bool); 3] = [
        (|b| b, false),
        (Builder::allow_root, false),
        (Builder::allow_other, true),
    ];
    for (ask, others) in rows {
        let mount = Mount::new(ask(Probe::new().builder()));
        let path = mount.join("file");
        fs::metadata(&path).unwrap();
        let mut stat = Command::new("stat");
        stat.arg(&path).uid(65534).gid(65534);
        let stat = stat.stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert_eq!(stat.unwrap().success(), others);
        mount.end();
    }
}

/// A file of `SIZE` bytes, read past the cache; the sizes that reads ask for are noted.
#[derive(Default)]
struct Reads {
    largest: AtomicUsize,
    agreed: Mutex<Option<Capabilities>>,
    /// Asks for everything, which an option then has to turn off.
    greedy: bool,
}

const SIZE: u64 = 1 << 20;

impl Filesystem for Reads {
    type Lock = Concurrent;

    fn init(
        &self,
        _: &mut Guard<'_, Self>,
        connection: &mut Connection<'_>,
    ) -> std::io::Result<()> {
        *self.agreed.lock().unwrap() = Some(connection.capable());
        for (_, capability, _) in CAPABILITIES.iter().filter(|_| self.greedy) {
            connection.want(*capability & connection.capable())?;
        }
        Ok(())
    }

    fn lookup(&self, _: &mut Context<'_, Self>, _: Ino, _: &std::ffi::OsStr) -> Answer<Entry> {
        let mut attr = Attr::new(Ino(2), libc::S_IFREG | 0o444);
        attr.size = SIZE;
        Ok(Entry::new(attr, Duration::from_secs(60)))
    }

    fn open(&self, _: &mut Context<'_, Self>, _: Ino, _: Open) -> Answer<Opened> {
        Ok(Opened::default().direct_io(true))
    }

    fn read(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        mut out: ReadBuf,
    ) -> Answer<Data<'_>> {
        self.largest.fetch_max(out.size(), Ordering::SeqCst);
        let left = usize::try_from(SIZE.saturating_sub(offset)).unwrap();
        out.push_zeros(out.size().min(left));
        Ok(out.finish())
    }
}

#[test]
fn no_read_is_larger_than_was_asked_for() {
    require_mount!();
    let largest = |ask: fn(Builder<Reads>) -> Builder<Reads>| {
        let mount = Mount::new(ask(Session::builder(Reads::default(), Concurrent)));
        let mut file = File::open(mount.join("file")).unwrap();
        let mut all = vec![0; usize::try_from(SIZE).unwrap()];
        file.read_exact(&mut all).unwrap();
        drop(file);
        mount.end().fs.largest.load(Ordering::SeqCst)
    };
    assert!(largest(|b| b) > 65536);
    assert_eq!(largest(|b| b.max_read(65536)), 65536);
    assert_eq!(largest(|b| b.option("max_read=8192")), 8192);
    assert_eq!(largest(|b| b.option("max_write=16384")), 16384);
}

/// What of the connection an option turns on, or off.
const CAPABILITIES: [(&str, Capabilities, bool); 22] = [
    ("async_read", Capabilities::ASYNC_READ, true),
    ("sync_read", Capabilities::ASYNC_READ, false),
    ("atomic_o_trunc", Capabilities::ATOMIC_O_TRUNC, true),
    ("no_remote_lock", Capabilities::POSIX_LOCKS, false),
    ("no_remote_lock", Capabilities::FLOCK_LOCKS, false),
    ("no_remote_posix_lock", Capabilities::POSIX_LOCKS, false),
    ("no_remote_flock", Capabilities::FLOCK_LOCKS, false),
    ("splice_read", Capabilities::SPLICE_READ, true),
    ("no_splice_read", Capabilities::SPLICE_READ, false),
    ("splice_write", Capabilities::SPLICE_WRITE, true),
    ("no_splice_write", Capabilities::SPLICE_WRITE, false),
    ("splice_move", Capabilities::SPLICE_MOVE, true),
    ("no_splice_move", Capabilities::SPLICE_MOVE, false),
    ("auto_inval_data", Capabilities::AUTO_INVAL_DATA, true),
    ("no_auto_inval_data", Capabilities::AUTO_INVAL_DATA, false),
    ("async_dio", Capabilities::ASYNC_DIO, true),
    ("no_async_dio", Capabilities::ASYNC_DIO, false),
    ("writeback_cache", Capabilities::WRITEBACK_CACHE, true),
    ("no_writeback_cache", Capabilities::WRITEBACK_CACHE, false),
    ("readdirplus=no", Capabilities::READDIRPLUS, false),
    ("readdirplus=no", Capabilities::READDIRPLUS_AUTO, false),
    ("readdirplus=yes", Capabilities::READDIRPLUS_AUTO, false),
];

fn agreed(options: Option<&str>, greedy: bool) -> (Agreement, Capabilities) {
    let reads = Reads {
        greedy,
        ..Reads::default()
    };
    let builder = Session::builder(reads, Concurrent);
    let mount = Mount::new(options.into_iter().fold(builder, Builder::options));
    File::open(mount.join("file")).unwrap();
    let agreement = mount.handle().connection().unwrap();
    let capable = mount.end().fs.agreed.lock().unwrap().unwrap();
    (agreement, capable)
}

#[test]
fn options_of_the_connection_are_agreed_on() {
    require_mount!();
    let (all, capable) = agreed(None, true);
    for (option, capability, on) in CAPABILITIES {
        let offered = capable.contains(capability);
        assert_eq!(all.granted.contains(capability), offered, "{option}");
        let (agreement, _) = agreed(Some(option), !on);
        let on = on && offered;
        assert_eq!(agreement.granted.contains(capability), on, "{option}");
    }
    // Two of them at once show that neither is what it is without them.
    let numbers =
        "max_write=16384,max_readahead=8192,max_background=9,congestion_threshold=5,time_gran=100";
    let (agreement, _) = agreed(Some(numbers), false);
    assert_eq!(agreement.max_write, 16384);
    assert_eq!(agreement.max_readahead, 8192);
    assert_eq!(agreement.max_background, 9);
    assert_eq!(agreement.congestion_threshold, 5);
    assert_eq!(agreement.time_granularity, 100);
}

/// How many descriptors of the process are of /dev/fuse.
pub(crate) fn devices() -> usize {
    let all = fs::read_dir("/proc/self/fd").unwrap();
    let of = all.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    of.filter(|link| link.to_str() == Some("/dev/fuse")).count()
}

/// How many threads it has.
pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn options_of_the_loop() {
    require_mount!(not over io_uring: "the loop has no workers");
    child::run(this_test!(), || {
        let open = || {
            let mount = Mount::new(Probe::new().builder().clone_fd(true));
            fs::metadata(mount.join("file")).unwrap();
            until(|| devices() > 1);
            mount.end();
        };
        open();
        assert_eq!(devices(), 0);
        // Without it all workers read one.
        let mount = Probe::new().mount();
        fs::metadata(mount.join("file")).unwrap();
        assert_eq!(devices(), 1);
        mount.end();

        // Several at once start workers, of which few are left.
        let busy = |mount: &Mount<Probe>| {
            let clients = [(); 8].map(|()| {
                let path = mount.join("file");
                std::thread::spawn(move || fs::metadata(path).is_ok())
            });
            for client in clients {
                assert!(client.join().unwrap());
            }
        };
        let slow = || {
            let held = |_: &mut Context<'_, Probe>, _, _| -> Result<(), Errno> {
                std::thread::sleep(Duration::from_millis(20));
                Ok(())
            };
            Probe::new().on(held).builder()
        };
        for (limit, left) in [(Some(1), true), (None, false)] {
            let before = threads();
            let mount = Mount::new(slow().max_idle_workers(limit));
            busy(&mount);
            std::thread::sleep(Duration::from_millis(200));
            // The thread of `run`, the watchdog, one idle worker, and one that reads.
            let few = threads() - before <= 5;
            assert_eq!(few, left, "{limit:?}: {}", threads() - before);
            mount.end();
        }
    });
}

/// What a session with one client says on stderr.
pub(crate) fn logged(builder: Builder<Probe>) -> String {
    let mut stderr = nameless();
    // SAFETY: no memory is involved; both are open.
    let before = unsafe { libc::dup(2) };
    redirect(&stderr);
    let mount = Mount::new(builder);
    let result = fs::metadata(mount.join("file"));
    mount.end();
    // SAFETY: as above.
    unsafe { libc::dup2(before, 2) };
    // SAFETY: it is this function's.
    unsafe { libc::close(before) };
    result.unwrap();
    let mut text = String::new();
    stderr.seek(SeekFrom::Start(0)).unwrap();
    stderr.read_to_string(&mut text).unwrap();
    text
}

/// libfuse's own log, of each request.
#[test]
fn requests_are_logged_when_debugging() {
    require_mount!();
    for debug in [false, true] {
        let text = logged(Probe::new().builder().debug(debug));
        assert_eq!(text.contains("LOOKUP"), debug, "{text}");
    }
}

fn redirect(file: &File) {
    // SAFETY: no memory is involved; both are open.
    unsafe { libc::dup2(file.as_raw_fd(), 2) };
}

fn nameless() -> File {
    // SAFETY: the name is NUL-terminated.
    let fd = unsafe { libc::memfd_create(c"stderr".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0);
    // SAFETY: the call above opened it, and nobody else has it.
    File::from(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Killed, the server unmounts nothing; fusermount3, which waits for it, does.
#[test]
fn a_mount_goes_with_its_server_however_that_ended() {
    require_mount!();
    let name = this_test!();
    if let Some(path) = std::env::var_os(POINT) {
        let builder = Probe::new().builder();
        let builder = match std::env::var_os(AUTO) {
            Some(_) => builder.auto_unmount(),
            None => builder,
        };
        drop(builder.mount(path).unwrap().run());
        return;
    }
    assert!(!goes_with_its_server(name, false));
    let version = Command::new("fusermount3").arg("-V").output();
    let version = version.map_or_else(|_| Vec::new(), |said| said.stdout);
    let [major, minor, patch] = fuse3::sys::library_version();
    if !String::from_utf8_lossy(&version).contains(&format!(" {major}.{minor}.{patch}")) {
        // From 3.17 on they talk to each other in another way.
        return crate::fixture::skip(name, "auto_unmount needs the library's own fusermount3");
    }
    if !crate::fixture::is_root() {
        // So it does for any FUSE file system (3.10 and 3.14): fusermount3 ends without a word.
        return crate::fixture::skip(name, "fusermount3 leaves the mount of an ordinary user");
    }
    // fusermount3 looks once, by open(2), whether the connection is gone, and may come before the kernel has closed all
    // descriptors of the server (`should_auto_unmount()`, util/fusermount.c). Then it leaves the mount there.
    assert!((0..10).any(|_| goes_with_its_server(name, true)));
}

const POINT: &str = "FUSE3_TEST_POINT";
const AUTO: &str = "FUSE3_TEST_AUTO";

/// Kills a server, this test again, and tells whether its mount goes by itself.
fn goes_with_its_server(name: &str, auto: bool) -> bool {
    let point = fuse3::testing::MountPoint::new();
    let mut server = Command::new(std::env::current_exe().unwrap());
    server.args([name, "--exact", "--test-threads=1"]);
    server.env(POINT, point.path());
    if auto {
        server.env(AUTO, "1");
    }
    let mut server = server.stdout(Stdio::null()).spawn().unwrap();
    until(|| is_mounted(point.path()));
    fs::metadata(point.path().join("file")).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    let gone = || !is_mounted(point.path());
    for _ in 0..100 {
        if gone() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    crate::fixture::force_unmount(point.path());
    until(gone);
    false
}
