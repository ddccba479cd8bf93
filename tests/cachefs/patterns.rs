//! P1, P2 and P4, each alone.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::mount::within;
use crate::{Backend, check, control, count, direct, errno, say};

const PATIENCE: Duration = Duration::from_secs(20);

/// P2: eight clients, one download of each block.
#[test]
fn clients_of_one_cold_file_cause_one_download() {
    const CLIENTS: usize = 8;
    let backend = Backend::new();
    let Some(mounted) = backend.mount("") else {
        return;
    };
    let contents: Vec<u8> = (0..1_048_576_u32)
        .map(|at| (at / 5000).to_le_bytes()[0])
        .collect();
    fs::write(mounted.path().join("one"), &contents[..100_000]).unwrap();
    fs::write(mounted.path().join("eight"), &contents).unwrap();
    check(mounted);

    let mounted = backend.mount("delay=200,max_threads=16").unwrap();
    for (name, len, blocks) in [("one", 100_000, 1), ("eight", contents.len(), 8)] {
        let path = mounted.path().join(name);
        let before = count(mounted.path(), "downloads");
        let together = Barrier::new(CLIENTS);
        thread::scope(|threads| {
            for _ in 0..CLIENTS {
                threads.spawn(|| {
                    let file = direct(&path);
                    let mut bytes = vec![0; len];
                    together.wait();
                    file.read_exact_at(&mut bytes, 0).unwrap();
                    assert!(bytes == contents[..len]);
                });
            }
        });
        let downloads = count(mounted.path(), "downloads") - before;
        say(&format!(
            "{CLIENTS} clients, a file of {blocks} blocks: {downloads} downloads"
        ));
        assert_eq!(downloads, blocks);
    }
    check(mounted);
}

/// P1: what a reader has waited for is looked up again. It was cut, and written to, while it was downloaded.
#[test]
fn a_download_that_was_overtaken() {
    let backend = Backend::new();
    let Some(mounted) = backend.mount("") else {
        return;
    };
    for name in ["cut", "written", "removed"] {
        fs::write(mounted.path().join(name), vec![1; 100_000]).unwrap();
    }
    check(mounted);

    let mounted = backend
        .mount("delay=1000,commit=10,max_threads=16")
        .unwrap();
    for name in ["cut", "written", "removed"] {
        let path = mounted.path().join(name);
        let reader = direct(&path);
        let writer = OpenOptions::new().write(true).open(&path).unwrap();
        let before = count(mounted.path(), "downloads");
        let has_read = AtomicBool::new(false);
        let bytes = thread::scope(|threads| {
            let reader = threads.spawn(|| {
                let mut bytes = vec![0; 100_000];
                let len = reader.read_at(&mut bytes, 0).unwrap();
                has_read.store(true, Ordering::Relaxed);
                bytes[..len].to_vec()
            });
            let begun = within(PATIENCE, || count(mounted.path(), "downloads") > before);
            assert!(begun);
            writer.set_len(0).unwrap();
            match name {
                "written" => writer.write_all_at(&[2; 10], 0).unwrap(),
                "removed" => fs::remove_file(&path).unwrap(),
                _ => {}
            }
            assert!(
                !has_read.load(Ordering::Relaxed),
                "others had to wait for the download"
            );
            reader.join().unwrap()
        });
        let expected: &[u8] = if name == "written" { &[2; 10] } else { &[] };
        assert_eq!(bytes, expected, "{name}");
    }
    check(mounted);
}

/// P4: a worker that panics releases its key, the one who waits gets EIO, and another worker does it then.
#[test]
fn workers_die() {
    let backend = Backend::new();
    for options in ["commit=300,uploaders=1", "commit=300,uploaders=4"] {
        let Some(mounted) = backend.mount(options) else {
            return;
        };
        let file = File::create(mounted.path().join("file")).unwrap();
        control(mounted.path(), "backend", "deadly").unwrap();
        file.write_all_at(&[3; 1_000_000], 0).unwrap();
        let mut failures = 0;
        let synced = within(PATIENCE, || match file.sync_all() {
            Ok(()) => true,
            error => {
                assert_eq!(errno(error), libc::EIO);
                failures += 1;
                false
            }
        });
        assert!(synced && failures > 0, "{failures}");
        drop(file);
        let ended = mounted.unmount();
        assert!(
            ended.stderr.contains("a worker was told to die"),
            "{ended:?}"
        );
        assert!(ended.stderr.contains("workers have died"), "{ended:?}");
        assert!(
            ended.status.success() && ended.stdout.contains("everything adds up"),
            "{ended:?}"
        );
    }
}
