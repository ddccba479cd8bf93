//! What the global lock guards: the tree, and what is open.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fuse3::reply::Added;
use fuse3::{
    Attr, Caller, Context, Create, DirBuf, Entry, Errno, Fh, Filesystem, Ino, OpenFlags,
    RenameFlags, SetAttr,
};
use rustix::fs::{self, AtFlags, Mode, OFlags, Stat};

use crate::caller::{self, ActingAs};
use crate::kept::Kept;
use crate::node::{self, Listed};
use crate::open::{Access, Open, is_quiet};
use crate::reach::{stat_at, stat_of};
use crate::repeated::Change;
use crate::tree::{Source, Tree};

/// The file system.
#[derive(Debug)]
pub(crate) struct Mirror {
    /// The source, opened with O_PATH.
    pub(crate) root: Arc<File>,
    pub(crate) tree: Tree,
    /// The kernel reads what it is to write only a part of.
    writeback: bool,
    pub(crate) directories: BTreeMap<Fh, Directory>,
    /// The last number that something open was given.
    pub(crate) last: u64,
    /// Which directories have not been written down since they were changed.
    pub(crate) changed: BTreeSet<Fh>,
    /// What outlives this process.
    pub(crate) kept: Option<Kept>,
}

/// Who asks, and whether for the second time, since a server was killed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) caller: Caller,
    pub(crate) again: bool,
}

impl Asked {
    pub(crate) fn by<F: Filesystem>(cx: &Context<'_, F>) -> Self {
        Self {
            caller: cx.caller(),
            again: cx.is_resent(),
        }
    }
}

/// An open directory.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) ino: Ino,
    pub(crate) file: Arc<File>,
    /// What it listed when it was last read from the start. An entry's offset is its place in it.
    pub(crate) listed: Arc<[Listed]>,
}

impl Mirror {
    /// # Errors
    ///
    /// Those of open(2); ENOTDIR.
    pub(crate) fn new(source: &Path, writeback: bool) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(source, flags, Mode::empty())?;
        Self::of(root.into(), writeback)
    }

    /// The same of a source that was opened before.
    pub(crate) fn of(root: File, writeback: bool) -> io::Result<Self> {
        Ok(Self {
            tree: Tree::new(stat_of(&root)?.1),
            root: Arc::new(root),
            writeback,
            directories: BTreeMap::new(),
            last: 0,
            changed: BTreeSet::new(),
            kept: None,
        })
    }

    pub(crate) fn attr(&self, ino: Ino) -> io::Result<Attr> {
        Ok(node::attr(ino, &self.stat(ino)?))
    }

    /// What `name` is in `parent`, valid for no time, and one lookup more of it.
    pub(crate) fn look_up(&mut self, parent: Ino, name: &OsStr) -> io::Result<Entry> {
        let dir = self.reach(parent)?;
        let entry = self.look_up_in(&dir, parent, name);
        self.record();
        entry
    }

    /// The same, where `parent` is at hand, and [`record`](Self::record) follows.
    fn look_up_in(&mut self, dir: &File, parent: Ino, name: &OsStr) -> io::Result<Entry> {
        let found = stat_at(dir, name)?;
        self.met(parent, name, found)
    }

    fn met(
        &mut self,
        parent: Ino,
        name: &OsStr,
        (stat, source): (Stat, Source),
    ) -> io::Result<Entry> {
        let ino = self.tree.meet(parent, name, source)?;
        self.tree.count(ino);
        Ok(Entry {
            generation: source.generation(),
            ..Entry::new(node::attr(ino, &stat), Duration::ZERO)
        })
    }

    /// The kernel has forgotten `nlookup` lookups of each.
    pub(crate) fn forgotten(&mut self, forgets: impl IntoIterator<Item = (Ino, u64)>) {
        for (ino, nlookup) in forgets {
            self.tree.forget(ino, nlookup);
        }
        self.record();
    }

    pub(crate) fn set(&mut self, caller: Caller, ino: Ino, changes: &SetAttr) -> io::Result<Attr> {
        let file = self.reach(ino)?;
        let open = self.tree.get(ino)?.open.as_ref();
        let writable = open.filter(|open| open.access.write);
        node::change(caller, &file, writable.map(|open| &*open.file), changes)?;
        Ok(node::attr(ino, &fs::fstat(&file)?))
    }

    /// Gives `ino` one more name, and counts a lookup.
    pub(crate) fn link(
        &mut self,
        again: bool,
        ino: Ino,
        parent: Ino,
        name: &OsStr,
    ) -> io::Result<Entry> {
        let (file, dir) = (self.reach(ino)?, self.reach(parent)?);
        if !self.begin(again, parent, name, Change::Make)? {
            node::link(&file, &dir, name)?;
        }
        let entry = self.look_up_in(&dir, parent, name);
        self.done(parent)?;
        entry
    }

    /// unlink(2), or rmdir(2) with REMOVEDIR.
    pub(crate) fn remove(
        &mut self,
        again: bool,
        parent: Ino,
        name: &OsStr,
        flags: AtFlags,
    ) -> io::Result<()> {
        let dir = self.reach(parent)?;
        if self.begin(again, parent, name, Change::Remove)? {
            return Ok(());
        }
        let held = self.hold(&dir, parent, name)?;
        self.put_away(parent, name, held.as_ref());
        fs::unlinkat(&dir, name, flags)?;
        self.tree.remove(parent, name, held);
        self.done(parent)
    }

    pub(crate) fn rename(
        &mut self,
        again: bool,
        from: (Ino, &OsStr),
        to: (Ino, &OsStr),
        flags: RenameFlags,
    ) -> io::Result<()> {
        let (from_dir, to_dir) = (self.reach(from.0)?, self.reach(to.0)?);
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        if self.begin(again, from.0, from.1, Change::Rename { to, exchange })? {
            return Ok(());
        }
        let held = match exchange {
            true => None,
            false => self.hold(&to_dir, to.0, to.1)?,
        };
        self.put_away(to.0, to.1, held.as_ref());
        let flags = fs::RenameFlags::from_bits_retain(flags.bits());
        fs::renameat_with(&from_dir, from.1, &to_dir, to.1, flags)?;
        if exchange {
            self.tree.exchange(from, to);
        } else {
            self.tree.rename(from, to, held);
        }
        self.done(from.0)
    }

    pub(crate) fn readlink(&self, ino: Ino) -> io::Result<PathBuf> {
        let target = fs::readlinkat(self.reach(ino)?, c"", Vec::new())?;
        Ok(OsStr::from_bytes(target.as_bytes()).into())
    }

    /// Has `make` make `name` in the directory `parent` as the caller's, with what it is given of `mode`, and counts a lookup.
    pub(crate) fn make(
        &mut self,
        Asked { caller, again }: Asked,
        parent: Ino,
        (name, mode): (&OsStr, u32),
        make: impl FnOnce(&File, Mode) -> rustix::io::Result<()>,
    ) -> io::Result<Entry> {
        let dir = self.reach(parent)?;
        if !self.begin(again, parent, name, Change::Make)? {
            let mode = caller::mode_of_new(&*dir, mode, caller);
            let acting = ActingAs::maker(caller, mode)?;
            let made = make(&dir, mode);
            drop(acting);
            made?;
        }
        let entry = self.look_up_in(&dir, parent, name);
        self.done(parent)?;
        entry
    }

    /// A new file of the caller's, open under the number that is returned; and one lookup of it.
    pub(crate) fn create(
        &mut self,
        Asked { caller, again }: Asked,
        parent: Ino,
        name: &OsStr,
        how: Create,
    ) -> io::Result<(Entry, Fh)> {
        let dir = self.reach(parent)?;
        if self.begin(again, parent, name, Change::Make)? {
            let entry = self.look_up(parent, name)?;
            return Ok((entry, self.open(caller, entry.ino, how.flags)?));
        }
        let access = self.access(how.flags);
        let mode = caller::mode_of_new(&*dir, how.mode, caller);
        let acting = ActingAs::maker(caller, mode)?;
        let created = node::create(&dir, name, access.flags(), mode);
        drop(acting);
        let file = created.map_err(|error| caller::exists_already(error, how.flags))?;
        // The file has been made, and whoever mounts may not be allowed to open it once more, with its mode. Its time of access
        // moves then.
        let quiet = quiet(&file, how.flags).unwrap_or(None);
        let entry = self.met(parent, name, stat_of(&file)?)?;
        let handle = self.next_handle();
        self.tree.get_mut(entry.ino)?.open = Some(Open {
            file: Arc::new(file),
            access,
            quiet,
            handles: BTreeSet::from([handle]),
        });
        self.done(parent)?;
        Ok((entry, handle))
    }

    fn next_handle(&mut self) -> Fh {
        self.last += 1;
        Fh(self.last)
    }

    /// What a file that is opened with `flags` is opened for in the source.
    ///
    /// O_APPEND is not among it: where the end is the kernel says, which has looked before it wrote, and with the writeback
    /// cache is the only one to know.
    fn access(&self, flags: OpenFlags) -> Access {
        let access = Access::of(flags);
        Access {
            // A page that is written in part is read first, of a file that was opened only to be written, too.
            read: access.read || self.writeback && access.write,
            ..access
        }
    }

    /// Opens `ino`, by the descriptor that it has if that is enough.
    pub(crate) fn open(&mut self, caller: Caller, ino: Ino, flags: OpenFlags) -> io::Result<Fh> {
        let wanted = self.access(flags);
        let inode = self.tree.get(ino)?;
        let open = inode.open.as_ref();
        let access = open.map_or(wanted, |open| open.access.and(wanted));
        let file = match open {
            Some(open) if open.access == access => Arc::clone(&open.file),
            None if inode.held.is_none() => Arc::new(self.open_by_name(ino, access.flags())?),
            _ => Arc::new(node::reopen(&*self.reach(ino)?, access.flags())?),
        };
        let before = open.and_then(|open| open.quiet.clone());
        let quiet = match before {
            None => quiet(&file, flags)?,
            before => before,
        };
        let handle = self.next_handle();
        let inode = self.tree.get_mut(ino)?;
        let mut handles = inode
            .open
            .take()
            .map(|open| open.handles)
            .unwrap_or_default();
        handles.insert(handle);
        inode.open = Some(Open {
            file: Arc::clone(&file),
            access,
            quiet,
            handles,
        });
        self.record();
        // Not sent, but where a kernel insists.
        if flags.contains(OpenFlags::TRUNC) && wanted.write {
            let _acting = ActingAs::writer(caller)?;
            file.set_len(0)?;
        }
        Ok(handle)
    }

    /// The descriptor of `ino`, which is open.
    ///
    /// # Errors
    ///
    /// ESTALE, of a file that could not be opened again after a crash.
    pub(crate) fn opened(&self, ino: Ino) -> Result<Arc<File>, Errno> {
        let open = self.tree.get(ino)?.open.as_ref().ok_or(Errno::ESTALE)?;
        Ok(Arc::clone(&open.file))
    }

    /// The same, to read for somebody who has it open with `flags`.
    pub(crate) fn opened_to_read(&self, ino: Ino, flags: OpenFlags) -> Result<Arc<File>, Errno> {
        let open = self.tree.get(ino)?.open.as_ref().ok_or(Errno::ESTALE)?;
        let quiet = open.quiet.as_ref().filter(|_| is_quiet(flags));
        Ok(Arc::clone(quiet.unwrap_or(&open.file)))
    }

    /// Once less open. After the last time there is no descriptor: it is returned, since closing may take long.
    ///
    /// # Errors
    ///
    /// EBADF, for what has been released before; the kernel does not mind.
    pub(crate) fn release(&mut self, ino: Ino, handle: Fh) -> Result<Option<Arc<File>>, Errno> {
        let inode = self.tree.get_mut(ino)?;
        let open = inode.open.as_mut().ok_or(Errno::EBADF)?;
        if !open.handles.remove(&handle) {
            return Err(Errno::EBADF);
        }
        let mut closed = None;
        if open.handles.is_empty() {
            closed = inode.open.take().map(|open| open.file);
            self.tree.collect(ino);
        }
        self.record();
        Ok(closed)
    }

    pub(crate) fn open_directory(&mut self, ino: Ino) -> io::Result<Fh> {
        let file = node::reopen(&*self.reach(ino)?, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let directory = Directory {
            ino,
            file: Arc::new(file),
            listed: Arc::new([]),
        };
        let handle = self.next_handle();
        self.directories.insert(handle, directory);
        self.changed.insert(handle);
        self.record();
        Ok(handle)
    }

    /// The directory that is open as `handle` has been read from its start.
    pub(crate) fn listed(&mut self, handle: Fh, listed: Vec<Listed>) -> Result<(), Errno> {
        self.directory(handle)?.listed = listed.into();
        self.changed.insert(handle);
        self.record();
        Ok(())
    }

    /// The entries that the directory `ino`, open as `handle`, has listed, from `offset` on. Each is valid for `timeout`.
    ///
    /// With READDIRPLUS each entry is an answer to its name, too, and counts as a lookup.
    pub(crate) fn list(
        &mut self,
        ino: Ino,
        handle: Fh,
        offset: u64,
        out: &mut DirBuf,
        timeout: Duration,
    ) -> io::Result<()> {
        let directory = self.directory(handle)?;
        let (file, listed) = (Arc::clone(&directory.file), Arc::clone(&directory.listed));
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        for (next, entry) in (1..).zip(&*listed).skip(start) {
            let name = entry.name.as_os_str();
            if !out.is_plus() || matches!(name.as_bytes(), b"." | b"..") {
                let number = self.tree.child_with(ino, name, entry.number);
                let number = number.unwrap_or(Ino(entry.number));
                let shown = Entry::new(Attr::new(number, entry.mode), timeout);
                if out.add(name, &shown, next) == Added::Full {
                    break;
                }
                continue;
            }
            if !out.fits(name) {
                break;
            }
            // Gone meanwhile; or an error that the caller sees when it looks the name up. What is listed so far is counted,
            // and has to be answered.
            let Ok(entry) = self.look_up_in(&file, ino, name) else {
                continue;
            };
            if out.add(name, &caller::entry(entry, timeout), next) != Added::Counted {
                self.tree.forget(entry.ino, 1);
                break;
            }
        }
        self.record();
        Ok(())
    }

    pub(crate) fn directory(&mut self, handle: Fh) -> Result<&mut Directory, Errno> {
        self.directories.get_mut(&handle).ok_or(Errno::EBADF)
    }

    pub(crate) fn close_directory(&mut self, handle: Fh) -> Option<Directory> {
        let closed = self.directories.remove(&handle);
        self.changed.insert(handle);
        self.record();
        closed
    }
}

/// A descriptor to read `file` by without moving its time of access, if it is opened so.
fn quiet(file: &File, flags: OpenFlags) -> io::Result<Option<Arc<File>>> {
    if !is_quiet(flags) || !Access::of(flags).read {
        return Ok(None);
    }
    node::reopen_quietly(file).map(Some)
}
