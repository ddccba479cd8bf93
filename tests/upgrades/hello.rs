//! A file system without state.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use crate::mount::{Mounted, within};
use crate::replaced::Replaced;
use crate::servers::{keeper, server};

const DEADLINE: Duration = Duration::from_secs(120);
pub(crate) const TEXT: &[u8] = b"Hello World!\n";

/// Calls `change` `times` often, while clients read, each time after they have had an answer. The median and the longest time
/// that one waited.
pub(crate) fn while_clients_read(
    point: &Path,
    times: usize,
    mut change: impl FnMut(),
) -> [Duration; 2] {
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let path = point.join("hello");
    // It has served by then, which it has to before it can be replaced.
    fs::metadata(&path).unwrap();
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let file = File::open(&path).unwrap();
            let mut waits = Vec::new();
            while !over.load(Ordering::SeqCst) {
                let start = Instant::now();
                let mut text = [0; 100];
                let length = file.read_at(&mut text, 0).unwrap();
                assert_eq!(&text[..length], TEXT);
                assert_eq!(fs::read(&path).unwrap(), TEXT);
                fs::metadata(point.join("missing")).unwrap_err();
                waits.push(start.elapsed());
                asked.fetch_add(1, Ordering::SeqCst);
            }
            waits
        });
        for _ in 0..times {
            let before = asked.load(Ordering::SeqCst);
            change();
            while asked.load(Ordering::SeqCst) < before + 3 && !client.is_finished() {
                thread::sleep(Duration::from_millis(1));
            }
        }
        over.store(true, Ordering::SeqCst);
        let mut waits = client.join().unwrap();
        waits.sort();
        let longest = &waits[waits.len().saturating_sub(times)..];
        [longest[longest.len() / 2], waits[waits.len() - 1]]
    })
}

#[test]
fn a_program_is_replaced_by_exec_under_its_clients() {
    let Some(mut replaced) = Replaced::start("hello", &[], DEADLINE) else {
        return;
    };
    let point = replaced.path().to_owned();
    let pauses = while_clients_read(&point, 20, || replaced.upgrade());
    println!("20 times by exec: median and longest pause {pauses:?}");
    let ended = replaced.mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stderr, "");
}

/// The file where the program was is no program any more.
#[test]
fn a_program_that_cannot_go_on_is_rolled_back() {
    let program = |command: &mut Command, dir: &Path| {
        let copy = dir.join("hello");
        crate::mount::program::copy(Path::new(command.get_program()), &copy);
        let mut copied = Command::new(&copy);
        copied.args(command.get_args());
        *command = copied;
    };
    let Some(mounted) = Mounted::start("hello", &[], DEADLINE, program) else {
        return;
    };
    let pid = server("hello", mounted.path()).unwrap();
    let copy = mounted.path().parent().unwrap().join("hello");
    let replace = |by: &dyn Fn(&Path)| {
        let new = copy.with_extension("new");
        by(&new);
        fs::rename(&new, &copy).unwrap();
    };
    let whole = fs::read(&copy).unwrap();
    // The last one is what there is while a program is being copied.
    let half = &whole[..whole.len() / 20];
    let stderr = copy.with_file_name("stderr");
    for (number, wrong) in [&b"no program"[..], b"", half].into_iter().enumerate() {
        replace(&|new| {
            fs::write(new, wrong).unwrap();
            fs::set_permissions(new, fs::Permissions::from_mode(0o755)).unwrap();
        });
        let said = || {
            fs::read_to_string(&stderr)
                .unwrap()
                .matches("Exec format error")
                .count()
        };
        while_clients_read(mounted.path(), 1, || {
            kill_process(pid, Signal::HUP).unwrap();
            assert!(within(DEADLINE, || said() > number));
        });
    }
    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
}

/// The file where the program was is that of another file system, to which no state is handed over.
#[test]
fn another_s_program_gives_the_mount_back() {
    let Some(mut replaced) = Replaced::start("hello", &[], DEADLINE) else {
        return;
    };
    replaced.put(&crate::mount::program::built("tmpfs"));
    let says = "it begins with \"\", not with";
    let point = replaced.path().to_owned();
    while_clients_read(&point, 1, || {
        replaced.hang_up();
        assert!(replaced.says(says), "{}", replaced.stderr());
    });
    // It does go on with its own.
    while_clients_read(&point, 3, || replaced.upgrade());
    let ended = replaced.mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
}

#[test]
fn a_server_that_is_killed_is_started_again_under_its_clients() {
    let change = |command: &mut Command, _: &Path| keeper(command, &["--restarts=1000"]);
    let Some(mounted) = Mounted::start("hello", &[], DEADLINE, change) else {
        return;
    };
    let mut last = None;
    // From its first answer on it is kept.
    fs::read(mounted.path().join("hello")).unwrap();
    let pauses = while_clients_read(mounted.path(), 20, || {
        let started = Instant::now();
        let found = || server("hello", mounted.path()).filter(|pid| Some(*pid) != last);
        let pid = loop {
            match found() {
                Some(pid) => break pid,
                None => thread::sleep(Duration::from_millis(1)),
            }
            assert!(started.elapsed() < DEADLINE, "it was not started again");
        };
        last = Some(pid);
        kill_process(pid, Signal::KILL).unwrap();
    });
    println!("20 times by SIGKILL: median and longest pause {pauses:?}");
    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
}

/// It is unmounted then, and nobody waits.
#[test]
fn how_often_it_is_started_again_is_limited() {
    let options = ["--restarts=3", "--within=3600"];
    let change = |command: &mut Command, _: &Path| keeper(command, &options);
    let Some(mounted) = Mounted::start("hello", &[], DEADLINE, change) else {
        return;
    };
    // From its first answer on it is kept.
    fs::read(mounted.path().join("hello")).unwrap();
    let (mut killed, mut last) = (0, None);
    while mounted.is_running() {
        let pid = server("hello", mounted.path()).filter(|pid| Some(*pid) != last);
        if let Some(pid) = pid {
            last = Some(pid);
            killed += usize::from(kill_process(pid, Signal::KILL).is_ok());
        }
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(killed, 4);
    let ended = mounted.ends();
    assert!(
        ended.stderr.contains("started again 3 times within 3600s"),
        "{ended:?}"
    );
}
