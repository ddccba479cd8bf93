use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::conn::connection::Connection;
use crate::dispatch::context::{Context, Guard};
use crate::lock::locking::Locking;
use crate::notify::poll::{PollEvents, PollHandle};
use crate::reply::dirbuf::{DirBuf, Listing};
use crate::reply::{answer::Answer, data::Data, readbuf::ReadBuf, writedata::WriteData};
use crate::types::attr::{Attr, Entry, SetAttr};
use crate::types::file::{Create, Created, FileInfo, Open};
use crate::types::filelock::{FileLock, Flock, SetLock};
use crate::types::flags::{AccessMode, OpenFlags, RenameFlags, XattrFlags};
use crate::types::ioctl::{Ioctl, IoctlReply};
use crate::types::range::{Block, Copied, CopyFileRange, Fallocate, Offset, Whence};
use crate::types::statx::{Statx, StatxFlags, StatxMask};
use crate::types::{
    capabilities::Capabilities, ino::Ino, opened::Opened, operation::Operation, statfs::StatVfs,
    xattr::XattrNames,
};

/// `struct fuse_lowlevel_ops`, llfuse's `Operations`: a file system.
///
/// The methods are the handlers, in the order of a file's life. libfuse calls them on its worker threads, with
/// [`Lock`](Self::Lock) held; each *returns* its answer, and the library sends it once the lock is released. Each default
/// does what libfuse does for an operation that is NULL. Where that is ENOSYS, the log says so at its level `debug`, once for each
/// operation of a session.
///
/// A handler that panics answers EIO, see [`OnPanic`](crate::session::OnPanic).
///
/// Names are not empty, and without a slash or NUL; they need not be UTF-8. They are as long as
/// [`DirBuf::NAME_MAX`](crate::DirBuf::NAME_MAX) says: a file system that takes fewer bytes answers ENAMETOOLONG.
#[expect(
    unused_variables,
    reason = "a default does without them, and keeps their names for the documentation"
)]
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
        Ok(())
    }

    /// `init_done`: the [character device](crate::session::CharDevice) is there, and may be opened; of file systems it is never called.
    ///
    /// Called after [`init`](Self::init) has succeeded, on the same worker and with the lock held.
    fn init_done(&self, lock: &mut Guard<'_, Self>) {}

    /// `destroy`: the session ends, after every other handler.
    ///
    /// Called once, with the lock held, on the thread of `run` (on a worker, when the kernel sends DESTROY: fuseblk
    /// mounts); not when the kernel never got as far as `init`.
    fn destroy(&self, lock: &mut Guard<'_, Self>) {}

    /// `lookup`: the inode of the name `name` in the directory `parent`.
    ///
    /// Sent for each component of a path that the kernel has no valid entry for. Each answer adds one to the inode's
    /// lookup count. The default is ENOSYS.
    ///
    /// # Errors
    ///
    /// ENOENT when there is none; [`Entry::negative`] is the same, and cached.
    fn lookup(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        cx.unhandled(Operation::Lookup)
    }

    /// `forget`: takes `nlookup` from the lookup count of `ino`. At 0, the kernel does not know the inode any more.
    ///
    /// An inode whose last name went goes with its count, so that open files and working directories outlive it. There is
    /// no answer. Not sent for what the kernel still knows at unmount. The library calls it too, with 1, when the kernel
    /// did not take an entry. The default does nothing.
    fn forget(&self, cx: &mut Context<'_, Self>, ino: Ino, nlookup: u64) {}

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
        cx.unhandled(Operation::Getattr)
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
        cx.unhandled(Operation::Setattr)
    }

    /// `readlink`: the target of a symbolic link. The default is ENOSYS.
    fn readlink(&self, cx: &mut Context<'_, Self>, ino: Ino) -> Answer<PathBuf> {
        cx.unhandled(Operation::Readlink)
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
        cx.unhandled(Operation::Mknod)
    }

    /// `mkdir`: a directory. `mode` is without the type here; the umask is applied. The default is ENOSYS.
    fn mkdir(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
    ) -> Answer<Entry> {
        cx.unhandled(Operation::Mkdir)
    }

    /// `unlink`: takes away the name of what is no directory. The inode stays until it is forgotten.
    ///
    /// The default is ENOSYS.
    fn unlink(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<()> {
        cx.unhandled(Operation::Unlink)
    }

    /// `rmdir`: takes away an empty directory. The default is ENOSYS.
    ///
    /// # Errors
    ///
    /// ENOTEMPTY when it is not.
    fn rmdir(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<()> {
        cx.unhandled(Operation::Rmdir)
    }

    /// `symlink`: a symbolic link `name` to `target`. The default is ENOSYS.
    fn symlink(
        &self,
        cx: &mut Context<'_, Self>,
        target: &OsStr,
        parent: Ino,
        name: &OsStr,
    ) -> Answer<Entry> {
        cx.unhandled(Operation::Symlink)
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
        cx.unhandled(Operation::Rename)
    }

    /// `link`: one more name for `ino`. Adds one to its lookup count. The default is ENOSYS.
    fn link(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        newparent: Ino,
        newname: &OsStr,
    ) -> Answer<Entry> {
        cx.unhandled(Operation::Link)
    }

    /// `open`: opens the inode, with [flags](Open::flags) as in open(2).
    ///
    /// Permissions have been checked when the mount has `default_permissions`. O_TRUNC is to be done here. The default
    /// succeeds, as [`Fh(0)`](crate::Fh); with [`NO_OPEN_SUPPORT`](crate::Capabilities::NO_OPEN_SUPPORT) it is ENOSYS.
    fn open(&self, cx: &mut Context<'_, Self>, ino: Ino, how: Open) -> Answer<Opened> {
        if cx.has(Capabilities::NO_OPEN_SUPPORT) {
            return cx.unhandled(Operation::Open);
        }
        Ok(Opened::default())
    }

    /// `create`: makes a file and opens it. The default is ENOSYS: the kernel sends `mknod` and `open` in its place, at once
    /// and from then on.
    fn create(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        how: Create,
    ) -> Answer<Created> {
        cx.unhandled(Operation::Create)
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
        cx.unhandled(Operation::Read)
    }

    /// `write`: writes `data` at `offset`, and returns how much. Called by the default of [`write_buf`](Self::write_buf).
    ///
    /// Less than all of it is what write(2) returns, none at all is EIO; with `direct_io` it is 0. The default is ENOSYS.
    fn write(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        data: &[u8],
    ) -> Answer<usize> {
        cx.unhandled(Operation::Write)
    }

    /// `write_buf`: as [`write`](Self::write), with data that may be in a pipe and can be spliced into a file.
    ///
    /// They are in a pipe where [`SPLICE_READ`](crate::Capabilities::SPLICE_READ) was asked for, and in memory otherwise, and when
    /// they are little. The default calls `write`, with what was read out of the pipe.
    #[inline]
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
        cx.unhandled(Operation::Flush)
    }

    /// `release`: the open file is gone; once for each `open` and `create`, sometime after the last close(2).
    ///
    /// The library calls it too when the kernel did not take the answer of `open`. Of files closed just before the unmount
    /// some are never released: the kernel drops what it has not sent. The default succeeds.
    fn release(&self, cx: &mut Context<'_, Self>, ino: Ino, file: &FileInfo) -> Answer<()> {
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
        cx.unhandled(Operation::Fsync)
    }

    /// `opendir`: opens a directory. The default succeeds; with [`NO_OPENDIR_SUPPORT`](crate::Capabilities::NO_OPENDIR_SUPPORT)
    /// it is ENOSYS.
    fn opendir(&self, cx: &mut Context<'_, Self>, ino: Ino, flags: OpenFlags) -> Answer<Opened> {
        if cx.has(Capabilities::NO_OPENDIR_SUPPORT) {
            return cx.unhandled(Operation::Opendir);
        }
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
        cx.unhandled(Operation::Readdir)
    }

    /// `releasedir`: the open directory is gone; once for each `opendir`. The default succeeds.
    fn releasedir(&self, cx: &mut Context<'_, Self>, ino: Ino, file: &FileInfo) -> Answer<()> {
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
        cx.unhandled(Operation::Fsyncdir)
    }

    /// `statfs`: statfs(2). The default says blocks of 512 bytes, names of 255, and zeros.
    fn statfs(&self, cx: &mut Context<'_, Self>, ino: Ino) -> Answer<StatVfs> {
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
        cx.unhandled(Operation::Setxattr)
    }

    /// `getxattr`: the value of an extended attribute. The library answers for its length, and ERANGE where it is too
    /// long. The default is ENOSYS: the kernel answers EOPNOTSUPP from then on.
    ///
    /// # Errors
    ///
    /// ENODATA when there is none.
    fn getxattr(&self, cx: &mut Context<'_, Self>, ino: Ino, name: &OsStr) -> Answer<Vec<u8>> {
        cx.unhandled(Operation::Getxattr)
    }

    /// `listxattr`: the names of the extended attributes. The default is ENOSYS: as `getxattr`.
    fn listxattr(&self, cx: &mut Context<'_, Self>, ino: Ino) -> Answer<XattrNames> {
        cx.unhandled(Operation::Listxattr)
    }

    /// `removexattr`: takes an extended attribute away. The default is ENOSYS: as `setxattr`.
    ///
    /// # Errors
    ///
    /// ENODATA when there is none.
    fn removexattr(&self, cx: &mut Context<'_, Self>, ino: Ino, name: &OsStr) -> Answer<()> {
        cx.unhandled(Operation::Removexattr)
    }

    /// `access`: access(2) and chdir(2); not sent with the mount option `default_permissions`.
    ///
    /// The default is ENOSYS: the kernel takes it for success and does not ask again.
    ///
    /// # Errors
    ///
    /// EACCES when the caller may not.
    fn access(&self, cx: &mut Context<'_, Self>, ino: Ino, mask: AccessMode) -> Answer<()> {
        cx.unhandled(Operation::Access)
    }

    /// `getlk`: fcntl(2) with F_GETLK: a lock that keeps `lock` from being taken, or none.
    ///
    /// Only sent when `init` asked for [`POSIX_LOCKS`](crate::Capabilities::POSIX_LOCKS): without it the kernel looks after
    /// the locks of this machine by itself. The default is ENOSYS, which the caller gets.
    fn getlk(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        lock: FileLock,
    ) -> Answer<Option<FileLock>> {
        cx.unhandled(Operation::Getlk)
    }

    /// `setlk`: fcntl(2) with F_SETLK, and with F_SETLKW, where [`wait`](SetLock::wait) is set.
    ///
    /// The locks of one owner do not keep each other out: a new one takes the place of what it overlaps. close(2) gives up
    /// all that its owner has on the inode, and sends [`flush`](Self::flush) for that, with
    /// [`lock_owner`](FileInfo::lock_owner), and no unlock. Only sent when `init` asked for
    /// [`POSIX_LOCKS`](crate::Capabilities::POSIX_LOCKS). The default is ENOSYS, which the caller gets.
    ///
    /// A worker that waited for a lock would be missing for the request that gives it up: [how to wait](crate::filelock#waiting).
    ///
    /// # Errors
    ///
    /// EAGAIN when somebody else holds a lock that conflicts, and the caller does not wait; EDEADLK when waiting would never
    /// end; ENOLCK when there are too many.
    fn setlk(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        lock: SetLock,
    ) -> Answer<()> {
        cx.unhandled(Operation::Setlk)
    }

    /// `bmap`: ioctl(2) with FIBMAP, and swap files: the block of the device that the block `block` of the file is in, both
    /// counted in blocks of `block_size` bytes.
    ///
    /// Only sent to file systems that were mounted on a block device, as type `fuseblk`. The default is ENOSYS: the kernel
    /// takes it for block 0, a hole, and does not ask again.
    fn bmap(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        block_size: usize,
        block: Block,
    ) -> Answer<Block> {
        cx.unhandled(Operation::Bmap)
    }

    /// `ioctl`: ioctl(2) on an open file, or a directory, with those commands that the kernel does not do by itself.
    ///
    /// Restricted to what the command says of itself: how much is copied in and out ([`IoctlCommand`](crate::ioctl::IoctlCommand)),
    /// but for [character devices](crate::session::CharDevice::unrestricted_ioctl).
    /// chattr(1) and lsattr(1) come here too. The default is ENOSYS: the caller gets ENOTTY.
    ///
    /// # Errors
    ///
    /// ENOTTY for commands that are not known.
    fn ioctl(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        ioctl: &Ioctl<'_>,
    ) -> Answer<IoctlReply> {
        cx.unhandled(Operation::Ioctl)
    }

    /// `poll`: poll(2), select(2), epoll(7): what the open file is ready for, now. It does not wait.
    ///
    /// `events` is what the caller waits for; the answer may have others. With a `handle` the caller goes to sleep if there
    /// is nothing that it waits for, until somebody calls [`PollHandle::notify`]; keep the last one for each open file. The
    /// kernel tells open files apart by itself. The default is ENOSYS: the kernel takes every file for always ready to read
    /// and write, and does not ask again.
    fn poll(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        events: PollEvents,
        handle: Option<PollHandle>,
    ) -> Answer<PollEvents> {
        cx.unhandled(Operation::Poll)
    }

    /// `flock`: flock(2). These locks are another kind than those of `setlk`, on whole files, and neither minds the other.
    ///
    /// Who waits is [answered later](crate::filelock#waiting). An open file that is gone gives up its lock: that is
    /// [`release`](Self::release) with [`flock_release`](FileInfo::flock_release). Only sent when `init` asked for
    /// [`FLOCK_LOCKS`](crate::Capabilities::FLOCK_LOCKS): without it the kernel looks after the locks of this machine by
    /// itself. The default is ENOSYS, which the caller gets.
    ///
    /// # Errors
    ///
    /// EAGAIN when somebody else holds a lock that conflicts, and the caller does not wait.
    fn flock(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        flock: Flock,
    ) -> Answer<()> {
        cx.unhandled(Operation::Flock)
    }

    /// `fallocate`: fallocate(2): space for a range, or a hole in its place.
    ///
    /// The default is ENOSYS: the kernel answers EOPNOTSUPP from then on.
    ///
    /// # Errors
    ///
    /// EOPNOTSUPP for modes that are not known; ENOSPC.
    fn fallocate(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        range: Fallocate,
    ) -> Answer<()> {
        cx.unhandled(Operation::Fallocate)
    }

    /// `copy_file_range`: copy_file_range(2) between two files of this mount, without the data passing through the kernel.
    ///
    /// The default is ENOSYS: the kernel reads and writes by itself from then on.
    fn copy_file_range(
        &self,
        cx: &mut Context<'_, Self>,
        copy: &CopyFileRange<'_>,
    ) -> Answer<Copied> {
        cx.unhandled(Operation::CopyFileRange)
    }

    /// `lseek`: lseek(2) with SEEK_DATA or SEEK_HOLE; the kernel does the others by itself.
    ///
    /// The default is ENOSYS: the kernel takes every file for one without holes from then on.
    ///
    /// # Errors
    ///
    /// ENXIO when `offset` is not before the end of the file, and for SEEK_DATA when there are no data after it; EINVAL for
    /// what is neither.
    fn lseek(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        whence: Whence,
    ) -> Answer<Offset> {
        cx.unhandled(Operation::Lseek)
    }

    /// `tmpfile`: open(2) with O_TMPFILE: makes a file without a name in `parent` and opens it. [`link`](Self::link) may
    /// name it later.
    ///
    /// Its `nlink` is 0. When the kernel does not take the answer, the library calls `release` and `forget`, as for
    /// `create`. libfuse 3.17 brought it: [`Operation::delivered`](crate::Operation::delivered). The default is ENOSYS: the
    /// kernel answers EOPNOTSUPP from then on.
    fn tmpfile(&self, cx: &mut Context<'_, Self>, parent: Ino, how: Create) -> Answer<Created> {
        cx.unhandled(Operation::Tmpfile)
    }

    /// `statx`: statx(2) where it asks for more than stat(2) has, above all for when the inode was made.
    ///
    /// `mask` is what is asked for; the answer may have less or more. libfuse 3.18 brought it:
    /// [`Operation::delivered`](crate::Operation::delivered). The default is ENOSYS: the kernel sends `getattr` from then on.
    fn statx(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: Option<&FileInfo>,
        flags: StatxFlags,
        mask: StatxMask,
    ) -> Answer<(Statx, Duration)> {
        cx.unhandled(Operation::Statx)
    }

    /// `syncfs`: syncfs(2) and sync(2): brings the whole file system to stable storage.
    ///
    /// Only sent to file systems that were mounted on a block device, as type `fuseblk`. libfuse 3.19 brought it:
    /// [`Operation::delivered`](crate::Operation::delivered). The default is ENOSYS: the kernel takes it for success and does
    /// not ask again.
    fn syncfs(&self, cx: &mut Context<'_, Self>, ino: Ino) -> Answer<()> {
        cx.unhandled(Operation::Syncfs)
    }
}
