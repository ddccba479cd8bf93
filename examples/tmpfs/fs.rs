//! The handlers. Each takes the state from its context, calls what does the work, and returns the answer.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::lock::{LockError, sync};
use fuse3::range::{Fallocate, Offset, Whence};
use fuse3::{
    Answer, Attr, Capabilities, Connection, Context, Create, Created, Data, DirBuf, Entry, Errno,
    Fh, FileInfo, Filesystem, GlobalLock, Ino, Listing, Open, OpenFlags, Opened, ReadBuf,
    RenameFlags, SetAttr, StatVfs, XattrFlags, XattrNames,
};

use crate::inodes::{Inodes, TIMEOUT};
use crate::names::New;
use crate::node::Kind;
use crate::{acl, data, reclaim, virtuals};

/// What handlers need besides the state that the lock guards.
pub(crate) struct Tmpfs {
    /// For the thread, which takes it too.
    lock: Arc<GlobalLock<Inodes>>,
    reclaimer: sync::Mutex<Option<JoinHandle<Result<(), LockError>>>>,
}

impl Tmpfs {
    pub(crate) fn new(lock: Arc<GlobalLock<Inodes>>) -> Self {
        Self {
            lock,
            reclaimer: sync::Mutex::new(None),
        }
    }
}

/// Sets an ACL, or removes it. Somebody who is not of the file's group takes the set-group-id bit off with it, which the kernel
/// does not do here.
fn set_acl(
    cx: &mut Context<'_, Tmpfs>,
    ino: Ino,
    name: &OsStr,
    value: Option<&[u8]>,
) -> Result<(), Errno> {
    if !cx.has_acls {
        return Err(Errno::EOPNOTSUPP);
    }
    let group = cx.get(ino)?.meta.gid;
    // Of a caller whose groups are not to be had, it is taken off.
    let keeps_group = cx.uid() == Some(0)
        || cx.gid() == Some(group)
        || cx.groups().is_ok_and(|groups| groups.contains(&group));
    cx.set_acl(ino, name, value, keeps_group)
}

/// A new file, open.
fn created(inodes: &mut Inodes, ino: Ino) -> Answer<Created> {
    inodes.open(ino)?;
    Ok(Created {
        entry: inodes.entry(ino)?,
        opened: Opened::new(Fh(ino.0)).keep_cache(true),
    })
}

impl Filesystem for Tmpfs {
    type Lock = Arc<GlobalLock<Inodes>>;

    fn init(
        &self,
        inodes: &mut Guard<'_, Self>,
        connection: &mut Connection<'_>,
    ) -> io::Result<()> {
        // What there is of these; none is needed.
        let wanted = Capabilities::READDIRPLUS
            | Capabilities::READDIRPLUS_AUTO
            | Capabilities::PARALLEL_DIROPS
            | Capabilities::CACHE_SYMLINKS
            | Capabilities::EXPORT_SUPPORT;
        connection
            .want(wanted & connection.capable())
            .map_err(io::Error::other)?;
        // The kernel checks by ACLs then. It leaves the umask to this program, since it does not know of default ACLs.
        let acls = Capabilities::POSIX_ACL | Capabilities::DONT_MASK;
        if connection.capable().contains(acls) {
            connection.want(acls).map_err(io::Error::other)?;
            inodes.has_acls = true;
        }
        // The kernel knows better than this program who may keep set-user-id bits, and sends a setattr. It also sends one
        // for O_TRUNC: as a part of `open` that would come before the kernel has seen that the file is a running program.
        connection.unwant(Capabilities::HANDLE_KILLPRIV | Capabilities::ATOMIC_O_TRUNC);

        let lock = Arc::clone(&self.lock);
        let thread = thread::Builder::new().name("reclaimer".to_owned());
        *self.reclaimer.lock() = Some(thread.spawn(move || reclaim::run(&lock))?);
        Ok(())
    }

    /// Ends the thread, with the lock released: it needs it to end.
    fn destroy(&self, inodes: &mut Guard<'_, Self>) {
        inodes.garbage.stop();
        let thread = self.reclaimer.lock().take();
        let result = inodes.released(|_| thread.map(JoinHandle::join));
        if !matches!(result, None | Some(Ok(Ok(())))) {
            inodes
                .mistakes
                .push(format!("the reclaimer failed: {result:?}"));
        }
    }

    fn lookup(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        match cx.find(parent, name) {
            Ok(ino) => Ok(cx.entry(ino)?),
            // No other way than through the kernel can make the name: it may remember that there is none.
            Err(Errno::ENOENT) => Ok(Entry::negative(TIMEOUT)),
            Err(error) => Err(error.into()),
        }
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
        Ok((cx.get(ino)?.attr(), TIMEOUT))
    }

    fn setattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        changes: &SetAttr,
    ) -> Answer<(Attr, Duration)> {
        Ok((cx.set(ino, changes)?, TIMEOUT))
    }

    fn readlink(&self, cx: &mut Context<'_, Self>, ino: Ino) -> Answer<PathBuf> {
        cx.accessed(ino)?;
        match &cx.get(ino)?.kind {
            Kind::Symlink(target) => Ok(target.into()),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    fn mknod(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
        rdev: u64,
    ) -> Answer<Entry> {
        let kind = match mode & libc::S_IFMT {
            libc::S_IFREG => Kind::File(data::Data::default()),
            libc::S_IFIFO | libc::S_IFSOCK | libc::S_IFCHR | libc::S_IFBLK => Kind::Special,
            _ => return Err(Errno::EINVAL.into()),
        };
        let caller = cx.caller();
        let ino = cx.make(parent, name, New { mode, rdev, kind }, caller)?;
        Ok(cx.entry(ino)?)
    }

    fn mkdir(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
    ) -> Answer<Entry> {
        let caller = cx.caller();
        let ino = cx.mkdir(parent, name, mode, caller)?;
        Ok(cx.entry(ino)?)
    }

    fn unlink(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<()> {
        Ok(cx.unlink(parent, name)?)
    }

    fn rmdir(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<()> {
        Ok(cx.rmdir(parent, name)?)
    }

    fn symlink(
        &self,
        cx: &mut Context<'_, Self>,
        target: &OsStr,
        parent: Ino,
        name: &OsStr,
    ) -> Answer<Entry> {
        let new = New {
            mode: libc::S_IFLNK | 0o777,
            rdev: 0,
            kind: Kind::Symlink(target.to_owned()),
        };
        let caller = cx.caller();
        let ino = cx.make(parent, name, new, caller)?;
        Ok(cx.entry(ino)?)
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
        let caller = cx.caller();
        Ok(cx.rename((parent, name), (newparent, newname), flags, caller)?)
    }

    fn link(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        newparent: Ino,
        newname: &OsStr,
    ) -> Answer<Entry> {
        cx.link(ino, newparent, newname)?;
        Ok(cx.entry(ino)?)
    }

    fn open(&self, cx: &mut Context<'_, Self>, ino: Ino, how: Open) -> Answer<Opened> {
        cx.open(ino)?;
        Ok(Opened::new(Fh(ino.0)).keep_cache(cx.keeps_cache(ino, how.flags)?))
    }

    fn create(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        how: Create,
    ) -> Answer<Created> {
        let caller = cx.caller();
        let ino = cx.make(parent, name, New::file(how.mode), caller)?;
        created(cx, ino)
    }

    /// O_TMPFILE; only libfuse 3.17 and later have it.
    fn tmpfile(&self, cx: &mut Context<'_, Self>, parent: Ino, how: Create) -> Answer<Created> {
        let caller = cx.caller();
        let ino = cx.tmpfile(parent, how.mode, caller)?;
        created(cx, ino)
    }

    fn read(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        mut out: ReadBuf,
    ) -> Answer<Data<'_>> {
        cx.read(ino, offset, file.flags(), &mut out)?;
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
        Ok(cx.write(ino, offset, data)?)
    }

    fn release(&self, cx: &mut Context<'_, Self>, ino: Ino, _file: &FileInfo) -> Answer<()> {
        cx.release(ino);
        Ok(())
    }

    fn fallocate(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _file: &FileInfo,
        how: Fallocate,
    ) -> Answer<()> {
        Ok(cx.fallocate(ino, &how)?)
    }

    fn lseek(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _file: &FileInfo,
        offset: u64,
        whence: Whence,
    ) -> Answer<Offset> {
        Ok(Offset(cx.seek(ino, offset, whence)?))
    }

    /// There is no disk.
    fn fsync(
        &self,
        _cx: &mut Context<'_, Self>,
        _ino: Ino,
        _file: &FileInfo,
        _datasync: bool,
    ) -> Answer<()> {
        Ok(())
    }

    fn opendir(&self, cx: &mut Context<'_, Self>, ino: Ino, _flags: OpenFlags) -> Answer<Opened> {
        Ok(Opened::new(cx.open_directory(ino)?))
    }

    fn readdir(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        out: DirBuf,
    ) -> Answer<Listing> {
        Ok(cx.list(ino, (file.handle(), file.flags()), offset, out)?)
    }

    fn releasedir(&self, cx: &mut Context<'_, Self>, ino: Ino, file: &FileInfo) -> Answer<()> {
        cx.release_directory(ino, file.handle());
        Ok(())
    }

    fn fsyncdir(
        &self,
        _cx: &mut Context<'_, Self>,
        _ino: Ino,
        _file: &FileInfo,
        _datasync: bool,
    ) -> Answer<()> {
        Ok(())
    }

    fn statfs(&self, cx: &mut Context<'_, Self>, _ino: Ino) -> Answer<StatVfs> {
        Ok(cx.statfs())
    }

    fn setxattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Answer<()> {
        if virtuals::has(name) {
            return Err(Errno::EPERM.into());
        }
        if acl::is_acl(name) {
            return Ok(set_acl(cx, ino, name, Some(value))?);
        }
        Ok(cx.set_xattr(ino, name, value, flags)?)
    }

    fn getxattr(&self, cx: &mut Context<'_, Self>, ino: Ino, name: &OsStr) -> Answer<Vec<u8>> {
        if virtuals::has(name) {
            return Ok(virtuals::get(cx, ino, name)?);
        }
        Ok(cx.get(ino)?.xattrs.get(name)?.to_vec())
    }

    fn listxattr(&self, cx: &mut Context<'_, Self>, ino: Ino) -> Answer<XattrNames> {
        Ok(cx.get(ino)?.xattrs.names(cx.uid() == Some(0)))
    }

    fn removexattr(&self, cx: &mut Context<'_, Self>, ino: Ino, name: &OsStr) -> Answer<()> {
        if acl::is_acl(name) {
            return Ok(set_acl(cx, ino, name, None)?);
        }
        Ok(cx.remove_xattr(ino, name)?)
    }
}
