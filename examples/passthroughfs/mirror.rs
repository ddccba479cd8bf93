//! What the global lock guards: the tree, and what is open.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fuse3::reply::Added;
use fuse3::{Attr, Caller, Create, DirBuf, Entry, Errno, Fh, Ino, OpenFlags, RenameFlags, SetAttr};
use rustix::fs::{self, AtFlags, Mode, OFlags, Stat};

use crate::caller::{self, ActingAs};
use crate::node::{self, Listed};
use crate::open::{Access, Open, is_quiet};
use crate::reach::{stat_at, stat_of};
use crate::tree::{Source, Tree};

/// The file system.
#[derive(Debug)]
pub(crate) struct Mirror {
    /// The source, opened with O_PATH.
    pub(crate) root: Arc<File>,
    pub(crate) tree: Tree,
    /// The kernel reads what it is to write only a part of.
    writeback: bool,
    directories: HashMap<Fh, Directory>,
    last: u64,
}

/// An open directory.
#[derive(Debug)]
pub(crate) struct Directory {
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
        let root = File::from(fs::open(source, flags, Mode::empty())?);
        Ok(Self {
            tree: Tree::new(stat_of(&root)?.1),
            root: Arc::new(root),
            writeback,
            directories: HashMap::new(),
            last: 0,
        })
    }

    pub(crate) fn attr(&self, ino: Ino) -> io::Result<Attr> {
        Ok(node::attr(ino, &self.stat(ino)?))
    }

    /// What `name` is in `parent`, valid for no time, and one lookup more of it.
    pub(crate) fn look_up(&mut self, parent: Ino, name: &OsStr) -> io::Result<Entry> {
        let dir = self.reach(parent)?;
        self.look_up_in(&dir, parent, name)
    }

    /// The same, where `parent` is at hand.
    pub(crate) fn look_up_in(
        &mut self,
        dir: &File,
        parent: Ino,
        name: &OsStr,
    ) -> io::Result<Entry> {
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

    pub(crate) fn set(&mut self, caller: Caller, ino: Ino, changes: &SetAttr) -> io::Result<Attr> {
        let file = self.reach(ino)?;
        let open = self.tree.get(ino)?.open.as_ref();
        let writable = open.filter(|open| open.access.write);
        node::change(caller, &file, writable.map(|open| &*open.file), changes)?;
        Ok(node::attr(ino, &fs::fstat(&file)?))
    }

    /// Gives `ino` one more name, and counts a lookup.
    pub(crate) fn link(&mut self, ino: Ino, parent: Ino, name: &OsStr) -> io::Result<Entry> {
        let (file, dir) = (self.reach(ino)?, self.reach(parent)?);
        node::link(&file, &dir, name)?;
        self.look_up_in(&dir, parent, name)
    }

    /// unlink(2), or rmdir(2) with REMOVEDIR.
    pub(crate) fn remove(&mut self, parent: Ino, name: &OsStr, flags: AtFlags) -> io::Result<()> {
        let dir = self.reach(parent)?;
        let held = self.hold(&dir, parent, name)?;
        fs::unlinkat(&dir, name, flags)?;
        self.tree.remove(parent, name, held);
        Ok(())
    }

    pub(crate) fn rename(
        &mut self,
        from: (Ino, &OsStr),
        to: (Ino, &OsStr),
        flags: RenameFlags,
    ) -> io::Result<()> {
        let (from_dir, to_dir) = (self.reach(from.0)?, self.reach(to.0)?);
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        let held = match exchange {
            true => None,
            false => self.hold(&to_dir, to.0, to.1)?,
        };
        let flags = fs::RenameFlags::from_bits_retain(flags.bits());
        fs::renameat_with(&from_dir, from.1, &to_dir, to.1, flags)?;
        if exchange {
            self.tree.exchange(from, to);
        } else {
            self.tree.rename(from, to, held);
        }
        Ok(())
    }

    pub(crate) fn readlink(&self, ino: Ino) -> io::Result<PathBuf> {
        let target = fs::readlinkat(self.reach(ino)?, c"", Vec::new())?;
        Ok(OsStr::from_bytes(target.as_bytes()).into())
    }

    /// Has `make` make `name` in the directory `parent` as the caller's, with what it is given of `mode`, and counts a lookup.
    pub(crate) fn make(
        &mut self,
        caller: Caller,
        parent: Ino,
        (name, mode): (&OsStr, u32),
        make: impl FnOnce(&File, Mode) -> rustix::io::Result<()>,
    ) -> io::Result<Entry> {
        let dir = self.reach(parent)?;
        let mode = caller::mode_of_new(&*dir, mode, caller);
        let acting = ActingAs::maker(caller, mode)?;
        let made = make(&dir, mode);
        drop(acting);
        made?;
        self.look_up_in(&dir, parent, name)
    }

    /// A new file of the caller's, open; and one lookup of it.
    pub(crate) fn create(
        &mut self,
        caller: Caller,
        parent: Ino,
        name: &OsStr,
        how: Create,
    ) -> io::Result<Entry> {
        let dir = self.reach(parent)?;
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
        self.tree.get_mut(entry.ino)?.open = Some(Open {
            file: Arc::new(file),
            access,
            quiet,
            count: 1,
        });
        Ok(entry)
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
    pub(crate) fn open(&mut self, caller: Caller, ino: Ino, flags: OpenFlags) -> io::Result<()> {
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
        let inode = self.tree.get_mut(ino)?;
        let count = inode.open.as_ref().map_or(0, |open| open.count) + 1;
        inode.open = Some(Open {
            file: Arc::clone(&file),
            access,
            quiet,
            count,
        });
        // Not sent, but where a kernel insists.
        if flags.contains(OpenFlags::TRUNC) && wanted.write {
            let _acting = ActingAs::writer(caller)?;
            file.set_len(0)?;
        }
        Ok(())
    }

    /// The descriptor of `ino`, which is open.
    pub(crate) fn opened(&self, ino: Ino) -> Result<Arc<File>, Errno> {
        let open = self.tree.get(ino)?.open.as_ref().ok_or(Errno::EBADF)?;
        Ok(Arc::clone(&open.file))
    }

    /// The same, to read for somebody who has it open with `flags`.
    pub(crate) fn opened_to_read(&self, ino: Ino, flags: OpenFlags) -> Result<Arc<File>, Errno> {
        let open = self.tree.get(ino)?.open.as_ref().ok_or(Errno::EBADF)?;
        let quiet = open.quiet.as_ref().filter(|_| is_quiet(flags));
        Ok(Arc::clone(quiet.unwrap_or(&open.file)))
    }

    /// Once less open. After the last time there is no descriptor: it is returned, since closing may take long.
    pub(crate) fn release(&mut self, ino: Ino) -> Result<Option<Arc<File>>, Errno> {
        let inode = self.tree.get_mut(ino)?;
        let open = inode.open.as_mut().ok_or(Errno::EBADF)?;
        open.count -= 1;
        if open.count > 0 {
            return Ok(None);
        }
        let closed = inode.open.take().map(|open| open.file);
        self.tree.collect(ino);
        Ok(closed)
    }

    pub(crate) fn open_directory(&mut self, ino: Ino) -> io::Result<Fh> {
        let file = node::reopen(&*self.reach(ino)?, OFlags::RDONLY | OFlags::DIRECTORY)?;
        self.last += 1;
        let directory = Directory {
            file: Arc::new(file),
            listed: Arc::new([]),
        };
        self.directories.insert(Fh(self.last), directory);
        Ok(Fh(self.last))
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
        Ok(())
    }

    pub(crate) fn directory(&mut self, handle: Fh) -> Result<&mut Directory, Errno> {
        self.directories.get_mut(&handle).ok_or(Errno::EBADF)
    }

    pub(crate) fn close_directory(&mut self, handle: Fh) -> Option<Directory> {
        self.directories.remove(&handle)
    }
}

/// A descriptor to read `file` by without moving its time of access, if it is opened so.
fn quiet(file: &File, flags: OpenFlags) -> io::Result<Option<Arc<File>>> {
    if !is_quiet(flags) || !Access::of(flags).read {
        return Ok(None);
    }
    let quiet = node::reopen(file, OFlags::RDONLY | OFlags::NOATIME)?;
    Ok(Some(Arc::new(quiet)))
}
