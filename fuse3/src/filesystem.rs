use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::{
    AccessMode, Answer, Attr, Connection, Context, Create, Created, Data, DirBuf, Entry, Errno,
    FileInfo, Guard, Ino, Listing, Locking, OpenFlags, Opened, ReadBuf, RenameFlags, SetAttr,
    StatVfs, WriteData, XattrFlags, XattrNames,
};

/// `struct fuse_lowlevel_ops`, llfuse's `Operations`: a file system.
///
/// The methods are the handlers, in the order of a file's life. libfuse calls them on its worker threads, with
/// [`Lock`](Self::Lock) held; each *returns* its answer, and the library sends it once the lock is released. Each default
/// does what libfuse does for an operation that is NULL.
///
/// A handler that panics answers EIO, see [`OnPanic`](crate::OnPanic).
///
/// Names are not empty, and without a slash or NUL; they need not be UTF-8. The kernel sends up to 4095 bytes (an older
/// one 1024): a file system that takes fewer answers ENAMETOOLONG.
pub trait Filesystem: Send + Sync + Sized + 'static {
    /// What is held while a handler runs: `Arc<GlobalLock<State>>` or [`Concurrent`](crate::Concurrent).
    type Lock: Locking;

    /// `init`: the session begins, before any other handler. Here one asks for what the kernel offers.
    ///
    /// Called on a worker, with the lock held. The default asks for what libfuse asks for, less what is only wanted for a
    /// handler's being there (locks, readdirplus, splice).
    ///
    /// # Errors
    ///
    /// Any; the session ends, and [`Session::run`](crate::Session::run) returns it.
    fn init(&self, lock: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        let _ = (lock, connection);
        Ok(())
    }

    /// `destroy`: the session ends, after every other handler.
    ///
    /// Called once, with the lock held, on the thread of `run` (on a worker, when the kernel sends DESTROY: fuseblk
    /// mounts); not when the kernel never got as far as `init`.
    fn destroy(&self, lock: &mut Guard<'_, Self>) {
        let _ = lock;
    }

    /// `lookup`: the inode of the name `name` in the directory `parent`.
    ///
    /// Sent for each component of a path that the kernel has no valid entry for. Each answer adds one to the inode's
    /// lookup count. The default is ENOSYS.
    ///
    /// # Errors
    ///
    /// ENOENT when there is none; [`Entry::negative`] is the same, and cached.
    fn lookup(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        let _ = (cx, parent, name);
        Err(Errno::ENOSYS.into())
    }

    /// `forget`: takes `nlookup` from the lookup count of `ino`. At 0, the kernel does not know the inode any more.
    ///
    /// An inode whose last name went goes with its count, so that open files and working directories outlive it. There is
    /// no answer. Not sent for what the kernel still knows at unmount. The library calls it too, with 1, when the kernel
    /// did not take an entry. The default does nothing.
    fn forget(&self, cx: &mut Context<'_, Self>, ino: Ino, nlookup: u64) {
        let _ = (cx, ino, nlookup);
    }

    /// `forget_multi`: many [`forget`](Self::forget)s at once, inode and count of each.
    ///
    /// The default calls `forget` for each, all under one hold of the lock.
    fn forget_multi(
        &self,
        cx: &mut Context<'_, Self>,
        forgets: &mut dyn Iterator<Item = (Ino, u64)>,
    ) {
        for (ino, nlookup) in forgets {
            self.forget(cx, ino, nlookup);
        }
    }

    /// `getattr`: stat(2), and for how long the kernel may answer it by itself.
    ///
    /// `file` is open on the inode when the kernel has one at hand. The default is ENOSYS.
    fn getattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        let _ = (cx, ino, file);
        Err(Errno::ENOSYS.into())
    }

    /// `setattr`: chmod(2), chown(2), truncate(2), utimensat(2): makes `changes` and answers as `getattr`.
    ///
    /// The default is ENOSYS.
    fn setattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        changes: &SetAttr,
    ) -> Answer<(Attr, Duration)> {
        let _ = (cx, ino, changes);
        Err(Errno::ENOSYS.into())
    }

    /// `readlink`: the target of a symbolic link. The default is ENOSYS.
    fn readlink(&self, cx: &mut Context<'_, Self>, ino: Ino) -> Answer<PathBuf> {
        let _ = (cx, ino);
        Err(Errno::ENOSYS.into())
    }

    /// `mknod`: a file, socket, pipe or device; also sent for open(2) with O_CREAT where `create` is ENOSYS.
    ///
    /// `mode` has the type; the umask is applied. `rdev` is the number of a device. The default is ENOSYS.
    fn mknod(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
        rdev: u64,
    ) -> Answer<Entry> {
        let _ = (cx, parent, name, mode, rdev);
        Err(Errno::ENOSYS.into())
    }

    /// `mkdir`: a directory. `mode` is without the type here; the umask is applied. The default is ENOSYS.
    fn mkdir(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
    ) -> Answer<Entry> {
        let _ = (cx, parent, name, mode);
        Err(Errno::ENOSYS.into())
    }

    /// `unlink`: takes away the name of what is no directory. The inode stays until it is forgotten.
    ///
    /// The default is ENOSYS.
    fn unlink(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<()> {
        let _ = (cx, parent, name);
        Err(Errno::ENOSYS.into())
    }

    /// `rmdir`: takes away an empty directory. The default is ENOSYS.
    ///
    /// # Errors
    ///
    /// ENOTEMPTY when it is not.
    fn rmdir(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<()> {
        let _ = (cx, parent, name);
        Err(Errno::ENOSYS.into())
    }

    /// `symlink`: a symbolic link `name` to `target`. The default is ENOSYS.
    fn symlink(
        &self,
        cx: &mut Context<'_, Self>,
        target: &OsStr,
        parent: Ino,
        name: &OsStr,
    ) -> Answer<Entry> {
        let _ = (cx, target, parent, name);
        Err(Errno::ENOSYS.into())
    }

    /// `rename`: what `name` was is `newname` afterwards; what `newname` was is gone, or with
    /// [`EXCHANGE`](RenameFlags::EXCHANGE) is `name`. The default is ENOSYS.
    ///
    /// # Errors
    ///
    /// EINVAL for flags that are not known; EEXIST with [`NOREPLACE`](RenameFlags::NOREPLACE).
    fn rename(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        newparent: Ino,
        newname: &OsStr,
        flags: RenameFlags,
    ) -> Answer<()> {
        let _ = (cx, parent, name, newparent, newname, flags);
        Err(Errno::ENOSYS.into())
    }

    /// `link`: one more name for `ino`. Adds one to its lookup count. The default is ENOSYS.
    fn link(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        newparent: Ino,
        newname: &OsStr,
    ) -> Answer<Entry> {
        let _ = (cx, ino, newparent, newname);
        Err(Errno::ENOSYS.into())
    }

    /// `open`: opens the inode, with `flags` as in open(2), without O_CREAT, O_EXCL and O_NOCTTY.
    ///
    /// Permissions have been checked when the mount has `default_permissions`. O_TRUNC is to be done here. The default
    /// succeeds, as [`Fh(0)`](crate::Fh).
    fn open(&self, cx: &mut Context<'_, Self>, ino: Ino, flags: OpenFlags) -> Answer<Opened> {
        let _ = (cx, ino, flags);
        Ok(Opened::default())
    }

    /// `create`: makes a file and opens it. The default is ENOSYS: the kernel then sends `mknod` and `open` from the next
    /// time on.
    fn create(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        how: Create,
    ) -> Answer<Created> {
        let _ = (cx, parent, name, how);
        Err(Errno::ENOSYS.into())
    }

    /// `read`: the bytes from `offset` on, as many as `out` has room for, fewer only at the end of the file.
    ///
    /// The default is ENOSYS.
    fn read(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        let _ = (cx, ino, file, offset, out);
        Err(Errno::ENOSYS.into())
    }

    /// `write`: writes `data` at `offset`, and returns how much: all of it, or the rest is an error to the caller unless
    /// the file is `direct_io`. Called by the default of [`write_buf`](Self::write_buf). The default is ENOSYS.
    fn write(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        data: &[u8],
    ) -> Answer<usize> {
        let _ = (cx, ino, file, offset, data);
        Err(Errno::ENOSYS.into())
    }

    /// `write_buf`: as [`write`](Self::write), with data that may be in a pipe and can be spliced into a file.
    ///
    /// They are in a pipe where [`SPLICE_READ`](crate::Capabilities::SPLICE_READ) was asked for, and in memory otherwise, and when
    /// they are little. The default calls `write`, with what was read out of the pipe.
    fn write_buf(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        mut data: WriteData<'_>,
    ) -> Answer<usize> {
        let bytes = data.bytes()?;
        self.write(cx, ino, file, offset, bytes)
    }

    /// `flush`: close(2), of each duplicate of the descriptor. Its error is that of close.
    ///
    /// The default is ENOSYS: the kernel takes it for success and does not ask again.
    fn flush(&self, cx: &mut Context<'_, Self>, ino: Ino, file: &FileInfo) -> Answer<()> {
        let _ = (cx, ino, file);
        Err(Errno::ENOSYS.into())
    }

    /// `release`: the open file is gone; once for each `open` and `create`, sometime after the last close(2).
    ///
    /// The library calls it too when the kernel did not take the answer of `open`. Of files closed just before the unmount
    /// some are never released: the kernel drops what it has not sent. The default succeeds.
    fn release(&self, cx: &mut Context<'_, Self>, ino: Ino, file: &FileInfo) -> Answer<()> {
        let _ = (cx, ino, file);
        Ok(())
    }

    /// `fsync`: fsync(2), or fdatasync(2) with `datasync`.
    ///
    /// The default is ENOSYS: the kernel takes it for success and does not ask again.
    fn fsync(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        datasync: bool,
    ) -> Answer<()> {
        let _ = (cx, ino, file, datasync);
        Err(Errno::ENOSYS.into())
    }

    /// `opendir`: opens a directory. The default succeeds.
    fn opendir(&self, cx: &mut Context<'_, Self>, ino: Ino, flags: OpenFlags) -> Answer<Opened> {
        let _ = (cx, ino, flags);
        Ok(Opened::default())
    }

    /// `readdir`, `readdirplus`: the entries of a directory from `offset` on, 0 or what one of its entries had as `next`.
    ///
    /// An empty listing is the end. The default is ENOSYS.
    fn readdir(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        out: DirBuf,
    ) -> Answer<Listing> {
        let _ = (cx, ino, file, offset, out);
        Err(Errno::ENOSYS.into())
    }

    /// `releasedir`: the open directory is gone; once for each `opendir`. The default succeeds.
    fn releasedir(&self, cx: &mut Context<'_, Self>, ino: Ino, file: &FileInfo) -> Answer<()> {
        let _ = (cx, ino, file);
        Ok(())
    }

    /// `fsyncdir`: fsync(2) of a directory.
    ///
    /// The default is ENOSYS: the kernel takes it for success and does not ask again.
    fn fsyncdir(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        datasync: bool,
    ) -> Answer<()> {
        let _ = (cx, ino, file, datasync);
        Err(Errno::ENOSYS.into())
    }

    /// `statfs`: statfs(2). The default says blocks of 512 bytes, names of 255, and zeros.
    fn statfs(&self, cx: &mut Context<'_, Self>, ino: Ino) -> Answer<StatVfs> {
        let _ = (cx, ino);
        Ok(StatVfs {
            bsize: 512,
            namemax: 255,
            ..StatVfs::default()
        })
    }

    /// `setxattr`: sets an extended attribute. The default is ENOSYS: the kernel answers EOPNOTSUPP from then on.
    ///
    /// # Errors
    ///
    /// EEXIST with [`CREATE`](XattrFlags::CREATE), ENODATA with [`REPLACE`](XattrFlags::REPLACE).
    fn setxattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Answer<()> {
        let _ = (cx, ino, name, value, flags);
        Err(Errno::ENOSYS.into())
    }

    /// `getxattr`: the value of an extended attribute. The library answers for its length, and ERANGE where it is too
    /// long. The default is ENOSYS: the kernel answers EOPNOTSUPP from then on.
    ///
    /// # Errors
    ///
    /// ENODATA when there is none.
    fn getxattr(&self, cx: &mut Context<'_, Self>, ino: Ino, name: &OsStr) -> Answer<Vec<u8>> {
        let _ = (cx, ino, name);
        Err(Errno::ENOSYS.into())
    }

    /// `listxattr`: the names of the extended attributes. The default is ENOSYS: as `getxattr`.
    fn listxattr(&self, cx: &mut Context<'_, Self>, ino: Ino) -> Answer<XattrNames> {
        let _ = (cx, ino);
        Err(Errno::ENOSYS.into())
    }

    /// `removexattr`: takes an extended attribute away. The default is ENOSYS: as `setxattr`.
    ///
    /// # Errors
    ///
    /// ENODATA when there is none.
    fn removexattr(&self, cx: &mut Context<'_, Self>, ino: Ino, name: &OsStr) -> Answer<()> {
        let _ = (cx, ino, name);
        Err(Errno::ENOSYS.into())
    }

    /// `access`: access(2) and chdir(2); not sent with the mount option `default_permissions`.
    ///
    /// The default is ENOSYS: the kernel takes it for success and does not ask again.
    ///
    /// # Errors
    ///
    /// EACCES when the caller may not.
    fn access(&self, cx: &mut Context<'_, Self>, ino: Ino, mask: AccessMode) -> Answer<()> {
        let _ = (cx, ino, mask);
        Err(Errno::ENOSYS.into())
    }
}
