//! A file system that keeps its replies.

use std::ffi::OsStr;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::{
    Answer, Attr, Builder, Concurrent, Connection, Context, Entry, FileInfo, Filesystem, Ino,
    Reply, Session,
};

pub(crate) struct Deferring(Arc<Mutex<Vec<Reply<Entry>>>>);

impl Deferring {
    /// Replies to lookups are put into `kept`.
    pub(crate) fn builder(kept: Arc<Mutex<Vec<Reply<Entry>>>>) -> Builder<Self> {
        Session::builder(Self(kept), Concurrent)
    }
}

impl Filesystem for Deferring {
    type Lock = Concurrent;

    /// Where the system allows it (/proc/sys/fs/fuse/max_pages_limit), requests are larger than is usual.
    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        let _ = connection.set_max_write(4 << 20);
        Ok(())
    }

    fn lookup(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<Entry> {
        let (reply, deferred) = cx.defer();
        self.0.lock().unwrap().push(reply);
        Err(deferred.into())
    }

    fn getattr(
        &self,
        _: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        Ok((Attr::new(ino, libc::S_IFDIR | 0o755), Duration::ZERO))
    }
}
