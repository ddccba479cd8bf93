//! What the command line asks for, seen to take effect. Each session has a process of its own, since it handles signals.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fuse3::cmdline::Command;
use fuse3::{Builder, CommandLine, Operation};

use crate::child::{self, this_test};
use crate::effects::{devices, logged, threads};
use crate::fixture::{Gate, Mount, is_root, mounts_on, require_mount, skip, until};
use crate::probe::Probe;

fn command(arguments: &[&str]) -> Command<()> {
    let all = [&["/bin/prog"], arguments, &["/mnt"]].concat();
    CommandLine::new(()).parse(all).unwrap()
}

fn builder(arguments: &[&str], probe: Probe) -> Builder<Probe> {
    command(arguments).builder(probe, Arc::default())
}

#[test]
fn options_of_the_mount() {
    require_mount!();
    if !is_root() {
        return skip(this_test!(), "only root may ask for all of them");
    }
    child::run(this_test!(), || {
        let line = |ask: &dyn Fn(Builder<Probe>) -> Builder<Probe>, arguments: &[&str]| {
            let mount = Mount::new(ask(builder(arguments, Probe::new())));
            let line = mounts_on(mount.path()).pop().unwrap();
            File::open(mount.join("file")).unwrap();
            mount.end();
            line
        };
        for (arguments, shown) in [
            (&["-r"][..], " ro,nosuid"),
            // mount(8)'s, of which nothing comes.
            (&["-n"], " rw,nosuid,nodev,relatime "),
            (&["-oro,allow_other"], ",allow_other"),
            (&[], " - fuse.prog "),
            (&["-ofsname=foo"], " - fuse foo "),
            (&["-o", "subtype=bar"], " - fuse.bar "),
        ] {
            let line = line(&|b| b, arguments);
            assert!(
                line.contains(shown),
                "{arguments:?}: {shown:?} is not in {line:?}"
            );
        }
        // The program's names are those that nobody has given.
        let names = |b: Builder<Probe>| b.fsname("source").subtype("kind");
        for (arguments, shown) in [
            (&[][..], " - fuse.kind source "),
            (&["-ofsname=foo"], " - fuse.kind foo "),
            (&["-osubtype=bar"], " - fuse.bar source "),
            // The same as there would be by default.
            (&["-osubtype=prog"], " - fuse.prog source "),
            (&["-osubtype=bar,fsname=foo"], " - fuse.bar foo "),
        ] {
            let line = line(&names, arguments);
            assert!(
                line.contains(shown),
                "{arguments:?}: {shown:?} is not in {line:?}"
            );
        }
    });
}

#[test]
fn what_libfuse_2_had_is_left_out() {
    require_mount!();
    child::run(this_test!(), || {
        for dropped in [
            "big_writes",
            "large_read",
            "nonempty",
            "use_ino",
            "readdir_ino",
            "hard_remove",
        ] {
            // libfuse would refuse it.
            let mount = Mount::new(builder(&["-o", dropped], Probe::new()));
            let line = mounts_on(mount.path()).pop().unwrap();
            File::open(mount.join("file")).unwrap();
            assert!(!line.contains(dropped), "{line}");
            mount.end();
        }
    });
}

/// How many handlers run at the same time when many requests come.
fn at_once(arguments: &[&str], expected: usize) {
    let gate = Arc::new(Gate::default());
    let (waiting, clients) = (Arc::clone(&gate), expected + 2);
    let probe = Probe::new().on(move |cx, operation, _| {
        if operation == Operation::Read {
            cx.released(|_| waiting.pass());
        }
        Ok(())
    });
    let mount = Mount::new(builder(arguments, probe));
    let open = |number| File::open(mount.join(format!("f{number}"))).unwrap();
    let files: Vec<_> = (0..clients).map(open).collect();
    thread::scope(|scope| {
        for mut file in files {
            scope.spawn(move || file.read(&mut [0; 7]).unwrap());
        }
        gate.came(expected);
        // Time for one too many.
        thread::sleep(Duration::from_millis(100));
        let came = gate.count();
        gate.open();
        assert_eq!(came, expected, "{arguments:?}");
    });
    mount.end();
}

#[test]
fn workers() {
    require_mount!(not over io_uring: "each processor has one worker");
    child::run(this_test!(), || {
        at_once(&["-s"], 1);
        at_once(&["-omax_threads=3"], 3);
        at_once(&["-o", "max_threads=3", "-s"], 1);
        // libfuse's default.
        at_once(&[], 10);
    });
}

#[test]
fn workers_that_are_idle_and_their_descriptors() {
    require_mount!(not over io_uring: "the loop has no workers");
    child::run(this_test!(), || {
        for (arguments, few, one_device) in [
            (&["-omax_idle_threads=1"][..], true, true),
            (&["-o", "clone_fd,max_idle_threads=-1"], false, false),
            (&[], false, true),
        ] {
            let slow = |_: &mut fuse3::Context<'_, Probe>, _, _| {
                thread::sleep(Duration::from_millis(20));
                Ok(())
            };
            let before = threads();
            let mount = Mount::new(builder(arguments, Probe::new().on(slow)));
            let ask_at_once = || {
                thread::scope(|scope| {
                    for number in 0..8 {
                        let path = mount.join(format!("f{number}"));
                        scope.spawn(move || fs::metadata(path).unwrap());
                    }
                });
            };
            ask_at_once();
            // The thread of `run`, the watchdog, one idle worker, and one that reads.
            let are_few = || threads() - before <= 5;
            if few {
                until(are_few);
            } else {
                // Only as many workers are started as there are requests at the same time, which may be one.
                until(|| {
                    ask_at_once();
                    !are_few()
                });
                thread::sleep(Duration::from_millis(200));
                assert!(!are_few(), "{arguments:?}: {}", threads() - before);
            }
            assert_eq!(devices() == 1, one_device, "{arguments:?}");
            mount.end();
            assert_eq!(devices(), 0);
            until(|| threads() == before);
        }
    });
}

#[test]
fn requests_are_logged() {
    require_mount!();
    child::run(this_test!(), || {
        for (arguments, on) in [
            (&["-d"][..], true),
            (&["--debug"], true),
            (&["-odebug"], true),
            (&["-f"], false),
        ] {
            let text = logged(builder(arguments, Probe::new()));
            assert_eq!(text.contains("LOOKUP"), on, "{arguments:?}: {text}");
        }
    });
}

/// `-f`, and what stands for it, is for `Session::daemonize`, which tells the child by its parent.
#[test]
fn who_stays_in_the_foreground() {
    require_mount!();
    for (arguments, stays) in [
        (&["-f"][..], true),
        (&["-d"], true),
        (&["-odebug"], true),
        (&["--debug"], false),
        (&[], false),
    ] {
        assert_eq!(command(arguments).foreground, stays, "{arguments:?}");
    }
    child::run(this_test!(), || {
        let point = fuse3::testing::MountPoint::new();
        let command = command(&["-f"]);
        let session = command
            .builder(Probe::new(), Arc::default())
            .mount(point.path());
        let before = std::process::id();
        let session = session.unwrap().daemonize(command.foreground).unwrap();
        assert_eq!(std::process::id(), before);
        let directory: OsString = std::env::current_dir().unwrap().into();
        assert_eq!(directory, "/");
        drop(session);
    });
}
