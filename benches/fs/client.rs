//! What the clients do to a server.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::processors::Processors;
use crate::server;

/// What is done, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// stat(2) of a path: LOOKUP and GETATTR.
    Stat,
    /// open(2) and close(2): LOOKUP, OPEN and RELEASE.
    Open,
    /// pread(2) of so many KiB: READ.
    Read(usize),
    /// pwrite(2) of so many KiB: WRITE.
    Write(usize),
}

impl Work {
    pub(crate) const ALL: [Self; 6] = [
        Self::Stat,
        Self::Open,
        Self::Read(4),
        Self::Read(128),
        Self::Write(4),
        Self::Write(128),
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Stat => "stat".to_owned(),
            Self::Open => "open, close".to_owned(),
            Self::Read(kib) => format!("read {kib} KiB"),
            Self::Write(kib) => format!("write {kib} KiB"),
        }
    }

    /// How many requests it is.
    pub(crate) fn requests(self) -> usize {
        match self {
            Self::Stat => 2,
            Self::Open => 3,
            Self::Read(_) | Self::Write(_) => 1,
        }
    }

    /// How often it is to be done so that it takes about as long as `requests` small ones.
    pub(crate) fn count(self, requests: usize) -> usize {
        match self {
            Self::Stat | Self::Open => requests / self.requests(),
            Self::Read(kib) | Self::Write(kib) => requests / (1 + kib / 32),
        }
    }
}

/// One client's file, and its place in it.
struct Client {
    path: PathBuf,
    file: File,
    buf: Vec<u8>,
    offset: u64,
}

impl Client {
    fn new(mount_point: &Path, work: Work, number: usize) -> io::Result<Self> {
        let path = mount_point.join((number % server::FILES).to_string());
        let file = File::options().read(true).write(true).open(&path)?;
        let bytes = match work {
            Work::Read(kib) | Work::Write(kib) => kib << 10,
            Work::Stat | Work::Open => 0,
        };
        Ok(Self {
            path,
            file,
            buf: vec![b'x'; bytes],
            offset: 0,
        })
    }

    fn once(&mut self, work: Work) -> io::Result<()> {
        match work {
            Work::Stat => fs::metadata(&self.path).map(drop),
            Work::Open => File::open(&self.path).map(drop),
            Work::Read(_) => {
                self.file.read_exact_at(&mut self.buf, self.offset)?;
                self.go_on();
                Ok(())
            }
            Work::Write(_) => {
                self.file.write_all_at(&self.buf, self.offset)?;
                self.go_on();
                Ok(())
            }
        }
    }

    fn go_on(&mut self) {
        let size = server::SIZE as u64;
        self.offset = (self.offset + self.buf.len() as u64) % size;
    }
}

/// Has `clients` threads, on these processors, do `work`, `ops` times each. How long it took.
pub(crate) fn run(
    mount_point: &Path,
    work: Work,
    clients: usize,
    processors: &Processors,
    ops: usize,
) -> io::Result<Duration> {
    let clients: Vec<_> = (0..clients)
        .map(|number| Client::new(mount_point, work, number))
        .collect::<Result<_, _>>()?;
    let start = Barrier::new(clients.len() + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                let start = &start;
                scope.spawn(move || {
                    let kept = processors.keep(0);
                    start.wait();
                    let result = kept.and_then(|()| (0..ops).try_for_each(|_| client.once(work)));
                    (result, Instant::now())
                })
            })
            .collect();
        start.wait();
        let begun = Instant::now();
        let mut longest = Duration::ZERO;
        for thread in threads {
            let (result, ended) = thread
                .join()
                .map_err(|_| io::Error::other("a client panicked"))?;
            result?;
            longest = longest.max(ended.saturating_duration_since(begun));
        }
        Ok(longest)
    })
}
