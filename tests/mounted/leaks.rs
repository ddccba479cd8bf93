//! What is left of sessions: of descriptors, threads, processes and mounts a process has no more after many sessions than
//! after a few, whatever option they had. scripts/sessions has them a hundred times.

use std::env;
use std::fs;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use fuse3::Builder;
use fuse3::handover::Keeper;
use fuse3::observe::Histograms;
use fuse3::session::{Interruption, IoUring, OnPanic};
use fuse3::testing::MountPoint;

use crate::child::{self, this_test};
use crate::fixture::{
    DEADLINE, Watchdog, force_unmount, is_root, mounts_below, require_mount, skip,
};
use crate::given::mounted_on;
use crate::probe::Probe;

type Ask = fn(Builder<Probe>) -> Builder<Probe>;

/// What every session is made with once; each option by the name of its method.
pub(crate) const OPTIONS: [(&str, Ask); 34] = [
    ("option", |b| b.option("max_write=16384")),
    ("options", |b| b.options("noatime,nosuid")),
    ("fsname", |b| b.fsname("source")),
    ("subtype", |b| b.subtype("kind")),
    ("allow_other", Builder::allow_other),
    ("allow_root", Builder::allow_root),
    ("default_permissions", Builder::default_permissions),
    ("auto_unmount", Builder::auto_unmount),
    ("read_only", Builder::read_only),
    ("max_read", |b| b.max_read(65536)),
    ("debug", |b| b.debug(true)),
    ("over_file", |b| b.over_file(true)),
    ("over_mount", |b| b.over_mount(true)),
    ("workers", |b| b.workers(3)),
    ("max_idle_workers", |b| b.max_idle_workers(1)),
    ("clone_fd", |b| b.clone_fd(true)),
    ("hand_over_patience", |b| b.hand_over_patience(DEADLINE)),
    ("keeper", |b| {
        let (ours, _its) = UnixStream::pair().unwrap();
        b.keeper(Keeper::new(ours))
    }),
    ("handle_signals", |b| b.handle_signals(true)),
    ("keep_mounted", |b| b.keep_mounted(true)),
    ("teardown_watchdog", |b| b.teardown_watchdog(DEADLINE)),
    ("on_panic", |b| b.on_panic(OnPanic::Continue)),
    ("io_uring", |b| b.io_uring(IoUring::WhereOffered)),
    ("io_uring_queue_depth", |b| b.io_uring_queue_depth(2)),
    ("interruption", |b| b.interruption(Interruption::Any)),
    ("stacktrace", |b| b.stacktrace(true)),
    ("on_notify_error", |b| b.on_notify_error(|_, _| ())),
    ("runtime", |b| b.runtime(runtime())),
    ("max_tasks", |b| b.max_tasks(1)),
    ("task_patience", |b| b.task_patience(Duration::ZERO)),
    ("monitor", |b| {
        b.monitor(env::temp_dir().join(format!("monitor-{}", std::process::id())))
    }),
    ("observe", |b| b.observe(Histograms::new())),
    ("mount", |b| b),
    ("mount_fd", |b| b),
];

/// One for all sessions.
fn runtime() -> tokio::runtime::Handle {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().unwrap());
    runtime.handle().clone()
}

/// Descriptors, threads, processes that this one has started, and mounts.
fn left() -> [usize; 4] {
    let entries = |path| fs::read_dir(path).unwrap().count();
    let threads = fs::read_dir("/proc/self/task").unwrap();
    // A thread that has ended meanwhile has none.
    let children =
        threads.filter_map(|it| fs::read_to_string(it.unwrap().path().join("children")).ok());
    [
        entries("/proc/self/fd"),
        entries("/proc/self/task"),
        children.map(|all| all.split_whitespace().count()).sum(),
        mounts_below(&env::temp_dir().canonicalize().unwrap()).len(),
    ]
}

/// One session, with several clients at the same time; it ends by an unmount, or is told to.
fn session(name: &str, ask: Ask, unmounted: bool) {
    let builder = ask(Probe::new().builder());
    let point = MountPoint::new();
    let path = point.path();
    let session = match name {
        "mount_fd" => builder.mount_fd(mounted_on(path, "fuse.given", 0, "")),
        _ => builder.mount(path),
    };
    let session = session.unwrap();
    let _watchdog = Watchdog::new(path);
    let handle = session.handle();
    let serving = thread::spawn(|| session.run().unwrap());
    thread::scope(|clients| {
        for _ in 0..3 {
            clients.spawn(|| fs::read(path.join("file")).unwrap());
        }
    });
    if unmounted {
        force_unmount(path);
    } else {
        handle.terminate();
    }
    serving.join().unwrap();
    if matches!(name, "keep_mounted" | "mount_fd") && !unmounted {
        force_unmount(path);
    }
}

/// Which option the child is to try.
const OPTION: &str = "FUSE3_TEST_OPTION";

fn many(name: &str, ask: Ask) {
    let sessions = env::var("SESSIONS").map_or(15, |count| count.parse().unwrap());
    for number in 0..3 {
        session(name, ask, number % 2 == 0);
    }
    let few = left();
    for number in 3..sessions {
        session(name, ask, number % 2 == 0);
    }
    let start = Instant::now();
    // A thread that is not waited for may still be ending: now, or when they were few.
    while left().iter().zip(few).any(|(now, few)| *now > few) {
        assert!(
            start.elapsed() < DEADLINE,
            "{name}: {:?} descriptors, threads, processes and mounts are left, {few:?} of three sessions",
            left()
        );
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn nothing_is_left_of_sessions_with_any_option() {
    require_mount!();
    let name = this_test!();
    if !is_root() {
        return skip(name, "only root may ask for all of the options");
    }
    let asked = env::var(OPTION).ok();
    for (option, ask) in OPTIONS {
        if asked.as_deref().is_some_and(|asked| asked != option) {
            continue;
        }
        if option == "teardown_watchdog" && fuse3::sys::header_version() < [3, 19, 0] {
            continue;
        }
        child::run_with(
            name,
            |child| {
                child.env(OPTION, option);
            },
            || many(option, ask),
        );
    }
}

/// libfuse starts fusermount3 with the subtype, and once more without.
#[test]
fn nothing_is_left_of_a_mount_that_fusermount3_refuses() {
    require_mount!();
    child::run(this_test!(), || {
        let point = MountPoint::new();
        let refused = || {
            let builder = Probe::new().builder().auto_unmount().subtype("kind");
            // There is no such device.
            let builder = builder.fsname("/nonexistent/device").option("blkdev");
            drop(builder.mount(point.path()).unwrap_err());
        };
        let before = left();
        refused();
        for _ in 0..5 {
            refused();
        }
        // They are waited for in the background.
        let start = Instant::now();
        while left() != before {
            let what = "descriptors, threads, processes and mounts are left";
            assert!(
                start.elapsed() < DEADLINE,
                "{:?} {what}: {before:?}",
                left()
            );
            thread::sleep(Duration::from_millis(1));
        }
    });
}
