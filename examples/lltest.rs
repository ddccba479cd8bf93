//! A directory with one file that can only be read, `message`: `lltest [--debug] [--debug-fuse] MOUNTPOINT`, as llfuse's example
//! of this name.
//!
//! Its style is llfuse's, with the global lock. One worker handles requests unless `-o max_threads=30` says otherwise.
//! `hello_async` is the same in pyfuse3's style.

#[path = "message/file.rs"]
mod file;
#[path = "message/options.rs"]
mod options;

use std::ffi::OsStr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use fuse3::{Answer, Attr, Context, Data, DirBuf, Entry, Errno, FileInfo, Filesystem, GlobalLock};
use fuse3::{Ino, Listing, Open, OpenFlags, Opened, ReadBuf, StatVfs};

use crate::file::{FILE, Owner, TEXT, TIMEOUT};

/// How often the file was read, which the global lock guards.
#[derive(Debug, Default)]
struct State {
    reads: u64,
}

struct Message(Owner);
type Cx<'a> = Context<'a, Message>;

impl Filesystem for Message {
    type Lock = Arc<GlobalLock<State>>;

    fn lookup(&self, _: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        log::debug!("lookup of {name:?} in {parent}");
        Ok(self.0.entry(parent, name)?)
    }

    fn getattr(&self, _: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        log::debug!("getattr of {ino}");
        Ok((self.0.attr(ino)?, TIMEOUT))
    }

    fn open(&self, _: &mut Cx<'_>, ino: Ino, Open { flags, .. }: Open) -> Answer<Opened> {
        log::debug!("open of {ino}");
        Ok(file::open(ino, flags)?)
    }

    fn read(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        cx.reads += 1;
        log::debug!("read {} of {ino} from {offset} on", cx.reads);
        match ino {
            FILE => Ok(out.lend_from(TEXT, offset)),
            _ => Err(Errno::EISDIR.into()),
        }
    }

    fn opendir(&self, _: &mut Cx<'_>, ino: Ino, _: OpenFlags) -> Answer<Opened> {
        log::debug!("opendir of {ino}");
        Ok(file::opendir(ino)?)
    }

    fn readdir(
        &self,
        _: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        out: DirBuf,
    ) -> Answer<Listing> {
        log::debug!("readdir of {ino} from {offset} on");
        match ino {
            Ino::ROOT => Ok(self.0.list(offset, out)?),
            _ => Err(Errno::ENOTDIR.into()),
        }
    }

    /// The original's figures.
    fn statfs(&self, _: &mut Cx<'_>, _: Ino) -> Answer<StatVfs> {
        Ok(StatVfs {
            bsize: 512,
            frsize: 512,
            blocks: 1024,
            bfree: 1024,
            bavail: 1024,
            files: 100,
            ffree: 100,
            ..StatVfs::default()
        })
    }
}

fn main() -> ExitCode {
    options::command_line().main(|command| {
        let (fs, lock) = (Message(Owner::this()), Arc::default());
        let session = options::builder(&command, "lltest", fs, lock).mount(&command.mount_point)?;
        Ok(session.run()?.reason)
    })
}
