//! How many requests passthrough_hp serves at the same time.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use fuse3::testing::Mount;
use fuse3::{
    Answer, Attr, Concurrent, Context, Data, Entry, FileInfo, Filesystem, Ino, Open, Opened,
    ReadBuf, Session,
};

use crate::place::{Place, within};
use crate::skip::skip;

/// A directory of files, whose reads wait until they may go on.
#[derive(Default)]
struct Slow {
    waiting: AtomicUsize,
    go_on: AtomicBool,
}

struct Source(Arc<Slow>);

fn attr(ino: Ino) -> Attr {
    match ino {
        Ino::ROOT => Attr::new(ino, libc::S_IFDIR | 0o755),
        _ => Attr {
            size: 10,
            ..Attr::new(ino, libc::S_IFREG | 0o644)
        },
    }
}

impl Filesystem for Source {
    type Lock = Concurrent;

    /// `f7` is inode 17.
    fn lookup(&self, _: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
        let number = name.to_str().and_then(|name| name.strip_prefix('f'));
        let number = number.and_then(|number| number.parse::<u64>().ok());
        let ino = Ino(number.ok_or(fuse3::Errno::ENOENT)? + 10);
        Ok(Entry::new(attr(ino), Duration::from_secs(60)))
    }

    fn getattr(
        &self,
        _: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        Ok((attr(ino), Duration::from_secs(60)))
    }

    fn open(&self, _: &mut Context<'_, Self>, _: Ino, _: Open) -> Answer<Opened> {
        Ok(Opened::default().direct_io(true))
    }

    fn read(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        self.0.waiting.fetch_add(1, Ordering::SeqCst);
        within(|| self.0.go_on.load(Ordering::SeqCst));
        Ok(out.lend_from(b"0123456789", offset))
    }
}

#[test]
fn as_many_as_c_s_unless_told_otherwise() {
    // When scripts/matrix has libfuse use io_uring for all of them.
    if std::env::var_os("FUSE_URING_ENABLE").is_some() {
        return skip(
            "passthrough_hp's workers",
            "over io_uring each processor has one",
        );
    }
    for (arguments, expected) in [
        (&[][..], 10),
        (&["--num-threads=-1"], 10),
        (&["--num-threads=3"], 3),
        (&["--single"], 1),
    ] {
        let Some(place) = Place::new("passthrough_hp") else {
            return;
        };
        let slow = Arc::<Slow>::default();
        let source = Mount::new(Session::builder(Source(Arc::clone(&slow)), Concurrent));
        let path = source.path().to_str().unwrap();
        let all = ["--foreground", "--nocache", "--nopassthrough", path, "mnt"];
        let command = place.example([arguments, &all].concat());
        let mut server = place.serve(command, &place.mount_point());
        let open = |number| File::open(place.path(&format!("mnt/f{number}"))).unwrap();
        let files: Vec<_> = (0..expected + 2).map(open).collect();
        let readers = files.into_iter().map(|mut file| {
            thread::spawn(move || {
                let mut text = [0; 10];
                file.read_exact(&mut text).map(|()| text)
            })
        });
        let readers: Vec<_> = readers.collect();
        let waiting = || slow.waiting.load(Ordering::SeqCst);
        let all_came = within(|| waiting() >= expected);
        // Time for one too many.
        thread::sleep(Duration::from_millis(200));
        let came = waiting();
        slow.go_on.store(true, Ordering::SeqCst);
        for reader in readers {
            assert_eq!(reader.join().unwrap().unwrap(), *b"0123456789");
        }
        assert!(all_came && came == expected, "{arguments:?}: {came}");
        place.unmount(&place.mount_point());
        place.ended(&mut server).well();
        source.end();
    }
}
