//! The examples, with 8 workers and 16 clients. They abort when a handler runs without the lock.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::compiler::program;
use crate::mount::{Ended, Mounted, within};

/// After so long a file system is killed, and its clients get an error.
const DEADLINE: Duration = Duration::from_secs(60);

const CLIENTS: usize = 16;

/// Mounts the program that is made of `source`.
fn mount(name: &str, source: &str, arguments: &[&str]) -> Option<Mounted> {
    let mut built_at = None;
    let built = || program("cc", "-std=gnu11", source);
    let mounted = Mounted::start_program(
        name,
        arguments,
        DEADLINE,
        |_, _| {},
        || built_at.insert(built()).clone(),
    );
    let mounted = mounted?;
    // It runs, and needs its name no more.
    fs::remove_file(built_at?).unwrap();
    Some(mounted)
}

/// Mounts an example, has all clients do `work`, and ends it.
fn example(
    name: &str,
    work: impl Fn(&Path) + Sync,
    end: impl FnOnce(Mounted) -> Ended,
) -> Option<Ended> {
    let mounted = mount(name, &format!("examples/{name}.c"), &["--workers=8"])?;
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| work(mounted.path()));
        }
    });
    Some(end(mounted))
}

fn names(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn read_message(root: &Path) {
    for _ in 0..20 {
        assert_eq!(names(root), ["message"]);
        let message = root.join("message");
        assert_eq!(fs::read_to_string(&message).unwrap(), "hello world\n");
        assert_eq!(message.metadata().unwrap().ino(), 2);
        let denied = File::options().write(true).open(&message).unwrap_err();
        assert_eq!(denied.raw_os_error(), Some(libc::EACCES));
        assert!(!root.join("does-not-exist").exists());
    }
}

#[test]
fn lltest() {
    if let Some(ended) = example("lltest", read_message, Mounted::unmount) {
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""));
    }
    // As libfuse's examples after a signal, which fuse_set_signal_handlers() took.
    let by_signal = |mounted: Mounted| mounted.signal("TERM");
    if let Some(ended) = example("lltest", read_message, by_signal) {
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    }
}

/// The background thread holds the lock most of the time, and yields it.
#[test]
fn ticker() {
    let work = |root: &Path| {
        let mut last = 0;
        for _ in 0..10 {
            assert_eq!(names(root), ["ticks"]);
            let text = fs::read_to_string(root.join("ticks")).unwrap();
            let ticks: u64 = text.trim().parse().unwrap();
            assert!(ticks >= last, "{ticks} after {last}");
            last = ticks;
        }
    };
    // The second one by its own handler, which calls fuse3lock_terminate().
    let ends: [fn(Mounted) -> Ended; 2] = [Mounted::unmount, |mounted| mounted.signal("TERM")];
    for end in ends {
        let Some(ended) = example("ticker", work, end) else {
            return;
        };
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(ended.stderr, "");
        let numbers = ended.stdout.split([' ', ',', '\n']);
        let numbers: Vec<u64> = numbers.filter_map(|word| word.parse().ok()).collect();
        let [ticks, reads, yields] = numbers[..] else {
            panic!("{ended:?}");
        };
        // Each client reads ten times; some reads are in the kernel's cache.
        assert!(
            ticks > 0 && reads >= CLIENTS as u64 && yields > 0,
            "{ended:?}"
        );
    }
}

/// The client's kernel has the attributes for an hour, and asks again after a notification that was sent with the lock held.
#[test]
fn a_notification_with_the_lock_held_is_seen_by_the_client() {
    let Some(mounted) = mount("watched", "tests/watched.c", &[]) else {
        return;
    };
    let root = mounted.path();
    let size = || root.join("file").metadata().unwrap().len();
    let look_up = |name: &str| assert!(!root.join(name).exists());
    assert_eq!(size(), 1);
    look_up("change");
    assert_eq!(size(), 1, "it was to be cached");
    look_up("notify");
    let seen = within(Duration::from_secs(20), || size() == 3);
    assert!(seen, "{}", size());
    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
    assert!(!ended.stdout.contains("held 0"), "{ended:?}");
}

/// One of /dev/fuse for each worker besides the session's.
#[test]
fn workers_have_descriptors_of_their_own_when_asked_for() {
    for (arguments, many) in [(&[][..], false), (&["clone"], true)] {
        let Some(mounted) = mount("watched", "tests/watched.c", arguments) else {
            return;
        };
        assert!(!mounted.path().join("descriptors").exists());
        let ended = mounted.unmount();
        let mut lines = ended.stdout.lines();
        let count = lines.find_map(|line| line.strip_prefix("descriptors "));
        let count: u32 = count.and_then(|count| count.parse().ok()).unwrap();
        assert!(if many { count > 1 } else { count == 1 }, "{ended:?}");
    }
}
