//! Observers of real mounts: workers that come and go, and the monitor's socket.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use fuse3::Operation;
use fuse3::observe::{Observed, Observer, Outcome};

use crate::fixture::{DEADLINE, Gate, Mount, TempDir, require_mount, until};
use crate::probe::Probe;
use crate::uring;

/// What each thread has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    started: u32,
    begun: u32,
    ended: u32,
    stopped: u32,
}

/// As liburcu wants it: a thread that is not registered does nothing.
#[derive(Default)]
struct Threads(Mutex<HashMap<ThreadId, Seen>>);

impl Threads {
    fn seen(&self, change: impl FnOnce(&mut Seen)) {
        let mut all = self.0.lock().unwrap();
        let seen = all.entry(thread::current().id()).or_default();
        change(seen);
        assert!(seen.started == 1 && seen.stopped <= 1, "{seen:?}");
        assert!(seen.ended <= seen.begun, "{seen:?}");
    }

    fn all(&self) -> Vec<Seen> {
        self.0.lock().unwrap().values().copied().collect()
    }

    fn have_stopped(&self) -> bool {
        self.all().iter().all(|seen| seen.stopped == 1)
    }
}

impl Observer for Threads {
    fn worker_started(&self) {
        self.seen(|seen| seen.started += 1);
    }

    fn worker_ended(&self) {
        self.seen(|seen| seen.stopped += 1);
    }

    fn begun(&self, _: &Observed) {
        self.seen(|seen| seen.begun += 1);
    }

    fn ended(&self, _: &Observed, _: &Outcome) {
        self.seen(|seen| seen.ended += 1);
    }
}

/// Makes `count` workers serve in parallel, and then one.
fn work(mount: &Mount<Probe>, gate: &Gate, count: usize) {
    let files: Vec<_> = (0..count)
        .map(|number| File::open(mount.join(format!("f{number}"))).unwrap())
        .collect();
    let readers: Vec<_> = files
        .into_iter()
        .map(|mut file| thread::spawn(move || file.read(&mut [0; 7])))
        .collect();
    gate.came(count);
    gate.open();
    for reader in readers {
        assert_eq!(reader.join().unwrap().unwrap(), 7);
    }
}

/// A mount whose reads wait, without the lock, until the gate is open.
fn waiting() -> (Probe, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let waiting = Arc::clone(&gate);
    let probe = Probe::new().on(move |cx, operation, _| {
        if operation == Operation::Read {
            cx.released(|_| waiting.pass());
        }
        Ok(())
    });
    (probe, gate)
}

#[test]
fn each_worker_is_registered_while_it_serves() {
    require_mount!(not over io_uring: "each processor has one worker");
    let threads = Arc::new(Threads::default());
    let (probe, gate) = waiting();
    let mount = Mount::new(probe.builder().observe(Arc::clone(&threads)));
    work(&mount, &gate, 5);
    assert!(!threads.have_stopped());
    let stats = mount.end().stats;
    // All are joined before the session ends.
    assert!(threads.have_stopped(), "{:?}", threads.all());
    assert!(threads.all().len() >= 5);
    let begun: u32 = threads.all().iter().map(|seen| seen.begun).sum();
    let ended: u32 = threads.all().iter().map(|seen| seen.ended).sum();
    let untold = [Operation::Init, Operation::Destroy];
    let requests = stats.requests.iter().filter(|(of, _)| !untold.contains(of));
    let requests: u64 = requests.map(|(_, count)| count).sum();
    assert_eq!([u64::from(begun), u64::from(ended)], [requests; 2]);
}

/// An idle worker that ends by itself says so, perhaps after the session.
#[test]
fn idle_workers_that_end_are_told() {
    require_mount!(not over io_uring: "no worker ends while the session lasts");
    let threads = Arc::new(Threads::default());
    let (probe, gate) = waiting();
    let builder = probe.builder().max_idle_workers(0);
    let mount = Mount::new(builder.observe(Arc::clone(&threads)));
    work(&mount, &gate, 5);
    until(|| {
        threads
            .all()
            .iter()
            .filter(|seen| seen.stopped == 1)
            .count()
            >= 2
    });
    mount.end();
    until(|| threads.have_stopped());
}

/// libfuse cancels its threads of io_uring at the end.
#[test]
fn threads_of_io_uring_are_told() {
    require_mount!();
    let threads = Arc::new(Threads::default());
    let (probe, gate) = waiting();
    gate.open();
    let observer = Arc::clone(&threads);
    let came = Arc::clone(&threads);
    let mounted = uring::mount_over(probe.builder().observe(observer), move || {
        !came.all().is_empty()
    });
    let Some((mount, _allowed)) = mounted else {
        return;
    };
    mount.path().metadata().unwrap();
    mount.end();
    until(|| threads.have_stopped());
    assert!(threads.all().iter().any(|seen| seen.begun > 0));
}

fn snapshot(path: &Path) -> String {
    let mut client = UnixStream::connect(path).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("\nend\n"), "{text}");
    text
}

/// A read is under way, a stat has been done, and the mount is gone then.
#[test]
fn the_socket_of_a_mount() {
    require_mount!();
    let dir = TempDir::new();
    let path = dir.path().join("socket");
    let (probe, gate) = waiting();
    let mount = Mount::new(probe.builder().monitor(&path));
    let metadata = fs::symlink_metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    let mut file = File::open(mount.join("file")).unwrap();
    let reader = thread::spawn(move || file.read(&mut [0; 7]));
    gate.came(1);
    // An answer is sent before it is counted.
    until(|| snapshot(&path).contains("\noperation open 1 0 "));
    let text = snapshot(&path);
    let lines = |word: &str| -> Vec<&str> {
        let lines = text
            .lines()
            .filter(|line| line.split(' ').next() == Some(word));
        lines.collect()
    };
    assert_eq!(
        lines("mount"),
        [format!("mount {}", mount.path().display())]
    );
    assert!(
        lines("request").iter().any(|line| line.contains(" read ")),
        "{text}"
    );
    assert!(text.contains("\noperation lookup 1 0 "), "{text}");
    // It has released the lock.
    assert_eq!(lines("lock").len(), 1);
    assert!(lines("waiter").is_empty(), "{text}");
    gate.open();
    assert_eq!(reader.join().unwrap().unwrap(), 7);
    let end = mount.end();
    assert!(!path.exists());
    // What `println!("{}", end.stats)` shows.
    let printed = end.stats.to_string();
    let first = printed.lines().next().unwrap();
    assert!(first.contains(" requests on "), "{printed}");
    let reads = printed.lines().filter(|line| line.starts_with("read "));
    assert_eq!(reads.count(), 1, "{printed}");
}
