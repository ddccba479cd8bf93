//! Lookup counts and open files, between the kernel and a file system: they balance, whatever was asked.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::reply::Added;
use fuse3::{
    Answer, Attr, Capabilities, Connection, Context, Create, Created, Data, DirBuf, Entry, Errno,
    Fh, FileInfo, Filesystem, GlobalLock, Ino, Listing, Open, OpenFlags, Opened, Operation,
    ReadBuf, Session,
};

use crate::fixture::{Mount, require_mount, until};

/// An inode. It goes with its last name and its last count.
#[derive(Debug)]
struct Node {
    mode: u32,
    nlink: u32,
    /// What the kernel knows of it.
    lookups: u64,
    opens: u64,
    entries: BTreeMap<OsString, Ino>,
}

#[derive(Debug, Default)]
struct Tree {
    nodes: BTreeMap<Ino, Node>,
    made: u64,
    forgets: u64,
}

const NO_TIME: Duration = Duration::ZERO;

impl Tree {
    fn attr(&self, ino: Ino) -> Result<Attr, Errno> {
        let node = self.nodes.get(&ino).ok_or(Errno::ESTALE)?;
        let mut attr = Attr::new(ino, node.mode);
        attr.nlink = node.nlink;
        attr.size = 5;
        Ok(attr)
    }

    fn named(&self, parent: Ino, name: &OsStr) -> Result<Ino, Errno> {
        let parent = self.nodes.get(&parent).ok_or(Errno::ESTALE)?;
        parent.entries.get(name).copied().ok_or(Errno::ENOENT)
    }

    /// Counts it once more.
    fn entry(&mut self, ino: Ino) -> Result<Entry, Errno> {
        let attr = self.attr(ino)?;
        self.nodes.get_mut(&ino).unwrap().lookups += 1;
        Ok(Entry::new(attr, NO_TIME))
    }

    fn make(&mut self, parent: Ino, name: &OsStr, mode: u32) -> Result<Entry, Errno> {
        self.made += 1;
        let ino = Ino(self.made + 1);
        let parent = self.nodes.get_mut(&parent).ok_or(Errno::ESTALE)?;
        parent.entries.insert(name.to_owned(), ino);
        self.nodes.insert(ino, Node::new(mode));
        self.entry(ino)
    }

    fn remove(&mut self, parent: Ino, name: &OsStr) -> Result<(), Errno> {
        let ino = self.named(parent, name)?;
        if !self.nodes[&ino].entries.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.nodes.get_mut(&parent).unwrap().entries.remove(name);
        self.nodes.get_mut(&ino).unwrap().nlink = 0;
        self.reap(ino);
        Ok(())
    }

    fn reap(&mut self, ino: Ino) {
        let node = &self.nodes[&ino];
        if node.nlink == 0 && node.lookups == 0 {
            assert_eq!(node.opens, 0, "forgotten while it is open");
            self.nodes.remove(&ino);
        }
    }

    fn opened(&mut self, ino: Ino, by: i64) -> Result<Opened, Errno> {
        let node = self.nodes.get_mut(&ino).ok_or(Errno::ESTALE)?;
        node.opens = node.opens.checked_add_signed(by).expect("released twice");
        Ok(Opened::new(Fh(ino.0)).direct_io(true))
    }
}

impl Node {
    fn new(mode: u32) -> Self {
        Self {
            mode,
            nlink: 1,
            lookups: 0,
            opens: 0,
            entries: BTreeMap::new(),
        }
    }
}

struct Counting;

impl Filesystem for Counting {
    type Lock = Arc<GlobalLock<Tree>>;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        Ok(connection.want(Capabilities::READDIRPLUS)?)
    }

    fn lookup(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        let ino = cx.named(parent, name)?;
        Ok(cx.entry(ino)?)
    }

    fn forget(&self, cx: &mut Context<'_, Self>, ino: Ino, nlookup: u64) {
        cx.forgets += 1;
        let node = cx.nodes.get_mut(&ino).expect("forgot an unknown inode");
        node.lookups = node.lookups.checked_sub(nlookup).expect("forgot too much");
        cx.reap(ino);
    }

    fn getattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        Ok((cx.attr(ino)?, NO_TIME))
    }

    fn mkdir(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
    ) -> Answer<Entry> {
        Ok(cx.make(parent, name, libc::S_IFDIR | mode)?)
    }

    fn unlink(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<()> {
        Ok(cx.remove(parent, name)?)
    }

    fn rmdir(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<()> {
        Ok(cx.remove(parent, name)?)
    }

    fn create(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        how: Create,
    ) -> Answer<Created> {
        let entry = cx.make(parent, name, how.mode)?;
        let opened = cx.opened(entry.attr.ino, 1)?;
        Ok(Created { entry, opened })
    }

    fn open(&self, cx: &mut Context<'_, Self>, ino: Ino, _: Open) -> Answer<Opened> {
        Ok(cx.opened(ino, 1)?)
    }

    fn release(&self, cx: &mut Context<'_, Self>, ino: Ino, _: &FileInfo) -> Answer<()> {
        cx.opened(ino, -1)?;
        Ok(())
    }

    fn read(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        cx.attr(ino)?;
        Ok(out.lend_from(b"data\n", offset))
    }

    fn opendir(&self, cx: &mut Context<'_, Self>, ino: Ino, _: OpenFlags) -> Answer<Opened> {
        Ok(cx.opened(ino, 1)?.direct_io(false))
    }

    fn releasedir(&self, cx: &mut Context<'_, Self>, ino: Ino, _: &FileInfo) -> Answer<()> {
        cx.opened(ino, -1)?;
        Ok(())
    }

    fn readdir(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        let entries = cx.nodes.get(&ino).ok_or(Errno::ESTALE)?.entries.clone();
        for (next, (name, ino)) in (1..).zip(entries).skip(usize::try_from(offset).unwrap()) {
            let entry = Entry::new(cx.attr(ino)?, NO_TIME);
            match out.add(name, &entry, next) {
                Added::Listed => {}
                Added::Counted => cx.nodes.get_mut(&ino).unwrap().lookups += 1,
                Added::Full => break,
            }
        }
        Ok(out.finish())
    }
}

type Lock = Arc<GlobalLock<Tree>>;

fn counting() -> (Mount<Counting>, Lock) {
    let mut tree = Tree::default();
    tree.nodes
        .insert(Ino::ROOT, Node::new(libc::S_IFDIR | 0o777));
    let lock = Arc::new(GlobalLock::new(tree));
    (
        Mount::new(Session::builder(Counting, Arc::clone(&lock))),
        lock,
    )
}

/// How many inodes there are besides the root.
fn inodes(lock: &Lock) -> usize {
    lock.lock().unwrap().nodes.len() - 1
}

fn requests(mount: &Mount<Counting>, operation: Operation) -> u64 {
    let stats = mount.handle().stats();
    let count = stats.requests.iter().find(|(which, _)| *which == operation);
    count.map_or(0, |(_, count)| *count)
}

#[test]
fn they_balance_when_everything_is_removed() {
    require_mount!();
    let (mount, lock) = counting();
    for dir in ["one", "two"] {
        let dir = mount.join(dir);
        fs::create_dir(&dir).unwrap();
        for number in 0..100 {
            let path = dir.join(format!("file {number}"));
            File::create(&path).unwrap();
            fs::metadata(&path).unwrap();
        }
        // Each listing counts each file once more.
        for _ in 0..3 {
            let listed = fs::read_dir(&dir).unwrap();
            let listed = listed.map(|entry| entry.unwrap().metadata().unwrap());
            assert_eq!(listed.count(), 100);
        }
    }
    assert!(requests(&mount, Operation::Readdirplus) > 0);
    let lookups: u64 = {
        let tree = lock.lock().unwrap();
        tree.nodes.values().map(|node| node.lookups).sum()
    };
    assert!(lookups > 600, "{lookups}");
    for dir in ["one", "two"] {
        fs::remove_dir_all(mount.join(dir)).unwrap();
    }
    until(|| inodes(&lock) == 0);
    let end = mount.end();
    assert_eq!((end.stats.panics, end.stats.not_taken), (0, 0));
}

#[test]
fn what_is_known_at_unmount_is_not_forgotten() {
    require_mount!();
    let (mount, lock) = counting();
    for number in 0..10 {
        File::create(mount.join(number.to_string())).unwrap();
    }
    mount.end();
    let tree = lock.lock().unwrap();
    assert_eq!(tree.forgets, 0);
    let known = tree.nodes.values().filter(|node| node.lookups > 0);
    assert_eq!(known.count(), 10);
}

#[test]
fn unlinked_while_open() {
    require_mount!();
    let (mount, lock) = counting();
    let path = mount.join("file");
    File::create(&path).unwrap();
    let mut file = File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
    assert_eq!(file.metadata().unwrap().nlink(), 0);
    let mut data = String::new();
    file.read_to_string(&mut data).unwrap();
    assert_eq!(data, "data\n");
    file.read_exact_at(&mut [0; 2], 1).unwrap();
    assert_eq!(inodes(&lock), 1);
    drop(file);
    until(|| inodes(&lock) == 0);
    assert_eq!(mount.end().stats.panics, 0);
}

#[test]
fn a_directory_is_removed_while_it_is_open() {
    require_mount!();
    let (mount, lock) = counting();
    let path = mount.join("dir");
    fs::create_dir(&path).unwrap();
    File::create(path.join("file")).unwrap();
    let dir = File::open(&path).unwrap();
    let refused = fs::remove_dir(&path).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::DirectoryNotEmpty);
    fs::remove_file(path.join("file")).unwrap();
    fs::remove_dir(&path).unwrap();
    assert_eq!(dir.metadata().unwrap().nlink(), 0);
    // By the descriptor it is there yet, and nothing can be made in it.
    assert!(File::create(path.join("new")).is_err());
    until(|| inodes(&lock) == 1);
    drop(dir);
    until(|| inodes(&lock) == 0);
    assert_eq!(mount.end().stats.panics, 0);
}
