//! Many threads at once, each of which knows what it should find.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::calls::{getxattr, list, rename};
use crate::on_tmpfs;

const THREADS: u64 = 16;
const TIME: Duration = Duration::from_secs(3);

#[test]
fn with_one_worker() {
    on_tmpfs(&["-s"], at_once);
}

#[test]
fn with_thirty_workers() {
    on_tmpfs(&["-o", "max_threads=30"], at_once);
}

/// A small generator, so that a failure can be repeated: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Threads work in directories of their own, where they know all that there is, and in a common one, where they get in
/// each other's way and may be told so, but never anything else.
fn at_once(root: &Path) {
    let common = root.join("common");
    fs::create_dir(&common).unwrap();
    let rounds = AtomicU64::new(0);
    let until = Instant::now() + TIME;
    thread::scope(|threads| {
        for seed in 1..=THREADS {
            let (common, rounds) = (&common, &rounds);
            threads.spawn(move || {
                let mut random = Random(seed);
                let own = root.join(format!("own{seed}"));
                fs::create_dir(&own).unwrap();
                while Instant::now() < until {
                    alone(&own, &mut random);
                    together(common, &mut random);
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert!(rounds.into_inner() >= THREADS);
    for name in list(&common) {
        assert_eq!(fs::read(common.join(&name)).unwrap(), b"12345678", "{name}");
    }
}

/// Creates, writes, renames, links, reads back and deletes.
fn alone(own: &Path, random: &mut Random) {
    let byte = u8::try_from(random.below(255) + 1).unwrap();
    let (offset, len) = (
        random.below(100_000),
        usize::try_from(random.below(50_000) + 1).unwrap(),
    );
    let [a, b, c] = ["a", "b", "c"].map(|name| own.join(name));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&a)
        .unwrap();
    file.write_all_at(&vec![byte; len], offset).unwrap();
    fs::rename(&a, &b).unwrap();
    fs::hard_link(&b, &c).unwrap();
    fs::remove_file(&b).unwrap();
    let bytes = fs::read(&c).unwrap();
    let start = usize::try_from(offset).unwrap();
    assert_eq!(bytes.len(), start + len);
    assert!(
        bytes[..start].iter().all(|zero| *zero == 0) && bytes[start..].iter().all(|it| *it == byte)
    );
    fs::remove_file(&c).unwrap();
    file.set_len(1).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 1);
}

fn together(common: &Path, random: &mut Random) {
    let mut path = || common.join(format!("f{}", random.below(8)));
    let (one, other) = (path(), path());
    let what = random.below(10);
    allowed(match what {
        0..3 => fs::write(&one, "12345678"),
        3 => rename(&one, &other, 0),
        4 => rename(&one, &other, libc::RENAME_EXCHANGE),
        5 => fs::hard_link(&one, &other),
        6 => fs::remove_file(&one),
        7 => fs::read_dir(common)
            .and_then(|mut entries| entries.try_for_each(|entry| entry.map(drop))),
        8 => getxattr(&one, "user.tmpfs.sha256").map(drop),
        _ => File::open(&one).and_then(|file| {
            let mut bytes = [0; 9];
            let len = file.read_at(&mut bytes, 0)?;
            // While another thread truncates it, the kernel knows the old size and is given no bytes any more: it fills
            // its page with zeros, for that moment.
            let bytes = &bytes[..len];
            assert!(
                matches!(bytes, b"" | b"12345678" | [0, 0, 0, 0, 0, 0, 0, 0]),
                "{bytes:?}"
            );
            Ok(())
        }),
    });
}

/// Others may have made or removed the name, or change the file all the time; a thread may be interrupted, by SIGCHLD, say.
/// Nothing else may have happened.
fn allowed(result: io::Result<()>) {
    const ALLOWED: [i32; 4] = [libc::ENOENT, libc::EEXIST, libc::EAGAIN, libc::EINTR];
    if let Err(error) = result {
        let errno = error.raw_os_error().unwrap();
        assert!(ALLOWED.contains(&errno), "{error}");
    }
}
