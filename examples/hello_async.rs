//! A directory with one file that can only be read, `message`: `hello_async [--debug] [--debug-fuse] MOUNTPOINT`, as pyfuse3's
//! hello.
//!
//! Each handler answers by a future, which runs on the session's own runtime. One worker reads the requests: it never
//! waits for a future. `lltest` is the same in llfuse's style.

#[path = "message/file.rs"]
mod file;
#[path = "message/options.rs"]
mod options;

use std::ffi::OsStr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use fuse3::{Answer, Attr, Concurrent, Context, Data, DirBuf, Entry, Errno, FileInfo, Filesystem};
use fuse3::{Ino, Listing, Open, OpenFlags, Opened, ReadBuf};
use tokio::task::yield_now;

use crate::file::{FILE, Owner, TEXT, TIMEOUT};

struct Message(Owner);
type Cx<'a> = Context<'a, Message>;

impl Message {
    /// What others would ask somebody else for.
    async fn attr(&self, ino: Ino) -> Answer<(Attr, Duration)> {
        log::debug!("getattr of {ino}");
        yield_now().await;
        Ok((self.0.attr(ino)?, TIMEOUT))
    }
}

impl Filesystem for Message {
    type Lock = Concurrent;

    fn lookup(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        let name = name.to_owned();
        cx.spawn(move |fs| async move {
            log::debug!("lookup of {name:?} in {parent}");
            yield_now().await;
            Ok(fs.0.entry(parent, &name)?)
        })
    }

    fn getattr(&self, cx: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        cx.spawn(|fs: Arc<Self>| async move { fs.attr(ino).await })
    }

    fn open(&self, cx: &mut Cx<'_>, ino: Ino, Open { flags, .. }: Open) -> Answer<Opened> {
        cx.spawn(move |_| async move {
            log::debug!("open of {ino}");
            Ok(file::open(ino, flags)?)
        })
    }

    fn read(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        cx.spawn(move |_| async move {
            log::debug!("read of {ino} from {offset} on");
            match ino {
                FILE => Ok(out.lend_from(TEXT, offset)),
                _ => Err(Errno::EISDIR.into()),
            }
        })
    }

    fn opendir(&self, cx: &mut Cx<'_>, ino: Ino, _: OpenFlags) -> Answer<Opened> {
        cx.spawn(move |_| async move {
            log::debug!("opendir of {ino}");
            Ok(file::opendir(ino)?)
        })
    }

    fn readdir(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        out: DirBuf,
    ) -> Answer<Listing> {
        cx.spawn(move |fs| async move {
            log::debug!("readdir of {ino} from {offset} on");
            match ino {
                Ino::ROOT => Ok(fs.0.list(offset, out)?),
                _ => Err(Errno::ENOTDIR.into()),
            }
        })
    }
}

fn main() -> ExitCode {
    options::command_line().main(|command| {
        let fs = Message(Owner::this());
        let builder = options::builder(&command, "hello_async", fs, Concurrent);
        let session = builder.mount(&command.mount_point)?;
        Ok(session.run()?.reason)
    })
}
