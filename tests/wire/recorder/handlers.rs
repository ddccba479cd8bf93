//! The handlers of a recorder: each writes down its call, and answers.

use super::*;

/// A lock, without what is zero.
struct Lock<'a>(&'a FileLock);

impl Display for Lock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FileLock {
            kind, start, end, ..
        } = self.0;
        write!(f, "{kind:?} {start:#x}..={end:#x}")?;
        if self.0.pid != 0 {
            write!(f, " pid={}", self.0.pid)?;
        }
        if self.0.owner != LockOwner(0) {
            write!(f, " for {}", self.0.owner)?;
        }
        Ok(())
    }
}

/// An open file, without what is zero.
struct OpenFile<'a>(&'a FileInfo);

impl Display for OpenFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fh={:#x}", self.0.handle().0)?;
        if self.0.flags() != OpenFlags::empty() {
            write!(f, " flags={:#x}", self.0.flags().bits())?;
        }
        if self.0.lock_owner() != LockOwner(0) {
            write!(f, " owner={}", self.0.lock_owner())?;
        }
        for (bit, name) in [
            (self.0.writepage(), " writepage"),
            (self.0.flush(), " flush"),
            (self.0.flock_release(), " flock_release"),
        ] {
            if bit {
                f.write_str(name)?;
            }
        }
        Ok(())
    }
}

impl<L: Style> Filesystem for Recorder<L> {
    type Lock = L;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        self.push(format!("init{}", self.lock_state()));
        *self.wanted.lock() = Some(connection.wanted());
        connection
            .want(*self.wants.lock())
            .map_err(io::Error::other)?;
        if let How::Panic = self.how() {
            panic_any(PANIC);
        }
        self.init.lock().map_err(io::Error::from_raw_os_error)
    }

    fn init_done(&self, _: &mut Guard<'_, Self>) {
        self.push(format!("init_done{}", self.lock_state()));
        if let How::Panic = self.how() {
            panic_any(PANIC);
        }
    }

    fn destroy(&self, _: &mut Guard<'_, Self>) {
        self.push(format!("destroy{}", self.lock_state()));
        if let How::Panic = self.how() {
            panic_any(PANIC);
        }
    }

    fn lookup(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        self.note(cx, format!("lookup {parent} {name:?}"));
        let entry = self.values().entry;
        self.respond(cx, || entry)
    }

    fn forget(&self, cx: &mut Context<'_, Self>, ino: Ino, nlookup: u64) {
        // Once the call is noted, the test may say otherwise.
        let how = self.how();
        self.note(cx, format!("forget {ino} {nlookup}"));
        if let How::Panic = how {
            panic_any(PANIC);
        }
    }

    fn getattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        match file {
            Some(file) => self.note(cx, format!("getattr {ino} {}", OpenFile(file))),
            None => self.note(cx, format!("getattr {ino}")),
        }
        let entry = self.values().entry;
        self.respond(cx, || (entry.attr, entry.attr_timeout))
    }

    fn setattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        changes: &SetAttr,
    ) -> Answer<(Attr, Duration)> {
        self.note(cx, format!("setattr {ino} {changes:?}"));
        let entry = self.values().entry;
        self.respond(cx, || (entry.attr, entry.attr_timeout))
    }

    fn readlink(&self, cx: &mut Context<'_, Self>, ino: Ino) -> Answer<PathBuf> {
        self.note(cx, format!("readlink {ino}"));
        let target = self.values().target.clone();
        self.respond(cx, || target.clone())
    }

    fn mknod(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
        rdev: u64,
    ) -> Answer<Entry> {
        let umask = cx.umask();
        self.note(
            cx,
            format!("mknod {parent} {name:?} {mode:#o} {rdev:#x} umask={umask:#o}"),
        );
        let entry = self.values().made(mode & libc::S_IFMT);
        self.respond(cx, || entry)
    }

    fn mkdir(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        mode: u32,
    ) -> Answer<Entry> {
        let umask = cx.umask();
        self.note(
            cx,
            format!("mkdir {parent} {name:?} {mode:#o} umask={umask:#o}"),
        );
        let entry = self.values().made(libc::S_IFDIR);
        self.respond(cx, || entry)
    }

    fn unlink(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<()> {
        self.note(cx, format!("unlink {parent} {name:?}"));
        self.respond(cx, || ())
    }

    fn rmdir(&self, cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<()> {
        self.note(cx, format!("rmdir {parent} {name:?}"));
        self.respond(cx, || ())
    }

    fn symlink(
        &self,
        cx: &mut Context<'_, Self>,
        target: &OsStr,
        parent: Ino,
        name: &OsStr,
    ) -> Answer<Entry> {
        self.note(cx, format!("symlink {target:?} {parent} {name:?}"));
        let entry = self.values().made(libc::S_IFLNK);
        self.respond(cx, || entry)
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
        let flags = flags.bits();
        self.note(
            cx,
            format!("rename {parent} {name:?} {newparent} {newname:?} {flags:#x}"),
        );
        self.respond(cx, || ())
    }

    fn link(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        newparent: Ino,
        newname: &OsStr,
    ) -> Answer<Entry> {
        self.note(cx, format!("link {ino} {newparent} {newname:?}"));
        let entry = self.values().entry;
        self.respond(cx, || entry)
    }

    fn open(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        Open { flags, .. }: Open,
    ) -> Answer<Opened> {
        self.note(cx, format!("open {ino} {:#x}", flags.bits()));
        let opened = self.values().opened;
        self.respond(cx, || opened)
    }

    fn create(
        &self,
        cx: &mut Context<'_, Self>,
        parent: Ino,
        name: &OsStr,
        how: Create,
    ) -> Answer<Created> {
        let (mode, flags, umask) = (how.mode, how.flags.bits(), cx.umask());
        self.note(
            cx,
            format!("create {parent} {name:?} {mode:#o} {flags:#x} umask={umask:#o}"),
        );
        let Values { entry, opened, .. } = *self.values();
        self.respond(cx, || Created { entry, opened })
    }

    fn read(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        let size = out.size();
        self.note(
            cx,
            format!("read {ino} {} {size}@{offset:#x}", OpenFile(file)),
        );
        let (read, out) = (Arc::clone(&self.values().read), Cell::new(Some(out)));
        self.respond(cx, || {
            read(out.take().unwrap_or_else(|| ReadBuf::new(size)))
        })
    }

    fn write(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        data: &[u8],
    ) -> Answer<usize> {
        let shown = match data {
            [first, .., last] if data.len() > 100 => {
                format!("{first:#x}, .., {last:#x} of {}", data.len())
            }
            _ => format!("{:?}", OsStr::from_bytes(data)),
        };
        self.note(
            cx,
            format!("write {ino} {} {shown}@{offset:#x}", OpenFile(file)),
        );
        let count = data.len() + self.values().more_written;
        self.respond(cx, || count)
    }

    fn flush(&self, cx: &mut Context<'_, Self>, ino: Ino, file: &FileInfo) -> Answer<()> {
        self.note(cx, format!("flush {ino} {}", OpenFile(file)));
        self.respond(cx, || ())
    }

    fn release(&self, cx: &mut Context<'_, Self>, ino: Ino, file: &FileInfo) -> Answer<()> {
        self.note(cx, format!("release {ino} {}", OpenFile(file)));
        if cx.caller() == Caller::NOBODY {
            return Ok(());
        }
        self.respond(cx, || ())
    }

    fn fsync(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        datasync: bool,
    ) -> Answer<()> {
        self.note(cx, format!("fsync {ino} {} {datasync}", OpenFile(file)));
        self.respond(cx, || ())
    }

    fn opendir(&self, cx: &mut Context<'_, Self>, ino: Ino, flags: OpenFlags) -> Answer<Opened> {
        self.note(cx, format!("opendir {ino} {:#x}", flags.bits()));
        let opened = self.values().opened;
        self.respond(cx, || opened)
    }

    fn readdir(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        out: DirBuf,
    ) -> Answer<Listing> {
        let plus = out.is_plus();
        let which = if plus { "readdirplus" } else { "readdir" };
        self.note(
            cx,
            format!("{which} {ino} {} {offset:#x} {out:?}", OpenFile(file)),
        );
        let (entries, out) = (self.values().entries.clone(), Cell::new(Some(out)));
        self.respond(cx, || {
            let mut out = out
                .take()
                .unwrap_or_else(|| DirBuf::new(4096, offset, plus));
            for (name, entry, next) in &entries {
                if out.add(OsStr::from_bytes(name), entry, *next) == Added::Full {
                    break;
                }
            }
            out.finish()
        })
    }

    fn releasedir(&self, cx: &mut Context<'_, Self>, ino: Ino, file: &FileInfo) -> Answer<()> {
        self.note(cx, format!("releasedir {ino} {}", OpenFile(file)));
        if cx.caller() == Caller::NOBODY {
            return Ok(());
        }
        self.respond(cx, || ())
    }

    fn fsyncdir(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        datasync: bool,
    ) -> Answer<()> {
        self.note(cx, format!("fsyncdir {ino} {} {datasync}", OpenFile(file)));
        self.respond(cx, || ())
    }

    fn statfs(&self, cx: &mut Context<'_, Self>, ino: Ino) -> Answer<StatVfs> {
        self.note(cx, format!("statfs {ino}"));
        let statfs = self.values().statfs;
        self.respond(cx, || statfs)
    }

    fn setxattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Answer<()> {
        let (value, flags) = (OsStr::from_bytes(value), flags.bits());
        self.note(cx, format!("setxattr {ino} {name:?} {value:?} {flags:#x}"));
        self.respond(cx, || ())
    }

    fn getxattr(&self, cx: &mut Context<'_, Self>, ino: Ino, name: &OsStr) -> Answer<Vec<u8>> {
        self.note(cx, format!("getxattr {ino} {name:?}"));
        let value = self.values().xattr.clone();
        self.respond(cx, || value.clone())
    }

    fn listxattr(&self, cx: &mut Context<'_, Self>, ino: Ino) -> Answer<XattrNames> {
        self.note(cx, format!("listxattr {ino}"));
        let names = self.values().xattrs.clone();
        self.respond(cx, || {
            names.iter().map(|name| OsStr::from_bytes(name)).collect()
        })
    }

    fn removexattr(&self, cx: &mut Context<'_, Self>, ino: Ino, name: &OsStr) -> Answer<()> {
        self.note(cx, format!("removexattr {ino} {name:?}"));
        self.respond(cx, || ())
    }

    fn access(&self, cx: &mut Context<'_, Self>, ino: Ino, mask: AccessMode) -> Answer<()> {
        self.note(cx, format!("access {ino} {:#x}", mask.bits()));
        self.respond(cx, || ())
    }

    fn getlk(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        lock: FileLock,
    ) -> Answer<Option<FileLock>> {
        self.note(
            cx,
            format!("getlk {ino} {} {}", OpenFile(file), Lock(&lock)),
        );
        let lock = self.values().lock;
        self.respond(cx, || lock)
    }

    fn setlk(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        set: SetLock,
    ) -> Answer<()> {
        let wait = if set.wait { " wait" } else { "" };
        self.note(
            cx,
            format!("setlk {ino} {} {}{wait}", OpenFile(file), Lock(&set.lock)),
        );
        self.respond(cx, || ())
    }

    fn bmap(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        block_size: usize,
        block: Block,
    ) -> Answer<Block> {
        self.note(cx, format!("bmap {ino} {:#x} of {block_size}", block.0));
        let block = self.values().block;
        self.respond(cx, || block)
    }

    fn ioctl(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        ioctl: &Ioctl<'_>,
    ) -> Answer<IoctlReply> {
        self.note(
            cx,
            format!(
                "ioctl {ino} {} {:#x} {:#x} flags={:#x} {:?} -> {}",
                OpenFile(file),
                ioctl.command.0,
                ioctl.argument,
                ioctl.flags.bits(),
                OsStr::from_bytes(ioctl.input),
                ioctl.output_size
            ),
        );
        let reply = self.values().ioctl.clone();
        self.respond(cx, || reply.clone())
    }

    fn poll(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        events: PollEvents,
        handle: Option<PollHandle>,
    ) -> Answer<PollEvents> {
        let events = events.bits();
        self.note(
            cx,
            format!("poll {ino} {} {events:#x} {handle:?}", OpenFile(file)),
        );
        let events = self.values().events;
        self.respond(cx, || events)
    }

    fn flock(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        flock: Flock,
    ) -> Answer<()> {
        self.note(
            cx,
            format!(
                "flock {ino} {} {:?}{} for {}",
                OpenFile(file),
                flock.kind,
                if flock.wait { " wait" } else { "" },
                flock.owner
            ),
        );
        self.respond(cx, || ())
    }

    fn fallocate(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        range: Fallocate,
    ) -> Answer<()> {
        let Fallocate {
            mode,
            offset,
            length,
            ..
        } = range;
        self.note(
            cx,
            format!(
                "fallocate {ino} {} {:#x} {length:#x}@{offset:#x}",
                OpenFile(file),
                mode.bits()
            ),
        );
        self.respond(cx, || ())
    }

    fn copy_file_range(
        &self,
        cx: &mut Context<'_, Self>,
        copy: &CopyFileRange<'_>,
    ) -> Answer<Copied> {
        let place = |place: fuse3::range::Place<'_>| {
            format!("{} {} {:#x}", place.ino, OpenFile(place.file), place.offset)
        };
        self.note(
            cx,
            format!(
                "copy_file_range {} to {} {:#x} flags={:#x}",
                place(copy.from),
                place(copy.to),
                copy.length,
                copy.flags.bits()
            ),
        );
        let count = copy.length + self.values().more_copied;
        self.respond(cx, || Copied(count))
    }

    fn lseek(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        whence: Whence,
    ) -> Answer<Offset> {
        self.note(
            cx,
            format!(
                "lseek {ino} {} {offset:#x} {}",
                OpenFile(file),
                whence.raw()
            ),
        );
        let offset = self.values().offset;
        self.respond(cx, || offset)
    }

    fn tmpfile(&self, cx: &mut Context<'_, Self>, parent: Ino, how: Create) -> Answer<Created> {
        let (mode, flags, umask) = (how.mode, how.flags.bits(), cx.umask());
        self.note(
            cx,
            format!("tmpfile {parent} {mode:#o} {flags:#x} umask={umask:#o}"),
        );
        let Values { entry, opened, .. } = *self.values();
        self.respond(cx, || Created { entry, opened })
    }

    fn statx(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: Option<&FileInfo>,
        flags: StatxFlags,
        mask: StatxMask,
    ) -> Answer<(Statx, Duration)> {
        let file = file.map_or(String::new(), |file| format!(" {}", OpenFile(file)));
        self.note(
            cx,
            format!("statx {ino}{file} {:#x} {:#x}", flags.bits(), mask.bits()),
        );
        let Values { statx, entry, .. } = *self.values();
        self.respond(cx, || (statx, entry.attr_timeout))
    }

    fn syncfs(&self, cx: &mut Context<'_, Self>, ino: Ino) -> Answer<()> {
        self.note(cx, format!("syncfs {ino}"));
        self.respond(cx, || ())
    }
}
