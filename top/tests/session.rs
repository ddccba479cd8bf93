//! The program against a session: what one writes, the other reads. Not in the package, since it needs libfuse.

use std::ffi::OsStr;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fuse3::testing::{Wire, proto};
use fuse3::{Answer, Context, Entry, Errno, Filesystem, GlobalLock, Ino};

struct Empty;

impl Filesystem for Empty {
    type Lock = Arc<GlobalLock<()>>;

    fn lookup(&self, _: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<Entry> {
        Err(Errno::ENOENT.into())
    }
}

#[test]
fn it_shows_a_session_that_waits_for_the_lock() {
    let path = std::env::temp_dir().join(format!("fuse3-top-session-{}", std::process::id()));
    let lock = Arc::new(GlobalLock::new(()));
    let mut wire = Wire::with(Empty, Arc::clone(&lock), |builder| builder.monitor(&path));
    let stats = wire.handle.clone();
    for _ in 0..3 {
        wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    // An answer is sent before it is counted.
    while stats
        .stats()
        .latencies
        .first()
        .is_none_or(|it| it.count < 3)
    {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
    let guard = lock.lock().unwrap();
    let place = format!("top/tests/session.rs:{}:", line!() - 1);
    let unique = wire.send(&proto::lookup(7, b"name"));
    while lock.stats().waiters.is_empty() {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_fuse3-top"));
    let output = command.args(["--once", "-d", "0.05"]).arg(&path).output();
    let output = output.unwrap();
    drop(guard);
    assert_eq!(wire.receive(), proto::error(unique, Errno::ENOENT.raw()));
    wire.end();
    assert!(output.status.success(), "{output:?}");
    let screen = String::from_utf8(output.stdout).unwrap();
    let line = |start: &str| {
        let found = screen.lines().find(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("{start} is missing: {screen}"))
    };
    let lookups: Vec<_> = line("lookup  ").split_whitespace().collect();
    assert_eq!(lookups[..4], ["lookup", "0", "3", "3"], "{screen}");
    assert!(
        line("global lock: held by thread ").contains(&place),
        "{screen}"
    );
    assert!(line("  taken ").ends_with("; 1 waiting"), "{screen}");
    assert!(line("  thread ").contains("(lookup) waits "), "{screen}");
    let mut lines = screen
        .lines()
        .skip_while(|line| !line.starts_with("under way"));
    let under_way: Vec<_> = lines.nth(1).unwrap().split_whitespace().collect();
    assert_eq!([under_way[0], under_way[2]], ["lookup", "7"], "{screen}");
}
