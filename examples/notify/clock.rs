//! A file system of one file, `current_time`, that the kernel caches for ever.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use fuse3::reply::Added;
use fuse3::{Answer, Attr, Context, Data, DirBuf, Entry, Errno, FileInfo, Filesystem};
use fuse3::{GlobalLock, Ino, Listing, Open, Opened, ReadBuf};

use crate::time;

/// The kernel has no time-out that is none.
pub(crate) const NO_TIMEOUT: Duration = Duration::from_secs(500_000);
pub(crate) const FILE: Ino = Ino(2);
pub(crate) const NAME: &str = "current_time";

pub(crate) struct Clock {
    pub(crate) timeout: Duration,
    /// The contents are of the time at which the kernel has last forgotten the file.
    pub(crate) update_when_forgotten: bool,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) contents: Vec<u8>,
    /// The lookup count of the file: while it is 0, the kernel does not know of it.
    pub(crate) lookups: u64,
    /// How often the file was opened.
    pub(crate) opened: u64,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            contents: contents(),
            lookups: 0,
            opened: 0,
        }
    }

    pub(crate) fn update(&mut self) {
        self.contents = contents();
    }
}

fn contents() -> Vec<u8> {
    let (hours, minutes, seconds) = time::now();
    format!("The current time is {hours:02}:{minutes:02}:{seconds:02}\n").into_bytes()
}

type Cx<'a> = Context<'a, Clock>;

impl Clock {
    fn attr(&self, state: &State, ino: Ino) -> Result<Attr, Errno> {
        match ino {
            Ino::ROOT => Ok(Attr::new(ino, libc::S_IFDIR | 0o755)),
            FILE => Ok(Attr {
                size: state.contents.len() as u64,
                ..Attr::new(ino, libc::S_IFREG | 0o444)
            }),
            _ => Err(Errno::ENOENT),
        }
    }
}

impl Filesystem for Clock {
    type Lock = Arc<GlobalLock<State>>;

    fn lookup(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        if parent != Ino::ROOT || name != NAME {
            return Err(Errno::ENOENT.into());
        }
        cx.lookups += 1;
        Ok(Entry::new(self.attr(cx, FILE)?, self.timeout))
    }

    fn forget(&self, cx: &mut Cx<'_>, ino: Ino, nlookup: u64) {
        if ino == FILE {
            cx.lookups -= nlookup;
            if self.update_when_forgotten && cx.lookups == 0 {
                cx.update();
            }
        }
    }

    fn getattr(&self, cx: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        Ok((self.attr(cx, ino)?, self.timeout))
    }

    fn readdir(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        if ino != Ino::ROOT {
            return Err(Errno::ENOTDIR.into());
        }
        let entry = Entry::new(self.attr(cx, FILE)?, self.timeout);
        if offset == 0 && out.add(NAME, &entry, 1) == Added::Full {
            return Err(Errno::EINVAL.into());
        }
        Ok(out.finish())
    }

    fn open(&self, cx: &mut Cx<'_>, ino: Ino, Open { flags, .. }: Open) -> Answer<Opened> {
        match ino {
            Ino::ROOT => Err(Errno::EISDIR.into()),
            _ if flags.access_mode() != libc::O_RDONLY => Err(Errno::EACCES.into()),
            FILE => {
                cx.opened += 1;
                // What is cached stays when the file is closed, which makes it easier to see the effects.
                Ok(Opened::default().keep_cache(true))
            }
            _ => Err(Errno::ENOENT.into()),
        }
    }

    fn read(
        &self,
        cx: &mut Cx<'_>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        let rest = usize::try_from(offset).ok();
        let rest = rest.and_then(|offset| cx.contents.get(offset..));
        let rest = rest.unwrap_or_default();
        let data = &rest[..rest.len().min(out.size())];
        Ok(out.copy_from(data))
    }
}
