//! passthroughfs, where writes go to the page cache first.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, UNIX_EPOCH};

use crate::mount::Mounted;
use crate::source::Source;
use crate::{DEADLINE, WRITEBACK, end};

/// What `check` finds is the same in both styles.
fn in_both_styles(check: impl Fn(&Source, &Mounted)) {
    for options in [&[WRITEBACK][..], &[WRITEBACK, "--async"]] {
        let source = Source::new();
        // A page and a bit.
        fs::write(source.path().join("file"), vec![b'a'; 5000]).unwrap();
        let arguments = [options, &[source.str()]].concat();
        let Some(mounted) = Mounted::new("passthroughfs", &arguments, DEADLINE) else {
            return;
        };
        check(&source, &mounted);
        end(mounted);
    }
}

#[test]
fn what_is_written_stays_in_the_page_cache() {
    in_both_styles(|source, mounted| {
        let mut file = File::create(mounted.path().join("new")).unwrap();
        let there = source.path().join("new");
        file.write_all(b"text").unwrap();
        assert_eq!(file.metadata().unwrap().len(), 4);
        assert_eq!(fs::read(&there).unwrap(), b"");
        file.sync_all().unwrap();
        assert_eq!(fs::read(&there).unwrap(), b"text");
        file.write_all(b" and more").unwrap();
        assert_eq!(fs::read(&there).unwrap(), b"text");
        drop(file);
        assert_eq!(fs::read(&there).unwrap(), b"text and more");
    });
    // And not unless it is asked for.
    let source = Source::new();
    let Some(mounted) = Mounted::new("passthroughfs", &[source.str()], DEADLINE) else {
        return;
    };
    let mut file = File::create(mounted.path().join("new")).unwrap();
    file.write_all(b"text").unwrap();
    assert_eq!(fs::read(source.path().join("new")).unwrap(), b"text");
    drop(file);
    end(mounted);
}

/// Of a page that is written in part the kernel reads the rest, by a descriptor that was opened only to write.
#[test]
fn pages_are_written_in_part() {
    in_both_styles(|source, mounted| {
        let path = mounted.path().join("file");
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(b"b", 100).unwrap();
        file.write_all_at(b"c", 4990).unwrap();
        drop(file);
        let mut expected = vec![b'a'; 5000];
        expected[100] = b'b';
        expected[4990] = b'c';
        assert!(fs::read(source.path().join("file")).unwrap() == expected);
        assert!(fs::read(path).unwrap() == expected);
    });
}

/// Two append through descriptors of their own, and one cuts meanwhile: where the end is the kernel knows alone.
#[test]
fn appending_is_the_kernel_s() {
    in_both_styles(|source, mounted| {
        let path = mounted.path().join("file");
        let open = || File::options().append(true).open(&path).unwrap();
        let (mut one, mut other) = (open(), open());
        one.write_all(b"1").unwrap();
        other.write_all(b"22").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 5003);
        one.set_len(3).unwrap();
        one.write_all(b"333").unwrap();
        other.write_all(b"4").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 7);
        drop((one, other));
        assert_eq!(fs::read(source.path().join("file")).unwrap(), b"aaa3334");
    });
}

/// The kernel's time of the last write gets to the source, and so does one that was set before the data were written.
#[test]
fn times_are_sent_after_the_data() {
    in_both_styles(|source, mounted| {
        let (path, there) = (mounted.path().join("file"), source.path().join("file"));
        let time = |stat: fs::Metadata| (stat.mtime(), stat.mtime_nsec());
        let before = time(there.metadata().unwrap());
        let file = File::options().write(true).open(&path).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        file.write_all_at(b"x", 0).unwrap();
        file.sync_all().unwrap();
        let seen = time(path.metadata().unwrap());
        assert!(seen > before, "{seen:?} {before:?}");
        assert_eq!(time(there.metadata().unwrap()), seen);

        file.write_all_at(b"y", 1).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::new(7, 9)).unwrap();
        drop(file);
        assert_eq!(time(path.metadata().unwrap()), (7, 9));
        assert_eq!(time(there.metadata().unwrap()), (7, 9));
        assert!(fs::read(&there).unwrap().starts_with(b"xya"));
    });
}
