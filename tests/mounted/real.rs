//! A directory with one file, which is a real one.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::passthrough::{BackingId, SharedBacking};
use fuse3::{
    Answer, Attr, Capabilities, Concurrent, Connection, Context, Data, Entry, Errno, Fh, FileInfo,
    Filesystem, Ino, Open, Opened, ReadBuf, Session, WriteData,
};

use crate::fixture::{Mount, TempDir};

/// The size of the file.
pub(crate) const SIZE: usize = 128 << 10;
const FILE: Ino = Ino(2);

/// Bytes in which no two pages are the same.
pub(crate) fn contents(seed: u8) -> Vec<u8> {
    let byte = |at: usize| u8::try_from((at / 251 + at + usize::from(seed)) % 256);
    (0..SIZE).map(|at| byte(at).unwrap()).collect()
}

/// What one that opens the file gets.
pub(crate) type OnOpen = Box<
    dyn Fn(&Real, &mut Context<'_, Real>, &File) -> io::Result<Option<Arc<BackingId>>>
        + Send
        + Sync,
>;

/// See the module.
pub(crate) struct Real {
    wants: Capabilities,
    path: PathBuf,
    file: Arc<File>,
    open_files: Mutex<Vec<Option<Arc<BackingId>>>>,
    on_open: OnOpen,
    pub(crate) backing: SharedBacking,
    /// How many writes came in a pipe, and how many did not.
    pub(crate) pipes: AtomicUsize,
    pub(crate) slices: AtomicUsize,
    /// How many backing files were opened.
    pub(crate) opened: AtomicUsize,
    _dir: TempDir,
}

impl Real {
    /// One that asks for these.
    pub(crate) fn new(wants: Capabilities) -> Self {
        let dir = TempDir::new();
        let path = dir.path().join("real");
        std::fs::write(&path, contents(0)).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        Self {
            wants,
            path,
            file: Arc::new(file),
            open_files: Mutex::default(),
            on_open: Box::new(|_, _, _| Ok(None)),
            backing: SharedBacking::default(),
            pipes: AtomicUsize::new(0),
            slices: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            _dir: dir,
        }
    }

    pub(crate) fn on_open(
        mut self,
        on_open: impl Fn(&Self, &mut Context<'_, Self>, &File) -> io::Result<Option<Arc<BackingId>>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.on_open = Box::new(on_open);
        self
    }

    pub(crate) fn mount(self) -> Mount<Self> {
        Mount::new(Session::builder(self, Concurrent))
    }

    /// The real file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn attr(&self) -> Attr {
        let size = self.file.metadata().unwrap().len();
        Attr {
            size,
            ..Attr::new(FILE, libc::S_IFREG | 0o666)
        }
    }
}

impl Filesystem for Real {
    type Lock = Concurrent;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        Ok(connection.want(self.wants)?)
    }

    fn lookup(&self, _: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
        if name == "file" {
            Ok(Entry::new(self.attr(), Duration::ZERO))
        } else {
            Err(Errno::ENOENT.into())
        }
    }

    fn getattr(
        &self,
        _: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        let attr = match ino {
            FILE => self.attr(),
            _ => Attr::new(ino, libc::S_IFDIR | 0o777),
        };
        Ok((attr, Duration::ZERO))
    }

    fn open(&self, cx: &mut Context<'_, Self>, _: Ino, _: Open) -> Answer<Opened> {
        // The file that the session reads is not the one that the kernel does.
        let file = File::options().read(true).write(true).open(&self.path)?;
        let backing = (self.on_open)(self, cx, &file)?;
        let mut open_files = self.open_files.lock().unwrap();
        let opened = Opened::new(Fh(open_files.len() as u64));
        let opened = match &backing {
            Some(backing) => opened.backing(backing),
            // Each read(2) and write(2) is a request.
            None => opened.direct_io(true),
        };
        open_files.push(backing);
        Ok(opened)
    }

    fn read(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        Ok(out.splice(&*self.file, offset, usize::MAX))
    }

    fn write_buf(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        data: WriteData<'_>,
    ) -> Answer<usize> {
        let came = if data.as_slice().is_none() {
            &self.pipes
        } else {
            &self.slices
        };
        came.fetch_add(1, Ordering::Relaxed);
        Ok(data.splice_into(&*self.file, offset)?)
    }

    fn release(&self, _: &mut Context<'_, Self>, _: Ino, file: &FileInfo) -> Answer<()> {
        let handle = usize::try_from(file.handle().0).unwrap();
        drop(self.open_files.lock().unwrap()[handle].take());
        Ok(())
    }
}
