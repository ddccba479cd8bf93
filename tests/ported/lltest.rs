//! The checks of llfuse's test_lltest and pyfuse3's test_hello, and that the two programs behave the same.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::calls::statvfs;
use crate::mount::{Mounted, program};

/// After so long a file system is killed, and its clients get an error.
const DEADLINE: Duration = Duration::from_secs(60);

const TEXT: &str = "hello world\n";

/// Both programs, with one worker and with as many as llfuse has.
fn each(check: impl Fn(&Path)) {
    for example in ["lltest", "hello_async"] {
        for arguments in [&[][..], &["-omax_threads=30"]] {
            let Some(mounted) = Mounted::new(example, arguments, DEADLINE) else {
                return;
            };
            check(mounted.path());
            let ended = mounted.unmount();
            assert!(ended.status.success(), "{ended:?}");
            assert_eq!((ended.stdout, ended.stderr), <(String, String)>::default());
        }
    }
}

fn names(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn the_checks_of_the_originals() {
    each(|root| {
        assert_eq!(names(root), ["message"]);
        let message = root.join("message");
        assert_eq!(fs::read_to_string(&message).unwrap(), TEXT);
        let writing = OpenOptions::new().read(true).write(true).open(&message);
        assert_eq!(errno(writing), Some(libc::EACCES));
        let missing = File::open(root.join("does-not-exist"));
        assert_eq!(errno(missing), Some(libc::ENOENT));
    });
}

#[test]
fn what_the_file_is() {
    each(|root| {
        let (dir, file) = (root.metadata().unwrap(), root.join("message"));
        let (open, file) = (File::open(&file).unwrap(), file.metadata().unwrap());
        assert_eq!((dir.ino(), dir.mode()), (1, libc::S_IFDIR | 0o755));
        assert_eq!((file.ino(), file.mode()), (2, libc::S_IFREG | 0o644));
        assert_eq!(file.len(), TEXT.len() as u64);
        for it in [&dir, &file] {
            let times = [
                (it.atime(), it.atime_nsec()),
                (it.mtime(), it.mtime_nsec()),
                (it.ctime(), it.ctime_nsec()),
            ];
            assert_eq!(times, [(1_438_467_123, 985_654_000); 3]);
            let me = rustix::process::getuid().as_raw();
            assert_eq!(it.uid(), me);
        }
        let mut part = [0; 20];
        assert_eq!(open.read_at(&mut part, 6).unwrap(), 6);
        assert_eq!(&part[..6], b"world\n");
        assert_eq!(open.read_at(&mut part, 12).unwrap(), 0);
        // What there is no handler for.
        assert_eq!(errno(fs::create_dir(root.join("dir"))), Some(libc::ENOSYS));
        assert_eq!(
            errno(fs::read_dir(root.join("message"))),
            Some(libc::ENOTDIR)
        );
    });
}

/// `df` shows what the originals say: pyfuse3's says nothing.
#[test]
fn what_there_is_room_for() {
    for (example, blocks, files) in [("lltest", 1024, 100), ("hello_async", 0, 0)] {
        let Some(mounted) = Mounted::new(example, &[], DEADLINE) else {
            return;
        };
        let stat = statvfs(mounted.path()).unwrap();
        let seen = [stat.f_blocks, stat.f_bfree, stat.f_bavail];
        assert_eq!(seen, [blocks; 3], "{example}");
        assert_eq!([stat.f_files, stat.f_ffree], [files; 2], "{example}");
        assert!(stat.f_frsize == 512 || blocks == 0, "{example}");
        assert!(mounted.unmount().status.success());
    }
}

#[test]
fn many_clients() {
    each(|root| {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        assert_eq!(names(root), ["message"]);
                        assert_eq!(fs::read_to_string(root.join("message")).unwrap(), TEXT);
                        assert!(!root.join("missing").exists());
                    }
                });
            }
        });
    });
}

/// Each says on stderr what it was asked; libfuse, what it was sent.
#[test]
fn debug() {
    for example in ["lltest", "hello_async"] {
        let arguments = ["--debug", "--debug-fuse"];
        let Some(mounted) = Mounted::new(example, &arguments, DEADLINE) else {
            return;
        };
        assert_eq!(names(mounted.path()), ["message"]);
        let ended = mounted.signal("TERM");
        // As libfuse's examples after a signal.
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        for said in ["readdir of 1 from 0 on", "READDIR"] {
            assert!(ended.stderr.contains(said), "{said}: {ended:?}");
        }
    }
}

#[test]
fn usage() {
    for example in ["lltest", "hello_async"] {
        let output = Command::new(program::built(example)).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let help = Command::new(program::built(example)).arg("--help").output();
        let help = String::from_utf8(help.unwrap().stdout).unwrap();
        for option in ["--debug ", "--debug-fuse"] {
            assert!(help.contains(option), "{option}: {help}");
        }
        assert_eq!(help.contains("max_threads"), fuse3::sys::LIMITS_THREADS);
    }
}
