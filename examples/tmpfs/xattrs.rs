//! Extended attributes.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use fuse3::{Errno, Ino, XattrFlags, XattrNames};

use crate::acl;
use crate::form::{Reader, Writer, Wrong};
use crate::inodes::Inodes;

/// What listxattr(2) can return, `XATTR_LIST_MAX`.
const LIST_MAX: usize = 65_536;

/// The extended attributes of an inode.
#[derive(Debug, Default)]
pub(crate) struct Xattrs(BTreeMap<OsString, Vec<u8>>);

/// The kernel has checked by then who may use which: `trusted.` is root's, and `user.` is for files and directories.
///
/// # Errors
///
/// EOPNOTSUPP for other namespaces, of which `system.` has ACLs alone.
pub(crate) fn check(name: &OsStr) -> Result<(), Errno> {
    let spaces: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    if acl::is_acl(name) {
        return Ok(());
    }
    let name = name.as_bytes();
    match spaces.iter().find(|space| name.starts_with(space)) {
        Some(space) if name.len() > space.len() => Ok(()),
        Some(_) => Err(Errno::EINVAL),
        None => Err(Errno::EOPNOTSUPP),
    }
}

/// What an attribute takes besides its name and its value, in bytes.
const OVERHEAD: usize = 96;

impl Inodes {
    /// Sets an attribute if there is room for it.
    ///
    /// # Errors
    ///
    /// Those of setxattr(2).
    pub(crate) fn set_xattr(
        &mut self,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<(), Errno> {
        let before = self.get(ino)?.cost();
        // What it replaces is given back afterwards, so that nothing changes where there is no room.
        let new = size(name, value);
        self.space.take_room(new)?;
        let node = self.get_mut(ino)?;
        let result = node.xattrs.set(name, value, flags);
        if result.is_ok() {
            node.changed();
        }
        let unused = before + new - node.cost();
        self.space.free_room(unused);
        result
    }

    /// Removes an attribute.
    ///
    /// # Errors
    ///
    /// ENODATA, EOPNOTSUPP.
    pub(crate) fn remove_xattr(&mut self, ino: Ino, name: &OsStr) -> Result<(), Errno> {
        let node = self.get_mut(ino)?;
        let before = node.cost();
        node.xattrs.remove(name)?;
        node.changed();
        let freed = before - node.cost();
        self.space.free_room(freed);
        Ok(())
    }
}

/// What an attribute counts for.
fn size(name: &OsStr, value: &[u8]) -> u64 {
    (OVERHEAD + name.len() + value.len()) as u64
}

impl Xattrs {
    /// What all of them count for.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.iter().map(|(name, value)| size(name, value)).sum()
    }

    pub(crate) fn get(&self, name: &OsStr) -> Result<&[u8], Errno> {
        check(name)?;
        self.0.get(name).map(Vec::as_slice).ok_or(Errno::ENODATA)
    }

    pub(crate) fn set(
        &mut self,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<(), Errno> {
        check(name)?;
        let there = self.0.contains_key(name);
        if there && flags.contains(XattrFlags::CREATE) {
            return Err(Errno::EEXIST);
        }
        if !there && flags.contains(XattrFlags::REPLACE) {
            return Err(Errno::ENODATA);
        }
        let listed: usize = self.0.keys().map(|name| name.len() + 1).sum();
        if !there && listed + name.len() + 1 > LIST_MAX {
            return Err(Errno::ENOSPC);
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &OsStr) -> Result<(), Errno> {
        check(name)?;
        self.0.remove(name).map(drop).ok_or(Errno::ENODATA)
    }

    pub(crate) fn put(&self, out: &mut Writer) {
        out.list(self.0.iter(), |out, (name, value)| {
            out.bytes(name.as_bytes());
            out.bytes(value);
        });
    }

    pub(crate) fn take(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        let mut xattrs = Self::default();
        from.list("attributes", |from| {
            let name = from.bytes("an attribute's name")?;
            let value = from.bytes("an attribute's value")?;
            let set = xattrs.set(OsStr::from_bytes(name), value, XattrFlags::CREATE);
            let name = name.escape_ascii();
            set.map_err(|error| from.wrong(format_args!("the attribute \"{name}\": {error}")))
        })?;
        Ok(xattrs)
    }

    /// The names; those of root's own for root only.
    pub(crate) fn names(&self, root: bool) -> XattrNames {
        let shown = |name: &&OsString| root || !name.as_bytes().starts_with(b"trusted.");
        self.0.keys().filter(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_namespaces() {
        let mut xattrs = Xattrs::default();
        let one = OsStr::new("user.one");
        assert_eq!(
            xattrs.set(one, b"1", XattrFlags::REPLACE),
            Err(Errno::ENODATA)
        );
        assert_eq!(xattrs.set(one, b"1", XattrFlags::CREATE), Ok(()));
        assert_eq!(
            xattrs.set(one, b"2", XattrFlags::CREATE),
            Err(Errno::EEXIST)
        );
        assert_eq!(xattrs.set(one, b"3", XattrFlags::empty()), Ok(()));
        assert_eq!(xattrs.get(one), Ok(&b"3"[..]));
        let other = OsStr::new("system.nfs4_acl");
        assert_eq!(
            xattrs.set(other, b"", XattrFlags::empty()),
            Err(Errno::EOPNOTSUPP)
        );
        assert_eq!(xattrs.get(other), Err(Errno::EOPNOTSUPP));
        assert_eq!(
            xattrs.set(OsStr::new("user."), b"", XattrFlags::empty()),
            Err(Errno::EINVAL)
        );
        assert_eq!(
            xattrs.set(OsStr::new("trusted.t"), b"", XattrFlags::empty()),
            Ok(())
        );
        assert_eq!(xattrs.names(false).as_bytes(), b"user.one\0");
        assert_eq!(xattrs.names(true).as_bytes(), b"trusted.t\0user.one\0");
        assert_eq!(xattrs.remove(one), Ok(()));
        assert_eq!(xattrs.remove(one), Err(Errno::ENODATA));
    }

    #[test]
    fn the_list_of_names_is_bounded() {
        let mut xattrs = Xattrs::default();
        let set = |xattrs: &mut Xattrs, number: usize| {
            xattrs.set(
                OsStr::new(&format!("user.{number:0250}")),
                b"",
                XattrFlags::empty(),
            )
        };
        let mut numbers = 0..;
        while set(&mut xattrs, numbers.next().unwrap()).is_ok() {}
        assert_eq!(xattrs.names(true).as_bytes().len(), 65_536);
        assert_eq!(set(&mut xattrs, 9999), Err(Errno::ENOSPC));
    }
}
