//! Notes, in memory, saved to a folder now and then: `notes FOLDER MOUNTPOINT`. The guide to porting from llfuse shows it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;
use std::{env, error::Error, fs, io, thread};

use fuse3::context::Guard;
use fuse3::guide::parity;
use fuse3::kit::InodeTable;
use fuse3::lock::LockError;
use fuse3::reply::Added;
use fuse3::{
    Answer, Attr, Connection, Context, Create, Created, Data, DirBuf, Entry, Errno, Fh, FileInfo,
    Filesystem, GlobalLock, Ino, Listing, Locked, Open, Opened, ReadBuf, Session, SetAttr,
};

const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Note {
    data: Vec<u8>,
    dirty: bool,
}

/// What the lock guards.
#[derive(Default)]
struct Notes {
    names: BTreeMap<OsString, Ino>,
    /// A note is there while it has a name, the kernel knows it, or it is being saved.
    notes: InodeTable<Note>,
}

impl Notes {
    fn attr(&self, ino: Ino) -> Result<Attr, Errno> {
        if ino == Ino::ROOT {
            return Ok(Attr::new(ino, libc::S_IFDIR | 0o755));
        }
        Ok(Attr {
            size: self.notes.get(ino)?.data.len() as u64,
            nlink: self.notes.names(ino),
            ..Attr::new(ino, libc::S_IFREG | 0o644)
        })
    }

    /// Counts a lookup.
    fn entry(&mut self, ino: Ino) -> Result<Entry, Errno> {
        let attr = self.attr(ino)?;
        self.notes.entry(ino, attr, TIMEOUT)
    }
}

/// What needs no lock.
struct Store {
    folder: PathBuf,
}

impl Store {
    fn put(&self, ino: Ino, data: &[u8]) -> io::Result<()> {
        fs::write(self.folder.join(ino.to_string()), data)
    }

    /// Releases the lock: the type of `notes` says so.
    fn save(&self, notes: &mut Locked<'_, Notes>, ino: Ino) -> Result<(), Errno> {
        notes.notes.open(ino)?; // Nobody else gets its number meanwhile.
        let note = notes.notes.get_mut(ino)?;
        note.dirty = false;
        let data = note.data.clone();
        let saved = notes.released(|_| self.put(ino, &data));
        if saved.is_err() {
            notes.notes.get_mut(ino)?.dirty = true;
        }
        drop(notes.notes.release(ino));
        Ok(saved?)
    }

    /// So does this.
    fn save_dirty(&self, notes: &mut Locked<'_, Notes>) {
        let dirty = notes.notes.iter().filter(|(_, note)| note.dirty);
        let dirty: Vec<_> = dirty.map(|(ino, _)| ino).collect();
        for ino in dirty {
            if let Err(error) = self.save(notes, ino) {
                eprintln!("note {ino}: {error}");
            }
            notes.yield_(10);
        }
    }

    fn keep_saving(&self, lock: &GlobalLock<Notes>, stop: &Receiver<()>) -> Result<(), LockError> {
        while stop.recv_timeout(Duration::from_secs(5)) == Err(RecvTimeoutError::Timeout) {
            self.save_dirty(&mut lock.lock()?);
        }
        Ok(())
    }
}

struct Fs {
    store: Arc<Store>,
}

type Cx<'a> = Context<'a, Fs>;

impl Filesystem for Fs {
    type Lock = Arc<GlobalLock<Notes>>;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        parity::truncate_by_setattr(connection);
        Ok(())
    }

    fn destroy(&self, notes: &mut Guard<'_, Self>) {
        self.store.save_dirty(notes);
    }

    fn lookup(&self, cx: &mut Cx<'_>, _: Ino, name: &OsStr) -> Answer<Entry> {
        let ino = *cx.names.get(name).ok_or(Errno::ENOENT)?;
        Ok(cx.entry(ino)?)
    }

    fn forget(&self, cx: &mut Cx<'_>, ino: Ino, nlookup: u64) {
        drop(cx.notes.forget(ino, nlookup));
    }

    fn getattr(&self, cx: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        Ok((cx.attr(ino)?, TIMEOUT))
    }

    fn setattr(&self, cx: &mut Cx<'_>, ino: Ino, set: &SetAttr) -> Answer<(Attr, Duration)> {
        if let Some(size) = set.size {
            let size = usize::try_from(size).map_err(|_| Errno::EFBIG)?;
            let note = cx.notes.get_mut(ino)?;
            note.data.resize(size, 0);
            note.dirty = true;
        }
        Ok((cx.attr(ino)?, TIMEOUT))
    }

    fn create(&self, cx: &mut Cx<'_>, _: Ino, name: &OsStr, _: Create) -> Answer<Created> {
        let ino = cx.notes.insert(Note {
            data: Vec::new(),
            dirty: true,
        });
        cx.notes.link(ino)?;
        cx.names.insert(name.to_owned(), ino);
        Ok(Created {
            entry: cx.entry(ino)?,
            opened: parity::opened(Fh(ino.0)),
        })
    }

    fn open(&self, _: &mut Cx<'_>, ino: Ino, _: Open) -> Answer<Opened> {
        Ok(parity::opened(Fh(ino.0)))
    }

    fn read(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        at: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        let data = &cx.notes.get(ino)?.data;
        let start = usize::try_from(at).map_or(data.len(), |at| at.min(data.len()));
        let end = data.len().min(start + out.size());
        Ok(out.copy_from(&data[start..end]))
    }

    fn write(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        at: u64,
        bytes: &[u8],
    ) -> Answer<usize> {
        let note = cx.notes.get_mut(ino)?;
        let at = usize::try_from(at).map_err(|_| Errno::EFBIG)?;
        let end = at + bytes.len();
        note.data.resize(note.data.len().max(end), 0);
        note.data[at..end].copy_from_slice(bytes);
        note.dirty = true;
        Ok(bytes.len())
    }

    fn fsync(&self, cx: &mut Cx<'_>, ino: Ino, _: &FileInfo, _: bool) -> Answer<()> {
        Ok(self.store.save(cx, ino)?)
    }

    fn unlink(&self, cx: &mut Cx<'_>, _: Ino, name: &OsStr) -> Answer<()> {
        let ino = cx.names.remove(name).ok_or(Errno::ENOENT)?;
        drop(cx.notes.unlink(ino));
        Ok(())
    }

    fn readdir(
        &self,
        cx: &mut Cx<'_>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        let mut entries: Vec<_> = cx.names.iter().map(|(name, ino)| (*ino, name)).collect();
        entries.sort();
        for (ino, name) in entries.into_iter().filter(|(ino, _)| ino.0 > offset) {
            let entry = Entry::new(cx.attr(ino)?, TIMEOUT);
            if out.add(name, &entry, ino.0) == Added::Full {
                break;
            }
        }
        Ok(out.finish())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let [folder, mount_point] = [1, 2].map(|n| env::args_os().nth(n).map(PathBuf::from));
    let usage = "usage: notes FOLDER MOUNTPOINT";
    let store = Arc::new(Store {
        folder: folder.ok_or(usage)?,
    });
    let lock = Arc::new(GlobalLock::new(Notes::default()));
    let fs = Fs {
        store: Arc::clone(&store),
    };
    let session = Session::builder(fs, Arc::clone(&lock))
        .fsname("notes")
        .handle_signals(true)
        .mount(mount_point.ok_or(usage)?)?;
    let (stop, stopped) = mpsc::channel();
    let saver = thread::spawn(move || store.keep_saving(&lock, &stopped));
    let end = session.run()?;
    drop(stop);
    match saver.join() {
        Ok(saved) => saved?,
        Err(panic) => std::panic::resume_unwind(panic),
    }
    println!("{:?}", end.reason);
    Ok(())
}
