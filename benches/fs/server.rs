//! The file system of server.c, on fuse3: a directory with files of one size, whose data are read and written in memory.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fuse3::observe::{Histograms, Observer};
use fuse3::{
    Answer, Attr, Builder, Concurrent, Context, Data, Entry, Errno, FileInfo, Filesystem,
    GlobalLock, Ino, Open, Opened, ReadBuf, Session,
};

/// How many files there are; they are called 0, 1, 2 ..
pub(crate) const FILES: usize = 8;
/// How large each is: small, so that it stays in the cache of a processor, wherever its pages are.
pub(crate) const SIZE: usize = 256 << 10;
const WORKERS: u32 = 30;
const FIRST_INO: u64 = Ino::ROOT.0 + 1;

/// What a file holds, aligned as in server.c.
#[derive(Clone)]
#[repr(align(4096))]
struct Bytes([u8; SIZE]);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A reply that is being sent has a share in the bytes; who writes while they are shared writes to a copy.
type Shared = Arc<Bytes>;

fn make_files() -> impl Iterator<Item = Shared> {
    let numbers = (b'0'..).take(FILES);
    numbers.map(|byte| Arc::new(Bytes([byte; SIZE])))
}

/// The index of a file.
fn index(ino: Ino) -> Result<usize, Errno> {
    let index = ino.0.checked_sub(FIRST_INO);
    let index = index.and_then(|index| usize::try_from(index).ok());
    index.filter(|index| *index < FILES).ok_or(Errno::ENOENT)
}

fn attr(ino: Ino) -> Result<Attr, Errno> {
    if ino == Ino::ROOT {
        return Ok(Attr {
            nlink: 2,
            ..Attr::new(ino, libc::S_IFDIR | 0o755)
        });
    }
    index(ino)?;
    Ok(Attr {
        size: SIZE as u64,
        ..Attr::new(ino, libc::S_IFREG | 0o644)
    })
}

fn entry(parent: Ino, name: &OsStr) -> Answer<Entry> {
    let number = name.to_str().and_then(|name| name.parse::<u64>().ok());
    match number {
        Some(number) if parent == Ino::ROOT => {
            let ino = Ino(FIRST_INO.saturating_add(number));
            Ok(Entry::new(attr(ino)?, Duration::ZERO))
        }
        _ => Err(Errno::ENOENT.into()),
    }
}

/// Each read and write is to get here, as it was asked for.
fn opened() -> Opened {
    Opened::default().direct_io(true)
}

fn read(bytes: &Shared, offset: u64, out: ReadBuf) -> Data<'static> {
    let start = usize::try_from(offset).map_or(SIZE, |offset| offset.min(SIZE));
    let end = start + out.size().min(SIZE - start);
    out.share(Arc::clone(bytes), start..end)
}

fn write(bytes: &mut Shared, offset: u64, data: &[u8]) -> Result<usize, Errno> {
    let start = usize::try_from(offset).map_err(|_| Errno::EFBIG)?;
    let end = start.checked_add(data.len()).filter(|end| *end <= SIZE);
    let end = end.ok_or(Errno::EFBIG)?;
    Arc::make_mut(bytes).0[start..end].copy_from_slice(data);
    Ok(data.len())
}

/// Nothing is held while a request is handled; the data of each file have a mutex of their own.
struct Parallel([Mutex<Shared>; FILES]);

impl Parallel {
    fn bytes(&self, ino: Ino) -> Result<MutexGuard<'_, Shared>, Errno> {
        let file = self.0[index(ino)?].lock();
        Ok(file.unwrap_or_else(PoisonError::into_inner))
    }
}

impl Filesystem for Parallel {
    type Lock = Concurrent;

    fn lookup(&self, _cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        entry(parent, name)
    }

    fn getattr(
        &self,
        _cx: &mut Context<'_, Self>,
        ino: Ino,
        _file: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        Ok((attr(ino)?, Duration::ZERO))
    }

    fn open(&self, _cx: &mut Context<'_, Self>, ino: Ino, _how: Open) -> Answer<Opened> {
        index(ino)?;
        Ok(opened())
    }

    fn read(
        &self,
        _cx: &mut Context<'_, Self>,
        ino: Ino,
        _file: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        Ok(read(&*self.bytes(ino)?, offset, out))
    }

    fn write(
        &self,
        _cx: &mut Context<'_, Self>,
        ino: Ino,
        _file: &FileInfo,
        offset: u64,
        data: &[u8],
    ) -> Answer<usize> {
        Ok(write(&mut *self.bytes(ino)?, offset, data)?)
    }
}

/// Everything is under the global lock, which is released before the reply is sent.
struct Locked;

impl Filesystem for Locked {
    type Lock = Arc<GlobalLock<Vec<Shared>>>;

    fn lookup(&self, _cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        entry(parent, name)
    }

    fn getattr(
        &self,
        _cx: &mut Context<'_, Self>,
        ino: Ino,
        _file: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        Ok((attr(ino)?, Duration::ZERO))
    }

    fn open(&self, _cx: &mut Context<'_, Self>, ino: Ino, _how: Open) -> Answer<Opened> {
        index(ino)?;
        Ok(opened())
    }

    fn read(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _file: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        Ok(read(&cx[index(ino)?], offset, out))
    }

    fn write(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _file: &FileInfo,
        offset: u64,
        data: &[u8],
    ) -> Answer<usize> {
        Ok(write(&mut cx[index(ino)?], offset, data)?)
    }
}

/// Is told everything, and does nothing.
struct Idle;

impl Observer for Idle {}

/// A subscriber that wants every span, and counts them.
#[cfg(feature = "tracing")]
struct Counting(std::sync::atomic::AtomicU64);

#[cfg(feature = "tracing")]
impl tracing::Subscriber for Counting {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        let before = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        tracing::span::Id::from_u64(before + 1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {}

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// Who is told of the requests.
fn observed<F: Filesystem>(
    builder: Builder<F>,
    observer: &str,
) -> Result<Builder<F>, super::Failure> {
    Ok(match observer {
        "" => builder,
        "idle" => builder.observe(Idle),
        "histograms" => builder.observe(Histograms::new()),
        #[cfg(feature = "tracing")]
        "tracing" => {
            tracing::subscriber::set_global_default(Counting(0.into()))?;
            builder.observe(fuse3::observe::TracingObserver::new())
        }
        #[cfg(feature = "tracing")]
        "tracing-off" => builder.observe(fuse3::observe::TracingObserver::new()),
        _ => return Err(format!("no observer is called {observer}").into()),
    })
}

fn run<F: Filesystem>(
    fs: F,
    lock: F::Lock,
    observer: &str,
    mount_point: &OsStr,
) -> Result<(), super::Failure> {
    let builder = Session::builder(fs, lock)
        .fsname("bench")
        .workers(WORKERS)
        .handle_signals(true);
    let builder = observed(builder, observer)?;
    let session = if mount_point == "/dev/fd/0" {
        builder.mount_fd(io::stdin().as_fd().try_clone_to_owned()?)?
    } else {
        builder.mount(mount_point)?
    };
    for (operation, count) in session.run()?.stats.requests {
        println!("{operation} {count}");
    }
    Ok(())
}

/// Mounts, serves, and says how many requests of each operation came. `style` may have an observer after a colon.
pub(crate) fn serve(style: &str, mount_point: &OsStr) -> Result<(), super::Failure> {
    let (style, observer) = style.split_once(':').unwrap_or((style, ""));
    match style {
        "concurrent" => {
            let files: Vec<_> = make_files().map(Mutex::new).collect();
            let files = files
                .try_into()
                .map_err(|_| "there are not as many files")?;
            run(Parallel(files), Concurrent, observer, mount_point)
        }
        "locked" => {
            let lock = Arc::new(GlobalLock::new(make_files().collect()));
            run(Locked, lock, observer, mount_point)
        }
        _ => Err(format!("no style is called {style}").into()),
    }
}
