//! Names come and go.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuse3::{Attr, Caller, Errno, Ino, XattrFlags};

use crate::acl;
use crate::data::Data;
use crate::directory::Directory;
use crate::inodes::Inodes;
use crate::node::Kind;
use crate::space::INODE;
use crate::xattrs::Xattrs;

/// The kernel's own limit for FUSE is 1024.
pub(crate) const NAME_MAX: usize = 255;

const ANEW: XattrFlags = XattrFlags::CREATE;

/// What a new inode is to be.
pub(crate) struct New {
    /// With the type.
    pub(crate) mode: u32,
    pub(crate) rdev: u64,
    pub(crate) kind: Kind,
}

impl New {
    /// A regular file.
    pub(crate) fn file(mode: u32) -> Self {
        Self {
            mode: libc::S_IFREG | (mode & 0o7777),
            rdev: 0,
            kind: Kind::File(Data::default()),
        }
    }
}

/// # Errors
///
/// ENAMETOOLONG.
pub(crate) fn check(name: &OsStr) -> Result<(), Errno> {
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(())
}

impl Inodes {
    /// What `name` is in `parent`. Whoever opens a file handle asks for ".", of a file as well, and for "..".
    ///
    /// # Errors
    ///
    /// ENOENT, ENOTDIR, ENAMETOOLONG.
    pub(crate) fn find(&self, parent: Ino, name: &OsStr) -> Result<Ino, Errno> {
        check(name)?;
        let node = self.get(parent)?;
        match name.as_bytes() {
            b"." => Ok(parent),
            b".." => Ok(node.directory()?.parent()),
            _ => node.directory()?.get(name).ok_or(Errno::ENOENT),
        }
    }

    /// Whether `name` can be made in `parent`.
    fn can_make(&self, parent: Ino, name: &OsStr) -> Result<(), Errno> {
        match self.find(parent, name) {
            // A removed directory that somebody is still in.
            Err(Errno::ENOENT) if self.get(parent)?.meta.nlink == 0 => Err(Errno::ENOENT),
            Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(Errno::EEXIST),
        }
    }

    /// `mknod`, `mkdir`, `symlink`, `create`.
    pub(crate) fn make(
        &mut self,
        parent: Ino,
        name: &OsStr,
        new: New,
        caller: Caller,
    ) -> Result<Ino, Errno> {
        self.can_make(parent, name)?;
        let is_directory = matches!(new.kind, Kind::Directory(_));
        let ino = self.make_nameless(parent, new, caller)?;
        let above = self.get_mut(parent)?;
        above.directory_mut()?.insert(name, ino);
        above.meta.nlink += u32::from(is_directory);
        above.modified();
        Ok(ino)
    }

    /// A new inode that is to get its first name in `parent`.
    ///
    /// It belongs to the caller; in a directory with the set-group-id bit, to that directory's group, and a directory
    /// inherits the bit. The default ACL of the directory becomes its access ACL, and that of a directory its default one, too;
    /// where there is none the umask counts.
    pub(crate) fn make_nameless(
        &mut self,
        parent: Ino,
        new: New,
        caller: Caller,
    ) -> Result<Ino, Errno> {
        let (uid, gid) = caller.owner()?;
        let above = &self.get(parent)?.meta;
        let inherits = above.mode & libc::S_ISGID != 0;
        let is_directory = matches!(new.kind, Kind::Directory(_));
        let mut mode = new.mode;
        let mut xattrs = Xattrs::default();
        if !matches!(new.kind, Kind::Symlink(_)) {
            match self.acl(parent, acl::DEFAULT)? {
                Some(mut access) => {
                    if is_directory {
                        xattrs.set(OsStr::new(acl::DEFAULT), &access.value(), ANEW)?;
                    }
                    access.restrict(mode);
                    mode = mode & !0o777 | access.mode();
                    if !access.is_mode() {
                        xattrs.set(OsStr::new(acl::ACCESS), &access.value(), ANEW)?;
                    }
                }
                None => mode &= !(caller.umask & 0o777),
            }
        }
        let meta = Attr {
            nlink: if is_directory { 2 } else { 1 },
            uid,
            gid: if inherits { above.gid } else { gid },
            rdev: new.rdev,
            ..Attr::new(
                Ino(0),
                if inherits && is_directory {
                    mode | libc::S_ISGID
                } else {
                    mode
                },
            )
        };
        self.add(meta, new.kind, xattrs)
    }

    pub(crate) fn mkdir(
        &mut self,
        parent: Ino,
        name: &OsStr,
        mode: u32,
        caller: Caller,
    ) -> Result<Ino, Errno> {
        let new = New {
            mode: libc::S_IFDIR | (mode & 0o7777),
            rdev: 0,
            kind: Kind::Directory(Directory::new(parent)),
        };
        self.make(parent, name, new, caller)
    }

    /// `tmpfile`: a file without a name, which `link` may give one to.
    pub(crate) fn tmpfile(&mut self, parent: Ino, mode: u32, caller: Caller) -> Result<Ino, Errno> {
        self.get(parent)?.directory()?;
        let ino = self.make_nameless(parent, New::file(mode), caller)?;
        self.get_mut(ino)?.meta.nlink = 0;
        Ok(ino)
    }

    pub(crate) fn link(&mut self, ino: Ino, parent: Ino, name: &OsStr) -> Result<(), Errno> {
        self.can_make(parent, name)?;
        let node = self.get(ino)?;
        if node.is_directory() {
            return Err(Errno::EPERM);
        }
        let links = node.meta.nlink.checked_add(1).ok_or(Errno::EMLINK)?;
        let before = node.cost();
        self.space.take_room(INODE)?;
        let node = self.get_mut(ino)?;
        node.meta.nlink = links;
        node.changed();
        // The first name is in what the inode counts for.
        let unused = before + INODE - node.cost();
        self.space.free_room(unused);
        let above = self.get_mut(parent)?;
        above.directory_mut()?.insert(name, ino);
        above.modified();
        Ok(())
    }

    pub(crate) fn unlink(&mut self, parent: Ino, name: &OsStr) -> Result<(), Errno> {
        let ino = self.find(parent, name)?;
        if self.get(ino)?.is_directory() {
            return Err(Errno::EISDIR);
        }
        self.remove_name(parent, name)?;
        self.unnamed(ino)
    }

    pub(crate) fn rmdir(&mut self, parent: Ino, name: &OsStr) -> Result<(), Errno> {
        let ino = self.find(parent, name)?;
        if !self.get(ino)?.directory()?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.remove_name(parent, name)?;
        self.get_mut(parent)?.meta.nlink -= 1;
        self.unnamed(ino)
    }

    fn remove_name(&mut self, parent: Ino, name: &OsStr) -> Result<(), Errno> {
        let above = self.get_mut(parent)?;
        above.directory_mut()?.remove(name);
        above.modified();
        Ok(())
    }

    /// The inode lost a name; a directory has no other.
    pub(crate) fn unnamed(&mut self, ino: Ino) -> Result<(), Errno> {
        let node = self.get_mut(ino)?;
        let before = node.cost();
        node.meta.nlink = if node.is_directory() {
            0
        } else {
            node.meta.nlink - 1
        };
        node.changed();
        let freed = before - node.cost();
        self.space.free_room(freed);
        self.collect(ino);
        Ok(())
    }
}
