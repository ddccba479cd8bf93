//! A file system whose handlers do what the test tells them.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::{
    Answer, Attr, Builder, Connection, Context, Create, Created, Data, Entry, Errno, Fh, FileInfo,
    Filesystem, GlobalLock, Ino, Locked, Open, Opened, Operation, ReadBuf, Session,
};

use crate::fixture::Mount;

/// The size of each file.
pub(crate) const SIZE: usize = 100_000;
static ZEROS: [u8; SIZE] = [0; SIZE];

type Cx<'c, 'l> = &'c mut Context<'l, Probe>;
type Hook = Box<dyn Fn(Cx<'_, '_>, Operation, Ino) -> Result<(), Errno> + Send + Sync>;

/// What the lock guards: who knows what of the file system.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// The root's files; any name but `missing` is there once it is looked up.
    pub(crate) names: HashMap<OsString, Ino>,
    /// Lookup counts; what was forgotten is not there.
    pub(crate) lookups: HashMap<Ino, u64>,
    /// Files that are open, and of which inode.
    pub(crate) open: HashMap<Fh, Ino>,
    /// How many handles there ever were.
    pub(crate) handles: u64,
}

impl Books {
    fn inode(&mut self, name: &OsStr) -> Ino {
        let next = Ino(self.names.len() as u64 + 2);
        *self.names.entry(name.to_owned()).or_insert(next)
    }

    fn entry(&mut self, name: &OsStr) -> Entry {
        let ino = self.inode(name);
        *self.lookups.entry(ino).or_default() += 1;
        Entry {
            // Once looked up, a file is found without a request, while each stat asks.
            entry_timeout: Duration::from_secs(60),
            ..Entry::new(file(ino), Duration::ZERO)
        }
    }

    fn opened(&mut self, ino: Ino) -> Opened {
        self.handles += 1;
        let handle = Fh(self.handles);
        self.open.insert(handle, ino);
        // Each read(2) is a request.
        Opened::new(handle).direct_io(true)
    }
}

fn file(ino: Ino) -> Attr {
    Attr {
        size: SIZE as u64,
        ..Attr::new(ino, libc::S_IFREG | 0o666)
    }
}

/// A directory of files, as many as are asked for.
pub(crate) struct Probe {
    hook: Hook,
    init: Box<dyn Fn() -> io::Result<()> + Send + Sync>,
    destroy: Box<dyn Fn() + Send + Sync>,
    data: &'static [u8],
}

impl Probe {
    pub(crate) fn new() -> Self {
        Self {
            hook: Box::new(|_, _, _| Ok(())),
            init: Box::new(|| Ok(())),
            destroy: Box::new(|| ()),
            data: &ZEROS,
        }
    }

    /// Each handler first does `hook`, with its operation and inode: for names that of the directory.
    pub(crate) fn on(
        mut self,
        hook: impl Fn(Cx<'_, '_>, Operation, Ino) -> Result<(), Errno> + Send + Sync + 'static,
    ) -> Self {
        self.hook = Box::new(hook);
        self
    }

    pub(crate) fn on_init(
        mut self,
        init: impl Fn() -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.init = Box::new(init);
        self
    }

    pub(crate) fn on_destroy(mut self, destroy: impl Fn() + Send + Sync + 'static) -> Self {
        self.destroy = Box::new(destroy);
        self
    }

    /// What read(2) gives.
    pub(crate) fn data(mut self, data: &'static [u8]) -> Self {
        self.data = data;
        self
    }

    pub(crate) fn builder(self) -> Builder<Self> {
        self.builder_with(Arc::default())
    }

    pub(crate) fn builder_with(self, lock: Arc<GlobalLock<Books>>) -> Builder<Self> {
        Session::builder(self, lock)
    }

    pub(crate) fn mount(self) -> Mount<Self> {
        Mount::new(self.builder())
    }
}

impl Filesystem for Probe {
    type Lock = Arc<GlobalLock<Books>>;

    fn init(&self, _: &mut Guard<'_, Self>, _: &mut Connection<'_>) -> io::Result<()> {
        (self.init)()
    }

    fn destroy(&self, _: &mut Guard<'_, Self>) {
        (self.destroy)();
    }

    fn lookup(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        (self.hook)(cx, Operation::Lookup, parent)?;
        if name == "missing" || parent != Ino::ROOT {
            return Err(Errno::ENOENT.into());
        }
        Ok(cx.entry(name))
    }

    fn forget(&self, cx: &mut Context<'_, Self>, ino: Ino, nlookup: u64) {
        // Whatever the hook says, the kernel has forgotten.
        let _ = (self.hook)(cx, Operation::Forget, ino);
        let count = cx.lookups.get_mut(&ino).expect("forgot an unknown inode");
        *count = count.checked_sub(nlookup).expect("forgot too much");
        if *count == 0 {
            cx.lookups.remove(&ino);
        }
    }

    fn getattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        (self.hook)(cx, Operation::Getattr, ino)?;
        let attr = match ino {
            Ino::ROOT => Attr::new(ino, libc::S_IFDIR | 0o777),
            _ => file(ino),
        };
        Ok((attr, Duration::ZERO))
    }

    fn unlink(&self, cx: &mut Context<'_, Self>, parent: Ino, _: &OsStr) -> Answer<()> {
        Ok((self.hook)(cx, Operation::Unlink, parent)?)
    }

    fn open(&self, cx: &mut Context<'_, Self>, ino: Ino, _: Open) -> Answer<Opened> {
        (self.hook)(cx, Operation::Open, ino)?;
        Ok(cx.opened(ino))
    }

    fn create(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        _: Create,
    ) -> Answer<Created> {
        (self.hook)(cx, Operation::Create, parent)?;
        let entry = cx.entry(name);
        let opened = cx.opened(entry.ino);
        Ok(Created { entry, opened })
    }

    fn read(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        (self.hook)(cx, Operation::Read, ino)?;
        let start = usize::try_from(offset).unwrap().min(self.data.len());
        let end = (start + out.size()).min(self.data.len());
        Ok(out.lend(&self.data[start..end]))
    }

    fn release(&self, cx: &mut Context<'_, Self>, ino: Ino, file: &FileInfo) -> Answer<()> {
        (self.hook)(cx, Operation::Release, ino)?;
        assert_eq!(cx.open.remove(&file.handle()), Some(ino));
        Ok(())
    }
}

/// Sleeps while it holds the lock.
pub(crate) fn held(_: &mut Locked<'_, Books>, time: Duration) {
    std::thread::sleep(time);
}

/// Sleeps while others have it.
pub(crate) fn released(lock: &mut Locked<'_, Books>, time: Duration) {
    lock.released(|_| std::thread::sleep(time));
}
