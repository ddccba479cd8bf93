//! The handlers. What they call with `cx` may release the lock; what they call with the state, through it, cannot.

use std::ffi::OsStr;
use std::io;
use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::reply::Added;
use fuse3::{
    Answer, Attr, Capabilities, Connection, Context, Create, Created, Data, DirBuf, Entry, Errno,
    Fh, FileInfo, Filesystem, GlobalLock, Ino, Listing, Open, Opened, ReadBuf, RenameFlags,
    SetAttr, XattrFlags,
};

use crate::cache::Cache;
use crate::state::{State, TIMEOUT};

pub(crate) struct Cachefs(pub(crate) Arc<Cache>);

impl Cachefs {
    fn make(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
    ) -> Result<Entry, Errno> {
        let (uid, gid) = cx.caller().owner()?;
        let like = Attr::new(Ino(0), mode);
        let ino = cx.make(parent, name, Attr { uid, gid, ..like })?;
        cx.entry(ino)
    }
}

impl Filesystem for Cachefs {
    type Lock = Arc<GlobalLock<State>>;

    /// Starts the threads: not earlier, since the program may have forked.
    fn init(&self, state: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        // The kernel sends a setattr for each, also with O_TRUNC.
        connection.unwant(Capabilities::HANDLE_KILLPRIV | Capabilities::ATOMIC_O_TRUNC);
        self.0.employ(state);
        let cache = Arc::clone(&self.0);
        let thread = thread::spawn(move || cache.commit_now_and_then());
        state.threads.push(thread);
        Ok(())
    }

    /// **P7**: releases the lock, to wait for threads that need it to end.
    fn destroy(&self, state: &mut Guard<'_, Self>) {
        state.stop = true;
        self.0.wake.notify_all();
        let threads = mem::take(&mut state.threads);
        let results: Vec<_> = state.released(|_| threads.into_iter().map(|it| it.join()).collect());
        let panics = results.iter().filter(|result| result.is_err()).count();
        if panics > 0 {
            crate::say(format_args!("{panics} threads have panicked"));
        }
    }

    fn lookup(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        let ino = cx.find(parent, name)?;
        Ok(cx.entry(ino)?)
    }

    fn forget(&self, cx: &mut Context<'_, Self>, ino: Ino, nlookup: u64) {
        cx.forget(ino, nlookup);
    }

    fn getattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _file: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        Ok((cx.get(ino)?.attr, TIMEOUT))
    }

    fn setattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        changes: &SetAttr,
    ) -> Answer<(Attr, Duration)> {
        // This one first: it may release the lock, and may fail.
        if let Some(size) = changes.size {
            self.0.truncate(cx, ino, size)?;
        }
        let attr = &mut cx.change(ino)?.attr;
        if let Some(mode) = changes.mode {
            attr.mode = (attr.mode & libc::S_IFMT) | (mode & 0o7777);
        }
        attr.uid = changes.uid.unwrap_or(attr.uid);
        attr.gid = changes.gid.unwrap_or(attr.gid);
        attr.atime = changes.atime.map_or(attr.atime, |time| time.resolve());
        attr.mtime = changes.mtime.map_or(attr.mtime, |time| time.resolve());
        Ok((*attr, TIMEOUT))
    }

    fn mkdir(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
    ) -> Answer<Entry> {
        Ok(self.make(cx, parent, name, libc::S_IFDIR | (mode & 0o7777))?)
    }

    fn unlink(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<()> {
        Ok(cx.remove(parent, name, false)?)
    }

    fn rmdir(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<()> {
        Ok(cx.remove(parent, name, true)?)
    }

    fn rename(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        newparent: Ino,
        newname: &OsStr,
        flags: RenameFlags,
    ) -> Answer<()> {
        Ok(cx.rename((parent, name), (newparent, newname), flags)?)
    }

    fn open(&self, _cx: &mut Context<'_, Self>, _ino: Ino, _how: Open) -> Answer<Opened> {
        Ok(Opened::new(Fh(0)).keep_cache(true))
    }

    fn create(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        how: Create,
    ) -> Answer<Created> {
        let entry = self.make(cx, parent, name, libc::S_IFREG | (how.mode & 0o7777))?;
        let opened = Opened::new(Fh(0)).keep_cache(true);
        Ok(Created { entry, opened })
    }

    fn read(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _file: &FileInfo,
        offset: u64,
        mut out: ReadBuf,
    ) -> Answer<Data<'_>> {
        self.0.read(cx, ino, offset, &mut out)?;
        Ok(out.finish())
    }

    fn write(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _file: &FileInfo,
        offset: u64,
        data: &[u8],
    ) -> Answer<usize> {
        self.0.write(cx, ino, offset, data)?;
        Ok(data.len())
    }

    fn fsync(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _file: &FileInfo,
        _datasync: bool,
    ) -> Answer<()> {
        Ok(self.0.sync(cx, ino)?)
    }

    fn readdir(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _file: &FileInfo,
        offset: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        let inode = cx.get(ino)?;
        let dots = [
            (1, OsStr::new("."), ino),
            (2, OsStr::new(".."), inode.parent),
        ];
        // Then the number of an inode, and 2 for the dots, is its name's cookie.
        let after = Ino(offset.saturating_sub(2) + 1);
        let children = inode
            .order
            .range(after..)
            .map(|ino| (ino.0 + 2, cx.inodes[ino].name.as_ref(), *ino));
        let entries = dots.into_iter().chain(children);
        for (next, name, ino) in entries.filter(|(next, ..)| *next > offset) {
            let entry = Entry::new(cx.get(ino)?.attr, TIMEOUT);
            if out.add(name, &entry, next) == Added::Full {
                break;
            }
        }
        Ok(out.finish())
    }

    fn fsyncdir(
        &self,
        cx: &mut Context<'_, Self>,
        _ino: Ino,
        _file: &FileInfo,
        _datasync: bool,
    ) -> Answer<()> {
        Ok(self.0.commit(cx)?)
    }

    fn setxattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        _flags: XattrFlags,
    ) -> Answer<()> {
        Ok(self.0.control(cx, ino, name, value)?)
    }

    fn getxattr(&self, cx: &mut Context<'_, Self>, ino: Ino, name: &OsStr) -> Answer<Vec<u8>> {
        Ok(self.0.report(cx, ino, name)?)
    }
}
