//! A source that is a FUSE file system, in which a file is another node once the kernel has forgotten it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fuse3::reply::Added;
use fuse3::{
    Answer, Attr, Concurrent, Context, Data, DirBuf, Entry, Errno, FileInfo, Filesystem, Ino,
    Listing, ReadBuf, Session,
};

use crate::handle::forget;
use crate::mount::skip::skip;
use crate::mount::{is_root, unmount, within};
use crate::numbers::{handle_only, names, through};
use crate::place::Source;

const TEXT: &[u8] = b"text";

/// The kernel asks again for what it has forgotten only.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// How long the program may have what it has looked at open.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory, `dir`, and in it `file`. Each lookup gives a new node id, whose last two bits say what it is.
struct Forgetful {
    lookups: Arc<AtomicU64>,
}

type Cx<'a> = Context<'a, Forgetful>;

const DIR: u64 = 2;
const FILE: u64 = 3;

/// What stat(2) shows stays the same.
fn attr(node: Ino) -> Attr {
    match node.0 % 4 {
        kind @ FILE => Attr {
            size: TEXT.len() as u64,
            ..Attr::new(Ino(kind), libc::S_IFREG | 0o644)
        },
        kind => Attr::new(Ino(kind), libc::S_IFDIR | 0o755),
    }
}

impl Filesystem for Forgetful {
    type Lock = Concurrent;

    fn lookup(&self, _: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        let kind = match (parent, name.to_str()) {
            (Ino::ROOT, Some("dir")) => DIR,
            (Ino(number), Some("file")) if number % 4 == DIR => FILE,
            _ => return Err(Errno::ENOENT.into()),
        };
        let lookups = self.lookups.fetch_add(1, Ordering::Relaxed) + 1;
        let ino = Ino(4 * lookups + kind);
        Ok(Entry {
            ino,
            ..Entry::new(attr(ino), TIMEOUT)
        })
    }

    fn getattr(&self, _: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        Ok((attr(ino), TIMEOUT))
    }

    fn read(
        &self,
        _: &mut Cx<'_>,
        _: Ino,
        _: &FileInfo,
        at: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        Ok(out.lend_from(TEXT, at))
    }

    fn readdir(
        &self,
        _: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        at: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        let (name, kind) = if ino == Ino::ROOT {
            ("dir", DIR)
        } else {
            ("file", FILE)
        };
        if at == 0 {
            let added = out.add(name, &Entry::new(attr(Ino(kind)), TIMEOUT), 1);
            assert_ne!(added, Added::Full);
        }
        Ok(out.finish())
    }
}

/// It, mounted. Dropped, it is unmounted.
struct Below {
    path: PathBuf,
    lookups: Arc<AtomicU64>,
    server: Option<JoinHandle<()>>,
}

impl Below {
    fn new(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        let lookups = Arc::new(AtomicU64::new(0));
        let fs = Forgetful {
            lookups: Arc::clone(&lookups),
        };
        let session = Session::builder(fs, Concurrent).mount(&path).unwrap();
        let serve = move || drop(session.run().unwrap());
        Self {
            path,
            lookups,
            server: Some(thread::spawn(serve)),
        }
    }

    /// Has the kernel forget all nodes, and give them other ids.
    fn forget(&self) {
        let before = self.lookups.load(Ordering::Relaxed);
        let forgotten = || {
            forget(&self.path);
            fs::metadata(self.path.join("dir/file")).unwrap();
            self.lookups.load(Ordering::Relaxed) >= before + 2
        };
        assert!(within(PATIENCE, forgotten), "they are known yet");
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        unmount(&self.path, true);
        let server = self.server.take().map(JoinHandle::join);
        if !thread::panicking() {
            server.unwrap().unwrap();
        }
    }
}

fn stays_the_same(mounted: &Path, below: &Below) {
    let known = |name: &str| handle_only(&mounted.join(name));
    // The first is where it is mounted, in a directory of another file system.
    let [root, dir, file] = ["below", "below/dir", "below/dir/file"].map(known);
    let are_there = || {
        assert_eq!(names(&through(&root)).unwrap(), b"dir");
        assert_eq!(names(&through(&dir)).unwrap(), b"file");
        assert_eq!(fs::read(through(&file)).unwrap(), TEXT);
    };
    are_there();
    below.forget();
    are_there();
}

/// passthroughfs has nothing open there, and so the kernel may forget it.
#[test]
fn what_a_fuse_source_s_kernel_has_forgotten_is_the_same_file() {
    if !is_root() {
        return skip("a FUSE source", "only root has caches dropped");
    }
    for options in [&[][..], &["--async"]] {
        let source = Source::new();
        // Whether anything can be mounted at all.
        match source.mounted_with("passthroughfs", options) {
            Some(first) => assert!(first.unmount().status.success()),
            None => return,
        }
        let below = Below::new(source.0.join("below"));
        let mounted = source.mounted_with("passthroughfs", options).unwrap();
        stays_the_same(mounted.path(), &below);
        let ended = mounted.unmount();
        assert!(ended.status.success(), "{ended:?}");
    }
}
