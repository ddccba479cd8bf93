//! The handlers.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::filelock::{Flock, LockKind};
use fuse3::passthrough::BackingId;
use fuse3::range::{Copied, CopyFileRange, Fallocate, Offset, Whence};
use fuse3::reply::Added;
use fuse3::{
    Answer, Attr, Capabilities, Concurrent, Connection, Context, Create, Created, Data, DirBuf,
    Entry, Errno, FileInfo, Filesystem, Ino, Listing, Open, OpenFlags, Opened, ReadBuf,
    RenameFlags, SetAttr, StatVfs, WriteData, XattrFlags, XattrNames,
};
use parking_lot::Mutex;
use rustix::fs::{self, FallocateFlags, FileType, FlockOperation, Mode, OFlags};

use super::attributes::{self, ACCESS_ACL};
use super::caller::{self, ActingAs};
use super::file::OpenFile;
use super::handles::Handles;
use super::inode::{self, Inode, Name};
use super::inodes::Inodes;
use super::seek::seek;
use super::settings::Settings;
use super::waiting::Waiting;

/// A file system that is another directory.
#[derive(Debug)]
pub(crate) struct Passthrough {
    settings: Settings,
    /// The device of the source.
    device: u64,
    inodes: Inodes,
    files: Handles<OpenFile>,
    directories: Handles<Directory>,
    /// The kernel has agreed to the writeback cache.
    writeback: AtomicBool,
    /// The kernel has agreed to read and write files by itself, and has not failed to yet.
    passthrough: AtomicBool,
    waiting: Waiting,
}

/// An open directory.
#[derive(Debug)]
struct Directory {
    file: File,
    /// What it listed when it was last read from the start. An entry's offset is its place in it: offsets that the source
    /// has need not grow, and an entry that did not fit is at hand.
    names: Mutex<Vec<Name>>,
}

type Cx<'a> = Context<'a, Passthrough>;

impl Passthrough {
    /// # Errors
    ///
    /// Why `source` is no directory that can be shown.
    pub(crate) fn new(source: &Path, settings: Settings) -> io::Result<Self> {
        let inodes = Inodes::new(source)?;
        Ok(Self {
            device: inodes.get(Ino::ROOT)?.metadata()?.dev(),
            settings,
            inodes,
            files: Handles::new(),
            directories: Handles::new(),
            writeback: AtomicBool::new(false),
            passthrough: AtomicBool::new(false),
            waiting: Waiting::default(),
        })
    }

    fn debug(&self, what: impl FnOnce() -> String) {
        if self.settings.debug {
            caller::say(&format!("DEBUG: {}\n", what()));
        }
    }

    /// The answer for `file`, which was opened with O_PATH, and one lookup more.
    fn entry(&self, file: File) -> io::Result<Entry> {
        let of = file.metadata()?;
        if self.settings.hide_mounts && of.dev() != self.device {
            eprintln!("WARNING: something is mounted in the source; it is not shown");
            return Err(Errno::EOPNOTSUPP.into());
        }
        let entry = self.inodes.count(file, &of);
        Ok(caller::entry(entry, self.settings.timeout))
    }

    fn find(&self, parent: Ino, name: &OsStr) -> io::Result<Entry> {
        let found = self.inodes.get(parent)?.find(name);
        let entry = found.and_then(|file| self.entry(file));
        if let Err(error) = &entry {
            if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) {
                eprintln!(
                    "ERROR: there are as many files open as may be (RLIMIT_NOFILE, fs.file-max)"
                );
            }
        }
        self.debug(|| match &entry {
            Ok(entry) => format!("lookup of {name:?} in {parent}: {}", entry.ino),
            Err(error) => format!("lookup of {name:?} in {parent}: {:?}", error.kind()),
        });
        entry
    }

    /// How to open in the source what is opened here with `flags`.
    fn flags(&self, flags: OpenFlags) -> OFlags {
        // What O_DIRECT asks of the memory that is read into, no reply can promise.
        let unwanted = OFlags::CREATE | OFlags::NOFOLLOW | OFlags::DIRECT;
        let flags = OFlags::from_bits_retain(flags.bits().unsigned_abs()) - unwanted;
        if !self.writeback.load(Ordering::Relaxed) {
            return flags;
        }
        // With the writeback cache the kernel reads pages that are written in part, of files that were opened only to be
        // written, too; and it is the kernel that knows where the end of a file is.
        if flags.contains(OFlags::WRONLY) {
            (flags - OFlags::WRONLY - OFlags::APPEND) | OFlags::RDWR
        } else {
            flags - OFlags::APPEND
        }
    }

    fn opened(&self, cx: &Cx<'_>, inode: &Inode, file: File, flags: OpenFlags) -> Opened {
        // Writes to a file with set-id bits go through the page cache: the kernel then takes the bits away itself, and first.
        // A file whose mode cannot be read is taken for one.
        let has_set_id = |of: Metadata| caller::has_set_id(of.mode());
        let cached = flags.writes() && file.metadata().map_or(true, has_set_id);
        let backing = self.backing(cx, inode);
        let file = self.files.insert(OpenFile::new(file, backing.clone()));
        // What the kernel does by itself does not go through the page cache of this file system.
        let direct =
            self.settings.direct_io || (backing.is_none() && flags.contains(OpenFlags::DIRECT));
        let opened = Opened::new(file)
            .direct_io(direct && !cached)
            .keep_cache(self.settings.keep_cache && backing.is_none());
        let opened = match &backing {
            Some(backing) => opened.backing(backing),
            None => opened,
        };
        // There is nothing to flush of a file that is only read.
        let only_read = self.settings.timeout.is_zero() && !flags.writes();
        let opened = supported(opened, opened.noflush(only_read));
        supported(opened, opened.parallel_direct_writes(true))
    }

    /// What the kernel is to read and write in place of the source: the same for all open files of an inode.
    ///
    /// It keeps the file that it is given open, and with it the lock that somebody has by it, until all of these are closed.
    /// So that is a file that nobody else has.
    fn backing(&self, cx: &Cx<'_>, inode: &Inode) -> Option<Arc<BackingId>> {
        let number = inode.number;
        let open = || {
            let unbacked = inode.unbacked.load(Ordering::Relaxed);
            if unbacked || !self.passthrough.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Unsupported.into());
            }
            // There may be too many open files, say: that is no reason against other inodes.
            let file = inode.open(OFlags::RDONLY).inspect_err(|error| {
                inode.unbacked.store(true, Ordering::Relaxed);
                self.debug(|| format!("no passthrough of {number}: {error}"));
            })?;
            cx.open_backing(&file).inspect_err(|error| {
                if self.passthrough.swap(false, Ordering::Relaxed) {
                    caller::say(&format!(
                        "DEBUG: no passthrough of {number}, nor from now on: {error}\n"
                    ));
                }
            })
        };
        inode.backing.get_or_open(open).ok()
    }

    fn created(&self, cx: &Cx<'_>, file: File, flags: OpenFlags) -> Answer<Created> {
        let entry = self.entry(inode::by_path(&file)?)?;
        let inode = self.inodes.get(entry.ino)?;
        Ok(Created {
            entry,
            opened: self.opened(cx, &inode, file, flags),
        })
    }

    /// Without extended attributes, the kernel is told so, and does not ask again.
    fn with_xattrs(&self) -> Result<(), Errno> {
        self.settings.xattr.then_some(()).ok_or(Errno::ENOSYS)
    }
}

impl Filesystem for Passthrough {
    type Lock = Concurrent;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        let mut wanted = Capabilities::READDIRPLUS
            | Capabilities::READDIRPLUS_AUTO
            | Capabilities::PARALLEL_DIROPS
            // A file handle would lead nowhere once its inode is forgotten.
            | Capabilities::NO_EXPORT_SUPPORT;
        caller::leave_to_the_kernel(connection);
        let settings = &self.settings;
        // The umask does not count where there is a default ACL, which the source knows.
        wanted |= Capabilities::DONT_MASK;
        // It has the kernel check permissions: not where nobody asked for that.
        wanted.set(Capabilities::POSIX_ACL, settings.checked);
        wanted.set(Capabilities::SPLICE_READ, settings.splice);
        wanted.set(Capabilities::SPLICE_WRITE, settings.splice);
        wanted.set(Capabilities::SPLICE_MOVE, settings.splice);
        wanted.set(Capabilities::FLOCK_LOCKS, settings.flock);
        wanted.set(Capabilities::DIRECT_IO_ALLOW_MMAP, settings.map_direct);
        // The two cannot be had together.
        let passthrough =
            settings.passthrough && connection.want(Capabilities::PASSTHROUGH).is_ok();
        wanted.set(
            Capabilities::WRITEBACK_CACHE,
            settings.writeback && !passthrough,
        );

        // What libfuse or the kernel does not have is done without: it then is slower, and locks are those of this machine.
        let large = connection.set_max_write(4 << 20);
        for unsupported in [large, connection.want(wanted)]
            .into_iter()
            .filter_map(Result::err)
        {
            self.debug(|| unsupported.to_string());
        }
        let writeback = connection.wanted().contains(Capabilities::WRITEBACK_CACHE);
        self.writeback.store(writeback, Ordering::Relaxed);
        self.passthrough.store(passthrough, Ordering::Relaxed);
        Ok(())
    }

    fn destroy(&self, _: &mut Guard<'_, Self>) {
        self.waiting.end();
    }

    fn lookup(&self, _: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        match (self.find(parent, name), self.settings.negative_timeout) {
            (Err(error), Some(timeout)) if error.raw_os_error() == Some(libc::ENOENT) => {
                Ok(Entry::negative(timeout))
            }
            (found, _) => Ok(found?),
        }
    }

    fn forget(&self, _: &mut Cx<'_>, ino: Ino, nlookup: u64) {
        self.debug(|| format!("forget {nlookup} lookups of {ino}"));
        self.inodes.forget(ino, nlookup);
    }

    fn getattr(&self, _: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        let inode = self.inodes.get(ino)?;
        let attr = inode::attr(inode.number, &inode.metadata()?);
        let timeout = caller::attr_timeout(&attr, self.settings.timeout);
        Ok((attr, timeout))
    }

    fn setattr(&self, cx: &mut Cx<'_>, ino: Ino, changes: &SetAttr) -> Answer<(Attr, Duration)> {
        let file = changes.fh.map(|fh| self.files.get(fh)).transpose()?;
        let file = file.as_ref().map(|open| &open.file);
        self.inodes.get(ino)?.change(changes, file, cx.caller())?;
        self.getattr(cx, ino, None)
    }

    fn readlink(&self, _: &mut Cx<'_>, ino: Ino) -> Answer<PathBuf> {
        Ok(self.inodes.get(ino)?.readlink()?)
    }

    fn mknod(
        &self,
        cx: &mut Cx<'_>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
        rdev: u64,
    ) -> Answer<Entry> {
        let dir = self.inodes.get(parent)?;
        let kind = FileType::from_raw_mode(mode);
        let mode = dir.mode_of_new(mode, cx.caller());
        let acting = ActingAs::maker(cx.caller(), mode)?;
        dir.mknod(name, kind, mode, rdev)?;
        drop(acting);
        Ok(self.find(parent, name)?)
    }

    fn mkdir(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr, mode: u32) -> Answer<Entry> {
        let dir = self.inodes.get(parent)?;
        let mode = dir.mode_of_new(mode, cx.caller());
        let acting = ActingAs::maker(cx.caller(), mode)?;
        dir.mkdir(name, mode)?;
        drop(acting);
        Ok(self.find(parent, name)?)
    }

    fn unlink(&self, _: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<()> {
        Ok(self.inodes.get(parent)?.unlink(name)?)
    }

    fn rmdir(&self, _: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<()> {
        Ok(self.inodes.get(parent)?.rmdir(name)?)
    }

    fn symlink(&self, cx: &mut Cx<'_>, target: &OsStr, parent: Ino, name: &OsStr) -> Answer<Entry> {
        let acting = ActingAs::maker(cx.caller(), Mode::empty())?;
        self.inodes.get(parent)?.symlink(target, name)?;
        drop(acting);
        Ok(self.find(parent, name)?)
    }

    fn rename(
        &self,
        _: &mut Cx<'_>,
        parent: Ino,
        name: &OsStr,
        newparent: Ino,
        newname: &OsStr,
        flags: RenameFlags,
    ) -> Answer<()> {
        let (from, to) = (self.inodes.get(parent)?, self.inodes.get(newparent)?);
        Ok(from.rename(name, &to, newname, flags)?)
    }

    fn link(&self, _: &mut Cx<'_>, ino: Ino, parent: Ino, name: &OsStr) -> Answer<Entry> {
        let inode = self.inodes.get(ino)?;
        self.inodes.get(parent)?.link(&inode, name)?;
        Ok(self.entry(inode.duplicate()?)?)
    }

    fn open(&self, cx: &mut Cx<'_>, ino: Ino, Open { flags, .. }: Open) -> Answer<Opened> {
        self.debug(|| format!("open {ino} with {flags:?}"));
        let inode = self.inodes.get(ino)?;
        // O_TRUNC comes as a `setattr`, unless a kernel insists.
        let acting = match flags.contains(OpenFlags::TRUNC) {
            true => Some(ActingAs::writer(cx.caller())?),
            false => None,
        };
        let file = inode.open(self.flags(flags))?;
        drop(acting);
        Ok(self.opened(cx, &inode, file, flags))
    }

    fn create(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr, how: Create) -> Answer<Created> {
        let parent = self.inodes.get(parent)?;
        let mode = parent.mode_of_new(how.mode, cx.caller());
        let acting = ActingAs::maker(cx.caller(), mode)?;
        let file = parent.create(name, self.flags(how.flags), mode);
        drop(acting);
        let file = file.map_err(|error| caller::exists_already(error, how.flags))?;
        self.created(cx, file, how.flags)
    }

    fn read(
        &self,
        _: &mut Cx<'_>,
        _: Ino,
        file: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        // Spliced, where that was agreed on, and otherwise read.
        Ok(out.splice(self.files.get(file.handle())?, offset, usize::MAX))
    }

    fn write_buf(
        &self,
        cx: &mut Cx<'_>,
        _: Ino,
        file: &FileInfo,
        offset: u64,
        data: WriteData<'_>,
    ) -> Answer<usize> {
        // What comes from the page cache was written earlier, and the bits went then.
        let acting = match file.writepage() {
            true => None,
            false => Some(ActingAs::writer(cx.caller())?),
        };
        let file = self.files.get(file.handle())?;
        let written = data.splice_into(&*file, offset)?;
        drop(acting);
        Ok(written)
    }

    fn flush(&self, _: &mut Cx<'_>, _: Ino, file: &FileInfo) -> Answer<()> {
        // Closing a duplicate does what closing does, and says how it went.
        let duplicate = self.files.get(file.handle())?.file.try_clone()?;
        // SAFETY: the duplicate was given up by its owner, and is closed once.
        let closed = unsafe { rustix::io::try_close(duplicate.into_raw_fd()) };
        Ok(done(closed)?)
    }

    fn release(&self, _: &mut Cx<'_>, _: Ino, file: &FileInfo) -> Answer<()> {
        self.files.remove(file.handle())?;
        Ok(())
    }

    fn fsync(&self, _: &mut Cx<'_>, _: Ino, file: &FileInfo, datasync: bool) -> Answer<()> {
        Ok(sync(&self.files.get(file.handle())?.file, datasync)?)
    }

    fn opendir(&self, _: &mut Cx<'_>, ino: Ino, _: OpenFlags) -> Answer<Opened> {
        let directory = Directory {
            file: self.inodes.get(ino)?.open(OFlags::DIRECTORY)?,
            names: Mutex::default(),
        };
        Ok(Opened::new(self.directories.insert(directory))
            .keep_cache(self.settings.keep_cache)
            .cache_readdir(self.settings.cache_readdir))
    }

    fn readdir(
        &self,
        _: &mut Cx<'_>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        let directory = self.directories.get(file.handle())?;
        let mut names = directory.names.lock();
        if offset == 0 {
            *names = inode::names(&directory.file)?;
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut listed = false;
        for (next, entry) in (1..).zip(&*names).skip(start) {
            let name = &*entry.name;
            if !out.is_plus() || matches!(name.as_bytes(), b"." | b"..") {
                let attr = Attr::new(entry.number, entry.mode);
                if out.add(name, &Entry::new(attr, Duration::ZERO), next) == Added::Full {
                    break;
                }
                listed = true;
                continue;
            }
            if !out.fits(name) {
                break;
            }
            let entry = match self.find(ino, name) {
                Ok(entry) => entry,
                // Gone meanwhile, or hidden.
                Err(error) if gone(&error) => continue,
                // What is listed so far is counted, and has to be answered; the next call then fails.
                Err(_) if listed => break,
                Err(error) => return Err(error.into()),
            };
            if out.add(name, &entry, next) != Added::Counted {
                self.inodes.forget(entry.ino, 1);
                break;
            }
            listed = true;
        }
        Ok(out.finish())
    }

    fn releasedir(&self, _: &mut Cx<'_>, _: Ino, file: &FileInfo) -> Answer<()> {
        self.directories.remove(file.handle())?;
        Ok(())
    }

    fn fsyncdir(&self, _: &mut Cx<'_>, _: Ino, file: &FileInfo, datasync: bool) -> Answer<()> {
        Ok(sync(&self.directories.get(file.handle())?.file, datasync)?)
    }

    fn statfs(&self, _: &mut Cx<'_>, ino: Ino) -> Answer<StatVfs> {
        Ok(self.inodes.get(ino)?.statfs()?)
    }

    fn setxattr(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Answer<()> {
        self.with_xattrs()?;
        let acting = match name == ACCESS_ACL {
            true => Some(ActingAs::owner(cx.caller())?),
            false => None,
        };
        self.inodes.get(ino)?.setxattr(name, value, flags)?;
        drop(acting);
        Ok(())
    }

    fn getxattr(&self, _: &mut Cx<'_>, ino: Ino, name: &OsStr) -> Answer<Vec<u8>> {
        if !self.settings.checked {
            self.with_xattrs()?;
        } else if !self.settings.xattr && !attributes::is_acl(name) {
            // ENOSYS would have the kernel do without ACLs, too.
            return Err(Errno::EOPNOTSUPP.into());
        }
        let value = self.inodes.get(ino)?.getxattr(name);
        Ok(match self.settings.checked {
            true => attributes::none_without_acls(name, value)?,
            false => value?,
        })
    }

    fn listxattr(&self, cx: &mut Cx<'_>, ino: Ino) -> Answer<XattrNames> {
        self.with_xattrs()?;
        let names = self.inodes.get(ino)?.listxattr()?;
        Ok(attributes::shown(&names, cx.caller()))
    }

    fn removexattr(&self, _: &mut Cx<'_>, ino: Ino, name: &OsStr) -> Answer<()> {
        self.with_xattrs()?;
        Ok(self.inodes.get(ino)?.removexattr(name)?)
    }

    fn fallocate(&self, cx: &mut Cx<'_>, _: Ino, file: &FileInfo, range: Fallocate) -> Answer<()> {
        let mode = FallocateFlags::from_bits_retain(range.mode.bits().unsigned_abs());
        let file = self.files.get(file.handle())?;
        let acting = ActingAs::writer(cx.caller())?;
        done(fs::fallocate(&*file, mode, range.offset, range.length))?;
        drop(acting);
        Ok(())
    }

    fn copy_file_range(&self, cx: &mut Cx<'_>, copy: &CopyFileRange<'_>) -> Answer<Copied> {
        let from = self.files.get(copy.from.file.handle())?;
        let to = self.files.get(copy.to.file.handle())?;
        let (mut at, mut to_at) = (copy.from.offset, copy.to.offset);
        let acting = ActingAs::writer(cx.caller())?;
        let copied =
            fs::copy_file_range(&*from, Some(&mut at), &*to, Some(&mut to_at), copy.length);
        drop(acting);
        Ok(Copied(done(copied)?))
    }

    fn lseek(
        &self,
        _: &mut Cx<'_>,
        _: Ino,
        file: &FileInfo,
        offset: u64,
        whence: Whence,
    ) -> Answer<Offset> {
        Ok(seek(&*self.files.get(file.handle())?, offset, whence)?)
    }

    fn tmpfile(&self, cx: &mut Cx<'_>, parent: Ino, how: Create) -> Answer<Created> {
        let parent = self.inodes.get(parent)?;
        let mode = parent.mode_of_new(how.mode, cx.caller());
        let acting = ActingAs::maker(cx.caller(), mode)?;
        let file = parent.tmpfile(self.flags(how.flags), mode)?;
        drop(acting);
        self.created(cx, file, how.flags)
    }

    fn flock(&self, cx: &mut Cx<'_>, _: Ino, file: &FileInfo, flock: Flock) -> Answer<()> {
        let operation = match flock.kind {
            LockKind::Read => FlockOperation::NonBlockingLockShared,
            LockKind::Write => FlockOperation::NonBlockingLockExclusive,
            LockKind::Unlock => FlockOperation::Unlock,
        };
        let file = self.files.get(file.handle())?;
        let lock = move || done(fs::flock(&*file, operation));
        match lock() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && flock.wait => {}
            result => return Ok(result?),
        }
        // Somebody else has the lock, and a worker that waited for it would be missing for the request that gives it up.
        self.waiting.wait(cx, lock)
    }
}

/// What rustix returns, as what `?` makes an answer of.
fn done<T>(result: rustix::io::Result<T>) -> io::Result<T> {
    Ok(result?)
}

fn gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EOPNOTSUPP))
}

/// `more`, where this libfuse knows of it: what only saves work is done without.
fn supported(opened: Opened, more: Opened) -> Opened {
    if more.supported().is_ok() {
        more
    } else {
        opened
    }
}

fn sync(file: &File, data_only: bool) -> io::Result<()> {
    if data_only {
        file.sync_data()
    } else {
        file.sync_all()
    }
}
