//! Attributes that are computed: digests, and what is in a tree.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::beside::as_user;
use crate::calls::{errno, getxattr};
use crate::ignored::heed_signals;
use crate::mount::{Mounted, is_root, skip};
use crate::{DEADLINE, PATIENCE, on_tmpfs};

/// A thread may be interrupted in what takes long, and starts it again. SIGCHLD does it, ignored or not: when one comes for a
/// thread that starts a process, where posix_spawn(3) blocks all signals, the kernel wakes another thread for it.
fn computed(path: &Path, name: &str) -> io::Result<Vec<u8>> {
    loop {
        match getxattr(path, name) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The handler that hashes has released the lock: others do not wait for it.
#[test]
fn a_digest_keeps_nobody_waiting() {
    on_tmpfs(&[], |root| {
        let path = root.join("large");
        let mut file = File::create(&path).unwrap();
        let bytes: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
        for _ in 0..24 {
            file.write_all(&bytes).unwrap();
        }
        drop(file);
        let hashing = AtomicBool::new(true);
        let (digest, longest) = thread::scope(|threads| {
            let other = threads.spawn(|| {
                let mut longest = Duration::ZERO;
                while hashing.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    fs::write(root.join("other"), "x").unwrap();
                    longest = longest.max(start.elapsed());
                }
                longest
            });
            let start = Instant::now();
            let digest = computed(&path, "user.tmpfs.sha256");
            let took = start.elapsed();
            hashing.store(false, Ordering::Relaxed);
            let digest = digest.unwrap();
            let longest = other.join().unwrap();
            assert!(
                longest < took / 2,
                "a write took {longest:?}, the digest {took:?}"
            );
            (String::from_utf8(digest).unwrap(), longest)
        });
        let sum = Command::new("sha256sum")
            .arg(&path)
            .output()
            .unwrap()
            .stdout;
        assert!(
            String::from_utf8(sum).unwrap().starts_with(&digest),
            "{longest:?}"
        );
        // Another content is another digest.
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all_at(b"!", 5)
            .unwrap();
        assert_ne!(
            computed(&path, "user.tmpfs.sha256").unwrap(),
            digest.as_bytes()
        );
        assert_eq!(errno(computed(root, "user.tmpfs.sha256")), libc::ENODATA);
    });
}

#[test]
fn a_tree_is_counted() {
    on_tmpfs(&[], |root| {
        for directory in 0..10 {
            let directory = root.join(format!("d{directory}"));
            fs::create_dir(&directory).unwrap();
            for file in 0..300 {
                fs::write(directory.join(format!("f{file}")), "12345").unwrap();
            }
            fs::hard_link(directory.join("f0"), directory.join("again")).unwrap();
        }
        let tree = computed(root, "user.tmpfs.tree").unwrap();
        let expected = "11 directories, 3000 files, 0 others, 15000 bytes";
        assert_eq!(String::from_utf8(tree).unwrap(), expected);
    });
}

/// Nobody waits for the digest of 8 EiB of zeros, nor does the end.
#[test]
fn holes_are_no_work() {
    heed_signals();
    let Some(mounted) = Mounted::new("tmpfs", &["-f"], DEADLINE) else {
        return;
    };
    let path = mounted.path().join("file");
    let file = File::create(&path).unwrap();
    file.set_len(i64::MAX.unsigned_abs()).unwrap();
    let ask = || {
        let path = path.clone();
        thread::spawn(move || computed(&path, "user.tmpfs.sha256"))
    };
    let asked: Vec<_> = (0..35).map(|_| ask()).collect();
    // As soon as they are on their way.
    thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    let length = fs::metadata(&path).map(|stat| stat.len());
    assert!(length.is_ok() && start.elapsed() < PATIENCE);
    file.set_len(32 << 20).unwrap();
    let digest = computed(&path, "user.tmpfs.sha256").unwrap();
    let zeros = b"83ee47245398adee79bd9c0a8bc57b821e92aba10f5f9ade8a5d1fae4d8c4302";
    assert_eq!(digest, zeros);
    drop(file);
    let ended = mounted.signal("TERM");
    assert!(ended.status.success(), "{ended:?}");
    for result in asked {
        assert_eq!(errno(result.join().unwrap()), libc::EFBIG);
    }
}

#[test]
fn one_user_does_not_take_all_workers() {
    if !is_root() {
        skip::skip("digests for another user", "only root becomes one");
        return;
    }
    on_tmpfs(&["-o", "allow_other"], |root| {
        let paths: Vec<_> = (0..35)
            .map(|number| root.join(format!("f{number}")))
            .collect();
        for path in &paths {
            File::create(path).unwrap().set_len(16 << 20).unwrap();
        }
        let results: Vec<_> = thread::scope(|threads| {
            let ask = |path| as_user(1234, &[1234], 0, || computed(path, "user.tmpfs.sha256"));
            let asked: Vec<_> = paths
                .iter()
                .map(|path| threads.spawn(move || ask(path)))
                .collect();
            let start = Instant::now();
            while !asked.iter().all(|asked| asked.is_finished()) {
                let before = Instant::now();
                fs::write(root.join("other"), "text").unwrap();
                let took = before.elapsed();
                assert!(took < PATIENCE, "a write took {took:?}");
                assert!(start.elapsed() < DEADLINE);
                thread::sleep(Duration::from_millis(10));
            }
            asked
                .into_iter()
                .map(|asked| asked.join().unwrap())
                .collect()
        });
        let digests = results.iter().filter(|result| result.is_ok()).count();
        assert!(digests >= 1);
        for error in results.into_iter().filter(io::Result::is_err) {
            assert_eq!(errno(error), libc::EAGAIN);
        }
    });
}
